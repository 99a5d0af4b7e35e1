"""A policy's statements, taken apart. A policy is somebody else's text: whatever it is, it is read or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kennel.iam.audit.values import Document

VERSIONS = ("2012-10-17", "2008-10-17")
ELEMENTS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
ASKS_NOTHING = ("aws:securetransport", "aws:useragent", "aws:referer")
"""Condition keys that whoever asks can make come true."""


class Malformed(Exception):
    """What IAM would refuse, in a few words."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. sid: its own, or `statement 2`. principals: (`Service`, `sagemaker.amazonaws.com`), of `"*"`
    (`*`, `*`). conditions: (operator, key, values), operator and key in lower case."""

    document: Document
    index: int
    sid: str
    allows: bool
    raw: Mapping[str, Any]
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    not_resources: tuple[str, ...] = ()
    principals: tuple[tuple[str, str], ...] = ()
    not_principals: tuple[tuple[str, str], ...] = ()
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = field(default=())

    @property
    def line(self) -> int:
        return self.document.lines[self.index] if self.index < len(self.document.lines) else 0

    @property
    def bound(self) -> frozenset[str]:
        """Condition keys that have to be there and be something: `…IfExists`, `Null` and `…Not…` let others in."""
        return frozenset(
            key
            for operator, key, values in self.conditions
            if "not" not in operator
            and not operator.endswith("ifexists")
            and not operator.startswith(("null", "forallvalues:"))
            and key not in ASKS_NOTHING
            and not any(set(each) <= {"*", "?"} for each in values)
        )

    def shown(self, *elements: str) -> str:
        """Some of its elements, as JSON."""
        return json.dumps({each: self.raw[each] for each in elements if each in self.raw}, ensure_ascii=False)


def statements(document: Document) -> Iterator[Statement]:
    """Raises Malformed, at the first that is."""
    policy = document.policy
    if not isinstance(policy, Mapping) or "Statement" not in policy:
        raise Malformed("it has no Statement")
    found = policy["Statement"]
    if policy.get("Version", VERSIONS[0]) not in VERSIONS:
        raise Malformed(f"its Version is none of {', '.join(VERSIONS)}")
    for index, each in enumerate(found if isinstance(found, list) else [found]):
        yield _statement(document, index, each)


def _statement(document: Document, index: int, raw: Any) -> Statement:
    where = f"statement {index + 1}"
    if not isinstance(raw, Mapping):
        raise Malformed(f"{where} is no object")
    if unknown := set(raw) - ELEMENTS:
        raise Malformed(f"{where} has elements that IAM does not know: {', '.join(sorted(map(str, unknown)))[:100]}")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(f"{where} has no Effect of Allow or Deny")
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        if one in raw and other in raw:
            raise Malformed(f"{where} has both {one} and {other}")
    if "Action" not in raw and "NotAction" not in raw:
        raise Malformed(f"{where} has neither Action nor NotAction")
    return Statement(
        document,
        index,
        str(raw.get("Sid") or where),
        raw["Effect"] == "Allow",
        raw,
        _texts(raw, "Action", where),
        _texts(raw, "NotAction", where),
        _texts(raw, "Resource", where),
        _texts(raw, "NotResource", where),
        _principals(raw, "Principal", where),
        _principals(raw, "NotPrincipal", where),
        tuple(_conditions(raw.get("Condition") or {}, where)),
    )


def _texts(raw: Mapping[str, Any], element: str, where: str) -> tuple[str, ...]:
    found = raw.get(element, [])
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, str) for each in listed):
        raise Malformed(f"{where}: {element} is neither text nor a list of texts")
    return tuple(listed)


def _principals(raw: Mapping[str, Any], element: str, where: str) -> tuple[tuple[str, str], ...]:
    found = raw.get(element, {})
    if found == "*":
        return (("*", "*"),)
    if not isinstance(found, Mapping):
        raise Malformed(f'{where}: {element} is neither "*" nor an object')
    return tuple((str(kind), each) for kind in found for each in _texts(found, kind, where))


def _conditions(found: Any, where: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
        raise Malformed(f"{where}: Condition is no object of objects")
    for operator, keys in found.items():
        for key, values in keys.items():
            listed = values if isinstance(values, list) else [values]
            texts = tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in listed)
            yield str(operator).lower(), str(key).lower(), texts
