"""The Condition element: every operator of the IAM guide, with …IfExists, ForAllValues: and ForAnyValue:.

A condition is read once and holds or does not hold for a context. Its operators and keys are all to hold (AND), of its
values one is to match (OR); a negated operator holds where none matches (NOR).

Where the guide says little, this is what is done:
* A key with several values under an operator without ForAllValues: or ForAnyValue:, which "must" be there: it does not
  hold, negated or not.
* A variable that stands for nothing "causes the statement to be invalid": the value matches nothing, and a negated
  operator does not hold for it either.
* A value that cannot be compared (a word as a number) matches nothing.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, TypeVar

from kennel.iam import patterns
from kennel.iam.patterns import Context

Match = Callable[[str, Context], bool | None]
"""Whether one value of the request matches one of the policy's; None where a variable left that open."""
Make = Callable[[tuple[str, ...], str], Match]
"""From a condition's values and the policy's version. Raises ValueError for a value that is none of its type."""
Quantifier = Literal["", "ForAllValues", "ForAnyValue"]
Value = TypeVar("Value")
MOST_DIGITS = 64
"""Of a number: longer ones are no number that AWS has."""
_NAME = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?|\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_EPOCH = re.compile(r"-?[0-9]{5,12}(\.[0-9]{1,9})?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """operator: as it is written; key: in lower case."""

    operator: str
    key: str
    values: tuple[str, ...]
    match: Match
    quantifier: Quantifier = ""
    negated: bool = False
    if_exists: bool = False

    def holds(self, context: Context) -> bool:
        values = context.get(self.key, ())
        if self.operator == "Null":
            return self.match("true" if not values else "false", context) is True
        if not values or (self.quantifier and values == ("",)):
            return self._holds_without(absent=not values)
        found = (self._holds_for(each, context) for each in values)
        if self.quantifier:
            return all(found) if self.quantifier == "ForAllValues" else any(found)
        return len(values) == 1 and all(found)

    def _holds_for(self, value: str, context: Context) -> bool:
        matched = self.match(value, context)
        return matched is not None and matched != self.negated

    def _holds_without(self, *, absent: bool) -> bool:
        """For a key that is not there, or has no more than an empty string to be looked through."""
        if self.quantifier == "ForAllValues" or (absent and self.if_exists):
            return True
        return self.negated and not self.quantifier


def conditions(element: object, version: str) -> tuple[Condition, ...]:
    """All of a Condition element. Raises ValueError, which names what is wrong."""
    found = []
    for name, keys in _mapping(element, "Condition").items():
        for key, values in _mapping(keys, f"Condition's {name}").items():
            found.append(condition(name, key, values, version))
    return tuple(found)


def condition(name: str, key: str, values: object, version: str) -> Condition:
    """One operator with one key. Raises ValueError."""
    named = _NAME.fullmatch(name)
    known = OPERATORS.get(named[2]) if named is not None else None
    if named is None or known is None or (named[2] == "Null" and name != "Null"):
        raise ValueError(f"{name} is no condition operator")
    if not re.fullmatch(r"[^\s:]+:\S(.*\S)?", key):
        raise ValueError(f"{key!r} is no condition key")
    make, negated = known
    texts = _texts(values, f"{name} of {key}")
    quantifier: Quantifier = named[1] or ""  # type: ignore[assignment]
    return Condition(name, key.lower(), texts, make(texts, version), quantifier, negated, bool(named[3]))


def _string(*, fold: bool, wild: bool) -> Make:
    flags = re.IGNORECASE if fold else 0

    def equals(text: str, value: str) -> bool:
        return patterns.compiled(patterns.expression(text), flags).match(value) is not None

    return _one_of(equals, str.lower if fold else str, wild)


def _one_of(equals: Callable[[str, str], bool], folded: Callable[[str], str], wild: bool) -> Make:
    """equals: takes a pattern's text and a value. folded: what makes two words that are to be equal the same."""

    def make(values: tuple[str, ...], version: str) -> Match:
        words = frozenset(folded(each) for each in values if not wild and "${" not in each)
        wanted = [patterns.pattern(each, version, wild=wild) for each in values if wild or "${" in each]

        def match(value: str, context: Context) -> bool | None:
            if not wanted or folded(value) in words:
                return folded(value) in words
            texts = [each.text(context) for each in wanted]
            if any(equals(each, value) for each in texts if each is not None):
                return True
            return None if None in texts else False

        return match

    return make


def _truth(values: tuple[str, ...], version: str) -> Match:
    wanted = {each.lower() for each in values}
    if not wanted <= {"true", "false"}:
        raise ValueError("Null takes true or false")
    return lambda value, context: value in wanted


def _compared(read: Callable[[str], Value], compare: Callable[[Value, Value], bool]) -> Make:
    """read: raises ValueError for what is no value of its type."""

    def make(values: tuple[str, ...], version: str) -> Match:
        wanted = [read(each) for each in values]

        def match(value: str, context: Context) -> bool:
            try:
                found = read(value)
            except ValueError:
                return False
            return any(compare(found, each) for each in wanted)

        return match

    return make


def _number(text: str) -> Decimal:
    if len(text) > MOST_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:MOST_DIGITS]!r} is no number")
    return Decimal(text)


