"""The function: deployed, gone back with, asked. Each step looks first at what is there, so it may be ended anywhere.

The public meets the alias `live`, which points to a published version: an update publishes the next one, and then moves
the alias, so nobody meets half of it; to go back is to move the alias to the version before.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from kennel.cloud import function_requests as requests
from kennel.cloud.failures import JobFailed
from kennel.cloud.function_requests import ALIAS, FunctionPlan
from kennel.cloud.package import digest
from kennel.cloud.session import Cloud, code_of, told
from kennel.errors import KennelError, PictureError, ServerError

Tell = Callable[[str], None]
Sleep = Callable[[float], None]
Found = dict[str, Any] | None
POLL_S = {"local": 0.1, "aws": 2.0}
LONGEST_S = 900.0
MISSING = ("ResourceNotFoundException", "ProvisionedConcurrencyConfigNotFoundException")
ROLE_TRIES = 6
"""A new role may be unknown to Lambda for some seconds more than IAM needs."""
TOO_LARGE = 4_400_000
"""Bytes of a picture: Lambda takes 6 MB, of which base64 needs a quarter."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """url: where everybody may ask; version: that the alias points to; ready: provisioned instances."""

    name: str
    version: str
    url: str
    action: Literal["created", "updated", "unchanged", "rolled back"]
    ready: int


def deploy(cloud: Cloud, plan: FunctionPlan, tell: Tell, sleep: Sleep = time.sleep) -> Deployed:
    """Whatever makes the alias answer as planned, waited for. Raises KennelError, JobFailed where AWS gives up."""
    work = _Work(cloud, plan.name, tell, sleep)
    with told(f"deploy the function {plan.name}"):
        action = work.bring_up(plan)
        version = work.publish(plan)
        moved = work.move(version)
        if work.has_more_than_reserved(plan):
            work.provision(plan)
        work.reserve(plan)
        url = work.open()
        ready = work.provision(plan)
    return Deployed(plan.name, version, url, "updated" if action == "unchanged" and moved else action, ready)


def rollback(cloud: Cloud, plan: FunctionPlan, tell: Tell, sleep: Sleep = time.sleep) -> Deployed:
    """The alias back to the version before the one that it points to. Raises KennelError where there is none."""
    work = _Work(cloud, plan.name, tell, sleep)
    with told(f"go back with the function {plan.name}"):
        version = work.version_before()
        work.move(version)
        return Deployed(plan.name, version, work.open(), "rolled back", work.provision(plan))


def url_of(cloud: Cloud, name: str) -> str:
    """The public address. Raises KennelError where there is none."""
    with told(f"look at the function {name}"):
        found = _or_none(lambda: cloud.client("lambda").get_function_url_config(FunctionName=name, Qualifier=ALIAS))
    if found is None:
        raise KennelError(f"there is no function {name} with an address", "Deploy it: kennel function deploy")
    return str(found["FunctionUrl"])


def invoke(cloud: Cloud, name: str, picture: bytes | str) -> dict[str, Any]:
    """The function's prediction for a picture, or for the one at a URL. Raises PictureError where it refuses that,
    ServerError where it fails."""
    if len(picture) > TOO_LARGE:
        raise PictureError("too-large", f"{len(picture) / 1e6:.1f} MB are more than Lambda takes", "Send a smaller one")
    given = {"url": picture} if isinstance(picture, str) else {"image": base64.b64encode(picture).decode()}
    with told(f"ask the function {name}"):
        found = cloud.client("lambda").invoke(**requests.invoke_request(name, json.dumps(given).encode()))
        answer = json.loads(found["Payload"].read())
    if found.get("FunctionError"):
        said = answer.get("errorMessage", "") if isinstance(answer, dict) else ""
        raise ServerError(f"the function {name} failed: {said}", f"See its log: {requests.GROUP}{name}")
    return _read(answer)


def _read(answer: dict[str, Any]) -> dict[str, Any]:
    status, said = answer["statusCode"], json.loads(answer["body"])
    if status == 200:
        result: dict[str, Any] = said
        return result
    if status < 500 and status != 424:
        raise PictureError("unknown", said["error"], said.get("remedy", ""))
    raise ServerError(said["error"], said.get("remedy", ""))


class _Work:
    """On one function. Every method looks first; what it changes it waits for."""

    def __init__(self, cloud: Cloud, name: str, tell: Tell, sleep: Sleep) -> None:
        self._cloud, self._name, self._tell, self._sleep = cloud, name, tell, sleep
        self._lambda = cloud.client("lambda")
        self._told = ""

    def bring_up(self, plan: FunctionPlan) -> Literal["created", "updated", "unchanged"]:
        """Log, code and configuration."""
        self._keep_log(plan)
        found = _or_none(lambda: self._lambda.get_function(FunctionName=self._name))
        if found is None:
            self._create(plan)
            self._settled()
            return "created"
        self._check_ours(plan, found)
        self._settled()
        now = self._lambda.get_function_configuration(FunctionName=self._name)
        changes = [
            (now["CodeSha256"] != digest(plan.code), self._lambda.update_function_code, requests.code_request),
            (_differs(now, plan), self._lambda.update_function_configuration, requests.configuration_request),
        ]
        for differs, call, request in changes:
            if differs:
                call(**request(plan))
                self._settled()
        return "updated" if any(differs for differs, _, _ in changes) else "unchanged"

    def publish(self, plan: FunctionPlan) -> str:
        """The version that holds what there is now: the newest one, if nothing has changed since."""
        made = self._lambda.publish_version(**requests.version_request(plan, digest(plan.code)))
        version = str(made["Version"])
        self._until(lambda: self._state(version)["State"] != "Pending", f"version {version}")
        return version

    def move(self, version: str) -> bool:
        """The alias to a version; whether it had to be moved."""
        now = _or_none(lambda: self._lambda.get_alias(FunctionName=self._name, Name=ALIAS))
        if now is None:
            self._lambda.create_alias(**requests.alias_request(self._name, version))
            return True
        if now["FunctionVersion"] == version:
            return False
        self._until(lambda: (self._provisioned() or {}).get("Status") != "IN_PROGRESS", "provisioned concurrency")
        self._tell(f"{ALIAS}: version {now['FunctionVersion']} → {version}")
        self._lambda.update_alias(**requests.alias_request(self._name, version, "UpdateAlias"))
        return True

    def version_before(self) -> str:
        now = _or_none(lambda: self._lambda.get_alias(FunctionName=self._name, Name=ALIAS))
        if now is None:
            raise KennelError(f"there is no function {self._name} to go back with", "Deploy it: kennel function deploy")
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=self._name)
        versions = [int(each["Version"]) for page in pages for each in page["Versions"] if each["Version"].isdigit()]
        before = [each for each in versions if each < int(now["FunctionVersion"])]
        if not before:
            raise KennelError(f"{self._name} has no version before {now['FunctionVersion']}", "Deploy another one")
        return str(max(before))

    def has_more_than_reserved(self, plan: FunctionPlan) -> bool:
        """Whether fewer instances have to wait before so few can be reserved: AWS refuses it the other way round."""
        ready = (self._provisioned() or {}).get("RequestedProvisionedConcurrentExecutions", 0)
        return plan.reserved is not None and int(ready) > plan.reserved

    def reserve(self, plan: FunctionPlan) -> None:
        """So many executions at most, or none of its own."""
        now = self._lambda.get_function_concurrency(FunctionName=self._name).get("ReservedConcurrentExecutions")
        if plan.reserved is None and now is not None:
            self._lambda.delete_function_concurrency(FunctionName=self._name)
        elif plan.reserved is not None and now != plan.reserved:
            self._lambda.put_function_concurrency(**requests.reserved_request(plan))

    def open(self) -> str:
        """The alias's public address."""
        alias = {"FunctionName": self._name, "Qualifier": ALIAS}
        found = _or_none(lambda: self._lambda.get_function_url_config(**alias))
        if found is None:
            found = self._lambda.create_function_url_config(**requests.url_request(self._name))
        for statement in requests.PERMISSIONS:
            self._allow(statement)
        return str(found["FunctionUrl"])

    def provision(self, plan: FunctionPlan) -> int:
        """So many instances that are always there, waited for; how many there are."""
        now = self._provisioned()
        if not plan.provisioned:
            if now is not None:
                self._lambda.delete_provisioned_concurrency_config(FunctionName=self._name, Qualifier=ALIAS)
            return 0
        requested = now["RequestedProvisionedConcurrentExecutions"] if now else 0
        if now is None or requested != plan.provisioned or now["Status"] == "FAILED":
            self._lambda.put_provisioned_concurrency_config(**requests.provisioned_request(plan))
        self._until(self._is_provisioned, "provisioned concurrency")
        return int((self._provisioned() or {}).get("AvailableProvisionedConcurrentExecutions", 0))

    def _keep_log(self, plan: FunctionPlan) -> None:
        """Made before Lambda would make it, which keeps logs for ever."""
        logs = self._cloud.client("logs")
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=plan.group, tags=dict(plan.tags))
        logs.put_retention_policy(**requests.retention_request(plan))

    def _create(self, plan: FunctionPlan) -> None:
        from botocore.exceptions import ClientError

        for left in reversed(range(ROLE_TRIES)):
            try:
                self._lambda.create_function(**requests.function_request(plan))
            except ClientError as error:
                if "cannot be assumed" not in str(error) or not left:
                    raise
                self._sleep(5)
            else:
                return

    def _check_ours(self, plan: FunctionPlan, found: dict[str, Any]) -> None:
        carried = found.get("Tags", {})
        if any(carried.get(name) != value for name, value in plan.tags.items()):
            remedy = "Name another one in kennel.toml: [function] name"
            raise KennelError(f"the function {self._name} is not this project's", remedy)

    def _settled(self) -> None:
        """After a change, which AWS carries out by and by. Raises JobFailed."""

        def look() -> bool:
            now = self._state(None)
            if now["State"] == "Failed" or now.get("LastUpdateStatus") == "Failed":
                reason = now.get("LastUpdateStatusReason") or now.get("StateReason", "")
                raise JobFailed(f"function {self._name}", reason)
            return now["State"] != "Pending" and now.get("LastUpdateStatus") != "InProgress"

        self._until(look, f"function {self._name}")

    def _state(self, version: str | None) -> dict[str, Any]:
        more = {"Qualifier": version} if version else {}
        now: dict[str, Any] = self._lambda.get_function_configuration(FunctionName=self._name, **more)
        if now["State"] == "Failed" and version:
            raise JobFailed(f"version {version} of {self._name}", now.get("StateReason", ""))
        return now

    def _provisioned(self) -> Found:
        alias = {"FunctionName": self._name, "Qualifier": ALIAS}
        return _or_none(lambda: self._lambda.get_provisioned_concurrency_config(**alias))

    def _is_provisioned(self) -> bool:
        """Raises JobFailed."""
        now = self._provisioned() or {}
        ready, asked = (now.get(f"{word}ProvisionedConcurrentExecutions", 0) for word in ("Available", "Requested"))
        self._tell_once(f"{ready} of {asked} instances are ready")
        if now.get("Status") == "FAILED":
            raise JobFailed(f"provisioned concurrency of {self._name}", now.get("StatusReason", ""))
        return now.get("Status") == "READY"

    def _tell_once(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._tell(text)

    def _allow(self, statement: str) -> None:
        with suppress(self._lambda.exceptions.ResourceConflictException):  # there already
            self._lambda.add_permission(**requests.permission_request(self._name, statement))

    def _until(self, look: Callable[[], bool], what: str) -> None:
        waited = 0.0
        while not look():
            if waited >= LONGEST_S:
                raise KennelError(f"{what} takes longer than {LONGEST_S / 60:g} minutes", "See it in the console")
            self._sleep(POLL_S[self._cloud.side])
            waited += POLL_S[self._cloud.side]


def _differs(now: dict[str, Any], plan: FunctionPlan) -> bool:
    asked = requests.settings_of(plan)
    variables = now.get("Environment", {}).get("Variables", {})
    same = all(now.get(name) == value for name, value in asked.items() if name != "Environment")
    return not same or variables != asked["Environment"]["Variables"]


def _or_none(call: Callable[[], dict[str, Any]]) -> Found:
    """What the call returns, None where Lambda says that there is no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if code_of(error) in MISSING:
            return None
        raise
