"""The story in small steps that can be done again and again: what is done is really done, by the same code.

`ready` makes, as the administrator, what has to be there before; `do` is done as the deployer, and what it starts works
under its own roles. A step fails by an error, or by what is missing afterwards: a role without a log goes on without.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from kennel.cloud import bucket, names, registry, status, storage, teardown, training, tuning, watch
from kennel.cloud.debugger import Debugging
from kennel.cloud.events import Event
from kennel.cloud.iam.apply import ensure
from kennel.cloud.iam.place import TRAINING_LOGS
from kennel.cloud.logs import Follower, Notice
from kennel.cloud.prices import load
from kennel.cloud.removal import Removal, begin, is_over
from kennel.cloud.session import Cloud
from kennel.cloud.tuning import TuningPlan
from kennel.errors import KennelError
from kennel.hyperparameters import parse
from kennel.progress import Progress
from kennel.workflow import debugging
from kennel.workflow.proof.ground import Ground

SELECTION = {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": f"sha256:{'0' * 64}"},
    "layers": [],
}
Do = Callable[[Ground], None]
Ask = Callable[[Ground], bool]
LARGE = (16 << 20) + 1
"""Bytes: goes up in parts, so a listing does not tell whether it is the same file."""


def nothing(ground: Ground) -> None:
    """What a step needs that needs nothing."""


def always(ground: Ground) -> bool:
    """Where every machine can do a step."""
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """after: done as the administrator whatever came of it, so that nothing is left running. waits: for the work that
    it starts; else it does not see what becomes of that, and shows nothing of the role it is done under. possible:
    whether this machine has what it needs; a step that it cannot do is left away.
    """

    name: str
    do: Do
    ready: Do = nothing
    after: Do = nothing
    waits: bool = True
    possible: Ask = always


def heard(event: Event) -> None:
    """What watching tells; that a log may not be read is told, not raised."""
    if isinstance(event, Notice):
        raise KennelError(event.text)


def roles(ground: Ground) -> None:
    """What `kennel run` looks at first."""
    bucket.ensure_bucket(ground.deployer)
    ensure(ground.deployer, "training")
    ensure(ground.deployer, "endpoint")
    ensure(ground.deployer, "function")


def images(ground: Ground) -> None:
    for image in (ground.settings.images.training, ground.settings.images.serving):
        registry.image_uri(ground.deployer, image)


def upload(ground: Ground) -> None:
    """Twice, the second time with a file less: the rest is compared."""
    number, cloud = ground.fresh(), ground.deployer
    folder = ground.folder / f"upload-{number}"
    folder.mkdir()
    (folder / "small").write_bytes(b"small")
    (folder / "large").write_bytes(bytes(LARGE))
    key = names.prefix(ground.settings, names.DATA, f"proof-{number}")
    weights = names.prefix(ground.settings, names.WEIGHTS, f"proof-{number}", "large")
    storage.upload_folder(cloud, folder, key, Progress())
    (folder / "small").unlink()
    storage.upload_folder(cloud, folder, key, Progress())
    for _ in range(2):
        storage.upload_file(cloud, folder / "large", weights, Progress())


def start(ground: Ground) -> None:
    """A job and a tuning job, and their end before they have done much."""
    cloud, number = ground.deployer, ground.fresh()
    name = training.start(cloud, ground.plan(f"{ground.settings.project}-stop-{number}"))
    training.stop(cloud, name)
    plan = TuningPlan(ground.plan(f"{ground.settings.project}-tune-{number}"), ground.settings.tuning)
    tuning.stop(cloud, tuning.start(cloud, plan))


def stop_all(ground: Ground) -> None:
    """Jobs that a step has left running."""
    cloud = ground.admin
    for kind in (status.TUNING, status.TRAINING):
        for name in list(status.owned(cloud, kind, StatusEquals="InProgress")):
            removal = Removal(kind.word, name)
            begin(cloud, removal)
            while not is_over(cloud, removal):
                time.sleep(0.1)


def logged(ground: Ground) -> None:
    """A line in the log of the story's job, which a step before may have taken away."""
    logs = ground.admin.client("logs")
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=TRAINING_LOGS)
    stream = f"{ground.told['training job']}/algo-1-1"
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=TRAINING_LOGS, logStreamName=stream)


