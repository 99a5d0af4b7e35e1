"""What AWS describes of a training job, and what a machine by hand has told of its run, as recorded trainings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from kennel.cloud.by_hand import ByHand
from kennel.comparison.recorded import Fact, PhaseName, Phases, Recorded
from kennel.errors import KennelError

Side = Literal["aws", "local"]
Description = Mapping[str, Any]
DIGEST = re.compile(r"(?:^|@)(sha256:[0-9a-f]{64})$")
IMAGE_DOWNLOAD = re.compile(r"downloading\b.*\bimage", re.IGNORECASE)
"""SageMaker's message while it pulls: under Downloading or Training, by its time."""
FETCHED = ("auto", "torchvision", "npm", "random")
"""Weights by name, of which ec2/train.sh finds no file: the container then has a network."""
PHASE_OF: dict[str, PhaseName] = {
    "Starting": "provision", "LaunchingMLInstances": "provision", "PreparingTrainingStack": "provision",
    "Pending": "provision", "Interrupted": "provision", "DownloadingTrainingImage": "pull", "Downloading": "data",
    "Training": "train", "Uploading": "upload",
}  # fmt: skip
"""Secondary status → phase; all others are no phase of the work."""
OF_RUN: dict[str, PhaseName] = {
    "check": "other", "login": "other", "pull": "pull", "data": "data", "train": "train", "upload": "upload",
}  # fmt: skip
EXTRA = ("weights", "features")
"""Channels that are no split."""


def digest_of(image: str) -> str:
    """`sha256:…` of an image that is named by it, "" of one that is not."""
    found = DIGEST.search(image)
    return found[1] if found else ""


def of_job(job: Description, side: Side, region: str) -> Recorded:
    """A training job that has ended. job: as SageMaker describes it. Raises KennelError for one that has not."""
    status = str(job["TrainingJobStatus"])
    if status not in ("Completed", "Failed", "Stopped"):
        raise KennelError(f"{job['TrainingJobName']} is {status}", "Wait until it has ended: kennel status")
    machines, image = job["ResourceConfig"], str(job["AlgorithmSpecification"].get("TrainingImage", ""))
    channels = {each["ChannelName"]: _place(each) for each in job.get("InputDataConfig", [])}
    transitions = job.get("SecondaryStatusTransitions", [])
    return Recorded(
        way="sagemaker",
        side=side,
        name=str(job["TrainingJobName"]),
        status=status,
        reason=_line(str(job.get("FailureReason", ""))),
        region=region,
        instance_type=str(machines.get("InstanceType", "")),
        instances=int(machines.get("InstanceCount", 1)),
        volume_gb=machines.get("VolumeSizeInGB"),
        spot=bool(job.get("EnableManagedSpotTraining", False)),
        image=image,
        image_digest=digest_of(image),
        data={name: uri for name, uri in channels.items() if name not in EXTRA},
        weights=channels.get("weights", ""),
        hyperparameters=dict(job.get("HyperParameters", {})),
        phases=_phases_of_job(transitions),
        training_seconds=job.get("TrainingTimeInSeconds"),
        billed_seconds=job.get("BillableTimeInSeconds"),
        begun=job.get("CreationTime"),
        ended=job.get("TrainingEndTime") or job.get("LastModifiedTime"),
        interruptions=sum(each["Status"] == "Interrupted" for each in transitions),
        facts=_facts_of_job(job),
    )


def of_run(run: ByHand, side: Side, region: str, volume_gb: int | None = None, limit_s: int | None = None) -> Recorded:
    """A run by hand that has ended. region, volume_gb, limit_s: what was asked for, where the machine does not tell.

    Raises KennelError for one that still runs.
    """
    if not run.over:
        raise KennelError(f"{run.run} is in phase {run.phase}", "Wait until it has ended: kennel ec2 status")
    spans = _spans(run)
    return Recorded(
        way="ec2",
        side=side,
        name=run.run,
        status=run.state,
        reason=run.reason,
        region=run.machine.region or region,
        instance_type=run.machine.instance_type,
        volume_gb=volume_gb,
        spot=run.machine.spot,
        image=run.image,
        image_digest=digest_of(run.image),
        data={"": run.data},
        weights=run.weights,
        hyperparameters=dict(run.hyperparameters),
        phases=_phases_of_run(run),
        training_seconds=_billed(run, spans),
        billed_seconds=_billed(run, spans),
        begun=_begun(run),
        ended=run.ended or max((end for _, end in spans), default=None),
        interruptions=run.attempt - 1,
        facts=_facts_of_run(run, limit_s),
    )


def _place(channel: Description) -> str:
    return str(channel["DataSource"].get("S3DataSource", {}).get("S3Uri", ""))


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:2000]


# --- SageMaker ----------------------------------------------------------------------------------------------------


def _phases_of_job(transitions: Iterable[Description]) -> Phases:
    """Seconds by phase. The image's download is told by a message only, and where none says so it is None.

    AWS keeps one transition for each status, and its last message: a Downloading that ends with the image began with
    the pictures, so it is no image's alone."""
    found: dict[PhaseName, float] = {}
    before = ""
    for each in transitions:
        before, last = str(each["Status"]), before
        begun, ended = each["StartTime"], each.get("EndTime")
        if not isinstance(begun, datetime) or not isinstance(ended, datetime):
            continue
        phase = PHASE_OF.get(each["Status"], "other")
        alone = phase == "train" or (phase == "data" and last == before)
        if alone and IMAGE_DOWNLOAD.search(str(each.get("StatusMessage", ""))):
            phase = "pull"
        found[phase] = found.get(phase, 0.0) + max(0.0, (ended - begun).total_seconds())
    return Phases(**found)


