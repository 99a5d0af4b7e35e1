"""The training story, the same under the contract and with plain paths: `train` from data to artifact and report."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

import torch
from torch import nn

from kennel import artifact, metrics
from kennel.artifact import Artifact, Proof
from kennel.engines import Features, Head
from kennel.errors import DataError, PictureError
from kennel.files import write_atomically
from kennel.hyperparameters import Hyperparameters
from kennel.machine import threads
from kennel.network import backbone_of, build, new_head, normalise
from kennel.pictures.dataset import Picture
from kennel.progress import Progress
from kennel.reports import training as report
from kennel.training import given
from kennel.training.backbone import (
    Later,
    centre_features,
    description,
    features_of,
    float32,
    float32_on_cpu,
    quantised,
)
from kennel.training.checkpoint import forget_old
from kennel.training.evaluation import accuracy, evaluate
from kennel.training.export import int8_backbone, proof_pictures
from kennel.training.features import SplitFeatures, read_crops
from kennel.training.job import Job, Setup, prepared
from kennel.training.observer import Observer
from kennel.training.record import card_of, confusions
from kennel.training.sources import FeatureSource, PictureSource, Slice, Source
from kennel.training.trainer import Epoch, Fitted, fit
from kennel.training.world import World
from kennel.weights import Weights

log = logging.getLogger(__name__)

LEARNING = {"head": ("fc",), "layer4": ("fc", "layer4"), "all": ("",)}
"""Hyperparameter `trainable` → prefixes of the parameters that learn."""


def train(
    job: Job,
    hyperparameters: Hyperparameters,
    weights: str = "auto",
    progress: Progress | None = None,
    workers: int | None = None,
) -> Artifact | None:
    """Train on `job.data`, leave artifact, report and checkpoints. None in a process that does not lead.

    weights: see `kennel.weights.pretrained`. Goes on where an earlier call with the same data, weights and
    hyperparameters was interrupted. Raises KennelError.
    """
    artifact.make_room(job.model)
    with _sampled(job), prepared(job, hyperparameters, weights, progress, workers) as setup:
        return _train_head(setup) if hyperparameters.trainable == "head" else _train_network(setup)


def _sampled(job: Job) -> AbstractContextManager[object]:
    """The machine is watched from the start, features included, by one process of each host."""
    return job.debugging.sampler() if os.environ.get("LOCAL_RANK", "0") == "0" else nullcontext()


def _train_head(setup: Setup) -> Artifact | None:
    """The backbone is frozen, so its features are constants: compute them once, train the last layer on them."""
    hyperparameters, weights = setup.hyperparameters, setup.weights
    engine = float32(weights, setup.world)
    if setup.job.given and setup.world.leads:
        given.tell_difference(setup.job.given, description(setup, engine))
    train_split = features_of(setup, weights, engine, "train", hyperparameters.views)
    valid = features_of(setup, weights, engine, "valid", 1)
    source = FeatureSource(
        train_split, valid, setup.data.labels, hyperparameters.batch_size, hyperparameters.seed, _slice(setup.world)
    )
    head = new_head(len(setup.data.labels), hyperparameters.seed)
    # The products are small: more threads only wait for each other, for minutes where the cores are busy.
    torch.set_num_threads(1)
    fitted = _fit(setup, head, source)
    return _finish(setup, fitted, weights, _head(head), engine) if setup.world.leads else None


def _train_network(setup: Setup) -> Artifact | None:
    """Fine-tuning: gradients through the backbone, random views; its batch norms keep ImageNet's statistics."""
    hyperparameters, data = setup.hyperparameters, setup.data
    train_pictures, valid_pictures = (_readable(setup, split) for split in ("train", "valid"))
    network = PicturesIn(build(setup.weights, new_head(len(data.labels), hyperparameters.seed)))
    for name, parameter in network.network.named_parameters():
        parameter.requires_grad_(name.startswith(LEARNING[hyperparameters.trainable]))
    source = PictureSource(
        train_pictures, valid_pictures, data.labels, hyperparameters.batch_size, hyperparameters.seed,
        _slice(setup.world), setup.workers,
    )  # fmt: skip
    fitted = _fit(setup, network, source)
    if not setup.world.leads:
        return None
    weights = backbone_of(network.network, setup.weights.stride, f"fine-tuned from {setup.weights.source}")
    head = network.network.get_submodule("fc")
    return _finish(setup, fitted, weights, _head(head), float32(weights, setup.world))


