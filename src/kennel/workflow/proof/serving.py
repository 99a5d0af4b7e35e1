"""The steps of the endpoint and the function: made, changed, asked, removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from kennel.cloud import endpoint, function, scaling, teardown, watch
from kennel.cloud.endpoint import EndpointPlan
from kennel.cloud.function_requests import FunctionPlan, plan_of
from kennel.cloud.iam import place_of
from kennel.cloud.logs import Follower
from kennel.cloud.package import package
from kennel.cloud.removal import Removal
from kennel.cloud.scaling_requests import Change
from kennel.cloud.scaling_requests import plan_of as scaling_plan
from kennel.cloud.session import Cloud
from kennel.errors import KennelError
from kennel.settings import Scaling, ScheduledAction, Settings
from kennel.workflow.proof.ground import Ground
from kennel.workflow.proof.steps import Step, heard, read_back

PACE_S = 0.2
SOON = 25
"""Looks, until a log that is not there yet is missed."""


def endpoint_plan(ground: Ground, number: int) -> EndpointPlan:
    """Of the story's artifact; by names of its own."""
    settings = ground.settings
    model = ground.admin.client("sagemaker").describe_model(ModelName=ground.told["model"])
    return EndpointPlan(
        name=settings.endpoint_name,
        model=f"{settings.project}-model-{number}",
        config=f"{settings.project}-config-{number}",
        image=model["PrimaryContainer"]["Image"],
        artifact=ground.told["artifact"],
        role=model["ExecutionRoleArn"],
        instance_type=settings.endpoint.instance_type,
        instances=settings.endpoint.instances,
        startup_s=settings.endpoint.startup_s,
        tags=tuple(settings.tags()),
    )


def serve(ground: Ground) -> None:
    """An endpoint where there is none; its log has to be there."""
    _deploy(ground, ground.deployer)
    read_back(ground.admin, place_of(ground.admin).endpoint_log, "")


def update(ground: Ground) -> None:
    """Another model behind the endpoint that is there."""
    _deploy(ground, ground.deployer)


def ask(ground: Ground) -> None:
    endpoint.invoke(ground.deployer, ground.settings.endpoint_name, ground.photo)


def there(ground: Ground) -> None:
    """An endpoint that answers."""
    found = _settled(ground)
    if found is None or found["EndpointStatus"] != "InService":
        _deploy(ground, ground.admin)


def _settled(ground: Ground) -> dict[str, Any] | None:
    """The endpoint, once what a step has begun with it is over."""
    while found := endpoint.describe(ground.admin, ground.settings.endpoint_name):
        if found["EndpointStatus"] not in endpoint.BUSY:
            return found
        time.sleep(PACE_S)
    return None


def gone(ground: Ground) -> None:
    """No endpoint, and no log of one."""
    _settled(ground)
    _remove(ground.admin, [each for each in teardown.plan(ground.admin) if each.kind == "endpoint"])
    logs = ground.admin.client("logs")
    with suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=place_of(ground.admin).endpoint_log)


def end_endpoint(ground: Ground) -> None:
    """`kennel teardown`, as far as it is about the endpoint; the story's model stays."""
    kinds = ("endpoint", "endpoint configuration", "model")
    planned = [
        each for each in teardown.plan(ground.deployer) if each.kind in kinds and each.name != ground.told["model"]
    ]
    _remove(ground.deployer, planned)


def function_plan(ground: Ground, **changes: object) -> FunctionPlan:
    role = place_of(ground.admin).role(ground.settings.function_role)
    return replace(plan_of(ground.settings, role, package()), **changes)  # type: ignore[arg-type]


def deploy_function(ground: Ground) -> None:
    """Where there is none."""
    function.deploy(ground.deployer, function_plan(ground), lambda text: None)


