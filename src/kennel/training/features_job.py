"""A features job: everything that trainings of a head need from the frozen backbone, computed once for all of them."""

from __future__ import annotations

from dataclasses import replace

from kennel.hyperparameters import Hyperparameters
from kennel.progress import Progress
from kennel.training import given
from kennel.training.backbone import (
    Later,
    cache_of,
    centre_features,
    description,
    features_of,
    float32,
    float32_on_cpu,
    quantised,
)
from kennel.training.export import int8_backbone, proof_pictures
from kennel.training.features import SplitFeatures
from kennel.training.job import Job, Setup, prepared
from kennel.training.world import World


def compute_features(
    job: Job,
    hyperparameters: Hyperparameters,
    weights: str = "auto",
    progress: Progress | None = None,
    workers: int | None = None,
) -> None:
    """Leave the features of `job.data` and the int8 backbone in `job.model`, to be a channel of later trainings.

    Of the hyperparameters only `views` matters. Goes on where an earlier call was interrupted. Raises KennelError.
    """
    with prepared(job, hyperparameters, weights, progress, workers) as setup:
        engine = float32(setup.weights, setup.world)
        views = {"train": hyperparameters.views, "valid": 1, "test": 1}
        splits = {split: features_of(setup, setup.weights, engine, split, count) for split, count in views.items()}
        if setup.world.leads:
            _finish(replace(setup, world=World(0, 1, 0, 1, setup.world.device)), engine, splits)


def _finish(setup: Setup, engine: Later, splits: dict[str, SplitFeatures]) -> None:
    """What the leading process does alone: the int8 side, the proof's side, and the channel's files."""
    weights, job = setup.weights, setup.job
    with setup.progress.step("quantise to int8"):
        int8 = int8_backbone(weights, setup.data.splits["train"], job, setup.workers)
    features_of(setup, weights, quantised(int8), "test", 1)
    with setup.progress.step("write the channel"):
        on_cpu = float32_on_cpu(weights)
        centre_features(setup, weights, on_cpu, proof_pictures(splits["test"].pictures))
        caches = [cache_of(setup, weights, each) for each in (engine, on_cpu, quantised(int8))]
        pictures = {split: len(found.pictures) for split, found in splits.items()}
        about = description(setup, engine).model_copy(update={"pictures": pictures})
        given.leave(job.model, sorted({path for each in caches for path in each.shards()}), int8.files, about)
    setup.progress.say(f"features of {sum(pictures.values())} pictures are in {job.model}")
