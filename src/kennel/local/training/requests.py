"""What CreateTrainingJob refuses beyond its shapes, and the description that a new job starts from. Pure."""

from __future__ import annotations

import re
from typing import Any

from kennel.local.errors import Refused, invalid
from kennel.local.parts import Document
from kennel.local.training import rules
from kennel.local.training.outputs import artifact_of

MOST_METRICS, MOST_HYPERPARAMETERS = 40, 100
DESCRIBED = (
    "TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
    "ResourceConfig", "VpcConfig", "StoppingCondition", "DebugHookConfig", "ExperimentConfig",
    "TensorBoardOutputConfig", "DebugRuleConfigurations", "ProfilerConfig", "ProfilerRuleConfigurations",
    "Environment", "RetryStrategy", "RemoteDebugConfig", "InfraCheckConfig", "CheckpointConfig",
    "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining",
)  # fmt: skip
"""Members of the request that DescribeTrainingJob repeats."""


def check(request: Document) -> None:
    """Raises Refused."""
    _check_algorithm(request.get("AlgorithmSpecification", {}))
    _check_channels(request.get("InputDataConfig", []), request["AlgorithmSpecification"]["TrainingInputMode"])
    _check_stopping(request)
    _check_checkpoints(request.get("CheckpointConfig", {}))
    rules.check(request)
    if len(request.get("HyperParameters", {})) > MOST_HYPERPARAMETERS:
        raise invalid(f"Number of hyperparameters exceeds the limit of {MOST_HYPERPARAMETERS}.")
    if "OutputDataConfig" not in request:
        raise invalid("OutputDataConfig is required.")
    config = request.get("ResourceConfig", {})
    if "InstanceGroups" in config or "TrainingPlanArn" in config:
        raise invalid(
            "The local AWS has no instance groups and no training plans; name InstanceType and InstanceCount."
        )
    if "InstanceType" not in config or "InstanceCount" not in config:
        raise invalid("InstanceType and InstanceCount are required in ResourceConfig.")
    if config["InstanceCount"] < 1:  # botocore's model says 0
        raise invalid("InstanceCount in ResourceConfig must be at least 1.")


def _check_algorithm(algorithm: Document) -> None:
    image, name = algorithm.get("TrainingImage"), algorithm.get("AlgorithmName")
    if bool(image) == bool(name):
        raise invalid(
            "Either algorithm name or training image must be provided, but not both."
            if image
            else "You must provide either an algorithm name or a training image."
        )
    if name:
        raise invalid("The local AWS has no algorithms of its own; name a TrainingImage.")
    if not algorithm.get("TrainingInputMode"):
        raise invalid("TrainingInputMode is required.")
    definitions = algorithm.get("MetricDefinitions", [])
    if len(definitions) > MOST_METRICS:
        raise invalid(f"MetricDefinitions must have at most {MOST_METRICS} members.")
    for each in definitions:
        _check_metric(each)


def _check_metric(definition: Document) -> None:
    try:
        re.compile(definition["Regex"])
    except re.error as error:
        raise invalid(f"The regex of the metric definition {definition['Name']} is invalid: {error}") from error


def _check_channels(channels: list[Document], mode: str) -> None:
    names = [each["ChannelName"] for each in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"Channel names must be unique, found duplicates: {', '.join(twice)}")
    for each in channels:
        if "S3DataSource" not in each["DataSource"]:
            raise invalid(f"Channel {each['ChannelName']}: the local AWS has only S3DataSource.")
        if (each.get("InputMode") or mode) == "Pipe":
            raise invalid(f"Channel {each['ChannelName']}: the local AWS has the input modes File and FastFile only.")
        if each["DataSource"]["S3DataSource"]["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            raise invalid(f"Channel {each['ChannelName']}: the local AWS has only S3Prefix and ManifestFile.")


def _check_stopping(request: Document) -> None:
    condition = request.get("StoppingCondition", {})
    wait, spot = condition.get("MaxWaitTimeInSeconds"), request.get("EnableManagedSpotTraining", False)
    if spot and wait is None:
        raise invalid("MaxWaitTimeInSeconds above 0 is required when EnableManagedSpotTraining is set to true.")
    if not spot and wait is not None:
        raise invalid("MaxWaitTimeInSeconds cannot be specified when EnableManagedSpotTraining is set to false.")
    if wait is not None and wait < condition.get("MaxRuntimeInSeconds", 86400):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_checkpoints(config: Document) -> None:
    path = config.get("LocalPath", "/opt/ml/checkpoints")
    name = path.removeprefix("/opt/ml/")
    if name == path or ".." in name.split("/") or not name.strip("/."):
        raise invalid(f"CheckpointConfig: the local AWS keeps checkpoints below /opt/ml only, not in {path}.")


def description(request: Document, arn: str, tuning_job_arn: str | None, now: float) -> Document:
    """A new job's."""
    job: Document = {name: request[name] for name in DESCRIBED if name in request}
    job["StoppingCondition"] = {"MaxRuntimeInSeconds": 86400, **request.get("StoppingCondition", {})}
    job.setdefault("EnableNetworkIsolation", False)
    job.setdefault("EnableInterContainerTrafficEncryption", False)
    job.setdefault("EnableManagedSpotTraining", False)
    job.update(TrainingJobArn=arn, CreationTime=now, LastModifiedTime=now)
    job["ModelArtifacts"] = {"S3ModelArtifacts": artifact_of(job)}
    if tuning_job_arn:
        job["TuningJobArn"] = tuning_job_arn
    return job


def schedule(tags: list[dict[str, str]]) -> list[float]:
    """When rehearsed spot interruptions come, by the tag `kennel:interrupt-after` = "5 20": seconds of training on the
    first instance, on the second, …"""
    text = next((tag["Value"] for tag in tags if tag["Key"] == "kennel:interrupt-after"), "")
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


def taken(name: str, arn: str) -> Refused:
    return Refused(
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({arn})",
    )


def mode_of(job: Document, channel: Document) -> str:
    """A channel's input mode: its own, or the algorithm's."""
    mode: Any = channel.get("InputMode") or job["AlgorithmSpecification"].get("TrainingInputMode", "File")
    return str(mode)
