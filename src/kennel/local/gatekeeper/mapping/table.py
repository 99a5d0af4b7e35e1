"""The small language of the tables: from the members of a request to resources' ARNs and condition keys.

A path names members: `RoleArn`, `ResourceConfig.InstanceType`, `ProductionVariants[].ModelName` (of each of a list).
A template is a resource with paths in braces: `training-job/{TrainingJobName}`; `{.account}` is the place's. Where it
does not begin with `arn:` it gets the beginning of its service's ARNs. A template that is one path only wants an ARN
there. Of several, divided by ` | `, the first whose members are all given counts. What is not as it should be
is refused: a guess would let somebody through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from kennel.iam.values import Access

Request = Mapping[str, Any]
Context = dict[str, tuple[str, ...]]
EVERY = "*"
"""Of actions that know no resource."""
_PATH = re.compile(r"\{([^{}]+)\}")
_ARN = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_REGIONLESS = {"iam": "arn:{.partition}:iam::{.account}:"}
_OWN_TAGS = re.compile(r"arn:[^:]+:(?:sagemaker|ecr|ec2):.*|arn:[^:]+:iam::[^:]*:(?:role|user)/.*", re.DOTALL)
"""Resources for whose tags their service has a key of its own, too."""


_BY_OBJECT_TAGS = re.compile(
    r"s3:(?:GetObject|(?:Get|Put|Delete)Object(?:Version)?(?:Acl|Attributes|Tagging)|GetObjectVersion)"
)
"""S3's actions that know s3:ExistingObjectTag."""


class Unknown(Exception):
    """A request that is not mapped: nobody can tell what it needs, so it is refused."""


def _no_tags(arn: str) -> Mapping[str, str]:
    return {}


