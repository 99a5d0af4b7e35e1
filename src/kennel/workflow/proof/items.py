"""What can be taken away from a role, and which recorded calls would be refused then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kennel.cloud.iam.values import Actor, Policy, Role, Statement, policy_of
from kennel.iam.evaluation import evaluate
from kennel.iam.record import Call
from kennel.iam.values import Decision, Policies

Kind = Literal["action", "resource"]
ANYBODY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
}


@dataclass(frozen=True, slots=True)
class Item:
    """One action, or one resource, of one statement. Where a statement has one resource only, its actions are all
    that there is to take away: without the resource none of them would be left."""

    actor: Actor
    sid: str
    kind: Kind
    value: str

    def __str__(self) -> str:
        return f"{self.actor} {self.sid}: {self.value}"


def items(role: Role) -> Iterator[Item]:
    for each in role.statements:
        yield from (Item(role.actor, each.sid, "action", action) for action in each.actions)
        if len(each.resources) > 1:
            yield from (Item(role.actor, each.sid, "resource", resource) for resource in each.resources)


def without(role: Role, item: Item) -> Policy:
    """The role's policy, the item taken away."""
    return policy_of(tuple(each for one in role.statements if (each := _without(one, item))))


def refused(call: Call, policy: Policy) -> bool:
    """Whether a recorded call that was allowed would not be with this policy of its role."""
    return call.allowed and not _decided(call, policy).allowed


def needing(role: Role, calls: Mapping[str, Iterable[Call]], item: Item) -> list[str]:
    """Names of the steps in which something would be refused, in the order of `calls`."""
    policy = without(role, item)
    return [
        name
        for name, made in calls.items()
        if any(refused(call, policy) for call in made if call.sid == item.sid and _is_of(call, role))
    ]


def denied(calls: Iterable[Call], role: Role, item: Item, policy: Policy) -> Call | None:
    """The refusal that taking the item away has to cause: of the role, of the very action, or of any action on the very
    resource; and one that the whole policy would not have refused."""
    for call in calls:
        if call.allowed or not _is_of(call, role) or (item.kind == "action" and call.action != item.value):
            continue
        whole = _decided(call, role.policy)
        if whole.allowed and whole.sid == item.sid and not _decided(call, policy).allowed:
            return call
    return None


def _decided(call: Call, policy: Policy) -> Decision:
    """With this policy of its role. What a resource's own has to say is not in the record: ours says no more than that
    TLS has to be; what is another account's (the image of the rules) is open to us."""
    access, caller = call.access(), call.who()
    account = [*access.resource.split(":"), "", "", "", "", ""][4]
    others = ANYBODY if account not in ("", caller.account) else None
    return evaluate(access, caller, Policies(identity=(policy,), resource=others))


def _is_of(call: Call, role: Role) -> bool:
    return call.role.endswith(f":role/{role.name}")


def _without(statement: Statement, item: Item) -> Statement | None:
    if statement.sid != item.sid:
        return statement
    if item.kind == "action":
        actions = tuple(each for each in statement.actions if each != item.value)
        return replace(statement, actions=actions) if actions else None
    resources = tuple(each for each in statement.resources if each != item.value)
    return replace(statement, resources=resources) if resources else None
