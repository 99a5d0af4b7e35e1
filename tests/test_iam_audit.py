"""The audit's rules: what each finds, what is almost it and is not, and that what it proposes is itself in order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.iam.audit import Document, Finding, Subject, audit
from kennel.iam.audit.sarif import RULES
from kennel.iam.audit.wild import matches, meets
from policies import (
    ACCOUNT,
    LAMBDA,
    OTHER,
    ROLE,
    SAGEMAKER,
    allow,
    attached,
    call,
    careful,
    found,
    identity,
    policy,
    role,
    rules,
    trust,
)

BUCKET, OBJECTS = "arn:aws:s3:::kennel-bucket", "arn:aws:s3:::kennel-bucket/kennel/data/*"
ENDPOINT = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/kennel"
JOBS = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/kennel-*"
ONE_ROLE, ANY_ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-training", f"arn:aws:iam::{ACCOUNT}:role/*"
TO_SAGEMAKER: dict[str, Any] = {"StringEquals": {"iam:PassedToService": SAGEMAKER}}
SOURCE: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
TLS = {
    "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [BUCKET, f"{BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}  # fmt: skip
GITHUB = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"}


def course() -> list[Subject]:
    """The roles of the usual course write-up."""
    loose = Document("trust", "trust", policy(trust({"Service": SAGEMAKER})))
    training = role(loose, attached("AmazonSageMakerFullAccess"), attached("AmazonS3FullAccess"), name="training")
    wide = Document("identity", "invoke", policy(allow("sagemaker:*")))
    function = role(Document("trust", "trust", policy(trust({"Service": LAMBDA}))), wide, name="function")
    return [training, function]


def test_each_fault_of_the_usual_course_write_up_is_found() -> None:
    seen = {(str(each.subject), each.rule, each.severity, each.document) for each in audit(course())}
    assert seen >= {
        ("role training", "full-access-policy", "high", "AmazonSageMakerFullAccess"),
        ("role training", "full-access-policy", "high", "AmazonS3FullAccess"),
        ("role training", "escalation", "high", ""),
        ("role training", "confused-deputy", "medium", "trust"),
        ("role function", "service-wildcard", "high", "invoke"),
        ("role function", "confused-deputy", "medium", "trust"),
    }


def test_the_write_ups_function_is_told_to_ask_one_endpoint_and_nothing_else() -> None:
    wide = next(each for each in audit(course()) if each.rule == "service-wildcard")
    assert [dict(each) for each in wide.instead] == [
        {
            "Sid": "Given",
            "Effect": "Allow",
            "Action": ["sagemaker:InvokeEndpoint"],
            "Resource": [f"arn:aws:sagemaker:REGION:{ACCOUNT}:endpoint/ENDPOINT-NAME"],
        }
    ]


def test_what_was_recorded_takes_the_place_of_full_access() -> None:
    key = "arn:aws:s3:::kennel-bucket/kennel/data/train/001.Affenpinscher/1.jpg"
    calls = [
        call("s3:GetObject", key),
        call("s3:GetObject", key.replace("1.jpg", "2.jpg")),
        call("s3:ListBucket", BUCKET),
        call("s3:DeleteObject", key, allowed=False),
        call("s3:PutObject", key, who=ONE_ROLE),
    ]
    full = next(each for each in found(role(careful(SAGEMAKER), attached("AmazonS3FullAccess")), calls))
    assert {(*each["Action"], *each["Resource"]) for each in full.instead} == {
        ("s3:GetObject", OBJECTS),
        ("s3:ListBucket", BUCKET),
    }


def test_what_was_recorded_is_made_general_for_the_next_run() -> None:
    calls = [
        call("sagemaker:CreateTrainingJob", JOBS.replace("*", "train-1a2b")),
        call("sagemaker:InvokeEndpoint", ENDPOINT),
        call("logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/x:log-stream:y/z"),
        call("iam:PassRole", ONE_ROLE, iam__passedtoservice=SAGEMAKER),
    ]
    (full,) = found(role(attached("AdministratorAccess")), calls, project="kennel")
    assert {each["Action"][0]: (each["Resource"], each.get("Condition")) for each in full.instead} == {
        "iam:PassRole": ([ONE_ROLE], {"StringEquals": {"iam:PassedToService": SAGEMAKER}}),
        "logs:PutLogEvents": ([f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/x:*"], None),
        "sagemaker:CreateTrainingJob": ([JOBS], None),
        "sagemaker:InvokeEndpoint": ([ENDPOINT], None),
    }


WRONG = {
    "every-action": (allow("*"), "high"),
    "every-action, with a second factor": (allow("*", Bool={"aws:MultiFactorAuthPresent": "true"}), "medium"),
    "every-action, over TLS, which anybody can have": (allow("*", Bool={"aws:SecureTransport": "true"}), "high"),
    "service-wildcard": (allow("s3:*"), "high"),
    "service-wildcard, of one bucket": (allow("s3:*", [BUCKET, f"{BUCKET}/*"]), "medium"),
    "service-wildcard, of the permissions": (allow("iam:*"), "high"),
    "action-wildcard": (allow("sagemaker:Describe*"), "medium"),
    "action-wildcard, of data": (allow("s3:Get*"), "high"),
    "action-wildcard, in one place": (allow("sagemaker:Describe*", ENDPOINT), "low"),
    "any-resource": (allow("sagemaker:InvokeEndpoint"), "low"),
    "any-resource, of data": (allow(["s3:GetObject"]), "high"),
    "any-resource, spelt out": (allow("s3:GetObject", "arn:aws:s3:::*"), "high"),
    "any-resource, that is changed": (allow("sagemaker:StopTrainingJob"), "medium"),
    "any-resource, every one of a kind": (allow("sts:AssumeRole", ANY_ROLE), "medium"),
    "any-resource, with a condition that is always true": (
        allow("s3:GetObject", StringLike={"aws:PrincipalArn": "*"}), "high",
    ),
    "any-resource, that is only tagged": (
        allow("sagemaker:CreateTrainingJob", StringEquals={"aws:RequestTag/project": "kennel"}), "low",
    ),
    "not-action": ({"Effect": "Allow", "NotAction": "iam:*", "Resource": ENDPOINT}, "high"),
    "not-resource": ({"Effect": "Allow", "Action": "sagemaker:StopTrainingJob", "NotResource": ENDPOINT}, "high"),
    "pass-role": (allow("iam:PassRole"), "high"),
    "pass-role, to anybody": (allow("iam:PassRole", ONE_ROLE), "medium"),
    "pass-role, any": (allow("iam:PassRole", ANY_ROLE, **TO_SAGEMAKER), "high"),
    "pass-role, if the service is said": (
        allow("iam:PassRole", ONE_ROLE, StringEqualsIfExists={"iam:PassedToService": SAGEMAKER}), "medium",
    ),
    "unknown-action": (allow("s3:GetObjects", OBJECTS), "low"),
    "unknown-action, of no service": (allow("s4:*", OBJECTS), "low"),
    "unknown-resource": (allow("s3:GetObject", BUCKET), "low"),
    "malformed": ({"Effect": "Allow"}, "medium"),
    "malformed, twice": ({**allow("s3:GetObject", OBJECTS), "NotAction": "s3:PutObject"}, "medium"),
    "malformed, no text": (allow([1], OBJECTS), "medium"),
    "malformed, an element that nobody knows": ({**allow("s3:GetObject", OBJECTS), "Actions": "*"}, "medium"),
}  # fmt: skip
ALMOST = {
    "exact": allow(["s3:GetObject", "s3:PutObject"], OBJECTS),
    "by prefix": allow("s3:ListBucket", BUCKET, StringLike={"s3:prefix": ["kennel/*"]}),
    "an action that knows no resource": allow(["ecr:GetAuthorizationToken", "sagemaker:ListEndpoints"]),
    "a namespace": allow("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": "/aws/sagemaker"}),
    "by tag": allow("sagemaker:StopTrainingJob", StringEquals={"aws:ResourceTag/project": "kennel"}),
    "a tag that is given": allow("sagemaker:AddTags", StringEquals={"aws:RequestTag/project": "kennel"}),
    "a kind whose ids AWS makes up, by where the request comes from": allow(
        "ssm:UpdateInstanceInformation", "*", ArnLike={"ec2:SourceInstanceARN": f"arn:aws:ec2:*:{ACCOUNT}:instance/*"}
    ),
    "in lower case": allow("S3:getobject", OBJECTS),
    "one role to one service": allow("iam:PassRole", ONE_ROLE, **TO_SAGEMAKER),
    "a Deny of everything": {"Effect": "Deny", "Action": "*", "Resource": "*"},
    "a Deny of all others": {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"},
    "a variable": allow("s3:GetObject", BUCKET + "/${aws:PrincipalTag/team}/*"),
    "names that begin alike": allow("sagemaker:StopTrainingJob", JOBS),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_statement_that_is_too_wide_is_found(case: str) -> None:
    statement, severity = WRONG[case]
    assert (case.partition(",")[0], severity) in rules(identity(statement))


@pytest.mark.parametrize("case", ALMOST)
def test_a_statement_that_is_almost_too_wide_is_not_found(case: str) -> None:
    assert found(identity(ALMOST[case])) == ()


TRUSTED = {
    "open-trust": (trust("*"), "high"),
    "open-trust, as AWS": (trust({"AWS": "*"}), "high"),
    "open-trust, who knows a word": (trust("*", StringEquals={"sts:RoleSessionName": "me"}), "high"),
    "open-trust, of an organisation": (trust("*", StringEquals={"aws:PrincipalOrgID": "o-1"}), "low"),
    "open-trust, but for one": ({"Effect": "Allow", "NotPrincipal": {"AWS": ROLE}, "Action": "sts:AssumeRole"}, "high"),
    "foreign-account": (trust({"AWS": f"arn:aws:iam::{OTHER}:root"}), "medium"),
    "foreign-account, by its number": (trust({"AWS": [OTHER]}), "medium"),
    "confused-deputy": (trust({"Service": SAGEMAKER}), "medium"),
    "confused-deputy, of any account": (
        trust({"Service": SAGEMAKER}, StringLike={"aws:SourceAccount": "*"}), "medium",
    ),
    "open-federation": (trust(GITHUB, "sts:AssumeRoleWithWebIdentity"), "high"),
}  # fmt: skip
CAREFUL = {
    "one role": trust({"AWS": f"arn:aws:iam::{OTHER}:role/ci"}),
    "this account": trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
    "a secret of the two": trust({"AWS": OTHER}, StringEquals={"sts:ExternalId": "x"}),
    "a service for this account": trust({"Service": SAGEMAKER}, **SOURCE),
    "a service for one job": trust({"Service": SAGEMAKER}, ArnLike={"aws:SourceArn": JOBS}),
    "instances, which say no source": trust({"Service": "ec2.amazonaws.com"}),
    "one repository": trust(
        GITHUB, "sts:AssumeRoleWithWebIdentity", StringEquals={"token.actions.githubusercontent.com:sub": "repo:a/b"}
    ),
}


@pytest.mark.parametrize("case", TRUSTED)
def test_trust_that_is_too_open_is_found(case: str) -> None:
    statement, severity = TRUSTED[case]
    assert (case.partition(",")[0], severity) in rules(role(Document("trust", "trust", policy(statement))))


@pytest.mark.parametrize("case", CAREFUL)
def test_trust_with_its_conditions_is_not_found(case: str) -> None:
    assert found(role(Document("trust", "trust", policy(CAREFUL[case])))) == ()


def bucket(*statements: dict[str, Any], blocked: bool = True) -> Subject:
    document = Document("bucket", "bucket policy", policy(*statements))
    return Subject("bucket", "kennel-bucket", (document,), BUCKET, ACCOUNT, blocks_public=blocked)


def test_a_bucket_over_tls_that_nobody_can_open_is_in_order() -> None:
    assert rules(bucket(TLS)) == []


def test_a_bucket_that_is_public_or_speaks_plain_http_or_could_become_public_is_found() -> None:
    readable = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}
    assert rules(bucket(TLS, readable)) == [("public-bucket", "high")]
    assert rules(bucket(TLS, blocked=False)) == [("public-access", "high")]
    assert rules(bucket({**TLS, "Principal": {"AWS": ROLE}})) == [("no-tls", "medium")]
    (plain,) = found(bucket({**TLS, "Action": "s3:GetObject"}))
    assert rules(bucket(dict(plain.instead[0]))) == []


def function(principal: Any, **condition: Any) -> Subject:
    statement = {**trust(principal, "lambda:InvokeFunctionUrl", **condition), "Resource": "arn:aws:lambda:x"}
    return Subject("function", "classify", (Document("function", "live", policy(statement)),), account=ACCOUNT)


def test_a_public_address_of_a_function_is_noted_and_a_public_function_is_found() -> None:
    assert rules(function("*", StringEquals={"lambda:FunctionUrlAuthType": "NONE"})) == [("public-function", "note")]
    assert rules(function("*")) == [("public-function", "high")]
    assert rules(function({"Service": "s3.amazonaws.com"})) == [("confused-deputy", "medium")]
    assert rules(function({"Service": "s3.amazonaws.com"}, **SOURCE)) == []


@pytest.mark.parametrize(
    "actions",
    [
        ["iam:CreatePolicyVersion"],
        ["iam:PutRolePolicy"],
        ["iam:AttachUserPolicy"],
        ["iam:UpdateAssumeRolePolicy"],
        ["iam:PassRole", "lambda:CreateFunction", "lambda:InvokeFunction"],
        ["iam:PassRole", "ec2:RunInstances"],
        ["iam:PassRole", "sagemaker:CreateTrainingJob"],
        ["lambda:UpdateFunctionCode"],
    ],
)
def test_permissions_that_give_more_permissions_are_found_with_where_it_is_described(actions: list[str]) -> None:
    (escalation,) = [each for each in found(identity(allow(actions))) if each.rule == "escalation"]
    assert "https://" in escalation.evidence
    assert escalation.instead


def test_permissions_that_give_more_are_found_across_a_subjects_policies() -> None:
    one, other = policy(allow("iam:PassRole")), policy(allow("sagemaker:CreateTrainingJob", JOBS))
    both = role(Document("identity", "one", one), Document("identity", "other", other))
    assert ("escalation", "high") in rules(both)
    assert ("escalation", "high") not in rules(role(Document("identity", "other", other)))


def test_named_roles_and_functions_are_no_way_to_more() -> None:
    named = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:classify"
    statements = [
        allow("iam:PassRole", ONE_ROLE, **TO_SAGEMAKER),
        allow(["lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:InvokeFunction"], named),
    ]
    assert found(identity(*statements)) == ()


def test_a_role_that_may_rewrite_its_own_policy_is_found_though_it_is_named() -> None:
    assert ("escalation", "high") in rules(identity(allow("iam:PutRolePolicy", ROLE)))
    assert ("escalation", "high") not in rules(identity(allow("iam:PutRolePolicy", ONE_ROLE)))


def test_what_is_denied_everywhere_is_no_way_to_more() -> None:
    deny = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}
    assert ("escalation", "high") not in rules(identity(allow("iam:PutRolePolicy", ROLE), deny))


def test_policies_that_are_too_long_are_found() -> None:
    long = [allow("s3:GetObject", f"{BUCKET}/{number:0300}/*") for number in range(30)]
    assert rules(identity(*long)) == [("too-big", "low")]
    assert rules(identity(*long[:20])) == []


def test_keys_that_never_expire_are_found() -> None:
    user = Subject("user", "me", arn=f"arn:aws:iam::{ACCOUNT}:user/me", account=ACCOUNT, access_keys=("AKIA1",))
    assert rules(user) == [("access-key", "low")]


def test_what_no_recorded_call_needed_is_found_and_the_rest_is_kept() -> None:
    subject = identity(allow(["s3:GetObject", "s3:PutObject"], [OBJECTS, f"{BUCKET}/kennel/jobs/*"]))
    calls = [call("s3:GetObject", OBJECTS.replace("*", "1.jpg"))]
    (unused,) = found(subject, calls)
    assert (unused.rule, unused.severity) == ("unused", "low")
    assert json.loads(unused.evidence) == {"Action": ["s3:PutObject"], "Resource": [f"{BUCKET}/kennel/jobs/*"]}
    assert unused.instead == (allow(["s3:GetObject"], [OBJECTS]),)
    assert found(identity(*unused.instead), calls) == ()


def test_calls_of_others_and_calls_that_were_refused_do_not_count_as_used() -> None:
    subject, key = identity(allow("s3:GetObject", OBJECTS)), OBJECTS.replace("*", "1.jpg")
    assert rules(subject, [call("s3:GetObject", key)]) == []
    assert rules(subject, [call("s3:GetObject", key, who=ONE_ROLE)]) == [("unused", "low")]
    assert rules(subject, [call("s3:GetObject", key, allowed=False)]) == [("unused", "low")]


def every() -> list[Finding]:
    """Of each kind at least one."""
    given = [role(careful(SAGEMAKER), Document("identity", "i", policy(each))) for each, _ in WRONG.values()]
    given += [role(Document("trust", "trust", policy(each))) for each, _ in TRUSTED.values()]
    return [finding for subject in [*course(), *given] for finding in found(subject)]


def test_what_is_proposed_is_itself_in_order() -> None:
    checked = 0
    for finding in every():
        of = "trust" if finding.document == "trust" else "identity"
        for statement in finding.instead:
            subject = role(Document(of, "proposed", policy(statement)))  # type: ignore[arg-type]
            assert found(subject) == (), (finding, statement)
            checked += 1
    assert checked > 60


def test_every_finding_has_what_a_reader_needs() -> None:
    for finding in every():
        assert finding.rule in RULES
        assert finding.evidence
        assert finding.risk
        assert finding.remedy
        assert finding.instead or finding.rule in ("malformed", "unknown-action"), finding


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["Statement", "Effect", "Action", "Resource", "Principal", "Condition", "Version", "Sid"]),
        inner | st.sampled_from(["Allow", "Deny", "*", "s3:*", "2012-10-17", ["*"]]), max_size=5,
    )
), max_leaves=20))  # fmt: skip
def test_whatever_a_document_is_it_is_examined_or_called_malformed(document: Any) -> None:
    for of in ("identity", "trust", "bucket", "function", "resource"):
        for each in found(role(Document(of, "hostile", document))):
            assert each.rule in RULES


PATTERNS = st.text("ab*?", max_size=6)


@given(PATTERNS, st.text("ab", max_size=6))
def test_a_pattern_that_matches_a_text_meets_it(pattern: str, text: str) -> None:
    assert matches(pattern, text) == meets(pattern, text) == meets(text, pattern)


@given(PATTERNS, PATTERNS, st.text("ab", max_size=5))
def test_patterns_that_match_the_same_text_meet(one: str, other: str, text: str) -> None:
    assert meets(one, other) or not (matches(one, text) and matches(other, text))
