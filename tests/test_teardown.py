"""Teardown: what goes and what stays, the order, doing it twice; and the status of what runs. S3, IAM, logs, ECR and
Application Auto Scaling are moto's; SageMaker, of which moto keeps records only, is a stand-in with states."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fixtures_moto import moto_server
from kennel.cloud import removal
from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.prices import Prices, Region
from kennel.cloud.removal import ORDER, Removal
from kennel.cloud.session import Cloud
from kennel.cloud.status import idle_since, status
from kennel.cloud.teardown import carry_out, in_order, plan, verify
from kennel.settings import Settings, parse

ACCOUNT, REGION = "123456789012", "us-east-1"
TAGS = Settings().tags()
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS = {
    "training_job": "TrainingJob",
    "hyper_parameter_tuning_job": "HyperParameterTuningJob",
    "endpoint": "Endpoint",
    "endpoint_config": "EndpointConfig",
    "model": "Model",
}
LISTED = {"endpoint": "Endpoints", "endpoint_config": "EndpointConfigs", "model": "Models"}


class SageMaker:
    """AWS's SageMaker as far as teardown and status use it: five kinds of resources with tags and states."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, dict[str, Any]]] = {noun: {} for noun in KINDS}
        self.calls: list[str] = []
        self.busy = 0

    def add(
        self, noun: str, name: str, tags: list[dict[str, str]] = TAGS, state: str = "InProgress", **more: Any
    ) -> None:
        stem = KINDS[noun]
        self.held[noun][name] = {
            f"{stem}Name": name,
            f"{stem}Arn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{noun}/{name}",
            f"{stem}Status": state,
            "Tags": tags,
            "CreationTime": NOON - timedelta(days=2),
            **more,
        }

    def __getattr__(self, operation: str) -> Any:
        verb, _, noun = operation.partition("_")
        return lambda **request: getattr(self, f"_{verb}")(noun, next(iter(request.values())))

    def list_tags(self, ResourceArn: str) -> Any:
        found = next(each for held in self.held.values() for each in held.values() if ResourceArn in each.values())
        return {"Tags": found["Tags"]}

    def get_paginator(self, operation: str) -> Any:
        noun = operation.removeprefix("list_").removesuffix("s")
        stem = KINDS[noun]

        class Pages:
            def paginate(_, NameContains: str = "", StatusEquals: str | None = None) -> Any:
                found = [
                    each
                    for name, each in sorted(self.held[noun].items())
                    if NameContains in name and StatusEquals in (None, each[f"{stem}Status"])
                ]
                key = LISTED.get(noun, f"{stem}Summaries")
                return [{key: found[:1]}, {key: found[1:]}]

        return Pages()

    def _describe(self, noun: str, name: str) -> Any:
        if name not in self.held[noun]:
            raise self._error("ValidationException", f'Could not find {noun} "{name}".')
        found = self.held[noun][name]
        if found[f"{KINDS[noun]}Status"] in ("Stopping", "Deleting"):  # comes true at the second look
            if found.pop("looked", False):
                self._come_true(noun, name)
            else:
                found["looked"] = True
        return dict(found)

    def _come_true(self, noun: str, name: str) -> None:
        if noun == "endpoint":
            del self.held[noun][name]
            raise self._error("ValidationException", f'Could not find endpoint "{name}".')
        self.held[noun][name][f"{KINDS[noun]}Status"] = "Stopped"

    def _stop(self, noun: str, name: str) -> None:
        self.calls.append(f"stop {noun} {name}")
        self.held[noun][name][f"{KINDS[noun]}Status"] = "Stopping"

    def _delete(self, noun: str, name: str) -> None:
        if noun == "endpoint" and self.busy:
            self.busy -= 1
            raise self._error("ValidationException", f"Cannot update in-progress endpoint {name}.")
        if name not in self.held[noun]:
            raise self._error("ValidationException", f'Could not find {noun} "{name}".')
        if noun == "endpoint_config":
            assert not self.held["endpoint"], "the configuration is in use"
        self.calls.append(f"delete {noun} {name}")
        if noun == "endpoint":
            self.held[noun][name]["EndpointStatus"] = "Deleting"
        else:
            del self.held[noun][name]

    @staticmethod
    def _error(code: str, message: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def cloud(moto: str) -> Cloud:
    import httpx

    httpx.post(f"{moto}/moto-api/reset")
    return make(moto, Settings())


def make(moto: str, settings: Settings, sagemaker: SageMaker | None = None) -> Cloud:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
    held = sagemaker or SageMaker()

    def client(service: str) -> Any:
        return held if service == "sagemaker" else boto3.client(service, endpoint_url=moto, **keys)

    return Cloud("local", REGION, ACCOUNT, settings, client)


def furnish(cloud: Cloud) -> SageMaker:
    """Everything that a run leaves, and beside it what belongs to others."""
    sagemaker: SageMaker = cloud.client("sagemaker")
    sagemaker.add("hyper_parameter_tuning_job", "kennel-tune-1")
    sagemaker.add("training_job", "kennel-tune-1-001-ab")
    sagemaker.add("training_job", "kennel-train-1", state="Completed")
    sagemaker.add("endpoint", "kennel", state="InService", EndpointConfigName="kennel-1")
    sagemaker.add("endpoint_config", "kennel-1")
    sagemaker.add("model", "kennel-1")
    sagemaker.add("training_job", "other-1", tags=[])
    sagemaker.add("training_job", "kennel-of-somebody-else", tags=[])
    sagemaker.add("model", "my-kennel", tags=TAGS)
    sagemaker.add("model", "kennel-two-1", tags=[{"Key": "project", "Value": "kennel-two"}])
    scale(cloud, "kennel")
    scale(cloud, "other")
    return sagemaker


def scale(cloud: Cloud, endpoint: str) -> None:
    cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{endpoint}/variant/all",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )


def targets(cloud: Cloud) -> list[str]:
    found = cloud.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return [each["ResourceId"] for each in found["ScalableTargets"]]


def fill_bucket(cloud: Cloud, prefix: str = "kennel/") -> None:
    """Two versions of an object, one that was deleted, an upload that was never finished."""
    s3, bucket = cloud.client("s3"), ensure_bucket(cloud)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key=f"{prefix}data/a b.jpg", Body=body)
    s3.put_object(Bucket=bucket, Key=f"{prefix}gone", Body=b"x")
    s3.delete_object(Bucket=bucket, Key=f"{prefix}gone")
    s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}half")


