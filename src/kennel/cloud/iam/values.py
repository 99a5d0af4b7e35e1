"""A role and what it may do, as values: every statement has a name and a reason. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Policy = dict[str, Any]
Condition = Mapping[str, Mapping[str, str | tuple[str, ...]]]
"""IAM's: operator → key → value or values."""
Actor = Literal["training", "endpoint", "function", "instance", "deployer", "builder", "launcher"]
ACTORS: tuple[Actor, ...] = get_args(Actor)
VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Statement:
    """sid: unique in its policy. reason: why it is there, for people; no policy has room for it."""

    sid: str
    reason: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Condition = field(default_factory=dict)

    def document(self) -> Policy:
        """One value stands alone, as IAM takes it: it is shorter."""
        found: Policy = {"Sid": self.sid, "Effect": "Allow", "Action": _short(self.actions)}
        found["Resource"] = _short(self.resources)
        return found | ({"Condition": _plain(self.condition)} if self.condition else {})


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may take the role on. principal: `{"Service": …}` or `{"AWS": …}`."""

    principal: Mapping[str, str]
    reason: str
    condition: Condition = field(default_factory=dict)

    def document(self) -> Policy:
        found: Policy = {"Effect": "Allow", "Principal": dict(self.principal), "Action": "sts:AssumeRole"}
        return found | ({"Condition": _plain(self.condition)} if self.condition else {})


@dataclass(frozen=True, slots=True)
class Role:
    """purpose: whose work is done under it. longest_s: of a session."""

    actor: Actor
    name: str
    purpose: str
    trusted: Trust
    statements: tuple[Statement, ...]
    longest_s: int = 3600

    @property
    def profiled(self) -> bool:
        """Whether it is given to machines, which takes an instance profile."""
        return self.actor == "instance"

    @property
    def trust(self) -> Policy:
        """The trust policy's document."""
        return {"Version": VERSION, "Statement": [self.trusted.document()]}

    @property
    def policy(self) -> Policy:
        """The document of what it may do."""
        return policy_of(self.statements)


def policy_of(statements: tuple[Statement, ...]) -> Policy:
    """A policy's document."""
    return {"Version": VERSION, "Statement": [each.document() for each in statements]}


def written(policy: Policy) -> str:
    """As it is sent: without white space, so that its length is what IAM counts."""
    return json.dumps(policy, separators=(",", ":"))


def both(*conditions: Condition) -> Condition:
    """All of them."""
    found: dict[str, dict[str, str | tuple[str, ...]]] = {}
    for each in conditions:
        for operator, keys in each.items():
            found[operator] = {**found.get(operator, {}), **keys}
    return found


def _short(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _plain(condition: Condition) -> Policy:
    return {
        operator: {key: value if isinstance(value, str) else _short(value) for key, value in keys.items()}
        for operator, keys in condition.items()
    }