def _date(text: str) -> datetime:
    """The forms of W3C's note on date and time, or seconds since 1970. What says no zone is in UTC."""
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        if _DATE.fullmatch(text):
            found = datetime.fromisoformat(text + "-01-01"[len(text) - 10 :] if len(text) < 10 else text)
            return found.replace(tzinfo=found.tzinfo or UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError(f"{text[:MOST_DIGITS]!r} is no date")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{text[:MOST_DIGITS]!r} is not in base64") from None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1024)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _is_within(found: Network, wanted: Network) -> bool:
    return (
        found.version == wanted.version
        and int(wanted.network_address) <= int(found.network_address)
        and int(found.broadcast_address) <= int(wanted.broadcast_address)
    )


def _texts(given: object, where: str) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    if not values:
        raise ValueError(f"{where} has no value")
    return tuple(_text(each, where) for each in values)


def _text(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{where} takes strings, numbers, true and false")


def _mapping(given: object, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{where} is no object")
    return given


def _order(read: Callable[[str], Any], prefix: str) -> dict[str, tuple[Make, bool]]:
    equals = _compared(read, operator.eq)
    return {
        f"{prefix}Equals": (equals, False),
        f"{prefix}NotEquals": (equals, True),
        f"{prefix}LessThan": (_compared(read, operator.lt), False),
        f"{prefix}LessThanEquals": (_compared(read, operator.le), False),
        f"{prefix}GreaterThan": (_compared(read, operator.gt), False),
        f"{prefix}GreaterThanEquals": (_compared(read, operator.ge), False),
    }


OPERATORS: Mapping[str, tuple[Make, bool]] = {
    "StringEquals": (_string(fold=False, wild=False), False),
    "StringNotEquals": (_string(fold=False, wild=False), True),
    "StringEqualsIgnoreCase": (_string(fold=True, wild=False), False),
    "StringNotEqualsIgnoreCase": (_string(fold=True, wild=False), True),
    "StringLike": (_string(fold=False, wild=True), False),
    "StringNotLike": (_string(fold=False, wild=True), True),
    **_order(_number, "Numeric"),
    **_order(_date, "Date"),
    "Bool": (_string(fold=True, wild=False), False),
    "BinaryEquals": (_compared(_bytes, operator.eq), False),
    "IpAddress": (_compared(_network, _is_within), False),
    "NotIpAddress": (_compared(_network, _is_within), True),
    "ArnEquals": (_one_of(patterns.arn_matches, str, wild=True), False),
    "ArnLike": (_one_of(patterns.arn_matches, str, wild=True), False),
    "ArnNotEquals": (_one_of(patterns.arn_matches, str, wild=True), True),
    "ArnNotLike": (_one_of(patterns.arn_matches, str, wild=True), True),
    "Null": (_truth, False),
}
"""The guide's operators: what makes the match, and whether it is negated."""
