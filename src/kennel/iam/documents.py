"""Policy documents, read strictly: JSON in, frozen statements out. What IAM's grammar does not know is refused.

Reading a document makes it ready for many decisions (its patterns are compiled), so it is done once for each content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from kennel.errors import PolicyError
from kennel.iam.conditions import Condition, conditions
from kennel.iam.patterns import Context, Patterns, completed, patterns
from kennel.iam.principals import Principals, principals

Kind = Literal["identity", "resource", "bucket", "trust"]
"""identity: of a user, group or role, managed, a boundary, of a session. resource: on something, whatever it is (a
repository's and a role's name no resource). bucket, trust: these two, with the rules of their own."""
Effect = Literal["Allow", "Deny"]
MOST = 200_000
"""Characters of JSON that are looked at at all: AWS's own for its service-linked roles go up to 82,000."""
MOST_ACTIONS = 1_000
"""That one document remembers its statements of."""
VERSIONS = ("2008-10-17", "2012-10-17")
_ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_ACTION = re.compile(r"\*|\*:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_RESOURCE = re.compile(r"\*|arn:[^\s:]+(:.*)?", re.DOTALL)
_SID = {"identity": re.compile(r"[A-Za-z0-9]*"), "other": re.compile(r"[^\x00-\x1f]*")}


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One statement. actions in lower case; not_…: its element is the Not one. principals: None in identity policies.
    resources: None where the element is missing, which means what the policy is attached to."""

    sid: str
    effect: Effect
    actions: Patterns
    resources: Patterns | None
    conditions: tuple[Condition, ...] = ()
    principals: Principals | None = None
    not_actions: bool = False
    not_resources: bool = False

    def acts(self, action: str) -> bool:
        """action: in lower case."""
        return self.actions.match(action, {}) != self.not_actions

    def covers(self, resource: str, context: Context) -> bool:
        """Whether it is about this, whoever asks for what."""
        about = True if self.resources is None else self.resources.match(resource, context)
        if about is None or about == self.not_resources:
            return False  # None: a variable stands for nothing, which makes a statement invalid
        return all(each.holds(context) for each in self.conditions)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A policy that was read: compiled, and the same whoever evaluates it."""

    version: str
    statements: tuple[Statement, ...]
    _about: dict[str, tuple[tuple[int, Statement], ...]] = field(default_factory=dict, repr=False)

    def about(self, action: str) -> tuple[tuple[int, Statement], ...]:
        """The statements about an action (in lower case), with their places; looked for once."""
        found = self._about.get(action)
        if found is None:
            found = tuple((index, each) for index, each in enumerate(self.statements) if each.acts(action))
            if len(self._about) < MOST_ACTIONS:
                self._about[action] = found
        return found


def parse(policy: Mapping[str, Any] | str, kind: Kind) -> Document:
    """A document, as JSON or as its values. Raises PolicyError, whose one line says which statement and what."""
    return _parsed(policy if isinstance(policy, str) else _dumped(policy), kind)


@lru_cache(maxsize=512)
def _parsed(text: str, kind: Kind) -> Document:
    document = _loaded(text)
    _check_elements(document, {"Version", "Id", "Statement"} - ({"Id"} if kind == "identity" else set()), "The policy")
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise _refused(
            f"The policy's Version is {version!r:.40}", f"It may be {VERSIONS[1]}, or the older {VERSIONS[0]}"
        )
    given = document.get("Statement")
    statements = given if isinstance(given, list) else [given]
    if not statements:
        raise _refused("The policy has no statement", "Delete a policy that is to say nothing")
    found = tuple(_statement(each, kind, version, number) for number, each in enumerate(statements, 1))
    _check_sids(found)
    return Document(version, found)


def _statement(given: object, kind: Kind, version: str, number: int) -> Statement:
    if not isinstance(given, Mapping):
        raise _refused(f"Statement {number} is no object", "A statement has Effect, Action and Resource")
    where = f"Statement {number}" + (f" ({given['Sid']!s:.64})" if given.get("Sid") else "")
    try:
        return _read(given, kind, version, where)
    except ValueError as error:
        raise _refused(f"{where}: {error}", "See the IAM guide's grammar of policies") from None


def _read(given: Mapping[str, Any], kind: Kind, version: str, where: str) -> Statement:
    _check_elements(given, _ELEMENTS, where)
    sid, effect = given.get("Sid", ""), given.get("Effect")
    if not isinstance(sid, str) or not _SID["identity" if kind == "identity" else "other"].fullmatch(sid):
        raise ValueError("its Sid may have letters and digits only")
    if effect not in ("Allow", "Deny"):
        raise ValueError("its Effect has to be Allow or Deny")
    not_actions, actions = _one_of(given, "Action")
    not_resources, resources = _resources(given, kind)
    return Statement(
        sid,
        effect,
        patterns([_action(each, kind).lower() for each in actions], VERSIONS[0]),
        None if resources is None else patterns([completed(_resource(each)) for each in resources], version),
        conditions(given.get("Condition", {}), version),
        _principals(given, kind),
        not_actions,
        not_resources,
    )


def _resources(given: Mapping[str, Any], kind: Kind) -> tuple[bool, list[str] | None]:
    if "Resource" in given or "NotResource" in given:
        if kind == "trust":
            raise ValueError("a trust policy names no Resource: it is on the role")
        return _one_of(given, "Resource")
    if kind in ("identity", "bucket"):
        raise ValueError("it needs a Resource or a NotResource")
    return False, None


def _principals(given: Mapping[str, Any], kind: Kind) -> Principals | None:
    named = [each for each in ("Principal", "NotPrincipal") if each in given]
    if kind == "identity":
        if named:
            raise ValueError(f"an identity-based policy has no {named[0]}: it is on the one who asks")
        return None
    if len(named) != 1:
        raise ValueError("it needs a Principal or a NotPrincipal, and not both")
    return principals(given[named[0]], negated=named[0] == "NotPrincipal")


def _one_of(given: Mapping[str, Any], name: str) -> tuple[bool, list[str]]:
    """An element or its Not…, exactly one of them; whether it is the Not one."""
    named = [each for each in (name, f"Not{name}") if each in given]
    if len(named) != 1:
        raise ValueError(f"it needs a{'n' * (name[0] == 'A')} {name} or a Not{name}, and not both")
    found = given[named[0]]
    texts = found if isinstance(found, list) else [found]
    if not texts or not all(isinstance(each, str) for each in texts):
        raise ValueError(f"its {named[0]} takes one string or more")
    return named[0] != name, texts


def _action(text: str, kind: Kind) -> str:
    if not _ACTION.fullmatch(text):
        raise ValueError(f"{text!r:.80} is no action: service:Name, or *")
    if kind == "trust" and not text.lower().startswith("sts:"):
        raise ValueError(f"a trust policy is about sts's actions, not {text!r:.80}")
    return text


def _resource(text: str) -> str:
    if not _RESOURCE.fullmatch(text):
        raise ValueError(f"{text!r:.80} is no ARN, and not *")
    return text


def _check_elements(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = [each for each in given if each not in known]
    if unknown:
        raise _refused(f"{where} has an unknown element {unknown[0]!r:.40}", f"Known are {', '.join(sorted(known))}")


def _check_sids(statements: tuple[Statement, ...]) -> None:
    sids = [each.sid for each in statements if each.sid]
    twice = next((each for each in sids if sids.count(each) > 1), None)
    if twice is not None:
        raise _refused(f"The Sid {twice!r:.64} is there twice", "Give each statement a Sid of its own")


def _dumped(policy: Mapping[str, Any]) -> str:
    try:
        return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise _refused("The policy is no JSON", "It has to be an object of strings, numbers and lists") from None


def _loaded(text: str) -> dict[str, Any]:
    if len(text) > MOST:
        raise _refused(f"The policy has {len(text):,} characters", "IAM takes some thousands")
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise _refused(f"The policy is no JSON: {reason}", "It has to be one object, with each key once") from None
    if not isinstance(document, dict):
        raise _refused("The policy is no object", "It has to be JSON with Version and Statement")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refused(message: str, remedy: str) -> PolicyError:
    return PolicyError(" ".join(message.split()), remedy)
