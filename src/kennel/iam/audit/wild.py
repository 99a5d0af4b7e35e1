"""Patterns of policies against texts and against each other: `*` is any characters, `?` one."""

from __future__ import annotations

import re
from functools import lru_cache

_NAME = re.compile(r"(?:[A-Za-z0-9_-]+[/:])?\*+")


def matches(pattern: str, text: str) -> bool:
    """As IAM matches resources; give both in lower case for actions. In time proportional to both together."""
    return _compiled(pattern).match(text) is not None


def is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def meets(one: str, other: str) -> bool:
    """Whether some text matches both."""
    reached = {0}
    for each in [*one, ""]:
        reached = _closed(reached, other)
        if not each:
            return len(other) in reached
        if each == "*":
            reached = set(range(min(reached), len(other) + 1)) if reached else reached
            continue
        reached = {
            place if other[place] == "*" else place + 1
            for place in reached
            if place < len(other) and (other[place] in ("*", "?", each) or each == "?")
        }
    return False


def covers_all(resource: str) -> bool:
    """`*`, or one that spells it: `arn:aws:s3:::*`."""
    return set(resource) <= {"*"} or _named(resource) in ("*", "*/*")


def covers_kind(resource: str) -> bool:
    """All of a kind in the account, or more: `arn:aws:iam::123456789012:role/*`."""
    if covers_all(resource):
        return True
    service = resource.split(":")[2] if resource.startswith("arn:") and resource.count(":") >= 5 else ""
    return service not in ("", "s3") and _NAME.fullmatch(_named(resource)) is not None


def _named(resource: str) -> str:
    """What stands after an ARN's fifth colon."""
    parts = resource.split(":", 5)
    return parts[5] if len(parts) == 6 else ""


def _closed(reached: set[int], pattern: str) -> set[int]:
    """A `*` may also be nothing."""
    found = set(reached)
    for place in sorted(reached):
        while place < len(pattern) and pattern[place] == "*":
            place += 1  # noqa: PLW2901
            found.add(place)
    return found


@lru_cache(maxsize=8192)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Pieces between stars are each looked for at the first place only (`(?>…)`), so no pattern is slow."""
    first, *rest = ["".join("." if each == "?" else re.escape(each) for each in piece) for piece in pattern.split("*")]
    if not rest:
        return re.compile(f"{first}\\Z", re.DOTALL)
    middle = "".join(f"(?>.*?{each})" for each in rest[:-1] if each)
    return re.compile(f"{first}{middle}.*{rest[-1]}\\Z", re.DOTALL)
