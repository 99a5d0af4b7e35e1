"""The Principal element of resource-based policies: whom it names, and in which way it names a caller.

The way matters: who is named himself needs no other permission, a role's sessions stay within its boundary and their
session policy, and an account passes the question on to its own policies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kennel.iam.values import Caller

Way = Literal["", "account", "role", "direct"]
"""How a policy names a caller, from not at all to by its own ARN (or as everybody)."""
WAYS: tuple[Way, ...] = ("", "account", "role", "direct")
_TYPES = ("AWS", "Service", "Federated", "CanonicalUser")
_ACCOUNT = re.compile(r"\d{12}")
_ROOT = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):root")
_NAMED = re.compile(r"arn:aws[a-z-]*:(iam::\d{12}:(user|role)|sts::\d{12}:(assumed-role|federated-user))/[^*?\s]+")
_GONE = re.compile(r"A(IDA|ROA|GPA|KIA)[A-Z0-9]{12,}")
"""The unique id that AWS shows for a user or a role that was deleted."""
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal|aws)")


@dataclass(frozen=True, slots=True, eq=False)
class Principals:
    """anyone: `*` or {"AWS": "*"}, services too. negated: of a NotPrincipal element, which spares who is named in any
    way, by his account too."""

    anyone: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    services: frozenset[str]
    negated: bool = False

    def way(self, caller: Caller) -> Way:
        """How the statement is about this caller, "" where it is not."""
        if self.negated:
            return "" if self._way(caller) else "direct"
        return self._way(caller)

    def _way(self, caller: Caller) -> Way:
        if self.anyone or caller.arn in self.services:
            return "direct"
        if caller.arn in self.arns:
            return "direct"
        if caller.role and caller.role in self.arns:
            return "role"
        return "account" if caller.account and caller.account in self.accounts else ""


def principals(element: object, *, negated: bool = False) -> Principals:
    """Raises ValueError."""
    if element == "*":
        return Principals(True, frozenset(), frozenset(), frozenset(), negated)
    if not isinstance(element, Mapping) or not element:
        raise ValueError('its principal has to be "*" or an object')
    unknown = [each for each in element if each not in _TYPES]
    if unknown:
        raise ValueError(f"{unknown[0]!r:.40} is no type of principal: {', '.join(_TYPES)}")
    named = {each: _texts(element[each], each) for each in element}
    aws = named.get("AWS", [])
    services = named.get("Service", [])
    for each in services:
        if not _SERVICE.fullmatch(each):
            raise ValueError(f"{each!r:.80} is no service: sagemaker.amazonaws.com is one")
    accounts, arns = _split(aws)
    return Principals("*" in aws, accounts, arns, frozenset(services), negated)


def is_root(caller: Caller) -> bool:
    return _ROOT.fullmatch(caller.arn) is not None


def _split(aws: list[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Accounts by number, and ARNs."""
    accounts, arns = set[str](), set[str]()
    for each in aws:
        root = _ROOT.fullmatch(each)
        if root is not None or _ACCOUNT.fullmatch(each):
            accounts.add(root[1] if root is not None else each)
        elif _NAMED.fullmatch(each):
            arns.add(each)
        elif each != "*" and not _GONE.fullmatch(each):
            raise ValueError(f"{each!r:.80} is no principal: an account, or the whole ARN of a user, role or session")
    return frozenset(accounts), frozenset(arns)


def _texts(given: Any, kind: str) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(each, str) for each in texts):
        raise ValueError(f"its {kind} principal takes one string or more")
    return texts
