"""The roles of all actors, as values: every policy a golden file, and what has to hold of all of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kennel.cloud.bucket import wanted
from kennel.cloud.iam import ACTORS, Actor, Place, Role, role_of, roles_of
from kennel.cloud.iam.apply import check
from kennel.cloud.iam.values import Statement, written
from kennel.errors import SettingError
from kennel.iam.audit import Document, Subject, audit
from kennel.iam.sizes import LIMITS
from kennel.settings import Settings, parse

GOLDEN = Path(__file__).parent / "golden" / "iam"
ACCOUNT = "123456789012"
EVERYTHING = {
    "debugger": {"stop_on": ["Overfit"]},
    "function": {"s3_bucket": "dogs", "reserved": 10},
    "training": {"spot": True},
    "ec2": {"spot": True, "ssh_from": "192.0.2.1/32", "key_name": "mine", "subnet": "subnet-0123456789abcdef0"},
}
LONG = {
    "project": "a" * 16,
    "region": "ap-southeast-2",
    "bucket": "b" * 40,
    "images": {"training": "i" * 24, "serving": "j" * 24},
    "endpoint": {"name": "e" * 24},
    "function": {"name": "f" * 24},
    "debugger": {"stop_on": ["Overfit"]},
}
SETTINGS = {"default": {}, "everything": EVERYTHING}
ON_EVERYTHING = {
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:PutMetricData",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ecr:GetAuthorizationToken",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListEndpoints",
    "sagemaker:ListHyperParameterTuningJobs",
    "sagemaker:ListModels",
    "sagemaker:ListTrainingJobs",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingActivities",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
WIDENING = ("iam:Put", "iam:Create", "iam:Attach", "iam:Update", "iam:Delete", "iam:Add", "sts:", "s3:PutBucket")


def place(**settings: Any) -> Place:
    found = parse(settings)
    return Place(found, found.region, ACCOUNT)


def golden(name: str, found: Any) -> None:
    """KENNEL_GOLDEN=write takes over what is there; the difference then shows in review."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("KENNEL_GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(path.read_text())


def every(**settings: Any) -> list[tuple[Role, Statement]]:
    return [(role, each) for role in roles_of(place(**settings)) for each in role.statements]


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("kind", SETTINGS)
def test_policies_are_the_golden_ones(kind: str, actor: Actor) -> None:
    role = role_of(place(**SETTINGS[kind]), actor)
    golden(f"{kind}-{actor}", {"name": role.name, "trust": role.trust, "policy": role.policy})


def test_the_buckets_settings_are_the_golden_ones() -> None:
    golden("bucket", wanted(Settings(), f"kennel-us-east-1-{ACCOUNT}", "us-east-1"))


@pytest.mark.parametrize("actor", ACTORS)
def test_iam_takes_them_even_with_long_names(actor: Actor) -> None:
    role = check(role_of(place(**LONG), actor))
    assert len(written(role.policy)) <= LIMITS["role"]
    assert len(written(role.trust)) <= LIMITS["trust"]


def test_one_that_iam_would_not_take_is_told_before_it_is_sent() -> None:
    asked = place(endpoint={"name": "e" * 63}, images={"training": "i" * 3000, "serving": "j" * 3000})
    with pytest.raises(SettingError, match=r"the policy of kennel-builder has \d+ characters, and IAM takes 10240"):
        check(role_of(asked, "builder"))


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_statement_has_a_name_of_its_own_and_a_reason(kind: str) -> None:
    for role in roles_of(place(**SETTINGS[kind])):
        sids = [each.sid for each in role.statements]
        assert len(set(sids)) == len(sids)
        assert all(sid.isalnum() for sid in sids)
        assert all(len(each.reason) > 10 for each in role.statements)


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_action_is_named_in_full_and_only_once(kind: str) -> None:
    for role in roles_of(place(**SETTINGS[kind])):
        for each in role.statements:
            assert not any("*" in action for action in each.actions)
            assert len(set(each.actions)) == len(each.actions)


@pytest.mark.parametrize("kind", SETTINGS)
def test_everything_is_the_resource_only_of_what_knows_none(kind: str) -> None:
    broad = {action for _, each in every(**SETTINGS[kind]) if "*" in each.resources for action in each.actions}
    assert broad == ON_EVERYTHING | {"ec2:DescribeSubnets" if kind == "everything" else "ec2:DescribeVpcs"}


@pytest.mark.parametrize("kind", SETTINGS)
def test_resources_are_this_projects(kind: str) -> None:
    """By its name, its bucket's, its function's; what AWS names itself is bounded by a condition."""
    for role, each in every(**SETTINGS[kind]):
        for resource in each.resources:
            own = any(
                name in resource for name in ("kennel", "DogBreed", "dogs/", "/aws/sagemaker/", "aws-service-role")
            )
            rules = "sagemaker-debugger-rules" in resource
            known = resource == "*" or each.condition or each.sid in ("SeeAlarms", "From", "GroupIn", "FindImage")
            assert own or rules or known, (role.name, resource)