def change_function(ground: Ground) -> None:
    """Its code, its settings, its limits, a version back."""
    number, tell = ground.fresh(), lambda text: None
    code = _commented(package(), str(number))
    changed = function_plan(ground, code=code, timeout_s=20 + number % 8, reserved=3, provisioned=2)
    function.deploy(ground.deployer, changed, tell)
    function.rollback(ground.deployer, changed, tell)
    function.deploy(ground.deployer, function_plan(ground, provisioned=0), tell)


def ask_function(ground: Ground) -> None:
    """By Lambda's call; its log is read, and has to say what was asked."""
    name = ground.settings.function.name
    function.url_of(ground.deployer, name)
    function.invoke(ground.deployer, name, ground.photo)
    log = Follower(ground.deployer.client("logs"), place_of(ground.admin).function_log, "", heard)
    for _ in range(SOON):
        if log.read():
            return
        time.sleep(PACE_S)
    raise KennelError(f"the function {name} has no log")


def function_there(ground: Ground) -> None:
    there(ground)
    function.deploy(ground.admin, function_plan(ground), lambda text: None)


def function_unheard(ground: Ground) -> None:
    """One that is there, and whose log is empty."""
    function_there(ground)
    logs, group = ground.admin.client("logs"), place_of(ground.admin).function_log
    logs.delete_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=group)


def function_gone(ground: Ground) -> None:
    _remove(ground.admin, _of_function(ground.admin))
    logs = ground.admin.client("logs")
    with suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=place_of(ground.admin).function_log)


def end_function(ground: Ground) -> None:
    """`kennel teardown`, as far as it is about the function."""
    _remove(ground.deployer, _of_function(ground.deployer))


def scale(ground: Ground) -> None:
    """Switched on with everything there is, changed, looked at, switched off."""
    settings = ground.settings
    action = ScheduledAction(name="night", schedule="cron(0 22 * * ? *)", max=1)
    more = settings.scaling.model_copy(update={"enabled": True, "cpu_target": 50.0, "actions": (action,)})
    less = more.model_copy(update={"target": more.target + 1, "cpu_target": 0.0, "actions": ()})
    for each in (more, less):
        _scale(ground.deployer, scaling.difference(ground.deployer, scaling_plan(_with(settings, each))))
        scaling.look(ground.deployer, settings.endpoint_name)
    _scale(ground.deployer, scaling.leftovers(ground.deployer, settings.endpoint_name))


def there_unscaled(ground: Ground) -> None:
    there(ground)
    _scale(ground.admin, scaling.leftovers(ground.admin, ground.settings.endpoint_name))


def _scale(cloud: Cloud, wanted: Sequence[Change]) -> None:
    scaling.carry_out(cloud, wanted, lambda text: None)


def _with(settings: Settings, changed: Scaling) -> Settings:
    return settings.model_copy(update={"scaling": changed})


def _deploy(ground: Ground, cloud: Cloud) -> None:
    plan = endpoint_plan(ground, ground.fresh())
    endpoint.deploy(cloud, plan)
    watch.endpoint(cloud, plan.name, heard, PACE_S, config=plan.config)


def _of_function(cloud: Cloud) -> list[Removal]:
    kinds = ("provisioned concurrency", "function URL", "alias", "function")
    return [each for each in teardown.plan(cloud) if each.kind in kinds]


def _remove(cloud: Cloud, removals: list[Removal]) -> None:
    teardown.carry_out(cloud, teardown.in_order(removals), lambda removal, over: None)


def _commented(code: bytes, comment: str) -> bytes:
    """The same files in another package."""
    made = BytesIO(code)
    with ZipFile(made, "a") as package_of:
        package_of.comment = comment.encode()
    return made.getvalue()


SERVING = (
    Step("deploy the endpoint", serve, gone),
    Step("update the endpoint", update, there, there),
    Step("ask the endpoint", ask, there),
    Step("scale the endpoint", scale, there_unscaled),
    Step("deploy the function", deploy_function, function_gone),
    Step("change the function", change_function, function_there),
    Step("ask the function", ask_function, function_unheard),
    Step("end the function", end_function, function_there),
    Step("end the endpoint", end_endpoint, there),
)