def furnish_account(cloud: Cloud) -> None:
    iam, logs = cloud.client("iam"), cloud.client("logs")
    for name, tags in (("kennel-training", TAGS), ("kennel-endpoint", [])):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Tags=tags)
        iam.put_role_policy(RoleName=name, PolicyName="kennel", PolicyDocument=POLICY)
    made = iam.create_policy(PolicyName="extra", PolicyDocument=POLICY)
    iam.attach_role_policy(RoleName="kennel-training", PolicyArn=made["Policy"]["Arn"])
    for group, streams in (
        ("/aws/sagemaker/TrainingJobs", ["kennel-train-1/algo-1-1", "kennel-train-1/algo-2-1", "other-1/algo-1-1"]),
        ("/aws/sagemaker/Endpoints/kennel", ["all/i-1"]),
        ("/aws/sagemaker/Endpoints/kennel-of-others", ["all/i-1"]),
    ):
        logs.create_log_group(logGroupName=group)
        for stream in streams:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)


def remove(cloud: Cloud, **how: bool) -> list[str]:
    """Plan and carry out; what was told as done."""
    done: list[str] = []
    carry_out(cloud, plan(cloud, **how), lambda each, gone: done.append(str(each)) if gone else None, lambda _: None)
    return done


def test_the_order_is_aws_own() -> None:
    shuffled = [Removal(kind, "x") for kind in reversed(ORDER)]
    kinds = [each.kind for each in in_order(shuffled)]
    assert kinds == list(ORDER)
    assert kinds[:4] == ["provisioned concurrency", "function URL", "alias", "function"]
    assert kinds[4:10] == [
        "scalable target",
        "tuning job",
        "training job",
        "endpoint",
        "endpoint configuration",
        "model",
    ]
    assert kinds.index("objects") < kinds.index("bucket")


def test_only_what_is_this_projects_is_planned(cloud: Cloud) -> None:
    furnish(cloud)
    assert [str(each) for each in plan(cloud)] == [
        "scalable target endpoint/kennel/variant/all",
        "tuning job kennel-tune-1",
        "training job kennel-tune-1-001-ab",
        "endpoint kennel",
        "endpoint configuration kennel-1",
        "model kennel-1",
    ]


