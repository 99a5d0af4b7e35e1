"""Holds requests and answers against botocore's own models of AWS's services: also what botocore itself lets pass.

botocore checks names, types and least lengths before it sends; patterns, enums and greatest lengths it leaves to the
service. Here all are checked, and worded as the services word them. Rules that no model states (two settings that
exclude each other) are not covered.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

from kennel.errors import SettingError

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float, str, datetime),
    "list": (list, tuple),
    "map": (Mapping,),
    "structure": (Mapping,),
}
"""A model's type → what may stand for it, in JSON or in boto3's values. A blob may be anything."""
POSIX = {
    "Alnum": "0-9A-Za-z",
    "Alpha": "A-Za-z",
    "Digit": "0-9",
    "Graph": "!-~",
    "Print": " -~",
    "ASCII": "\\x00-\\x7f",
}
"""Java's classes of ASCII characters, as ranges."""


def problems(service: str, operation: str, request: Mapping[str, Any]) -> list[str]:
    """What AWS would refuse in a request, each as AWS words it. Raises LookupError for an unknown operation."""
    shape = _operation(service, operation).input_shape
    return [] if shape is None else list(_structure(shape, request, ""))


def answer_problems(service: str, operation: str, answer: Mapping[str, Any]) -> list[str]:
    """The same of an answer; boto3's own ResponseMetadata is passed over."""
    shape = _operation(service, operation).output_shape
    given = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    if shape is None:
        return [_unknown(name, "", ()) for name in given]
    return list(_structure(shape, given, ""))


def refusal(found: Sequence[str]) -> str:
    """`2 validation errors detected: …; …`."""
    return f"{len(found)} validation error{'s' * (len(found) > 1)} detected: {'; '.join(found)}"


