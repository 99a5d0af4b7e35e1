"""Our evaluator and another one on random policies: where they differ, and which sentence of the IAM guide decides."""

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
    """about: whether a question, whose policies are this text, is of this kind. answers: the peer's and ours. guide:
    why ours is right."""

    name: str
    answers: tuple[str, ...]
    about: Callable[[Question, str], bool]
    guide: str


VARIABLES = {"aws:username": "${aws:username", "aws:principaltag/team": "${aws:PrincipalTag/team"}


def _names_the_session(asked: Question, text: str) -> bool:
    return asked.policies.session is not None and any(
        (each.source, each.effect, each.way) == ("resource", "Allow", "direct")
        for each in explain(asked.access, asked.caller, asked.policies)
    )


def _leaves_open(asked: Question, text: str) -> bool:
    return any(key not in asked.access.context and f"{each}}}" in text for key, each in VARIABLES.items())


def _is_empty(asked: Question, text: str) -> bool:
    return any(asked.access.context.get(key) == ("",) and each in text for key, each in VARIABLES.items())


def _any_if_exists(asked: Question, text: str) -> bool:
    operators = ("ForAnyValue:StringEqualsIfExists", "ForAnyValue:StringNotLikeIfExists")
    return "aws:tagkeys" not in asked.access.context and any(each in text for each in operators)


KNOWN = (
    Difference(
        "the peer has no root",
        ("IA", "AI", "ID", "DI"),
        lambda asked, text: is_root(asked.caller),
        "By default, all requests are implicitly denied with the exception of the AWS account root user, which has "
        "full access.",
    ),
    Difference(
        "to the peer a role without a trust policy is one that asks for none",
        ("AI",),
        lambda asked, text: asked.access.action == "sts:AssumeRole" and asked.policies.resource is None,
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
        lambda asked, text: "'NotIpAddress" in text and "'203.0.114.7'" in text,
        "If you specify an IP address without the associated routing prefix, IAM uses the default prefix value of /32.",
    ),
)


@dataclass(frozen=True)
class Answered:
    """letters: the peer's answer and ours. kinds: of difference, that the question is about."""

    question: Question
    letters: str
    kinds: tuple[Difference, ...]

    @property
    def differs(self) -> bool:
        return self.letters[0] != self.letters[1]


@pytest.fixture(scope="module")
def answered() -> list[Answered]:
    asked = questions()
    assert recorded().digest == digest_of(asked), "record the peer's answers again: python tests/iam_peers.py"
    return [
        Answered(each, theirs + ours(each), _kinds(each))
        for each, theirs in zip(asked, recorded().letters, strict=True)
    ]


def _kinds(asked: Question) -> tuple[Difference, ...]:
    text = repr(asked.policies)
    return tuple(kind for kind in KNOWN if kind.about(asked, text))


def test_every_difference_is_of_a_kind_that_the_guide_decides(answered: list[Answered]) -> None:
    for each in answered:
        if each.differs:
            known = [kind for kind in each.kinds if each.letters in kind.answers]
            assert known, f"{each.letters} {json.dumps(spoken(each.question))}"


@pytest.mark.parametrize("kind", KNOWN, ids=lambda each: each.name)
def test_every_kind_of_difference_is_seen(kind: Difference, answered: list[Answered]) -> None:
    assert any(each.differs and kind in each.kinds and each.letters in kind.answers for each in answered)


def test_without_these_kinds_both_say_the_same(answered: list[Answered]) -> None:
    plain = [each for each in answered if not each.kinds]
    assert len(plain) > COUNT * 0.6
    assert not [each for each in plain if each.differs]
    assert {each.letters for each in plain} == {"AA", "DD", "II"}
