"""The training story, the same under the contract and with plain paths: `train` from data to artifact and report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from kennel import artifact, metrics
from kennel.artifact import Artifact
from kennel.engines import Classifier, Engine, Features, Head
from kennel.engines.openvino import float32_engine, int8_engine
from kennel.engines.torch import TorchEngine
from kennel.errors import DataError, PictureError
from kennel.files import write_atomically
from kennel.hyperparameters import Hyperparameters
from kennel.machine import cores, threads
from kennel.network import backbone_of, build, new_head, normalise
from kennel.pictures import dataset
from kennel.pictures.dataset import Picture
from kennel.progress import Progress
from kennel.reports import training as report
from kennel.training.checkpoint import Checkpoint
from kennel.training.evaluation import accuracy, evaluate
from kennel.training.export import int8_backbone, make_proof
from kennel.training.features import FeatureCache, SplitFeatures, compute
from kennel.training.job import Job, Setup
from kennel.training.record import card_of, confusions
from kennel.training.sources import FeatureSource, PictureSource, Slice, Source
from kennel.training.trainer import Epoch, Fitted, fit
from kennel.training.world import World, join
from kennel.weights import Weights
from kennel.weights.sources import pretrained

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
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(cores())  # a container's quota, which torch does not look at
    with join() as world:
        progress = progress if progress and world.leads else Progress()
        with progress.step("read the data set"):
            data = dataset.load(job.data)
        with progress.step("pretrained weights"):
            initial = _one_after_another(world, partial(pretrained, weights))
        count = workers or cores()
        setup = Setup(job, data, initial, hyperparameters, world, count, progress)
        return _train_head(setup) if hyperparameters.trainable == "head" else _train_network(setup)


def _one_after_another(world: World, work: Callable[[], Weights]) -> Weights:
    """First one process of each host (it may download), then the others (they find it in the cache)."""
    if world.local_rank > 0:
        world.wait()
    found = work()
    if world.local_rank == 0:
        world.wait()
    return found


def features_of(setup: Setup, weights: Weights, engine: Engine, split: str, views: int, key: str = "") -> SplitFeatures:
    """The features of a split, through the cache; every process of a host computes its share. Raises DataError."""
    library = version("torch" if engine.name.startswith("torch") else "openvino")
    cache = FeatureCache(setup.job.cache / "features", weights.digest, f"{key or engine.name}-{library}")
    pictures, world = setup.data.splits[split], setup.world
    mine = pictures[world.local_rank :: world.local_size]
    title = f"features of {split}" + (f" ({engine.name})" if key else "")
    with setup.progress.step(title, len(mine)) as advance:
        compute(mine, views, engine, cache, setup.workers, advance)
        world.wait()
    found = cache.collect(pictures, views)
    for picture in found.left_out:
        log.warning("left out: %s/%s/%s cannot be read", split, picture.label, picture.name)
    if not found.pictures:
        raise DataError(f"no picture of {split}/ can be read", "Run: kennel data check")
    return found


def float32(weights: Weights, world: World) -> Engine:
    """The engine for features: torch on a GPU, OpenVINO on a CPU, float32 both."""
    if world.device.type == "cuda":
        return TorchEngine(weights, str(world.device))
    return float32_engine(weights, threads=max(1, cores() // world.local_size))


def _train_head(setup: Setup) -> Artifact | None:
    """The backbone is frozen, so its features are constants: compute them once, train the last layer on them."""
    hyperparameters, weights = setup.hyperparameters, setup.weights
    engine = float32(weights, setup.world)
    train_split = features_of(setup, weights, engine, "train", hyperparameters.views)
    valid = features_of(setup, weights, engine, "valid", 1)
    source = FeatureSource(
        train_split, valid, setup.data.labels, hyperparameters.batch_size, hyperparameters.seed, _slice(setup.world)
    )
    head = new_head(len(setup.data.labels), hyperparameters.seed)
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

        checkpoint = Checkpoint(setup.job.checkpoint, setup.fingerprint)
        return fit(module, source, setup.hyperparameters, checkpoint, setup.world, tell)


def _finish(setup: Setup, fitted: Fitted, weights: Weights, head: Head, engine: Engine) -> Artifact:
    """Quantise, measure both engines on the test split, write artifact and report."""
    setup = replace(setup, world=World(0, 1, 0, 1, setup.world.device))  # the leading process works alone from here
    with setup.progress.step("quantise to int8"):
        train_pictures = setup.data.splits["train"]
        int8 = int8_backbone(weights, train_pictures, _made(setup.job.cache / "int8"), setup.workers)
    test = features_of(setup, weights, engine, "test", 1)
    quantised = features_of(setup, weights, int8_engine(int8.path), "test", 1, key=f"int8-{int8.digest[:16]}")
    truth = setup.truth(test.pictures)
    scores, int8_scores = (head.scores(_centre(each)) for each in (test, quantised))
    with setup.progress.step("write artifact and report"):
        evaluation = evaluate(scores, truth)
        card = card_of(setup, fitted, weights, evaluation, accuracy(int8_scores, truth))
        proof = make_proof(test.pictures, Classifier(float32_engine(weights), head), int8.path, setup.workers)
        artifact.write(setup.job.model, card, weights, head, int8.path, proof)
        page = report.page(card, fitted.history, confusions(card, test.pictures, scores, truth))
        write_atomically(setup.job.report, page.encode())
    for metric in (metrics.TEST_ACCURACY, metrics.TEST_TOP5, metrics.TEST_INT8):
        setup.progress.say(metric.line(card.metrics[metric.name]))
    return artifact.load(setup.job.model)


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


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
