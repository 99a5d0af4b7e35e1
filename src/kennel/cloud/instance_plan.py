"""What a run by hand is made of: from kennel.toml and what was named, or from a training job that it shall be like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kennel.cloud import names, on_engine
from kennel.cloud.instance_requests import InstancePlan, has_gpu
from kennel.cloud.registry import image_uri
from kennel.cloud.session import Cloud
from kennel.cloud.storage import S3Uri
from kennel.cloud.training import describe
from kennel.contract import without_sagemakers
from kennel.errors import KennelError, SettingError
from kennel.hyperparameters import parse
from kennel.pictures.dataset import SPLITS

RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """image: as a container engine names it; data: split → S3 URI; weights: S3 URI or auto."""

    image: str
    data: Mapping[str, str]
    weights: str = "auto"
    hyperparameters: Mapping[str, str] = field(default_factory=dict)


def like(cloud: Cloud, job: str) -> Given:
    """What a training job was made of. Its channel of features is left away: by hand they are computed. Raises
    KennelError."""
    found = describe(cloud, job)
    if found is None:
        raise KennelError(f"there is no training job {job}", "See which there are: kennel status")
    channels = {
        each["ChannelName"]: str(each["DataSource"]["S3DataSource"]["S3Uri"])
        for each in found.get("InputDataConfig", [])
        if "S3DataSource" in each["DataSource"]
    }
    if missing := [split for split in SPLITS if split not in channels]:
        raise KennelError(f"{job} has no channel {missing[0]}", "Name a training job of kennel's")
    image = str(found["AlgorithmSpecification"]["TrainingImage"])
    return Given(
        _for_machine(cloud, image),
        {split: channels[split] for split in SPLITS},
        channels.get("weights", "auto"),
        without_sagemakers(found.get("HyperParameters", {})),
    )


def named(cloud: Cloud, data: str, weights: str, hyperparameters: Mapping[str, str], image: str = "") -> Given:
    """data: an S3 prefix with train/, valid/ and test/. image: repository[:tag], or whole; "" takes kennel.toml's.
    Raises KennelError."""
    S3Uri.parse(data)
    if weights != "auto":
        S3Uri.parse(weights)
    splits = {split: f"{data.rstrip('/')}/{split}/" for split in SPLITS}
    whole = "@" in image or image.startswith("sha256:")
    uri = image if whole else _for_machine(cloud, image_uri(cloud, image or cloud.settings.images.training))
    return Given(uri, splits, weights, dict(hyperparameters))


def plan_of(cloud: Cloud, given: Given, run: str = "") -> InstancePlan:
    """The plan, by kennel.toml's [ec2]. run: its name; "" derives it from the content, as those of jobs. Raises
    SettingError."""
    parse(given.hyperparameters)
    if run and not RUN.fullmatch(run):
        raise SettingError(f"{run!r} cannot be a run's name", "Use letters, digits and dashes, 60 at most")
    settings, asked = cloud.settings, cloud.settings.ec2
    matter = (given.image, dict(given.data), given.weights, dict(given.hyperparameters), asked.instance_type)
    run = run or names.name(settings.project, names.EC2, *matter)
    return InstancePlan(
        run=run,
        region=cloud.region,
        out=str(S3Uri(cloud.bucket, names.prefix(settings, names.EC2, run))),
        image=given.image,
        data=given.data,
        weights=given.weights,
        hyperparameters=given.hyperparameters,
        instance_type=asked.instance_type,
        volume_gb=asked.volume_gb,
        max_runtime_s=asked.max_runtime_s,
        spot=asked.spot,
        gpu=cloud.side == "aws" and has_gpu(asked.instance_type),  # the local AWS records types, and has no GPU to give
        login=cloud.side == "local" and "/" in given.image,
        ssh_from=asked.ssh_from,
        key_name=asked.key_name,
        subnet=asked.subnet,
        role=settings.instance_role,
        tags=tuple(settings.tags()),
    )


def _for_machine(cloud: Cloud, image: str) -> str:
    """On the local side there need be no registry: then the image is named by the engine's own id."""
    return image if cloud.side == "aws" or "@" in image else on_engine.id_of(image)
