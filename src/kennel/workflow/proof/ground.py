"""Where a proof is made: a local AWS of its own, on which the story has been told under its policies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from kennel.cloud import names, training
from kennel.cloud.iam import place_of, roles_of
from kennel.cloud.iam.acting import as_deployer, prepared
from kennel.cloud.iam.apply import policy_name
from kennel.cloud.iam.values import Actor, Policy, Role, written
from kennel.cloud.session import Cloud, connect
from kennel.cloud.storage import S3Uri
from kennel.cloud.training import Channel, TrainingPlan
from kennel.iam.record import Call, read
from kennel.local.background import start_in_background, stop
from kennel.pictures.drawings import BREEDS, draw_set
from kennel.progress import Progress
from kennel.settings import Settings
from kennel.workflow.record import new
from kennel.workflow.stage import Stage
from kennel.workflow.story import Story

FEW = {"train": 3, "valid": 2, "test": 2}


@dataclass(slots=True)
class Ground:
    """admin, deployer: the same local AWS as its owner and as the deployer; told: where the story left what. registry:
    the user's `[local] registry`, which is for machines only: what SageMaker pulls is ECR's to allow."""

    admin: Cloud
    deployer: Cloud
    folder: Path
    told: dict[str, str] = field(default_factory=dict)
    photo: bytes = b""
    registry: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def settings(self) -> Settings:
        return self.admin.settings

    def fresh(self) -> int:
        """A number that no step has had."""
        return next(self._numbers)

    def acting(self, actor: Actor) -> Cloud:
        """As somebody of the account who has taken on an actor's role, if that trusts the account."""
        return self.admin.acting_as(place_of(self.admin).role(self.role(actor).name), "proof")

    def role(self, actor: Actor) -> Role:
        return next(each for each in roles_of(place_of(self.admin)) if each.actor == actor)

    def calls(self) -> list[Call]:
        """All that the gatekeeper has decided so far."""
        return list(read(self.folder / "home" / "gatekeeper"))

    def described(self) -> dict[str, Any]:
        """The story's training job."""
        return training.describe(self.admin, self.told["training job"]) or {}

    def plan(self, name: str, checkpoints: str = "") -> TrainingPlan:
        """A job like the story's last, of one epoch, without rules; its channels are the story's."""
        job = self.described()
        channels = [
            Channel(each["ChannelName"], each["DataSource"]["S3DataSource"]["S3Uri"], each["InputMode"])
            for each in job["InputDataConfig"]
        ]
        bucket, settings = self.admin.bucket, self.settings
        where = S3Uri(bucket, names.prefix(settings, names.CHECKPOINTS, checkpoints or name))
        return TrainingPlan(
            name=name,
            image=job["AlgorithmSpecification"]["TrainingImage"],
            role=job["RoleArn"],
            channels=tuple(channels),
            output=str(S3Uri(bucket, names.prefix(settings, names.JOBS))),
            machines=settings.training,
            hyperparameters=job["HyperParameters"],
            checkpoints=str(where),
            tags=tuple(settings.tags()),
        )

    def ask_anew(self) -> None:
        """What services were allowed a moment ago is decided, and recorded, again: as after any change of a policy."""
        role = self.role("training")
        with self.limited(role, role.policy):
            pass

    @contextmanager
    def limited(self, role: Role, policy: Policy) -> Iterator[None]:
        """As long as this lasts, the role may do no more than the policy says."""
        iam, name = self.admin.client("iam"), policy_name(self.admin)
        if policy["Statement"]:
            iam.put_role_policy(RoleName=role.name, PolicyName=name, PolicyDocument=written(policy))
        else:
            iam.delete_role_policy(RoleName=role.name, PolicyName=name)
        try:
            yield
        finally:
            iam.put_role_policy(RoleName=role.name, PolicyName=name, PolicyDocument=written(role.policy))


def made_for(settings: Settings) -> Settings:
    """The user's own names, so that it is the user's policies that are proven; little work, processes, any port."""
    fixed = {**settings.training.hyperparameters, "epochs": 1}
    changes = {
        "training": settings.training.model_copy(update={"hyperparameters": fixed, "spot": False, "instances": 1}),
        "tuning": settings.tuning.model_copy(
            update={"jobs": 1, "parallel_jobs": 1, "batch_size": (4,), "strategy": "Random", "warm_start": ()}
        ),
        "scaling": settings.scaling.model_copy(update={"enabled": False}),
        "function": settings.function.model_copy(update={"provisioned": 1, "reserved": 0}),
        "local": settings.local.model_copy(update={"port": 0, "runner": "process", "home": "", "registry": ""}),
    }
    return settings.model_copy(update=changes)


@contextmanager
def ground(settings: Settings, progress: Progress) -> Iterator[Ground]:
    """A local AWS in a folder of its own, thrown away at the end; bucket and roles are there, nothing else is."""
    with ExitStack() as held:
        folder = Path(tempfile.mkdtemp(prefix="kennel-proof-"))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        asked = made_for(settings)
        with progress.step("a local AWS of its own"):
            home = folder / "home"
            found = start_in_background(home, 0, asked.region, "process", asked.local.concurrency)
            held.callback(stop, home)
            admin = connect("local", asked, found.url, (found.access_key_id, found.secret_access_key))
            prepared(admin)
        yield Ground(admin, as_deployer(admin), folder, registry=settings.local.registry)


def tell(ground: Ground, progress: Progress) -> None:
    """The whole story once, under the policies: drawings, one trial, one epoch."""
    data = ground.folder / "data"
    draw_set(data, FEW, seed=2, breeds=BREEDS[:4])
    summary = Story(Stage(ground.deployer, new("local", data), ground.folder / "run", progress)).tell()
    (model,) = ground.admin.client("sagemaker").list_models()["Models"]
    ground.told = dict(summary.addresses) | {"model": str(model["ModelName"])}
    assert summary.photo is not None
    ground.photo = summary.photo.path.read_bytes()
