"""Policies are read strictly: what IAM's grammar does not know is refused in one line, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.iam.aws_managed_policies import aws_managed_policies_data

from iam_cases import GET, ROLE, USER, A, Statement, allow, policy, trust, whom, without
from kennel.errors import PolicyError
from kennel.iam.documents import Kind, parse
from kennel.iam.evaluation import evaluate
from kennel.iam.sizes import size
from kennel.iam.values import Policies

MOST_LINE = 300


def when(condition: Any) -> Statement:
    return allow(Condition=condition)


REFUSED: tuple[tuple[str, Kind, Any, str], ...] = (
    ("an unknown element", "identity", policy(allow(Acton="s3:*")), "unknown element 'Acton'"),
    ("an element in another case", "identity", policy(allow(effect="Allow")), "unknown element 'effect'"),
    ("an unknown element of the policy", "identity", {**policy(allow()), "Statements": []}, "unknown element"),
    ("an Id in an identity-based policy", "identity", {**policy(allow()), "Id": "x"}, "unknown element 'Id'"),
    ("a version that there is not", "identity", policy(allow(), version="2012-10-18"), "Version is '2012-10-18'"),
    ("a version that is a number", "identity", {**policy(allow()), "Version": 2012}, "Version is 2012"),
    ("no statement", "identity", {"Version": "2012-10-17"}, "Statement 1 is no object"),
    ("an empty list of statements", "identity", policy(), "has no statement"),
    ("a statement that is a string", "identity", {"Statement": ["Allow"]}, "Statement 1 is no object"),
    ("a Sid twice", "identity", policy(allow(Sid="One"), allow(Sid="One")), "The Sid 'One' is there twice"),
    ("a Sid with a space", "identity", policy(allow(Sid="All buckets")), "Statement 1 (All buckets): its Sid"),
    ("a Sid that is no string", "identity", policy(allow(Sid=1)), "its Sid"),
    ("no Effect", "identity", policy(without(allow(), "Effect")), "its Effect has to be Allow or Deny"),
    ("an Effect in another case", "identity", policy({**allow(), "Effect": "allow"}), "its Effect"),
    ("an Effect that is a list", "identity", policy({**allow(), "Effect": ["Allow"]}), "its Effect"),
    ("Action and NotAction", "identity", policy(allow(NotAction="s3:*")), "an Action or a NotAction, and not both"),
    ("neither Action nor NotAction", "identity", policy(without(allow(), "Action")), "an Action or a NotAction"),
    ("Resource and NotResource", "identity", policy(allow(NotResource="*")), "a Resource or a NotResource"),
    ("no Resource", "identity", policy(without(allow(), "Resource")), "it needs a Resource or a NotResource"),
    ("an empty list of actions", "identity", policy(allow([])), "its Action takes one string or more"),
    ("an action that is a number", "identity", policy(allow(7)), "its Action takes one string or more"),
    ("an action without its service", "identity", policy(allow("GetObject")), "'GetObject' is no action"),
    ("an action with a space", "identity", policy(allow("s3:Get Object")), "is no action"),
    ("a service with a wildcard", "identity", policy(allow("s*:GetObject")), "is no action"),
    ("a resource that is no ARN", "identity", policy(allow(resource="bucket/*")), "'bucket/*' is no ARN"),
    ("a variable that is not ended", "identity", policy(allow(resource="arn:aws:s3:::b/${aws:x")), "has a ${"),
    ("a variable without a name", "identity", policy(allow(resource="arn:aws:s3:::b/${}")), "no policy variable"),
    ("a default without quotation marks", "identity", policy(allow(resource="arn:aws:s3:::b/${aws:x, y}")), "variable"),
    ("a Principal in an identity-based policy", "identity", policy(whom("*")), "policy has no Principal"),
    ("a NotPrincipal there", "identity", policy({**allow(), "NotPrincipal": {"AWS": A}}), "has no NotPrincipal"),
    ("an unknown operator", "identity", policy(when({"StringIs": {"aws:x": "y"}})), "StringIs is no condition"),
    ("an operator in another case", "identity", policy(when({"stringEquals": {"aws:x": "y"}})), "is no condition"),
    ("an unknown qualifier", "identity", policy(when({"ForSome:Bool": {"aws:x": "y"}})), "no condition operator"),
    ("IfExists of Null", "identity", policy(when({"NullIfExists": {"aws:x": "true"}})), "no condition operator"),
    ("ForAnyValue of Null", "identity", policy(when({"ForAnyValue:Null": {"aws:x": "true"}})), "no condition operator"),
    ("Null with a value", "identity", policy(when({"Null": {"aws:x": "y"}})), "Null takes true or false"),
    ("a Condition that is a list", "identity", policy(when([])), "Condition is no object"),
    ("an operator without keys", "identity", policy(when({"Bool": "true"})), "Condition's Bool is no object"),
    ("a key without its service", "identity", policy(when({"Bool": {"SecureTransport": "true"}})), "no condition key"),
    ("a value that is an object", "identity", policy(when({"Bool": {"aws:x": {}}})), "takes strings, numbers"),
    ("a value that is null", "identity", policy(when({"Bool": {"aws:x": None}})), "takes strings, numbers"),
    ("no value", "identity", policy(when({"Bool": {"aws:x": []}})), "has no value"),
    ("a number that is none", "identity", policy(when({"NumericEquals": {"aws:x": "ten"}})), "'ten' is no number"),
    ("a date that is none", "identity", policy(when({"DateLessThan": {"aws:x": "2026-02-30"}})), "is no date"),
    ("an address that is none", "identity", policy(when({"IpAddress": {"aws:SourceIp": "10.0.0.256"}})), "10.0.0.256"),
    ("a range that is none", "identity", policy(when({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})), "10.0.0.0/33"),
    ("bytes that are not in base64", "identity", policy(when({"BinaryEquals": {"aws:x": "%"}})), "not in base64"),
    ("a bucket's statement without a Principal", "bucket", policy(allow()), "it needs a Principal or a NotPrincipal"),
    ("… without a Resource", "bucket", policy(without(whom("*"), "Resource")), "it needs a Resource"),
    ("… with both", "bucket", policy({**whom("*"), "NotPrincipal": {"AWS": A}}), "and not both"),
    ("a principal with a wildcard", "bucket", policy(whom({"AWS": f"arn:aws:iam::{A}:user/*"})), "is no principal"),
    ("a principal that is a group", "bucket", policy(whom({"AWS": f"arn:aws:iam::{A}:group/x"})), "is no principal"),
    ("an account of 11 digits", "bucket", policy(whom({"AWS": A[1:]})), "is no principal"),
    ("a principal that is a name", "bucket", policy(whom("Ana")), 'its principal has to be "*" or an object'),
    ("an empty principal", "bucket", policy(whom({})), 'its principal has to be "*" or an object'),
    ("an empty list of principals", "bucket", policy(whom({"AWS": []})), "one string or more"),
    ("an unknown type of principal", "bucket", policy(whom({"Users": "*"})), "'Users' is no type of principal"),
    ("a service with a wildcard in it", "trust", trust({"Service": "*.amazonaws.com"}), "is no service"),
    ("a service that is a host", "trust", trust({"Service": "example.com"}), "is no service"),
    ("a trust policy with a Resource", "trust", trust({"AWS": A}, Resource=ROLE), "a trust policy names no Resource"),
    ("a trust policy for S3", "trust", policy(without(whom({"AWS": A}), "Resource")), "is about sts's actions"),
    ("a list", "identity", "[]", "The policy is no object"),
    ("nothing", "identity", "", "The policy is no JSON"),
    ("JSON that breaks off", "identity", '{"Version": ', "The policy is no JSON"),
    ("a key twice", "identity", '{"Statement": {"Effect": "Deny", "Effect": "Allow"}}', "a key is there twice"),
    ("a deep nest", "identity", "[" * 100_000, "The policy is no JSON"),
    ("megabytes", "identity", " " * 300_000, "The policy has 300,000 characters"),
    ("what is no JSON at all", "identity", {"Statement": object()}, "The policy is no JSON"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "given_", "said"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_the_grammar_does_not_know_is_refused(kind: Kind, given_: Any, said: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(given_, kind)
    assert said in refused.value.message
    assert refused.value.remedy
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < MOST_LINE


def test_the_statement_that_is_wrong_is_named() -> None:
    with pytest.raises(PolicyError, match=r"Statement 2 \(Second\): its Effect has to be Allow or Deny"):
        parse(policy(allow(Sid="First"), allow(Sid="Second", Effect="Maybe")), "identity")


def test_every_policy_that_aws_manages_is_read() -> None:
    """1,582 documents that AWS wrote itself."""
    managed = json.loads(aws_managed_policies_data)
    assert len(managed) > 1_000
    for each in managed.values():
        assert parse(each["Document"], "identity").statements


def test_the_same_policy_is_read_once() -> None:
    assert parse(policy(allow()), "identity") is parse(policy(allow()), "identity")
    assert parse(policy(allow()), "identity") is not parse(policy(allow("s3:PutObject")), "identity")


def test_a_resource_based_policy_may_have_an_id_and_a_sid_in_words() -> None:
    found = parse({**policy({**whom("*"), "Sid": "anybody may read"}), "Id": "1"}, "bucket")
    assert found.statements[0].sid == "anybody may read"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(
    [
        "*",
        "s3:Get*",
        "arn:aws:s3:::b/${aws:username}",
        "${",
        "Allow",
        "Deny",
        A,
        "",
        "arn:",
        "aws:x",
        "StringLike",
        ROLE,
    ]
)
element = words | st.lists(words, max_size=3) | st.dictionaries(words, words | anything, max_size=2) | anything
names = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"]
statements = st.dictionaries(st.sampled_from(names), element, max_size=6) | anything


def refusal(given_: dict[str, Any], kind: Kind) -> str:
    """ "" where it was read, and then decides something."""
    try:
        found = parse(given_, kind)
    except PolicyError as error:
        return str(error)
    asked = Policies(resource=found) if kind != "identity" else Policies((found,))
    assert evaluate(GET, USER, asked).reason
    return ""


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"Version": st.just("2012-10-17") | anything, "Statement": statements | st.lists(statements)}
    ),
    st.sampled_from(["identity", "resource", "bucket", "trust"]),
)
def test_whatever_it_is_it_is_read_or_refused_in_one_line(given_: dict[str, Any], kind: Kind) -> None:
    said = refusal(given_, kind)
    assert "\n" not in said
    assert len(said) < MOST_LINE


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda each: each.decode("latin-1")))
def test_whatever_text_it_is_it_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(text, "identity")
    assert "\n" not in str(refused.value)


def test_white_space_between_elements_does_not_count_and_a_bucket_counts_bytes() -> None:
    spaced = json.loads(json.dumps(policy(allow(Sid="é")), indent=8))
    assert size(spaced) == len(json.dumps(policy(allow(Sid="é")), separators=(",", ":"), ensure_ascii=False))
    assert size(spaced, "bucket") == size(spaced) + 1