def test_a_role_is_passed_only_to_the_service_that_it_is_for() -> None:
    passes = [(role.actor, each) for role, each in every() if "iam:PassRole" in each.actions]
    assert [(actor, each.resources, each.condition) for actor, each in passes] == [
        (
            "deployer",
            tuple(f"arn:aws:iam::{ACCOUNT}:role/kennel-{each}" for each in ("training", "endpoint")),
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        (
            "deployer",
            (f"arn:aws:iam::{ACCOUNT}:role/kennel-function",),
            {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        ),
        (
            "launcher",
            (f"arn:aws:iam::{ACCOUNT}:role/kennel-instance",),
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
    ]


@pytest.mark.parametrize("kind", SETTINGS)
def test_nobody_can_widen_what_anybody_may_do(kind: str) -> None:
    found = {action for _, each in every(**SETTINGS[kind]) for action in each.actions}
    assert {each for each in found if each.startswith(WIDENING)} == {"iam:CreateServiceLinkedRole"}
    (linked,) = [each for _, each in every() if "iam:CreateServiceLinkedRole" in each.actions]
    assert linked.condition == {
        "StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}
    }


def test_the_deployer_opens_the_function_to_everybody_only_and_by_its_alias_only() -> None:
    (found,) = [each for _, each in every() if "lambda:AddPermission" in each.actions]
    assert found.actions == ("lambda:AddPermission",)
    assert [each.rsplit(":", 1)[1] for each in found.resources] == ["live"]
    assert found.condition["StringEquals"] == {"aws:ResourceTag/project": "kennel", "lambda:Principal": "*"}
    assert found.condition["StringEqualsIfExists"] == {"lambda:FunctionUrlAuthType": "NONE"}


def test_what_is_there_gets_no_tag_of_the_projects() -> None:
    (found,) = [each for _, each in every() if "sagemaker:AddTags" in each.actions]
    (made,) = [each for _, each in every() if "sagemaker:CreateModel" in each.actions]
    assert found.actions == ("sagemaker:AddTags",)
    actions = tuple(f"sagemaker:{each}" for each in found.condition["StringEquals"]["sagemaker:TaggingAction"])
    assert actions == made.actions


def test_only_what_carries_the_projects_tag_is_scaled_no_more() -> None:
    ends = ("application-autoscaling:Delete", "application-autoscaling:Deregister")
    found = [each for _, each in every() for action in each.actions if action.startswith(ends)]
    assert len(found) == 3
    assert all(each.condition == {"StringEquals": {"aws:ResourceTag/project": "kennel"}} for each in found)


def test_nobody_but_the_administrator_can_destroy_a_version_or_a_log() -> None:
    found = {action for _, each in every() for action in each.actions}
    assert not found & {"s3:DeleteObjectVersion", "s3:DeleteBucket", "logs:DeleteLogGroup", "ecr:DeleteRepository"}


@pytest.mark.parametrize(
    ("actor", "kinds"),
    [
        ("training", ["training-job/kennel-*", "hyper-parameter-tuning-job/kennel-*", "processing-job/kennel-*"]),
        ("endpoint", ["model/kennel-*", "endpoint-config/kennel-*", "endpoint/kennel"]),
    ],
)
def test_sagemaker_takes_a_role_on_for_this_projects_work_only(actor: Actor, kinds: list[str]) -> None:
    (statement,) = role_of(place(), actor).trust["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"] == [
        f"arn:aws:sagemaker:*:{ACCOUNT}:{kind}" for kind in kinds
    ]


def test_the_training_role_may_stop_jobs_only_where_a_rule_shall() -> None:
    def actions(**debugger: Any) -> list[str]:
        return [one for each in role_of(place(debugger=debugger), "training").statements for one in each.actions]

    for action in ("sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob"):
        assert action in actions(stop_on=["Overfit"])
        assert action not in actions()
    assert len(actions(enabled=False)) < len(actions())


def test_the_function_reads_pictures_only_where_a_setting_names_their_bucket() -> None:
    assert [each.sid for each in role_of(place(), "function").statements] == ["Ask", "Log"]
    pictures = role_of(place(function={"s3_bucket": "dogs"}), "function").statements[-1]
    assert pictures.resources == ("arn:aws:s3:::dogs/*",)


def test_another_partition_has_other_arns() -> None:
    found = json.dumps([[each.trust, each.policy] for each in roles_of(place(region="cn-north-1"))])
    assert "arn:aws-cn:s3:::" in found
    assert "arn:aws:" not in found


def test_a_role_may_be_named() -> None:
    named = place(roles={"deployer": "Team-Dogs", "training": "T"})
    assert role_of(named, "deployer").name == "Team-Dogs"
    assert f"arn:aws:iam::{ACCOUNT}:role/T" in json.dumps(role_of(named, "deployer").policy)
    with pytest.raises(SettingError, match=r"roles\.deployer"):
        parse({"roles": {"deployer": "no spaces"}})


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_audit_finds_nothing_in_any_of_them(kind: str) -> None:
    for role in roles_of(place(**SETTINGS[kind])):
        documents = (Document("trust", "trust", role.trust), Document("identity", "policy", role.policy))
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role.name}"
        found = audit([Subject("role", role.name, documents, arn, ACCOUNT)])
        # Application Auto Scaling asks for the alarms that there are in the caller's name, and without theirs; a
        # machine image's, a subnet's and a VPC's ids are AWS's, and the newest image has another each week
        assert {(each.sid, each.severity) for each in found} <= {
            (sid, "low") for sid in ("SeeAlarms", "From", "GroupIn")
        }