def _not_found(kind: str, name: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request is answered, and what is known there.

    tags: of the resource (or object) with this ARN. caller: ARN of who asks, whom IAM means where no user is named.
    found: (kind, name) → the ARN of what a request names by less than that, "" where there is none. Kinds: `role`,
    `user`, `group`, `instance-profile`, `server-certificate` (their ARNs have a path), `instance-profile-role` (the
    role in a profile, which is named by its name or ARN), `endpoint-config` (of the endpoint with this name),
    `scalable-target` (`NAMESPACE/DIMENSION/RESOURCE`), `access-key` (its user), `role-boundary`, `user-boundary` (the
    policy that bounds one).
    """

    partition: str
    region: str
    account: str
    tags: Callable[[str], Mapping[str, str]] = _no_tags
    caller: str = ""
    found: Callable[[str, str], str] = _not_found


Resources = Callable[[Request, Place], Sequence[str]]
Given = Callable[[Request], Sequence[Any]]
Keys = Mapping[str, str]
"""Condition key, in lower case → paths, divided by spaces (`.region`: the place's); behind `=`, a template of ARNs."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One action that an operation needs, on each of the resources.

    action: "" means the operation's own. fixed: condition keys of always the same value. looked_up:
    condition key → the kind of Place.found and the path of the name. tags: path of the tags that
    the request gives to the resource; untags: of the keys it takes away. when, unless: only where this member is
    given, or is not.
    """

    resource: str | Resources
    action: str = ""
    keys: Keys = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    looked_up: Mapping[str, str] = field(default_factory=dict)
    tags: str | Given = ""
    untags: str = ""
    when: str = ""
    unless: str = ""

    def accesses(self, service: str, operation: str, request: Request, place: Place) -> Iterator[Access]:
        """Raises Unknown."""
        if (self.when and not given(request, self.when)) or (self.unless and given(request, self.unless)):
            return
        action = self.action or f"{service}:{operation}"
        context = self._context(action.split(":")[0], request, place)
        for arn in self._arns(action.split(":")[0], request, place):
            yield Access(action, arn, context | tags_of(action, arn, place))

    def _arns(self, service: str, request: Request, place: Place) -> Sequence[str]:
        if callable(self.resource):
            return self.resource(request, place)
        return arns(self.resource, service, request, place)

    def _context(self, service: str, request: Request, place: Place) -> Context:
        found: Context = {key: (value,) for key, value in self.fixed.items()}
        for key, source in self.keys.items():
            if source.startswith("="):
                told = any(_is_given(each, request) for each in source[1:].split(" | "))
                values = arns(source[1:], service, request, place) if told else ()
            else:
                values = tuple(value for path in source.split() for value in _of(path, request, place))
            if values:
                found[key] = tuple(values)
        for key, (kind, path) in ((key, source.split()) for key, source in self.looked_up.items()):
            if values := tuple(held for name in texts(request, path) if (held := place.found(kind, name))):
                found[key] = values
        if self.tags:
            tags = self.tags(request) if callable(self.tags) else members(request, self.tags)
            found |= _requested(service, tags)
        if keys := texts(request, self.untags) if self.untags else ():
            found["aws:tagkeys"] = keys
        return found


Table = Mapping[str, Sequence[Rule]]
"""Operation → what it needs; nothing at all for what everybody may."""


def arns(template: str, service: str, request: Request, place: Place) -> tuple[str, ...]:
    """Raises Unknown."""
    for each in template.split(" | "):
        if _is_given(each, request):
            return tuple(_filled(each, service, request, place))
    raise Unknown(f"the request does not say which resource: {template}")


def _is_given(template: str, request: Request) -> bool:
    return all(path.startswith(".") or given(request, path) for path in _parts(template)[1::2])


def _filled(template: str, service: str, request: Request, place: Place) -> Iterator[str]:
    if template == EVERY:
        yield EVERY
        return
    parts = _parts(template)
    if not template.startswith("arn:") and parts[::2] != ("", ""):
        start = _parts(beginning(service))
        parts = (*start[:-1], start[-1] + parts[0], *parts[1:])
    for values in product(*(_of(path, request, place) for path in parts[1::2])):
        arn = "".join(text for pair in zip(parts[::2], (*values, ""), strict=True) for text in pair)
        if not _ARN.fullmatch(arn):
            raise Unknown(f"{arn} is no ARN")
        yield arn.lower() if arn.split(":", 3)[2] == "sagemaker" else arn


@cache
def _parts(template: str) -> tuple[str, ...]:
    """Text and paths, in turn; text first and last."""
    return tuple(_PATH.split(template))


def beginning(service: str) -> str:
    """Of a service's ARNs, as a template."""
    return _REGIONLESS.get(service, f"arn:{{.partition}}:{service}:{{.region}}:{{.account}}:")


def _of(path: str, request: Request, place: Place) -> tuple[str, ...]:
    return (str(getattr(place, path[1:])),) if path.startswith(".") else texts(request, path)


def given(request: Request, path: str) -> bool:
    """Whether anything is there: neither null nor empty."""
    return any(value not in ("", b"", [], {}) for value in members(request, path))


def members(request: Request, path: str) -> list[Any]:
    """What a path leads to; nothing for what is not given. Raises Unknown where a list or a structure is missing."""
    found: list[Any] = [request]
    for step in path.split("."):
        name = step.removesuffix("[]")
        found = [value for each in found if (value := _member(each, name)) is not None]
        if step.endswith("[]"):
            found = [value for each in found for value in _listed(each, name)]
    return found


def _member(holder: Any, name: str) -> Any:
    if not isinstance(holder, Mapping):
        raise Unknown(f"{name} is wanted in what is no structure")
    return holder.get(name)


def _listed(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise Unknown(f"{name} is no list")
    return value


def texts(request: Request, path: str) -> tuple[str, ...]:
    """What a path leads to, as condition keys have it. Raises Unknown for a list or a structure."""
    return tuple(_text(value, path) for value in members(request, path))


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise Unknown(f"{path} is neither a text nor a number")


def tags_of(action: str, arn: str, place: Place) -> Context:
    """Condition keys of the tags that a resource has. A bucket's count only where it was told so; here none is."""
    service = arn.split(":")[2] if arn != EVERY else ""
    if not service or (service == "s3" and not _BY_OBJECT_TAGS.fullmatch(action)):
        return {}
    names = ["s3:existingobjecttag"] if service == "s3" else ["aws:resourcetag"]
    if _OWN_TAGS.fullmatch(arn):
        names.append(f"{service}:resourcetag")
    return {f"{name}/{key.lower()}": (value,) for key, value in place.tags(arn).items() for name in names}


def _requested(service: str, given_tags: Sequence[Any]) -> Context:
    """Of tags in any of AWS's forms: a mapping, or a list of keys and values."""
    found: dict[str, str] = {}
    for tag in given_tags:
        for key, value in _pairs(tag):
            if key.lower() in (each.lower() for each in found):
                raise Unknown(f"the tag {key} is given twice")  # condition keys do not tell case apart
            found[key] = value
    one, all_ = (
        ("s3:requestobjecttag", "s3:requestobjecttagkeys") if service == "s3" else ("aws:requesttag", "aws:tagkeys")
    )
    context: Context = {f"{one}/{key.lower()}": (value,) for key, value in found.items()}
    return {**context, all_: tuple(found)} if found else {}


def _pairs(tag: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tag, list | tuple):
        for each in tag:
            yield from _pairs(each)
        return
    if not isinstance(tag, Mapping):
        raise Unknown("tags are neither a list nor a mapping")
    small = {str(name).lower(): value for name, value in tag.items()}
    if small.keys() <= {"key", "value"} and "key" in small:
        yield _text(small["key"], "Key"), _text(small.get("value") or "", "Value")
    else:
        yield from ((str(key), _text(value or "", str(key))) for key, value in tag.items())


def passes(member: str, service: str) -> Rule:
    """A role that the service will work under."""
    return Rule(f"{{{member}}}", "iam:PassRole", fixed={"iam:passedtoservice": service}, when=member.split("[]")[0])


def each(operations: str, *rules: Rule) -> dict[str, tuple[Rule, ...]]:
    """The same rules for several operations, divided by spaces."""
    return dict.fromkeys(operations.split(), rules)
