"""Our evaluator and another one on random policies: where they differ, why, and which sentence of the IAM guide decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from iam_peers import COUNT, digest_of, ours, questions, recorded, spoken
from iam_random import Question
from kennel.iam.evaluation import explain
from kennel.iam.principals import is_root


@dataclass(frozen=True)
class Difference:
    """about: whether a question is of this kind. answers: the peer's and ours. guide: why ours is right."""

    name: str
    answers: tuple[str, ...]
    about: Callable[[Question], bool]
    guide: str


def _names_the_session(asked: Question) -> bool:
    applied = explain(asked.access, asked.caller, asked.policies)
    return asked.policies.session is not None and any(
        (each.source, each.effect, each.way) == ("resource", "Allow", "direct") for each in applied
    )


def _says(asked: Question, text: str) -> bool:
    return text in repr(asked.policies).replace("'", '"')


VARIABLES = {"aws:username": "${aws:username", "aws:principaltag/team": "${aws:PrincipalTag/team"}


def _leaves_open(asked: Question) -> bool:
    return any(key not in asked.access.context and _says(asked, f"{each}}}") for key, each in VARIABLES.items())


def _is_empty(asked: Question) -> bool:
    return any(asked.access.context.get(key) == ("",) and _says(asked, each) for key, each in VARIABLES.items())


def _any_if_exists(asked: Question) -> bool:
    operators = ("ForAnyValue:StringEqualsIfExists", "ForAnyValue:StringNotLikeIfExists")
    return "aws:tagkeys" not in asked.access.context and any(_says(asked, each) for each in operators)


KNOWN = (
    Difference(
        "the peer has no root",
        ("IA", "AI", "ID", "DI"),
        lambda asked: is_root(asked.caller),
        "By default, all requests are implicitly denied with the exception of the AWS account root user, which has "
        "full access.",
    ),
    Difference(
        "to the peer a role without a trust policy is one that asks for none",
        ("AI",),
        lambda asked: asked.access.action == "sts:AssumeRole" and asked.policies.resource is None,
        "IAM role trust policies and KMS key policies are exceptions to this logic, because they must explicitly allow "
        "access for principals.",
    ),
    Difference(
        "the peer lets a session policy limit what a resource's policy grants the session itself",
        ("IA",),
        _names_the_session,
        "Permissions granted directly to a session are not limited by an implicit deny in an identity-based policy, a "
        "permissions boundary, or session policy.",
    ),
    Difference(
        "the peer takes a variable whose key is there and empty for one that stands for nothing",
        ("AI", "IA", "AD", "DA", "DI", "ID"),
        _is_empty,
        "*not present* means that the value is not in the current request information",
    ),
    Difference(
        "the peer has ForAnyValue:…IfExists false where the key is not there",
        ("IA", "AD", "ID"),
        _any_if_exists,
        "If the key is not present, evaluate the condition element as true.",
    ),
    Difference(
        "the peer looks at an ARN's other fields, and at other values, before a variable that stands for nothing",
        ("AI", "DI", "DA"),
        _leaves_open,
        "any attempt to match it fails and causes the statement to be invalid",
    ),
    Difference(
        "the peer has NotIpAddress false for an address without a prefix",
        ("IA", "AD", "ID"),
        lambda asked: _says(asked, '"NotIpAddress') and _says(asked, '"203.0.114.7"'),
        "If you specify an IP address without the associated routing prefix, IAM uses the default prefix value of /32.",
    ),
)


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions()


@pytest.fixture(scope="module")
def differing(asked: list[Question]) -> list[tuple[Question, str]]:
    pairs = [(each, theirs + ours(each)) for each, theirs in zip(asked, recorded().letters, strict=True)]
    return [(each, answers) for each, answers in pairs if answers[0] != answers[1]]


def test_the_recorded_answers_are_to_these_questions(asked: list[Question]) -> None:
    assert recorded().digest == digest_of(asked), "record them again: python tests/iam_peers.py"


def test_every_difference_is_of_a_kind_that_the_guide_decides(differing: list[tuple[Question, str]]) -> None:
    for question, answers in differing:
        known = [each for each in KNOWN if answers in each.answers and each.about(question)]
        assert known, f"{answers} {json.dumps(spoken(question))}"


@pytest.mark.parametrize("known", KNOWN, ids=lambda each: each.name)
def test_every_kind_of_difference_is_seen(known: Difference, differing: list[tuple[Question, str]]) -> None:
    assert any(answers in known.answers and known.about(question) for question, answers in differing)


def test_without_these_kinds_both_say_the_same(asked: list[Question]) -> None:
    plain = [
        (each, theirs)
        for each, theirs in zip(asked, recorded().letters, strict=True)
        if not any(kind.about(each) for kind in KNOWN)
    ]
    assert len(plain) > COUNT * 0.6
    assert [ours(each) for each, _ in plain] == [theirs for _, theirs in plain]
    assert {theirs for _, theirs in plain} == set("ADI")
