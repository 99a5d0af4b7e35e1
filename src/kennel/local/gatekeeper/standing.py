"""The policies that bear on a caller and on a resource, as moto has them now, read and compiled once a change."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kennel.errors import PolicyError
from kennel.iam.documents import Document, Kind, parse
from kennel.iam.values import Caller, Policies
from kennel.local.moto_side import ACCOUNT, Moto

log = logging.getLogger(__name__)

EVERYTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
NOTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
"""Instead of a policy that cannot be read: what it denies is not known."""


class Standing:
    """Reading it costs nothing as long as neither IAM nor a bucket's policy has changed."""

    def __init__(self, moto: Moto) -> None:
        from moto.iam.models import iam_backends
        from moto.s3.models import s3_backends

        self._moto, self._iam, self._s3 = moto, iam_backends[ACCOUNT]["aws"], s3_backends[ACCOUNT]["aws"]
        self._kept: dict[tuple[str, str], tuple[int, Any]] = {}
        self._all = Policies(identity=(parse(EVERYTHING, "identity"),))

    def version(self) -> tuple[int, int]:
        return self._moto.changes("iam"), self._moto.changes("s3")

    def administrator(self) -> Policies:
        return self._all

    def of(self, caller: Caller, session: str = "") -> Policies:
        """What a user, or the session of a role, has of its own. session: the policy that it was limited to."""
        policies: Policies = self.kept("iam", caller.role or caller.arn, lambda: self._own(caller))
        if not session:
            return policies
        return Policies(policies.identity, boundary=policies.boundary, session=(_read(session, "identity"),))

    def bucket(self, name: str) -> Document | None:
        """A bucket's policy."""
        found: Document | None = self.kept("s3", name, lambda: self._of_bucket(name))
        return found

    def trust(self, role_arn: str) -> Document | None:
        """A role's; None where there is no such role."""
        found: Document | None = self.kept("iam", f"trust {role_arn}", lambda: self._trust(role_arn))
        return found

    def longest_session(self, role_arn: str) -> int:
        """Seconds."""
        with self._moto.lock:
            role = self._role(role_arn)
            return int(role.max_session_duration or 3600) if role else 3600

    def kept(self, service: str, what: str, read: Callable[[], Any]) -> Any:
        """What `read` finds, read anew after each change of what the service keeps."""
        version = self._moto.changes(service)
        kept = self._kept.get((service, what))
        if kept is None or kept[0] != version:
            with self._moto.lock:
                kept = version, read()
            if len(self._kept) > 10_000:
                self._kept.clear()
            self._kept[service, what] = kept
        return kept[1]

    def _own(self, caller: Caller) -> Policies:
        holder = self._role(caller.role) if caller.role else self._user(caller.arn)
        if holder is None:
            return Policies()
        groups = [] if caller.role else [each for each in self._iam.groups.values() if holder in each.users]
        texts = [text for each in (holder, *groups) for text in _texts(each)]
        boundary = self._managed(getattr(holder, "permissions_boundary_arn", None))
        return Policies(tuple(_documents(texts)), boundary=boundary)

    def _managed(self, arn: str | None) -> tuple[Document, ...] | None:
        """The policy that a boundary names. None where none is named; one that is not there allows nothing."""
        if not arn:
            return None
        found = self._iam.managed_policies.get(arn)
        return tuple(_documents([_default(found)])) if found else ()

    def _role(self, arn: str) -> Any:
        return next((each for each in self._iam.roles.values() if each.arn == arn), None)

    def _user(self, arn: str) -> Any:
        return next((each for each in self._iam.users.values() if each.arn == arn), None)

    def _trust(self, role_arn: str) -> Document | None:
        role = self._role(role_arn)
        return _read(role.assume_role_policy_document, "trust") if role else None

    def _of_bucket(self, name: str) -> Document | None:
        bucket = self._s3.buckets.get(name)
        return _read(bucket.policy.decode(), "bucket") if bucket is not None and bucket.policy else None


def _texts(holder: Any) -> Iterator[str]:
    """Inline, then attached. holder: a user, a group or a role."""
    yield from holder.policies.values()
    yield from (_default(each) for each in holder.managed_policies.values())


def _default(managed: Any) -> str:
    return next(str(each.document) for each in managed.versions if each.version_id == managed.default_version_id)


def _documents(texts: Iterable[str]) -> Iterator[Document]:
    return (_read(each, "identity") for each in texts)


def _read(text: Any, kind: Kind) -> Document:
    try:
        return parse(text if isinstance(text, str) else json.dumps(text), kind)
    except PolicyError as error:
        log.warning("a policy that cannot be read denies everything: %s", error)
        return parse(NOTHING, "identity") if kind == "identity" else parse(_principled(NOTHING, kind), kind)


def _principled(text: str, kind: Kind) -> str:
    """As a policy on a resource has to be."""
    statement = {**json.loads(text)["Statement"], "Principal": "*"}
    if kind == "trust":
        statement = {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}
    elif kind == "bucket":
        statement["Action"] = "s3:*"
    return json.dumps({"Version": "2012-10-17", "Statement": statement})