def look(ground: Ground) -> None:
    """At what the story has left: jobs, their logs, trials, outputs."""
    cloud, job, search = ground.deployer, ground.told["training job"], ground.told["tuning job"]
    watch.training(cloud, job, heard)
    watch.tuning(cloud, search, heard)
    tuning.best(cloud, search)
    training.start(cloud, replace(ground.plan(job), name=job))  # it is there already, and so is what it left
    debugging.of_job(cloud, job, ground.folder / f"debugger-{ground.fresh()}", Progress())


def overview(ground: Ground) -> None:
    """`kennel status`, and what `kennel teardown` would remove."""
    cloud = ground.deployer
    status.status(cloud, load())
    teardown.plan(cloud)
    teardown.verify(cloud)


def job(ground: Ground) -> None:
    """A training job of its own to the end; its log has to be there."""
    name = f"{ground.settings.project}-proof-{ground.fresh()}"
    run_job(ground, training.training_request(ground.plan(name)), name)


def no_log(ground: Ground) -> None:
    logs = ground.admin.client("logs")
    with suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=TRAINING_LOGS)


def again(ground: Ground) -> None:
    """A job that finds the checkpoints of the story's."""
    story = ground.told["training job"]
    name = f"{ground.settings.project}-again-{ground.fresh()}"
    run_job(ground, training.training_request(ground.plan(name, checkpoints=story)), name)


def watched(ground: Ground) -> None:
    """A job with rules, which have to come to a verdict."""
    settings, name = ground.settings, f"{ground.settings.project}-rules-{ground.fresh()}"
    plan = ground.plan(name)
    steps = parse(plan.hyperparameters).steps_per_epoch(12)
    plan = replace(plan, debugging=Debugging(settings.debugger, settings.region, steps))
    run_job(ground, training.training_request(plan), name)
    found = watch.rules(ground.admin, name, lambda event: None)
    told = [*found.get("DebugRuleEvaluationStatuses", []), *found.get("ProfilerRuleEvaluationStatuses", [])]
    if wrong := [each for each in told if each["RuleEvaluationStatus"] == "Error"]:
        raise KennelError(f"rules are in error: {wrong[0].get('StatusDetails', '')}")


def run_job(ground: Ground, request: training.Request, name: str) -> None:
    ground.deployer.client("sagemaker").create_training_job(**request)
    watch.training(ground.admin, name, lambda event: None)
    read_back(ground.admin, TRAINING_LOGS, f"{name}/")
    metrics = ground.admin.client("cloudwatch").list_metrics(
        Namespace=TRAINING_LOGS, Dimensions=[{"Name": "TrainingJobName", "Value": name}]
    )["Metrics"]
    if not metrics:
        raise KennelError(f"{name} has no metrics")


def read_back(cloud: Cloud, group: str, prefix: str) -> None:
    """Raises KennelError where a log has no line."""
    if not Follower(cloud.client("logs"), group, prefix, lambda event: None).read():
        raise KennelError(f"{group} has nothing of {prefix}")


def push(ground: Ground) -> None:
    """What scripts/build_push.sh asks ECR for, but the layers: as the builder."""
    ecr = ground.acting("builder").client("ecr")
    ecr.get_authorization_token()
    rules = [{"rulePriority": 1, "selection": SELECTION, "action": {"type": "expire"}}]
    for name in repositories(ground):
        ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
        ecr.describe_repositories(repositoryNames=[name])
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": rules}))
        ecr.put_image(repositoryName=name, imageManifest=json.dumps(MANIFEST), imageTag="proof")
        ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "proof"}])
        ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "proof"}])


def repositories(ground: Ground) -> list[str]:
    images = ground.settings.images
    return sorted({registry.repository_of(each) for each in (images.training, images.serving)})


def no_repositories(ground: Ground) -> None:
    ecr = ground.admin.client("ecr")
    for name in repositories(ground):
        with suppress(ecr.exceptions.RepositoryNotFoundException):
            ecr.delete_repository(repositoryName=name, force=True)


def empty_repositories(ground: Ground) -> None:
    no_repositories(ground)
    for name in repositories(ground):
        ground.admin.client("ecr").create_repository(repositoryName=name)


STEPS = (
    Step("roles and bucket", roles),
    Step("images", images),
    Step("upload", upload),
    Step("push an image", push, no_repositories, no_repositories),
    Step("start and stop jobs", start, after=stop_all, waits=False),
    Step("look at jobs", look, logged),
    Step("overview", overview, empty_repositories, no_repositories),
    Step("a training job", job, no_log, stop_all),
    Step("from checkpoints", again, after=stop_all),
    Step("a job with rules", watched, after=stop_all),
)
