"""Roles and bucket as an account gets and keeps them: made, compared, mended; whatever drifted goes; others' stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from urllib3 import HTTPResponse

from kennel.cloud.bucket import difference, ensure_bucket
from kennel.cloud.iam import place_of, role_of, roles_of
from kennel.cloud.iam.apply import PROPAGATION_SECONDS, Difference, carry_out, differences, ensure, look, policy_name
from kennel.cloud.iam.profile import roles_of_profile
from kennel.cloud.session import Cloud, connect
from kennel.errors import KennelError, SettingError
from kennel.settings import Settings, parse

KEYS = ("AKIAKENNEL", "secret")
ACCOUNT = "123456789012"
ANY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    served = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    served.start()
    yield "http://{}:{}".format(*served.get_host_and_port())
    served.stop()


@pytest.fixture
def url(server: str) -> str:
    """The server, as new."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
    return server


@pytest.fixture
def cloud(url: str) -> Cloud:
    return connect("aws", Settings(), url, KEYS)


def at_once(seconds: float) -> None:
    """What a test waits."""


def apply(cloud: Cloud) -> list[str]:
    """Names of the roles that were changed."""
    found = [each for each in differences(cloud, roles_of(place_of(cloud))) if each]
    for each in found:
        carry_out(cloud, each, at_once)
    return [each.role.name for each in found]


def only(cloud: Cloud, name: str) -> Difference:
    (found,) = [each for each in differences(cloud, roles_of(place_of(cloud))) if each.role.name == name]
    return found


