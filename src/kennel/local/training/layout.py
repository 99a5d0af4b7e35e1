"""What a host of a training job finds under its contract root, and what its runner is told."""

from __future__ import annotations

import json
from pathlib import Path

from kennel.contract import Contract
from kennel.local.parts import Document, House
from kennel.local.training import states
from kennel.local.training.channels import fetch
from kennel.local.training.requests import mode_of
from kennel.local.within import Objects
from kennel.local.work import Runner, Work

OPT_ML = "/opt/ml/"
TOLD = {"DebugHookConfig": "debughookconfig.json", "ProfilerConfig": "profilerconfig.json"}
"""Members of the request that a container is told of as they are."""


def lay_out(job: Document, runner: Runner, hosts: list[str], number: int, root: Path, objects: Objects) -> None:
    """The contract's folders, configuration and data for one host. Raises DataMissing."""
    contract = Contract(root)
    for folder in (contract.model, contract.output, checkpoints_of(job, root), contract.data, root / "input/config"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in configuration(job, hosts, hosts[number], runner.interface).items():
        (root / "input/config" / name).write_text(json.dumps(content))
    for channel in job.get("InputDataConfig", []):
        # only a container keeps its work from writing to what it is shown
        linked = mode_of(job, channel) == "FastFile" and runner.name == "docker"
        fetch(channel, linked, contract.data / channel["ChannelName"], objects, number, len(hosts))


def configuration(job: Document, hosts: list[str], host: str, interface: str) -> dict[str, Document]:
    """The files of /opt/ml/input/config, by name."""
    kind = job["ResourceConfig"]["InstanceType"]
    group = {"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": hosts}
    channels = {
        each["ChannelName"]: {
            "TrainingInputMode": mode_of(job, each),
            "S3DistributionType": each["DataSource"]["S3DataSource"].get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": each.get("RecordWrapperType", "None"),
            **({"ContentType": each["ContentType"]} if "ContentType" in each else {}),
        }
        for each in job.get("InputDataConfig", [])
    }
    return {
        "hyperparameters.json": dict(job.get("HyperParameters", {})),
        "inputdataconfig.json": channels,
        "resourceconfig.json": {
            "current_host": host,
            "current_instance_type": kind,
            "current_group_name": "homogeneousCluster",
            "hosts": hosts,
            "instance_groups": [group],
            "network_interface_name": interface,
        },
        **{name: job[member] for member, name in TOLD.items() if member in job},
    }


def work(house: House, job: Document, root: Path, host: str, network: str | None) -> Work:
    """root: below the job's folder, which also has its log files."""
    fast = [each for each in job.get("InputDataConfig", []) if mode_of(job, each) == "FastFile"]
    return Work(
        name=f"training-{job['TrainingJobName']}-{host.replace('.', '-')}",
        image=job["AlgorithmSpecification"]["TrainingImage"],
        command="train",
        root=root,
        log=log_of(root),
        environment={
            "TRAINING_JOB_NAME": job["TrainingJobName"],
            "TRAINING_JOB_ARN": job["TrainingJobArn"],
            "AWS_REGION": house.region,
            "KENNEL_SAMPLER": "on",  # on SageMaker its own agent samples
            **job.get("Environment", {}),
        },
        read_only=tuple(Contract(root).data / each["ChannelName"] for each in fast),
        host=host,
        network=network,
        isolated=job["EnableNetworkIsolation"],
    )


def log_of(root: Path) -> Path:
    """Beside the host's root, so that it outlives an attempt."""
    return root.with_name(f"{root.name}.log")


def checkpoints_of(job: Document, root: Path) -> Path:
    """The folder that is kept equal with S3; requests.check saw to it that it lies below /opt/ml."""
    path: str = job.get("CheckpointConfig", {}).get("LocalPath", f"{OPT_ML}checkpoints")
    return root / path.removeprefix(OPT_ML)


def failure(root: Path) -> str:
    """The failure file's text. Not what a link in its place leads to, nor a pipe, which nobody ever fills."""
    path = Contract(root).failure
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return file.read(4 * states.LONGEST_REASON).decode(errors="replace").strip()
    except OSError:
        return ""
