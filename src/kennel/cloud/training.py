"""Training jobs: the request as a value, and the few calls that send, look at and end one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kennel import metrics
from kennel.aws.shapes import check
from kennel.cloud import debugger, names
from kennel.cloud.debugger import Debugging
from kennel.cloud.session import Cloud, or_none, told
from kennel.cloud.storage import S3Uri, exists
from kennel.errors import KennelError
from kennel.settings import Training

Request = dict[str, Any]
FEATURES_JOB = {"KENNEL_JOB": "features"}
"""The environment of a job that computes the features only. With its output uncompressed, that is a channel."""
ENDED_BADLY = ("Failed", "Stopped")


@dataclass(frozen=True, slots=True)
class Channel:
    """A folder of S3 that the job sees as /opt/ml/input/data/NAME. FastFile: read while the job runs, not before."""

    name: str
    uri: str
    mode: Literal["File", "FastFile"] = "FastFile"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything a training job is made of.

    output: S3 prefix; the artifact comes to OUTPUT/NAME/output/model.tar.gz, or, uncompressed, to a prefix below it.
    checkpoints: S3 prefix, also found again by a later job with the same one. debugging: a tuning job's trials cannot
    have it, their definition has no such members.
    """

    name: str
    image: str
    role: str
    channels: tuple[Channel, ...]
    output: str
    machines: Training
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    compression: Literal["GZIP", "NONE"] = "GZIP"
    checkpoints: str | None = None
    tags: tuple[Mapping[str, str], ...] = ()
    debugging: Debugging | None = None


def training_request(plan: TrainingPlan) -> Request:
    """CreateTrainingJob's request. Raises SettingError where AWS would refuse it."""
    request = {
        "TrainingJobName": plan.name,
        "AlgorithmSpecification": algorithm(plan),
        "HyperParameters": dict(plan.hyperparameters),
        **work(plan),
        **(debugger.members(plan.debugging, plan.name, plan.output) if plan.debugging else {}),
        "Tags": [dict(tag) for tag in plan.tags],
    }
    check("sagemaker", "CreateTrainingJob", request)
    return request


def algorithm(plan: TrainingPlan) -> Request:
    """The image, and how its log is read. Each channel has its own input mode; the one here is for those without."""
    return {
        "TrainingImage": plan.image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": each.name, "Regex": each.regex} for each in metrics.ALL],
    }


def work(plan: TrainingPlan) -> Request:
    """What a training job and the definition of a tuning job's trials have in common."""
    machines = plan.machines
    stopping = {"MaxRuntimeInSeconds": machines.max_runtime_s}
    request: Request = {
        "RoleArn": plan.role,
        "InputDataConfig": [_channel(each) for each in plan.channels],
        "OutputDataConfig": {"S3OutputPath": plan.output, "CompressionType": plan.compression},
        "ResourceConfig": {
            "InstanceType": machines.instance_type,
            "InstanceCount": machines.instances,
            "VolumeSizeInGB": machines.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableNetworkIsolation": True,
        "EnableManagedSpotTraining": machines.spot,
    }
    if machines.spot:
        stopping["MaxWaitTimeInSeconds"] = machines.max_wait_s
    if plan.checkpoints:
        request["CheckpointConfig"] = {"S3Uri": plan.checkpoints}
    if plan.environment:
        request["Environment"] = dict(plan.environment)
    return request


def _channel(channel: Channel) -> Request:
    source = {"S3DataType": "S3Prefix", "S3Uri": channel.uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": channel.name, "DataSource": {"S3DataSource": source}, "InputMode": channel.mode}


def start(cloud: Cloud, plan: TrainingPlan) -> str:
    """The name of the job that does this plan: one that is there already, or a new one.

    A job that failed, was stopped, or whose output is gone keeps its name, so the next try gets the next name.
    """
    for name in names.tries(plan.name):
        found = describe(cloud, name)
        if found is None:
            request = training_request(replace(plan, name=name))
            with told(f"start the training job {name}"):
                cloud.client("sagemaker").create_training_job(**request)
            return name
        if found["TrainingJobStatus"] not in ENDED_BADLY and _is_of_use(cloud, found):
            return name
    raise KennelError(
        f"the training job {plan.name} failed {names.TRIES} times",
        f"See why: kennel status; then change what is wrong, or delete the jobs {plan.name}…",
    )


def _is_of_use(cloud: Cloud, found: Mapping[str, Any]) -> bool:
    """A job that has ended well is, as long as what it left is still in S3."""
    if found["TrainingJobStatus"] != "Completed":
        return True
    left = S3Uri.parse(found["ModelArtifacts"]["S3ModelArtifacts"])
    if found["OutputDataConfig"].get("CompressionType") == "NONE":
        left = S3Uri(left.bucket, f"{left.key.rstrip('/')}/")
    return exists(cloud, left)


def describe(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """SageMaker's description, None where there is no such job."""
    sagemaker = cloud.client("sagemaker")
    with told(f"look at the training job {name}"):
        return or_none(lambda: sagemaker.describe_training_job(TrainingJobName=name))


def listed(cloud: Cloud, containing: str = "") -> list[dict[str, Any]]:
    """Summaries of the training jobs with this in their names, the newest first."""
    request = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    if containing:
        request["NameContains"] = containing
    with told("list the training jobs"):
        pages = cloud.client("sagemaker").get_paginator("list_training_jobs").paginate(**request)
        return [each for page in pages for each in page["TrainingJobSummaries"]]


def stop(cloud: Cloud, name: str) -> None:
    """Ask it to end: SIGTERM, and two minutes; a job that has ended already is no error."""
    found = describe(cloud, name)
    if found is not None and found["TrainingJobStatus"] == "InProgress":
        with told(f"stop the training job {name}"):
            cloud.client("sagemaker").stop_training_job(TrainingJobName=name)


def delete(cloud: Cloud, name: str) -> None:
    """Forget a job that has ended, so that its name is free; what it wrote to S3 stays."""
    with told(f"delete the training job {name}"):
        or_none(lambda: cloud.client("sagemaker").delete_training_job(TrainingJobName=name))