class PicturesIn(nn.Module):
    """A network with its normalisation in front: uint8 [n, 224, 224, 3] → logits [n, labels]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(normalise(pictures))
        return logits


def _fit(setup: Setup, module: nn.Module, source: Source) -> Fitted:
    epochs = setup.hyperparameters.epochs
    with setup.progress.step("train", epochs) as advance:
        done = 0

        def tell(epoch: Epoch) -> None:
            nonlocal done
            for line in epoch.lines():
                setup.progress.say(line)
            advance(epoch.number - done)  # more than 1 at the first epoch after a restart
            done = epoch.number

        if setup.world.local_rank == 0:
            forget_old(setup.job.checkpoints, setup.checkpoint)
        with closing(_observer(setup, source)) as observer:
            return fit(module, source, setup.hyperparameters, setup.checkpoint, setup.world, tell, observer)


def _observer(setup: Setup, source: Source) -> Observer:
    """The leading process tells of itself; the others do the same."""
    return setup.job.debugging.observer(source.steps()) if setup.world.leads else Observer()


def _finish(setup: Setup, fitted: Fitted, weights: Weights, head: Head, engine: Later) -> Artifact:
    """Quantise, measure both engines on the test split, write artifact and report."""
    setup = replace(setup, world=World(0, 1, 0, 1, setup.world.device))  # the leading process works alone from here
    with setup.progress.step("quantise to int8"):
        int8 = int8_backbone(weights, setup.data.splits["train"], setup.job, setup.workers)
    test = features_of(setup, weights, engine, "test", 1)
    test_int8 = features_of(setup, weights, quantised(int8), "test", 1)
    truth = setup.truth(test.pictures)
    scores, int8_scores = (head.scores(_centre(each)) for each in (test, test_int8))
    with setup.progress.step("write artifact and report"):
        evaluation = evaluate(scores, truth)
        card = card_of(setup, fitted, weights, evaluation, accuracy(int8_scores, setup.truth(test_int8.pictures)))
        proof = _proof(setup, weights, test.pictures, head, quantised(int8))
        made = artifact.write(setup.job.model, card, weights, head, int8.path, proof)
        page = report.page(card, fitted.history, confusions(card, test.pictures, scores, truth))
        write_atomically(setup.job.report, page.encode())
    for metric in (metrics.TEST_ACCURACY, metrics.TEST_TOP5, metrics.TEST_INT8):
        setup.progress.say(metric.line(card.metrics[metric.name]))
    return made


def _proof(setup: Setup, weights: Weights, test: Sequence[Picture], head: Head, int8: Later) -> Proof:
    """A few test pictures with the scores of both engines, which have their features already but on a GPU."""
    pictures, crops = read_crops(proof_pictures(test), setup.workers)
    engines = (float32_on_cpu(weights), int8)
    return Proof(crops, {each.name: head.scores(centre_features(setup, weights, each, pictures)) for each in engines})


def _readable(setup: Setup, split: str) -> list[Picture]:
    """The pictures of a split that can be decoded; each is tried once before a long training relies on it."""
    pictures = setup.data.splits[split]
    with setup.progress.step(f"check {split}", len(pictures)) as advance, threads(setup.workers) as pool:
        kept = []
        for picture, fine in zip(pictures, pool.map(_can_read, pictures), strict=True):
            kept += [picture] if fine else []
            advance(1)
    if not kept:
        raise DataError(f"no picture of {split}/ can be read", "Run: kennel data check")
    return kept


def _can_read(picture: Picture) -> bool:
    try:
        picture.read()
    except PictureError:
        log.warning("left out: %s/%s cannot be read", picture.label, picture.name)
        return False
    return True


def _centre(split: SplitFeatures) -> Features:
    return split.features[:, 0]


def _head(module: nn.Module) -> Head:
    weight, bias = (value.detach().cpu().numpy() for value in module.parameters())
    return Head(weight, bias)


def _slice(world: World) -> Slice:
    return Slice(world.rank, world.size)