class TestRoles:
    def test_applied_twice_there_is_nothing_to_do(self, cloud: Cloud) -> None:
        assert apply(cloud) == [f"kennel-{each}" for each in (
            "training", "endpoint", "function", "instance", "deployer", "builder", "launcher"
        )]  # fmt: skip
        assert apply(cloud) == []
        found = look(cloud, "kennel-deployer")
        assert found is not None
        role = role_of(place_of(cloud), "deployer")
        assert (found.trust, found.policies) == (role.trust, {policy_name(cloud): role.policy})
        assert (found.longest_s, found.ours) == (12 * 3600, True)

    def test_the_machines_role_comes_with_an_instance_profile_that_holds_it_alone(self, cloud: Cloud) -> None:
        assert '+  "instance profile": [' in only(cloud, "kennel-instance").lines()
        apply(cloud)
        assert roles_of_profile(cloud, "kennel-instance") == ("kennel-instance",)
        iam = cloud.client("iam")
        iam.remove_role_from_instance_profile(InstanceProfileName="kennel-instance", RoleName="kennel-instance")
        iam.add_role_to_instance_profile(InstanceProfileName="kennel-instance", RoleName="kennel-deployer")
        assert '-    "kennel-deployer"' in only(cloud, "kennel-instance").lines()
        assert apply(cloud) == ["kennel-instance"]
        assert roles_of_profile(cloud, "kennel-instance") == ("kennel-instance",)
        assert apply(cloud) == []

    def test_what_drifted_is_shown_and_goes(self, cloud: Cloud) -> None:
        apply(cloud)
        iam, role = cloud.client("iam"), "kennel-training"
        managed = iam.create_policy(PolicyName="extra", PolicyDocument=ANY)["Policy"]["Arn"]
        iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=ANY)
        iam.attach_role_policy(RoleName=role, PolicyArn=managed)
        iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=managed)
        iam.put_role_policy(RoleName=role, PolicyName=policy_name(cloud), PolicyDocument=ANY)
        iam.update_role(RoleName=role, MaxSessionDuration=7200)
        open_to_all = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [open_to_all]})
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)

        shown = "\n".join(only(cloud, role).lines())

        for gone in (
            '-    "more"',
            f'-    "{managed}"',
            f'-  "permissions boundary": "{managed}"',
            '"AWS": "*"',
            "7200",
        ):
            assert gone in shown
        assert apply(cloud) == [role]
        found = look(cloud, role)
        assert found is not None
        assert (list(found.policies), found.attached, found.boundary) == ([policy_name(cloud)], (), "")
        assert found.trust == role_of(place_of(cloud), "training").trust
        assert apply(cloud) == []

    def test_a_role_that_is_missing_is_shown_whole(self, cloud: Cloud) -> None:
        lines = only(cloud, "kennel-function").lines()
        assert lines[:2] == ["--- /dev/null", "+++ kennel-function"]
        assert all(line.startswith("+") for line in lines[3:])
        assert '+          "Sid": "Ask",' in lines

    def test_one_of_somebody_else_is_used_as_it_is(self, cloud: Cloud) -> None:
        iam = cloud.client("iam")
        made = iam.create_role(RoleName="kennel-training", AssumeRolePolicyDocument=ANY)["Role"]["Arn"]
        assert "kennel-training" not in apply(cloud)
        assert ensure(cloud, "training") == made
        assert iam.list_role_policies(RoleName="kennel-training")["PolicyNames"] == []

    def test_what_is_allowed_in_another_region_stays(self, cloud: Cloud, url: str) -> None:
        other = connect("aws", Settings(region="eu-west-1"), url, KEYS)
        ensure(other, "training", at_once)
        ensure(cloud, "training", at_once)
        found = look(cloud, "kennel-training")
        assert found is not None
        assert sorted(found.policies) == ["kennel-eu-west-1", "kennel-us-east-1"]
        assert not only(cloud, "kennel-training")
        assert only(cloud, "kennel-training").of_a_region("kennel-eu-west-1")

    @pytest.mark.parametrize("region", ["eu-west-9", "eu-west-1"])
    def test_one_that_is_only_named_like_another_regions_is_shown_and_goes(self, cloud: Cloud, region: str) -> None:
        ensure(cloud, "training", at_once)
        cloud.client("iam").put_role_policy(
            RoleName="kennel-training", PolicyName=f"kennel-{region}", PolicyDocument=ANY
        )
        assert f'-    "kennel-{region}": {{' in only(cloud, "kennel-training").lines()
        assert "kennel-training" in apply(cloud)
        found = look(cloud, "kennel-training")
        assert found is not None
        assert list(found.policies) == [policy_name(cloud)]

    def test_regions_that_do_not_fit_into_one_role_are_told(self, cloud: Cloud, url: str) -> None:
        ensure(cloud, "deployer", at_once)
        other = connect("aws", Settings(region="eu-west-1"), url, KEYS)
        with pytest.raises(SettingError, match="no room for kennel-eu-west-1 beside kennel-us-east-1") as caught:
            ensure(other, "deployer", at_once)
        assert "[roles] deployer" in caught.value.remedy

    def test_one_is_made_with_its_policy_and_waited_for(self, cloud: Cloud) -> None:
        waited: list[float] = []
        assert ensure(cloud, "training", waited.append) == f"arn:aws:iam::{ACCOUNT}:role/kennel-training"
        assert waited == [PROPAGATION_SECONDS]
        assert ensure(cloud, "training", waited.append)
        assert len(waited) == 1

    def test_the_policy_follows_the_settings(self, cloud: Cloud, url: str) -> None:
        ensure(cloud, "endpoint", at_once)
        moved = connect("aws", parse({"images": {"serving": "other"}}), url, KEYS)
        ensure(moved, "endpoint", at_once)
        found = cloud.client("iam").get_role_policy(RoleName="kennel-endpoint", PolicyName=policy_name(cloud))
        assert found["PolicyDocument"] == role_of(place_of(moved), "endpoint").policy

    def test_whoever_deploys_is_told_whom_to_ask(self, cloud: Cloud, url: str) -> None:
        apply(cloud)
        acting = cloud.acting_as(f"arn:aws:iam::{ACCOUNT}:role/kennel-deployer", "somebody")
        assert acting.is_session_of("kennel-deployer")
        assert ensure(acting, "training") == f"arn:aws:iam::{ACCOUNT}:role/kennel-training"
        cloud.client("iam").put_role_policy(
            RoleName="kennel-training", PolicyName=policy_name(cloud), PolicyDocument=ANY
        )
        with pytest.raises(KennelError, match="the role kennel-training is not as") as caught:
            ensure(acting, "training")
        assert caught.value.remedy == "Ask whoever administers the account: kennel iam apply"
        with pytest.raises(KennelError, match=f"there is no bucket kennel-us-east-1-{ACCOUNT}"):
            ensure_bucket(acting)


