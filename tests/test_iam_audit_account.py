"""An account's audit, through plain boto3 against a running local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from kennel.cloud.audit import subjects
from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.iam import ACTORS
from kennel.cloud.iam.apply import ensure
from kennel.cloud.session import Cloud, connect
from kennel.errors import KennelError
from kennel.iam.audit import Finding, audit
from kennel.local.background import start_in_background, stop
from kennel.local.home import State
from kennel.settings import Settings
from policies import ACCOUNT, LAMBDA, SAGEMAKER, allow, policy, trust

SOURCE: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audited")


@pytest.fixture(scope="module")
def state(home: Path) -> Iterator[State]:
    """An account as the usual course write-up leaves it, with this project's roles beside."""
    state = start_in_background(home, 0, "us-east-1", "process")
    cloud = _cloud(state)
    for actor in ACTORS:
        ensure(cloud, actor)
    ensure_bucket(cloud)
    _furnish(cloud)
    yield state
    stop(home)


def _cloud(state: State) -> Cloud:
    return connect("local", Settings(), state.url, (state.access_key_id, state.secret_access_key))


def _furnish(cloud: Cloud) -> None:
    iam, s3 = cloud.client("iam"), cloud.client("s3")
    loose = policy(trust({"Service": SAGEMAKER}))
    iam.create_role(RoleName="course-training", AssumeRolePolicyDocument=json.dumps(loose))
    for name in ("AmazonSageMakerFullAccess", "AmazonS3FullAccess"):
        iam.attach_role_policy(RoleName="course-training", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
    careful = policy(trust({"Service": LAMBDA}, "sts:AssumeRole", **SOURCE))
    iam.create_role(RoleName="course-function", AssumeRolePolicyDocument=json.dumps(careful))
    wide = policy(allow("sagemaker:*"))
    iam.put_role_policy(RoleName="course-function", PolicyName="ask", PolicyDocument=json.dumps(wide))
    iam.create_user(UserName="student")
    iam.create_access_key(UserName="student")
    iam.create_group(GroupName="students")
    loose_one = iam.create_policy(PolicyName="pass", PolicyDocument=json.dumps(policy(allow("iam:PassRole"))))
    iam.attach_group_policy(GroupName="students", PolicyArn=loose_one["Policy"]["Arn"])
    s3.create_bucket(Bucket="course-photographs")
    readable = {**trust("*", "s3:GetObject"), "Resource": "arn:aws:s3:::course-photographs/*"}
    s3.put_bucket_policy(Bucket="course-photographs", Policy=json.dumps(policy(readable)))


@pytest.fixture(scope="module")
def found(state: State) -> tuple[Finding, ...]:
    return audit(subjects(_cloud(state)))


def test_every_fault_of_the_account_is_found_where_it_is(found: tuple[Finding, ...]) -> None:
    assert {(str(each.subject), each.rule, each.document) for each in found} >= {
        ("role course-training", "full-access-policy", "AmazonSageMakerFullAccess"),
        ("role course-training", "full-access-policy", "AmazonS3FullAccess"),
        ("role course-training", "confused-deputy", "trust"),
        ("role course-function", "service-wildcard", "ask"),
        ("group students", "pass-role", "pass"),
        ("user student", "access-key", ""),
        ("bucket course-photographs", "public-bucket", "bucket policy"),
        ("bucket course-photographs", "no-tls", "bucket policy"),
        ("bucket course-photographs", "public-access", ""),
    }


def test_on_this_projects_own_roles_there_is_nothing_but_what_scaling_and_a_launch_ask_for(
    state: State, found: tuple[Finding, ...]
) -> None:
    ours = [each for each in subjects(_cloud(state)) if each.name.startswith("kennel-")]
    assert len(ours) == len(ACTORS) + 1
    told = [each for each in found if each.subject.name.startswith("kennel-")]
    # Application Auto Scaling asks for the alarms that there are in the caller's name, and without theirs; machine
    # images, subnets and VPCs have ids of AWS's
    assert {(each.sid, each.severity) for each in told} == {(sid, "low") for sid in ("SeeAlarms", "From", "GroupIn")}


def test_full_access_that_a_sagemaker_role_has_is_narrowed_to_what_such_a_role_needs(
    found: tuple[Finding, ...],
) -> None:
    (narrower,) = [each.instead for each in found if each.document == "AmazonS3FullAccess"]
    assert [(each["Action"], each["Resource"]) for each in narrower] == [
        (["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::BUCKET-NAME/PREFIX/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::BUCKET-NAME"]),
    ]


def test_roles_alone_are_read_by_name_and_a_wrong_name_is_an_error(state: State) -> None:
    (one,) = subjects(_cloud(state), ["course-function"])
    assert (one.kind, one.name, len(one.documents)) == ("role", "course-function", 2)
    with pytest.raises(KennelError, match="there is no role nobody"):
        subjects(_cloud(state), ["course-function", "nobody"])


def test_the_command_audits_the_local_aws_by_its_own_record(state: State, home: Path) -> None:
    cloud = _cloud(state)
    anybody_here = policy(trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    cloud.client("iam").create_role(RoleName="person", AssumeRolePolicyDocument=json.dumps(anybody_here))
    for name, actions in (("logs", "logs:*"), ("rest", "ecr:*")):
        wide = json.dumps(policy(allow(actions)))
        cloud.client("iam").put_role_policy(RoleName="person", PolicyName=name, PolicyDocument=wide)
    arn = f"arn:aws:iam::{ACCOUNT}:role/person"
    keys = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="work")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], state.region)
    session.client("logs", endpoint_url=state.url).create_log_group(logGroupName="mine")
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *["iam", "audit", "--on", "local", "--role", "person", "--json"]],
        env={**os.environ, "KENNEL_LOCAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    found = {(each["rule"], each["document"]): each for each in json.loads(done.stdout)}
    (narrower,) = found["service-wildcard", "logs"]["instead"]
    assert narrower["Action"] == ["logs:CreateLogGroup"]
    assert narrower["Resource"] == [f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:mine:*"]
    assert found["unused", "rest"]["remedy"] == "Remove the statement"


def test_plain_boto3_puts_the_narrower_policy_in_place_and_the_finding_is_gone(state: State) -> None:
    cloud = _cloud(state)
    iam = boto3.client(
        "iam",
        endpoint_url=state.url,
        region_name=state.region,
        aws_access_key_id=state.access_key_id,
        aws_secret_access_key=state.secret_access_key,
    )
    found = audit(subjects(cloud, ["course-function"]))
    (wide,) = [each for each in found if each.rule == "service-wildcard"]
    narrower = policy(*wide.instead)
    iam.put_role_policy(RoleName="course-function", PolicyName="ask", PolicyDocument=json.dumps(narrower))
    assert audit(subjects(cloud, ["course-function"])) == ()