def check(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """For our own side, before anything is sent: raises SettingError in one line."""
    found = problems(service, operation, request)
    if found:
        told = "; ".join(_shortened(each) for each in found[:3])
        raise SettingError(f"AWS would refuse {operation}: {told}", "Change the setting that this comes from")


def matches(pattern: str, value: str) -> bool:
    """Whether all of a value matches a pattern of Java's; true for a pattern that Python cannot read."""
    compiled = _compiled(pattern, value.isascii())
    return compiled is None or compiled.fullmatch(value) is not None


@lru_cache
def model(service: str) -> Any:
    """botocore's model of a service. Raises LookupError for one that AWS does not have."""
    from botocore.exceptions import UnknownServiceError
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    try:
        return ServiceModel(Loader().load_service_model(service, "service-2"), service)
    except UnknownServiceError as error:
        raise LookupError(f"AWS has no service {service}") from error


def _operation(service: str, operation: str) -> Any:
    from botocore.model import OperationNotFoundError

    try:
        return model(service).operation_model(operation)
    except OperationNotFoundError as error:
        raise LookupError(f"{service} has no operation {operation}") from error


def _structure(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    given = {name: each for name, each in value.items() if each is not None}  # null in JSON means not given
    for name in shape.metadata.get("required", ()):
        if name not in given:
            yield _failed("Value null", _below(path, name), "Member must not be null")
    for name, each in given.items():
        if name not in shape.members:
            if not shape.is_document_type:
                yield _unknown(name, path, shape.members)
        else:
            yield from _problems(shape.members[name], each, _below(path, name))


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if not _is_a(kind, value):
        yield _failed(_said(shape, value), path, f"Member must be of type {kind}")
        return
    for constraint in _constraints(shape, value):
        yield _failed(_said(shape, value), path, constraint)
    if kind == "structure":
        yield from _structure(shape, value, path)
    elif kind == "list":
        yield from _list(shape, value, path)
    elif kind == "map":
        yield from _map(shape, value, path)


def _list(shape: Any, value: Sequence[Any], path: str) -> Iterator[str]:
    """Simple members are told together; of a list of structures each by its place, counted from 1."""
    if shape.member.type_name in ("structure", "list", "map"):
        for number, each in enumerate(value, 1):
            yield from _problems(shape.member, each, f"{path}.{number}.member")
    elif any(_broken(shape.member, each) for each in value):
        yield _failed(_said(shape, value), path, f"Member must satisfy constraint: {_all_of(shape.member)}")


def _map(shape: Any, value: Mapping[Any, Any], path: str) -> Iterator[str]:
    if any(_broken(shape.key, each) for each in value):
        yield _failed(_said(shape, value), path, f"Map keys must satisfy constraint: {_all_of(shape.key)}")
    if shape.value.type_name in ("structure", "list", "map"):
        for key, each in value.items():
            yield from _problems(shape.value, each, f"{path}.{key}.member")
    elif any(_broken(shape.value, each) for each in value.values()):
        yield _failed(_said(shape, value), path, f"Map value must satisfy constraint: {_all_of(shape.value)}")


def _broken(shape: Any, value: Any) -> bool:
    return not _is_a(shape.type_name, value) or any(True for _ in _constraints(shape, value))


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    """Those of the shape itself that the value does not satisfy."""
    rules, kind = shape.metadata, shape.type_name
    if kind in ("integer", "long", "float", "double"):
        yield from _bounds(rules, value, "value")
    elif kind in ("string", "list", "map"):
        yield from _bounds(rules, len(value), "length")
    if kind == "string" and "enum" in rules and value not in rules["enum"]:
        yield _enum(rules)
    if kind == "string" and "pattern" in rules and not matches(rules["pattern"], value):
        yield _pattern(rules)


def _bounds(rules: Mapping[str, Any], measured: float, what: str) -> Iterator[str]:
    if "max" in rules and measured > rules["max"]:
        yield f"Member must have {what} less than or equal to {rules['max']}"
    if "min" in rules and measured < rules["min"]:
        yield f"Member must have {what} greater than or equal to {rules['min']}"


def _all_of(shape: Any) -> str:
    """Every constraint of a list's or map's member: AWS names them all, whichever is broken."""
    rules = shape.metadata
    what = "length" if shape.type_name == "string" else "value"
    told = [f"Member must have {what} less than or equal to {rules['max']}"] if "max" in rules else []
    if "max" in rules or "min" in rules:
        told.append(f"Member must have {what} greater than or equal to {rules.get('min', 0)}")
    told += [word(rules) for name, word in (("enum", _enum), ("pattern", _pattern)) if name in rules]
    return f"[{', '.join(told or [f'Member must be of type {shape.type_name}'])}]"


def _enum(rules: Mapping[str, Any]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]"


def _pattern(rules: Mapping[str, Any]) -> str:
    return f"Member must satisfy regular expression pattern: {rules['pattern']}"


def _is_a(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind in ("boolean", "blob")
    return isinstance(value, TYPES.get(kind, object))


def _failed(said: str, path: str, constraint: str) -> str:
    return f"{said} at '{path}' failed to satisfy constraint: {constraint}"


def _unknown(name: str, path: str, known: Any) -> str:
    words = f", must be one of: {', '.join(known)}" if known else ""
    return f'Unknown parameter in {path or "input"}: "{name}"{words}'


def _said(shape: Any, value: Any) -> str:
    """`Value 'x'`; a secret is not repeated."""
    return "Value" if shape.metadata.get("sensitive") else f"Value '{_text(value)}'"


def _text(value: Any) -> str:
    """As Java prints it: `[a, b]`, `{a=b}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _shortened(problem: str) -> str:
    """A value can have thousands of characters, an enum of instance types hundreds of words."""
    said, at, rest = problem.partition("' at '")
    return "".join(part if len(part) <= 200 else f"{part[:200]}…" for part in (said, at, rest))


def _below(path: str, name: str) -> str:
    """Members are told with a small first letter."""
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


@cache
def _compiled(pattern: str, ascii_only: bool) -> re.Pattern[str] | None:
    """ascii_only: for values that are; so most never need the table of all characters."""
    limit = 0x80 if ascii_only else sys.maxunicode + 1
    try:
        return re.compile(_in_python(pattern, limit), re.ASCII)
    except (re.error, LookupError):
        return None


def _in_python(pattern: str, limit: int) -> str:
    """A pattern of Java's in Python's words. Raises LookupError for a character class that is not known."""
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")  # pairs of UTF-16
    pattern = pattern.replace(r"\z", r"\Z")
    pattern = re.sub(r"\$\{\d+,\d+\}", "$", pattern)  # an end, repeated
    pattern = re.sub(r"(\\[wds])-(?!\])", r"\1\\-", pattern)  # a range cannot start at a class
    words, inside = [], False
    for part in re.findall(r"\\p\{\w+\}|\\.|.", pattern, re.DOTALL):
        if part.startswith(r"\p{"):
            ranges = _ranges(part[3:-1], limit)
            words.append(ranges if inside else f"[{ranges}]")
        else:
            inside = part == "[" or (inside and part != "]")
            words.append(part)
    return "".join(words)


@cache
def _ranges(name: str, limit: int) -> str:
    """The characters of a Java class as ranges; L, Zs and the like are Unicode's categories."""
    if name in POSIX:
        return POSIX[name]
    if name[0] not in "CLMNPSZ":
        raise LookupError(name)
    runs = (each for each in _characters(limit) if each[0].startswith(name))
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for _, first, last in runs)


@cache
def _characters(limit: int) -> list[tuple[str, int, int]]:
    """Runs of characters of one category: (category, first, last)."""
    runs = []
    for category, run in groupby(range(limit), lambda code: unicodedata.category(chr(code))):
        codes = list(run)
        runs.append((category, codes[0], codes[-1]))
    return runs
