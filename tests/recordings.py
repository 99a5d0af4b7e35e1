"""Recorded trainings as AWS and a machine by hand tell them, with figures that are reckoned by hand in the tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from kennel.cloud import by_hand
from kennel.cloud.by_hand import ByHand
from kennel.cloud.recorded import of_job, of_run
from kennel.comparison.costs import Book, Offer
from kennel.comparison.recorded import Recorded

DAY = datetime(2026, 11, 28, 17, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training@{DIGEST}"
DATA = "s3://dogs/kennel/data/1a2b3c4d/"
WEIGHTS = "s3://dogs/kennel/weights/5e6f7a8b/"


def at(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def described(**members: Any) -> dict[str, Any]:
    """A training job as DescribeTrainingJob tells it, with a transition for each message; AWS merges those of a status
    (see `merged`)."""

    def transition(status: str, begun: float, ended: float, message: str = "") -> dict[str, Any]:
        return {"Status": status, "StartTime": at(begun), "EndTime": at(ended), "StatusMessage": message}

    def channel(name: str, uri: str) -> dict[str, Any]:
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}

    return {
        "TrainingJobName": "kennel-train-1a2b3c4d",
        "TrainingJobStatus": "Completed",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "MetricDefinitions": [{"Name": "a", "Regex": "b"}]},
        "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
        "HyperParameters": {"epochs": "20", "sagemaker_region": "us-east-1"},
        "InputDataConfig": [
            *(channel(split, f"{DATA}{split}/") for split in ("train", "valid", "test")),
            channel("weights", WEIGHTS),
        ],
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "EnableNetworkIsolation": True,
        "EnableManagedSpotTraining": False,
        "ProfilerConfig": {"S3OutputPath": "s3://dogs/kennel/jobs"},
        "SecondaryStatusTransitions": [
            transition("Starting", 0, 10, "Starting the training job"),
            transition("Pending", 10, 100, "Preparing the instances for training"),
            transition("Downloading", 100, 130, "Downloading input data"),
            transition("Downloading", 130, 310, "Downloading the training image"),
            transition("Training", 310, 610, "Training image download completed. Training in progress."),
            transition("Uploading", 610, 620, "Uploading generated training model"),
            transition("Completed", 620, 620, "Training job completed"),
        ],
        "CreationTime": at(0),
        "TrainingEndTime": at(620),
        "TrainingTimeInSeconds": 520,
        "BillableTimeInSeconds": 520,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://dogs/kennel/jobs/x/output/model.tar.gz"},
        **members,
    }


def merged() -> list[dict[str, Any]]:
    """Transitions as AWS keeps them: one for each status, with its last message."""

    def transition(status: str, begun: float, ended: float, message: str) -> dict[str, Any]:
        return {"Status": status, "StartTime": at(begun), "EndTime": at(ended), "StatusMessage": message}

    return [
        transition("Starting", 0, 100, "Preparing the instances for training"),
        transition("Downloading", 100, 310, "Downloading the training image"),
        transition("Training", 310, 610, "Training image download completed. Training in progress."),
        transition("Uploading", 610, 620, "Uploading generated training model"),
        transition("Completed", 620, 620, "Training job completed"),
    ]


def told(**members: Any) -> ByHand:
    """A run by hand, as its machine told it."""
    begun = [
        (0.0, "check", 1),
        (1, "login", 2),
        (3, "pull", 60),
        (63, "data", 20),
        (83, "train", 300),
        (383, "upload", 7),
    ]
    status = {
        "version": 1, "run": "kennel-ec2-1a2b3c4d", "state": "Completed", "phase": "upload", "reason": "", "attempt": 1,
        "phases": [
            {"name": name, "attempt": 1, "begun": at(40 + second).isoformat(), "seconds": took}
            for second, name, took in begun
        ],
        "image": IMAGE, "data": DATA, "weights": f"{WEIGHTS}resnet50.safetensors",
        "hyperparameters": {"epochs": "20"},
        "machine": {
            "instance_id": "i-0123456789abcdef0", "instance_type": "g4dn.xlarge", "region": "us-east-1",
            "zone": "us-east-1a", "spot": False, "gpus": "Tesla T4", "cores": 4, "launched": at(0).isoformat(),
        },
        "begun": at(40).isoformat(), "ended": at(430).isoformat(),
        **members,
    }  # fmt: skip
    return by_hand.parse(json.dumps(status).encode())


def managed(**members: Any) -> Recorded:
    return of_job(described(**members), "aws", "us-east-1")


def own(**members: Any) -> Recorded:
    return of_run(told(**members), "aws", "us-east-1", volume_gb=100, limit_s=3600)


def offer(way: Any, market: Any, hourly: float, **members: Any) -> Offer:
    return Offer(way=way, market=market, region="us-east-1", instance_type="g4dn.xlarge", hourly=hourly, **members)


BOOK = Book(
    as_of="2026-11-28",
    offers=(
        offer("sagemaker", "on demand", 0.72, gb_month=0.14),
        offer("ec2", "on demand", 0.54, gb_month=0.073, ipv4_hour=0.005),
        offer("ec2", "spot", 0.18, gb_month=0.073, ipv4_hour=0.005),
    ),
    sources=(),
)
