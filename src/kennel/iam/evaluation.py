"""Whether an access is allowed: the IAM guide's evaluation logic, for one account and across two.

An explicit deny anywhere decides. The root of an account may do all that is left. Within an account an allow of the
caller's own policies or of the resource's is enough; a boundary and a session policy limit the first, and the second
as far as the resource's policy names the role and not its session (principals.py). A role's trust policy has to allow
in any case. Across accounts both sides have to.

Not here: service control policies and other policies of organizations, grants and lists of S3 and KMS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kennel.iam.documents import Document, Effect, Statement, parse
from kennel.iam.patterns import Context
from kennel.iam.principals import WAYS, Way, is_root
from kennel.iam.values import Access, Caller, Decision, Policies, Reason, Written

Source = Literal["identity", "resource", "boundary", "session"]
DENIED: dict[Source, Reason] = {
    "identity": "explicit deny in an identity-based policy",
    "resource": "explicit deny in a resource-based policy",
    "boundary": "explicit deny in a permissions boundary",
    "session": "explicit deny in a session policy",
}
TRUST = frozenset(
    f"sts:{each}"
    for each in ("assumerole", "assumerolewithsaml", "assumerolewithwebidentity", "tagsession", "setsourceidentity")
)
"""What a role's trust policy is asked about."""
FEDERATED = ":federated-user/"
"""Of a session that may nothing without a session policy."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A statement that is about an access. document, index: where it stands, counted from 0; way: how it names the
    caller, of resource-based policies."""

    source: Source
    document: int
    index: int
    effect: Effect
    sid: str
    way: Way = "direct"


def evaluate(access: Access, caller: Caller, policies: Policies) -> Decision:
    """Raises PolicyError where one of the policies is none."""
    applied = explain(access, caller, policies)
    denying = next((each for each in applied if each.effect == "Deny"), None)
    if denying is not None:
        return Decision(False, DENIED[denying.source], denying.sid)
    return _decided(access, caller, policies, applied)


def explain(access: Access, caller: Caller, policies: Policies) -> tuple[Applied, ...]:
    """Every statement that is about it, allowing and denying. Raises PolicyError."""
    asked = _Asked(access.action.lower(), access.resource, access.context, caller)
    found = [*asked.through("identity", policies.identity)]
    found += asked.through("resource", () if policies.resource is None else (policies.resource,))
    found += asked.through("boundary", policies.boundary or ())
    found += asked.through("session", policies.session or ())
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Asked:
    action: str
    resource: str
    context: Context
    caller: Caller

    def through(self, source: Source, written: Sequence[Written]) -> Iterator[Applied]:
        for number, each in enumerate(written):
            for index, statement in _document(each, source).about(self.action):
                way = self._way(statement)
                if way and statement.covers(self.resource, self.context):
                    yield Applied(source, number, index, statement.effect, statement.sid, way)

    def _way(self, statement: Statement) -> Way:
        return "direct" if statement.principals is None else statement.principals.way(self.caller)


def _decided(access: Access, caller: Caller, policies: Policies, allows: Iterable[Applied]) -> Decision:
    """Nothing denies; allows: what allows."""
    by = _strongest(allows)
    granted = by.get("resource")
    across = bool(caller.account) and account_of(access, caller) != caller.account
    if granted is None and (across or not caller.account or access.action.lower() in TRUST):
        return Decision(False, "no resource-based policy allows")
    if is_root(caller) or not caller.account:
        return Decision(True, "allowed", granted.sid if granted else "")
    if granted and granted.way == "direct" and not across:
        return Decision(True, "allowed", granted.sid)
    allowing = granted if granted and granted.way == "role" and not across else by.get("identity")
    if allowing is None:
        return Decision(False, "no identity-based policy allows")
    if policies.boundary is not None and "boundary" not in by:
        return Decision(False, "no permissions boundary allows")
    if "session" not in by and (policies.session is not None or FEDERATED in caller.arn):
        return Decision(False, "no session policy allows")
    return Decision(True, "allowed", allowing.sid)


def _strongest(allows: Iterable[Applied]) -> dict[Source, Applied]:
    """Of each source the one that grants most, and of these the first."""
    found: dict[Source, Applied] = {}
    for each in allows:
        held = found.get(each.source)
        if held is None or WAYS.index(held.way) < WAYS.index(each.way):
            found[each.source] = each
    return found


def account_of(access: Access, caller: Caller) -> str:
    """Whose the resource is: by its ARN, else by `aws:ResourceAccount` (S3's ARNs name none), else the caller's."""
    fields = access.resource.split(":", 5)
    if len(fields) == 6 and fields[4].isdecimal():
        return fields[4]
    return (access.context.get("aws:resourceaccount") or (caller.account,))[0]


def _document(written: Written, source: Source) -> Document:
    if isinstance(written, Document):
        return written
    return parse(written, "resource" if source == "resource" else "identity")