def test_it_is_carried_out_in_order_and_what_is_others_stays(cloud: Cloud) -> None:
    sagemaker = furnish(cloud)
    remove(cloud)
    assert sagemaker.calls == [
        "stop hyper_parameter_tuning_job kennel-tune-1",
        "stop training_job kennel-tune-1-001-ab",
        "delete endpoint kennel",
        "delete endpoint_config kennel-1",
        "delete model kennel-1",
    ]
    assert targets(cloud) == ["endpoint/other/variant/all"]
    assert set(sagemaker.held["model"]) == {"my-kennel", "kennel-two-1"}
    assert sagemaker.held["training_job"]["other-1"]["TrainingJobStatus"] == "InProgress"
    assert sagemaker.held["training_job"]["kennel-of-somebody-else"]["TrainingJobStatus"] == "InProgress"
    assert verify(cloud) == ()
    assert plan(cloud) == ()


def test_it_can_be_done_again_over_what_is_gone(cloud: Cloud) -> None:
    furnish(cloud)
    fill_bucket(cloud)
    furnish_account(cloud)
    removals = plan(cloud, everything=True)
    for _ in range(2):
        carry_out(cloud, removals, lambda each, gone: None, lambda _: None)
    assert plan(cloud, everything=True) == ()


def test_an_endpoint_that_is_being_made_is_waited_for(cloud: Cloud) -> None:
    sagemaker = furnish(cloud)
    sagemaker.busy = 3
    slept: list[float] = []
    carry_out(cloud, plan(cloud), lambda each, gone: None, slept.append)
    assert "kennel" not in sagemaker.held["endpoint"]
    assert len(slept) >= 3


def test_scaling_that_an_endpoint_left_behind_goes_too(cloud: Cloud) -> None:
    scale(cloud, "kennel")
    assert remove(cloud) == ["scalable target endpoint/kennel/variant/all"]


def test_an_endpoint_of_our_name_that_is_not_ours_keeps_everything(cloud: Cloud) -> None:
    cloud.client("sagemaker").add("endpoint", "kennel", tags=[], state="InService")
    scale(cloud, "kennel")
    furnish_account(cloud)
    kinds = {each.kind for each in plan(cloud, everything=True)}
    assert not kinds & {"endpoint", "scalable target", "log group"}


def test_everything_takes_logs_data_and_roles(cloud: Cloud) -> None:
    furnish(cloud)
    fill_bucket(cloud)
    furnish_account(cloud)
    bucket = f"kennel-{REGION}-{ACCOUNT}"
    assert verify(cloud) == (
        "tuning job kennel-tune-1",
        "training job kennel-tune-1-001-ab",
        "endpoint kennel",
        f"objects {bucket}",
    )
    assert remove(cloud, everything=True)[6:] == [
        "log streams /aws/sagemaker/TrainingJobs below kennel-train-1/",
        "log group /aws/sagemaker/Endpoints/kennel",
        f"objects {bucket}",
        f"bucket {bucket}",
        "role kennel-training",
    ]
    assert [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]] == []
    assert [each["RoleName"] for each in cloud.client("iam").list_roles()["Roles"]] == ["kennel-endpoint"]
    groups = [each["logGroupName"] for each in cloud.client("logs").describe_log_groups()["logGroups"]]
    assert groups == ["/aws/sagemaker/Endpoints/kennel-of-others", "/aws/sagemaker/TrainingJobs"]
    streams = cloud.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert [each["logStreamName"] for each in streams] == ["other-1/algo-1-1"]
    assert verify(cloud) == ()


def test_data_stays_unless_asked(cloud: Cloud) -> None:
    fill_bucket(cloud)
    remove(cloud)
    assert verify(cloud) == (f"objects kennel-{REGION}-{ACCOUNT}",)


def test_a_bucket_without_our_tag_is_not_touched(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket=cloud.bucket)
    assert plan(cloud, everything=True) == ()


def test_a_bucket_that_the_user_named_keeps_all_but_our_prefix(cloud: Cloud, moto: str) -> None:
    own = make(moto, parse({"bucket": "my-pictures"}))
    s3 = own.client("s3")
    s3.create_bucket(Bucket="my-pictures")
    for key in ("mine.jpg", "kennel-notes.txt", "kennel/data/a.jpg"):
        s3.put_object(Bucket="my-pictures", Key=key, Body=b"x")
    assert remove(own, everything=True) == ["objects my-pictures below kennel/"]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="my-pictures")["Contents"]] == [
        "kennel-notes.txt",
        "mine.jpg",
    ]
    assert verify(own) == ()