def _facts_of_job(job: Description) -> dict[str, Fact]:
    stopping, spot = job.get("StoppingCondition", {}), bool(job.get("EnableManagedSpotTraining", False))
    modes = {each.get("InputMode", "File") for each in job.get("InputDataConfig", [])}
    rules = [*job.get("DebugRuleConfigurations", []), *job.get("ProfilerRuleConfigurations", [])]
    told: dict[str, tuple[str | bool | float, str]] = {
        "log": (f"CloudWatch, /aws/sagemaker/TrainingJobs, {job['TrainingJobName']}/…", "TrainingJobName"),
        "metrics": (f"CloudWatch, {len(job.get('FinalMetricDataList', []))} of them", "FinalMetricDataList"),
        "goes on after an interruption": (
            "by itself" if spot else "not asked for (spot is off)", "EnableManagedSpotTraining"),
        "checkpoints": ("kept in S3 and put back" if "CheckpointConfig" in job else "none", "CheckpointConfig"),
        "time limit, in seconds": (
            float(stopping.get("MaxRuntimeInSeconds", 0)), "StoppingCondition.MaxRuntimeInSeconds"),
        "pictures are read": (
            "while it trains" if "FastFile" in modes else "before it trains", "InputDataConfig, InputMode"),
        "image pulled by": ("SageMaker", "AlgorithmSpecification.TrainingImage"),
        "network isolation": (bool(job.get("EnableNetworkIsolation", False)), "EnableNetworkIsolation"),
        "profiler": ("ProfilerConfig" in job, "ProfilerConfig"),
        "rules that judge": (float(len(rules)), "DebugRuleConfigurations, ProfilerRuleConfigurations"),
        "metrics that a tuning job can use": (
            float(len(job["AlgorithmSpecification"].get("MetricDefinitions", []))),
            "AlgorithmSpecification.MetricDefinitions"),
        "a shell on the machine": (
            bool(job.get("RemoteDebugConfig", {}).get("EnableRemoteDebug", False)),
            "RemoteDebugConfig.EnableRemoteDebug"),
        "ends itself": ("TrainingEndTime" in job, "TrainingEndTime"),
        "attempts": (1.0 + sum(each["Status"] == "Interrupted" for each in job.get("SecondaryStatusTransitions", [])),
                     "SecondaryStatusTransitions"),
    }  # fmt: skip
    return {name: Fact(value=value, evidence=evidence) for name, (value, evidence) in told.items()}


# --- by hand ------------------------------------------------------------------------------------------------------


def _phases_of_run(run: ByHand) -> Phases:
    found: dict[PhaseName, float] = {}
    for each in run.phases:
        name = OF_RUN[each.name]
        found[name] = found.get(name, 0.0) + each.seconds
    if run.provision_s is not None:
        found["provision"] = run.provision_s
    return Phases(**found)


def _spans(run: ByHand) -> list[tuple[datetime, datetime]]:
    """When each attempt began and ended; each has had a machine of its own."""
    found = []
    for attempt in range(1, run.attempt + 1):
        mine = [each for each in run.phases if each.attempt == attempt]
        if mine:
            ends = [each.begun + timedelta(seconds=each.seconds) for each in mine]
            found.append((min(each.begun for each in mine), max(ends)))
    if found and run.ended:
        found[-1] = (found[-1][0], max(found[-1][1], run.ended))
    return found


def _begun(run: ByHand) -> datetime:
    """The first machine's launch; a later attempt does not tell it, and it is taken to have started as fast."""
    if run.attempt == 1:
        return run.machine.launched or run.begun
    return run.begun - timedelta(seconds=run.provision_s or 0.0)


def _billed(run: ByHand, spans: list[tuple[datetime, datetime]]) -> float | None:
    """Seconds of machines. What an earlier attempt's machine took to start is not told, and taken to be the last's."""
    if not spans:
        return None
    return sum((end - begin).total_seconds() for begin, end in spans) + len(spans) * (run.provision_s or 0.0)


def _facts_of_run(run: ByHand, limit_s: int | None) -> dict[str, Fact]:
    machine = run.machine
    told: dict[str, tuple[str | bool | float, str]] = {
        "log": ("S3, log.txt of the run", "log.txt"),
        "metrics": ("none but the log's lines", "log.txt"),
        "goes on after an interruption": (
            "when it is launched again" if run.attempt == 1 else f"launched {run.attempt} times", "attempt"),
        "checkpoints": ("kept in S3; the next launch puts them back", "checkpoints/"),
        "pictures are read": ("before it trains", "phases: data"),
        "image pulled by": ("the machine itself", "phases: login, pull"),
        "network isolation": (run.weights not in FETCHED, "weights (a name is no file, and is fetched)"),
        "profiler": (False, "output/profiler/"),
        "rules that judge": (0.0, "status.json has none"),
        "metrics that a tuning job can use": (0.0, "status.json has none"),
        "attempts": (float(run.attempt), "attempt"),
    }  # fmt: skip
    if limit_s is not None:
        told["time limit, in seconds"] = (float(limit_s), "ec2.max_runtime_s")
    if machine.instance_id:
        told["a shell on the machine"] = (True, f"machine.instance_id {machine.instance_id}")
    if run.instance:
        told["ends itself"] = (run.instance in ("shutting-down", "terminated"), f"instance is {run.instance}")
    return {name: Fact(value=value, evidence=evidence) for name, (value, evidence) in told.items()}