class TestBucket:
    def test_it_is_private_encrypted_versioned_tidy_tagged_and_only_by_tls(self, cloud: Cloud) -> None:
        s3, bucket = cloud.client("s3"), ensure_bucket(cloud)
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert block == dict.fromkeys(block, True)
        assert len(block) == 4
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert [each["ID"] for each in rules] == ["abandoned-uploads", "old-checkpoints", "old-versions"]
        assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "project", "Value": "kennel"}]
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        (owner,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert owner == {"ObjectOwnership": "BucketOwnerEnforced"}

    def test_the_second_time_nothing_is_written(self, cloud: Cloud) -> None:
        bucket, sent = ensure_bucket(cloud), list[str]()
        cloud.client("s3").meta.events.register("before-call.s3", lambda model, **more: sent.append(model.name))
        assert ensure_bucket(cloud) == bucket
        assert difference(cloud) == []
        assert all(each.startswith("Get") for each in sent)

    def test_what_drifted_is_mended(self, cloud: Cloud) -> None:
        s3, bucket = cloud.client("s3"), ensure_bucket(cloud)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
        s3.delete_public_access_block(Bucket=bucket)
        s3.delete_bucket_policy(Bucket=bucket)
        s3.delete_bucket_lifecycle(Bucket=bucket)
        assert [aspect.name for aspect, _, _ in difference(cloud)] == [
            "public access", "versioning", "lifecycle", "policy"
        ]  # fmt: skip
        ensure_bucket(cloud)
        assert difference(cloud) == []

    def test_a_companys_own_tags_stay(self, cloud: Cloud) -> None:
        s3, bucket = cloud.client("s3"), ensure_bucket(cloud)
        cost = {"Key": "cost", "Value": "dogs"}
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "project", "Value": "kennel"}, cost]})
        assert difference(cloud) == []
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [cost]})
        ensure_bucket(cloud)
        assert cost in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]

    @pytest.mark.parametrize(("region", "where"), [("us-east-1", None), ("eu-central-1", "eu-central-1")])
    def test_it_lies_in_the_region(self, url: str, region: str, where: str | None) -> None:
        cloud = connect("aws", Settings(region=region), url, KEYS)
        bucket = ensure_bucket(cloud)
        assert bucket == f"kennel-{region}-{ACCOUNT}"
        assert cloud.client("s3").get_bucket_location(Bucket=bucket)["LocationConstraint"] == where

    def test_one_whose_making_was_ended_is_finished(self, cloud: Cloud) -> None:
        cloud.client("s3").create_bucket(Bucket=cloud.bucket)
        ensure_bucket(cloud)
        assert cloud.client("s3").get_bucket_tagging(Bucket=cloud.bucket)["TagSet"]

    def test_one_that_the_user_had_is_left_as_it_is(self, url: str) -> None:
        cloud = connect("aws", Settings(bucket="of-the-user"), url, KEYS)
        cloud.client("s3").create_bucket(Bucket="of-the-user")
        assert ensure_bucket(cloud) == "of-the-user"
        assert difference(cloud) == []
        with pytest.raises(ClientError, match="NoSuchTagSet"):
            cloud.client("s3").get_bucket_tagging(Bucket="of-the-user")

    def test_one_that_the_user_named_is_made_as_ours(self, url: str) -> None:
        cloud = connect("aws", Settings(bucket="of-the-user"), url, KEYS)
        ensure_bucket(cloud)
        assert difference(cloud) == []
        assert cloud.client("s3").get_bucket_versioning(Bucket="of-the-user")["Status"] == "Enabled"

    def test_one_of_somebody_else_is_refused(self, cloud: Cloud) -> None:
        """This S3 has one owner only, so AWS's answer to somebody else is put in its place."""

        def forbid(request: Any, **more: Any) -> AWSResponse:
            assert request.headers["x-amz-expected-bucket-owner"].decode() == ACCOUNT
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            return AWSResponse(request.url, 403, {}, HTTPResponse(BytesIO(body), preload_content=False))

        cloud.client("s3").meta.events.register("before-send.s3.GetBucketTagging", forbid)
        with pytest.raises(KennelError, match=f"the bucket {cloud.bucket} belongs to somebody else") as caught:
            ensure_bucket(cloud)
        assert "kennel.toml" in caught.value.remedy
