"""Our own roles against what AWS publishes: actions, the resources that they know, keys; and the docs' table of `*`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kennel.cloud.iam import Role
from kennel.cloud.iam.values import Statement
from test_gatekeeper_mapping import published
from test_roles import EVERYTHING, every

DOCS = Path(__file__).parents[1] / "docs/iam.md"
BEGINS, ENDS = "<!-- actions that know no resource -->\n", "<!-- end -->\n"
STATEMENTS = every(**EVERYTHING)
NAMES = [f"{role.actor}-{statement.sid}" for role, statement in STATEMENTS]
of_each_statement = pytest.mark.parametrize(("role", "statement"), STATEMENTS, ids=NAMES)


def kinds_of(action: str) -> dict[str, list[re.Pattern[str]]]:
    """The types of resource that an action is published to know, with the patterns of their ARNs."""
    service, _, name = action.partition(":")
    types = published()[service]["privileges"][name]["resource_types"]
    return {kind: as_patterns(published()[service]["resources"][kind]["arn"]) for kind in types if kind}


def as_patterns(arn: str) -> list[re.Pattern[str]]:
    """Every part in braces is anything, also nothing: a wildcard of ours may begin before it."""
    return [re.compile(".*".join(map(re.escape, re.split(r"\$\{\w+\}", arn))))]


UNPUBLISHED = {"ec2:RunInstances": as_patterns("arn:${P}:ec2:${R}:${A}:spot-instances-request/${Id}")}
"""What AWS's user guide asks for (Spot Instances, permissions) and its tables do not say."""


@of_each_statement
class TestEveryStatement:
    def test_allows_actions_that_there_are(self, role: Role, statement: Statement) -> None:
        for action in statement.actions:
            service, _, name = action.partition(":")
            assert name in published()[service]["privileges"], action

    def test_names_a_resource_where_the_action_knows_one(self, role: Role, statement: Statement) -> None:
        if "*" in statement.resources:
            assert not any(kinds_of(action) for action in statement.actions)

    def test_names_resources_that_each_action_knows(self, role: Role, statement: Statement) -> None:
        """A statement with another's ARN would allow nothing."""
        for action in statement.actions if "*" not in statement.resources else ():
            patterns = [each for found in kinds_of(action).values() for each in found]
            patterns += UNPUBLISHED.get(action, [])
            several = any(arn.split(":", 5)[-1].startswith("*/") for arn in statement.resources)  # kinds of resources
            assert several or any(each.fullmatch(arn) for arn in statement.resources for each in patterns), action

    def test_asks_by_keys_that_are_published(self, role: Role, statement: Statement) -> None:
        asked = {key.lower() for keys in statement.condition.values() for key in keys}
        for action in statement.actions:
            service, _, name = action.partition(":")
            types = published()[service]["privileges"][name]["resource_types"]
            names = [key for each in types.values() for key in each["condition_keys"]]
            for kind in filter(None, types):
                names += published()[service]["resources"][kind]["condition_keys"]
            known = [re.compile(re.sub(r"\$\{\w+\}|<\w+>", ".+", each), re.IGNORECASE) for each in names]
            unknown = [key for key in asked - GLOBAL if not any(each.fullmatch(key) for each in known)]
            assert not unknown, action


GLOBAL = {
    "aws:resourceaccount",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:userid",
    "ec2:sourceinstancearn",  # of whatever is asked with an instance's own credentials
}
"""Keys of every request, whatever the action."""


def table() -> str:
    """Who has a statement on `*`, with what, and why it cannot be less."""
    rows = ["| role | statement | actions | only where | what for |", "|---|---|---|---|---|"]
    for role, statement in STATEMENTS:
        if "*" in statement.resources:
            actions = ", ".join(f"`{each}`" for each in statement.actions)
            keys = [f"`{key}` is `{value}`" for held in statement.condition.values() for key, value in held.items()]
            rows.append(f"| {role.actor} | {statement.sid} | {actions} | {', '.join(keys)} | {statement.reason} |")
    return "\n".join(rows) + "\n"


def test_the_docs_say_which_actions_know_no_resource() -> None:
    """KENNEL_GOLDEN=write takes over what is there."""
    before, _, rest = DOCS.read_text().partition(BEGINS)
    held, _, after = rest.partition(ENDS)
    if os.environ.get("KENNEL_GOLDEN") == "write":
        DOCS.write_text(before + BEGINS + table() + ENDS + after)
        held = table()
    assert held == table()
