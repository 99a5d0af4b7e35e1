"""What has to be so of every decision, whatever the policies are: hypothesis looks for the ones that break it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iam_random import Question, document, question, statement
from kennel.iam.documents import parse
from kennel.iam.evaluation import evaluate, explain
from kennel.iam.patterns import patterns
from kennel.iam.principals import is_root
from kennel.iam.values import Decision, Policies, Policy

randoms = st.randoms(use_true_random=True)
"""With a seed of hypothesis's: ten times as fast as one that it draws from, number by number."""
often = settings(max_examples=120, deadline=None)
Change = Callable[[Policy], Policy]


def decided(asked: Question, policies: Policies | None = None) -> Decision:
    return evaluate(asked.access, asked.caller, asked.policies if policies is None else policies)


def changed(policies: Policies, change: Change) -> Policies:
    """Each document changed; one without statements left is none."""

    def all_of(documents: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if documents is None:
            return None
        return tuple(each for each in map(change, documents) if each["Statement"])

    resource = change(policies.resource) if policies.resource is not None else None  # type: ignore[arg-type]
    return Policies(
        all_of(policies.identity) or (),
        resource if resource and resource["Statement"] else None,
        all_of(policies.boundary),
        all_of(policies.session),
    )


def with_statements(policy: Policy, statements: list[Any]) -> Policy:
    return {**policy, "Statement": statements}


@often
@given(randoms)
def test_an_added_deny_never_widens(random: Random) -> None:
    asked = question(random)

    def add(policy: Policy) -> Policy:
        attached = policy is asked.policies.resource
        trust = attached and "Resource" not in policy["Statement"][0] and "NotResource" not in policy["Statement"][0]
        more = {**statement(random, attached, trust), "Effect": "Deny"}
        return with_statements(policy, [*policy["Statement"], more])

    if decided(asked, changed(asked.policies, add)).allowed:
        assert decided(asked).allowed


@often
@given(randoms)
def test_a_document_that_only_denies_never_widens(random: Random) -> None:
    asked = question(random)
    denying = with_statements(document(random), [{**statement(random), "Effect": "Deny"}])
    more = replace(asked.policies, identity=(*asked.policies.identity, denying))
    if decided(asked, more).allowed:
        assert decided(asked).allowed


@often
@given(randoms)
def test_a_removed_allow_never_widens(random: Random) -> None:
    asked = question(random)

    def remove(policy: Policy) -> Policy:
        return with_statements(
            policy, [each for each in policy["Statement"] if each["Effect"] == "Deny" or random.random() < 0.5]
        )

    if decided(asked, changed(asked.policies, remove)).allowed:
        assert decided(asked).allowed


@often
@given(randoms)
def test_an_added_allow_never_narrows(random: Random) -> None:
    asked = question(random)
    allowing = with_statements(document(random), [{**statement(random), "Effect": "Allow"}])
    more = replace(asked.policies, identity=(*asked.policies.identity, allowing))
    if decided(asked).allowed:
        assert decided(asked, more).allowed


@often
@given(randoms)
def test_a_boundary_and_a_session_policy_never_widen(random: Random) -> None:
    asked = question(random)
    bare = replace(asked.policies, boundary=None, session=None)
    if decided(asked).allowed:
        assert decided(asked, bare).allowed


@often
@given(randoms)
def test_no_order_matters(random: Random) -> None:
    asked = question(random)

    def shuffle(policy: Policy) -> Policy:
        return with_statements(
            policy,
            shuffled(
                [{key: _shuffled(value) for key, value in shuffled(list(each.items()))} for each in policy["Statement"]]
            ),
        )

    def shuffled(values: list[Any]) -> list[Any]:
        return random.sample(values, len(values))

    def _shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _shuffled(each) for key, each in shuffled(list(value.items()))}
        return shuffled(value) if isinstance(value, list) else value

    mixed = changed(asked.policies, shuffle)
    mixed = replace(mixed, identity=tuple(shuffled(list(mixed.identity))))
    before, after = decided(asked), decided(asked, mixed)
    assert (before.allowed, before.reason) == (after.allowed, after.reason)


@often
@given(randoms)
def test_it_does_not_matter_how_statements_are_spread_over_documents(random: Random) -> None:
    asked = question(random)
    spread = tuple(
        with_statements(policy, [each])
        for policy in asked.policies.identity
        if isinstance(policy, Mapping)
        for each in policy["Statement"]
    )
    before, after = decided(asked), decided(asked, replace(asked.policies, identity=spread))
    assert (before.allowed, before.reason) == (after.allowed, after.reason)


@often
@given(randoms)
def test_a_list_of_actions_is_as_many_statements(random: Random) -> None:
    asked = question(random)

    def split(policy: Policy) -> Policy:
        return with_statements(
            policy,
            [
                {**each, "Action": action}
                for each in policy["Statement"]
                for action in (each["Action"] if isinstance(each.get("Action"), list) else [None])
                if action is not None
            ]
            + [each for each in policy["Statement"] if not isinstance(each.get("Action"), list)],
        )

    before, after = decided(asked), decided(asked, changed(asked.policies, split))
    assert (before.allowed, before.reason) == (after.allowed, after.reason)


@often
@given(randoms)
def test_nothing_is_allowed_by_no_policies(random: Random) -> None:
    asked = question(random)
    found = decided(asked, Policies())
    assert found.allowed is (is_root(asked.caller) and asked.access.action != "sts:AssumeRole")


@often
@given(randoms)
def test_an_explicit_deny_decides_and_is_told(random: Random) -> None:
    asked = question(random)
    denies = any(each.effect == "Deny" for each in explain(asked.access, asked.caller, asked.policies))
    assert decided(asked).reason.startswith("explicit deny") is denies


@often
@given(randoms)
def test_what_is_allowed_has_a_statement_that_allows_it(random: Random) -> None:
    asked = question(random)
    if decided(asked).allowed and not is_root(asked.caller):
        assert any(each.effect == "Allow" for each in explain(asked.access, asked.caller, asked.policies))


@often
@given(randoms)
def test_values_text_and_what_was_read_decide_the_same(random: Random) -> None:
    asked = question(random)
    texts = tuple(json.dumps(each, indent=2) for each in asked.policies.identity)
    read = tuple(parse(each, "identity") for each in texts)
    assert decided(asked, replace(asked.policies, identity=texts)) == decided(asked)
    assert decided(asked, replace(asked.policies, identity=read)) == decided(asked)


def simply(pattern: str, text: str) -> bool:
    """Wildcards by their definition: slow, and plain."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return simply(pattern[1:], text) or (bool(text) and simply(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and simply(pattern[1:], text[1:])


@often
@given(st.lists(st.text("ab*?\\[.\n", max_size=7), min_size=1, max_size=3), st.text("ab*?\\[.\n", max_size=9))
def test_wildcards_match_as_they_are_defined(wanted: list[str], text: str) -> None:
    assert patterns(wanted, "2012-10-17").match(text, {}) is any(simply(each, text) for each in wanted)


@pytest.mark.parametrize("pattern", ["*a" * 60 + "*b", "*a?" * 40 + "b*c", "a*" * 100 + "c"])
def test_no_pattern_is_slow(pattern: str) -> None:
    begun = time.process_time()
    assert patterns([pattern], "2012-10-17").match("a" * 20_000, {}) is False
    assert time.process_time() - begun < 2
