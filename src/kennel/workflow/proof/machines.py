"""What the proof does by hand: machines of the local AWS, launched as the launcher, which work as the instance role.

To launch one needs no more than the local AWS. To train on one needs a Docker engine with the training image.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace

from kennel.cloud import instance, instance_plan, machines, registry, training
from kennel.cloud.instance_plan import Given
from kennel.cloud.instance_requests import InstancePlan
from kennel.cloud.session import Cloud
from kennel.errors import KennelError
from kennel.pictures.dataset import SPLITS
from kennel.workflow.proof.ground import Ground
from kennel.workflow.proof.steps import Step
from kennel.workflow.proof.stolen_machines import NO_IMAGE

PAUSE_S = 0.2


def launch(ground: Ground) -> None:
    """A machine that finds no image, looked at until it has ended; then one that is ended before it can say why."""
    cloud = ground.acting("launcher")
    registry.image_uri(cloud, ground.settings.images.training)
    if training.describe(cloud, ground.told["training job"]) is None:
        raise KennelError("the story's training job is not there")
    for ends in (False, True):
        plan = instance_plan.plan_of(cloud, _given(ground, NO_IMAGE), _run(ground))
        instance.launch(cloud, plan)
        if ends and not instance.end(cloud, plan.run):
            raise KennelError(f"the machine of {plan.run} did not run")
        instance.wait(cloud, plan.run, lambda told: None, lambda seconds: time.sleep(PAUSE_S))
        instance.log(cloud, plan.run)
    _console(ground, cloud, plan.run)


def train(ground: Ground) -> None:
    """A run by hand to its end."""
    _train(ground, _plan(ground))


def train_again(ground: Ground) -> None:
    """One that an earlier attempt has left checkpoints of."""
    plan = _plan(ground)
    place = instance.place(ground.admin, plan.run)
    for name, content in (("status.json", _stopped(plan)), ("log.txt", b"earlier\n"), ("checkpoints/note", b"-")):
        ground.admin.client("s3").put_object(Bucket=place.bucket, Key=f"{place.key}/{name}", Body=content)
    _train(ground, plan)


def no_group(ground: Ground) -> None:
    """Nothing of it runs, and its security group is not there."""
    no_machines(ground)
    ec2, name = ground.admin.client("ec2"), machines.group_name(ground.admin)
    for each in ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]:
        ec2.delete_security_group(GroupId=each["GroupId"])


def no_machines(ground: Ground) -> None:
    """What a step has left running ends."""
    ec2 = ground.admin.client("ec2")
    while there := machines.there(ground.admin):
        live = [str(each["InstanceId"]) for each in there if machines.state_of_machine(each) in machines.LIVE]
        if live:
            ec2.terminate_instances(InstanceIds=live)
        time.sleep(PAUSE_S)


def is_possible(ground: Ground) -> bool:
    """Whether this machine has what trains by hand: an engine with the training image."""
    with suppress(KennelError):
        return bool(_image(ground))
    return False


def _image(ground: Ground) -> str:
    """In the user's registry, where there is one, so that a machine has to log in. Raises KennelError."""
    settings = ground.settings
    local = settings.local.model_copy(update={"registry": ground.registry})
    cloud = replace(ground.admin, settings=settings.model_copy(update={"local": local}))
    return instance_plan.named(cloud, f"s3://{cloud.bucket}/data", "auto", {}).image


def _given(ground: Ground, image: str) -> Given:
    """The story's pictures and weights; one epoch."""
    job = ground.described()
    places = {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in job["InputDataConfig"]}
    return Given(image, {split: places[split] for split in SPLITS}, places["weights"], {"epochs": "1"})


def _run(ground: Ground) -> str:
    return f"{ground.settings.project}-ec2-proof-{ground.fresh()}"


def _plan(ground: Ground) -> InstancePlan:
    return instance_plan.plan_of(ground.admin, _given(ground, _image(ground)), _run(ground))


def _train(ground: Ground, plan: InstancePlan) -> None:
    cloud = ground.acting("launcher")
    instance.launch(cloud, plan)
    done = instance.wait(cloud, plan.run, lambda told: None)
    if done.state != "Completed":
        raise KennelError(f"{plan.run} {done.state.lower()} in {done.phase}: {done.reason}")


def _console(ground: Ground, cloud: Cloud, run: str) -> None:
    """Read as `kennel ec2 status` reads that of a machine that told nothing: by the launcher."""
    place = instance.place(ground.admin, run)
    ground.admin.client("s3").delete_object(Bucket=place.bucket, Key=f"{place.key}/status.json")
    if not instance.status(cloud, run).console:
        raise KennelError(f"the machine of {run} has no console")


def _stopped(plan: InstancePlan) -> bytes:
    """What train.sh leaves when it is stopped while it trains."""
    at = "2026-01-01T00:00:00.000Z"
    told = {
        "version": 1, "run": plan.run, "state": "Stopped", "phase": "train", "reason": "asked to stop", "attempt": 1,
        "phases": [], "image": plan.image, "data": plan.folder, "weights": plan.weights,
        "hyperparameters": dict(plan.hyperparameters), "machine": {}, "begun": at, "ended": at,
    }  # fmt: skip
    return json.dumps(told, indent=2).encode()


MACHINES = (
    Step("launch by hand", launch, no_group, no_machines),
    Step("train by hand", train, after=no_machines, possible=is_possible),
    Step("train by hand again", train_again, after=no_machines, possible=is_possible),
)