def test_a_bucket_of_more_objects_than_one_request_takes_is_emptied(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "MOST_OBJECTS", 10)
    s3, bucket = cloud.client("s3"), ensure_bucket(cloud)
    for number in range(25):
        s3.put_object(Bucket=bucket, Key=f"kennel/{number}", Body=b"")
    remove(cloud, everything=True)
    assert cloud.client("s3").list_buckets()["Buckets"] == []


def test_images_stay_unless_asked_and_are_told_as_billed(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="kennel-training")
    assert verify(cloud) == ()
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}'
    ecr.put_image(repositoryName="kennel-training", imageManifest=manifest, imageTag="1")
    assert verify(cloud) == ("image repository kennel-training",)
    assert remove(cloud, everything=True) == []
    assert remove(cloud, images=True) == ["image repository kennel-training"]
    assert verify(cloud) == ()


# --- status -----------------------------------------------------------------------------------------------------

PRICES = Prices("2026-11-01", {REGION: Region({"ml.g4dn.xlarge": 0.7, "ml.m5.large": 0.1})})


def serve(cloud: Cloud, kind: str = "ml.m5.large") -> None:
    sagemaker: SageMaker = cloud.client("sagemaker")
    variant = {"VariantName": "all", "CurrentInstanceCount": 2, "DesiredInstanceCount": 2}
    sagemaker.add("endpoint", "kennel", state="InService", EndpointConfigName="kennel-1", ProductionVariants=[variant])
    sagemaker.add("endpoint_config", "kennel-1", ProductionVariants=[{"VariantName": "all", "InstanceType": kind}])
    resources = {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1}
    sagemaker.add("training_job", "kennel-train-1", ResourceConfig=resources, SecondaryStatus="Training")
    sagemaker.add("training_job", "kennel-train-0", state="Completed", ResourceConfig=resources)


def aws(cloud: Cloud) -> Cloud:
    return Cloud("aws", REGION, ACCOUNT, cloud.settings, cloud.client)


def invoke(cloud: Cloud, when: datetime) -> None:
    dimensions = [{"Name": "EndpointName", "Value": "kennel"}, {"Name": "VariantName", "Value": "all"}]
    data = {"MetricName": "Invocations", "Dimensions": dimensions, "Timestamp": when, "Value": 3.0}
    cloud.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[data])


def test_status_tells_what_runs_and_what_it_costs(cloud: Cloud) -> None:
    serve(cloud)
    found = status(aws(cloud), PRICES, lambda: NOON)
    assert [(each.kind, each.name, each.status, each.instances, each.hourly) for each in found.running] == [
        ("training job", "kennel-train-1", "Training", 1, 0.7),
        ("endpoint", "kennel", "InService", 2, 0.2),
    ]
    assert found.hourly == pytest.approx(0.9)


def test_on_this_machine_it_costs_nothing(cloud: Cloud) -> None:
    serve(cloud)
    assert status(cloud, PRICES, lambda: NOON).hourly == 0


def test_an_unknown_price_makes_the_sum_unknown(cloud: Cloud) -> None:
    serve(cloud, "ml.c7i.large")
    assert status(aws(cloud), PRICES, lambda: NOON).hourly is None


def test_an_endpoint_without_invocations_is_named_as_idle(cloud: Cloud) -> None:
    serve(cloud)
    invoke(cloud, NOON - timedelta(hours=5))
    idle = status(cloud, PRICES, lambda: NOON).idle
    assert [each.name for each in idle] == ["kennel"]
    assert idle[0].idle_since is not None
    assert NOON - timedelta(hours=5) <= idle[0].idle_since <= NOON - timedelta(hours=3)
    invoke(cloud, NOON - timedelta(minutes=10))
    assert status(cloud, PRICES, lambda: NOON).idle == ()


def test_idle_counts_from_the_last_use_or_the_beginning() -> None:
    created, used = NOON - timedelta(days=3), NOON - timedelta(hours=7)
    assert idle_since([], [], created, NOON) == created
    assert idle_since([], [{"Timestamp": used, "Sum": 2.0}], created, NOON) == used + timedelta(hours=1)
    assert idle_since([{"Timestamp": NOON, "Sum": 0.0}], [], created, NOON) == created
    assert idle_since([{"Timestamp": NOON, "Sum": 1.0}], [], created, NOON) is None
    assert idle_since([], [], NOON - timedelta(minutes=30), NOON) is None
