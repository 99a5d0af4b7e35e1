"""What is written down of a finished training: its card, and the confusions for its report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from kennel import __version__, metrics
from kennel.artifact import Card, Evaluation
from kennel.engines import Features
from kennel.errors import PictureError
from kennel.pictures.dataset import Picture
from kennel.reports import training as report
from kennel.training.export import compare_engines
from kennel.training.job import Setup
from kennel.training.sources import Numbers
from kennel.training.trainer import Fitted
from kennel.weights import Weights

PACKAGES = ("kennel", "torch", "torchvision", "numpy", "pillow", "openvino", "nncf", "safetensors")


def card_of(setup: Setup, fitted: Fitted, weights: Weights, evaluation: Evaluation, int8: float) -> Card:
    engines, default = compare_engines(evaluation.accuracy, int8)
    best = fitted.history[fitted.best - 1]
    return Card(
        labels=list(setup.data.labels),
        stride=weights.stride,
        hyperparameters=setup.hyperparameters.model_dump(),
        best_epoch=fitted.best,
        metrics={
            metrics.TRAIN_LOSS.name: best.train_loss,
            metrics.TRAIN_ACCURACY.name: best.train_accuracy,
            metrics.VALID_LOSS.name: best.valid_loss,
            metrics.VALID_ACCURACY.name: best.valid_accuracy,
            metrics.TEST_ACCURACY.name: evaluation.accuracy,
            metrics.TEST_TOP5.name: evaluation.top5_accuracy,
            metrics.TEST_INT8.name: int8,
        },
        evaluation=evaluation,
        engines=engines,
        default_engine=default,
        provenance=_provenance(setup, weights),
    )


def _provenance(setup: Setup, weights: Weights) -> dict[str, object]:
    """Where the artifact comes from; no times and no paths, so that the same training gives the same card."""
    return {
        "kennel": __version__,
        "revision": os.environ.get("KENNEL_REVISION", "unknown"),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": setup.world.device.type,
        "weights": {"source": weights.source, "initial": setup.weights.digest, "final": weights.digest},
        "data": {
            "digest": setup.data.digest,
            "pictures": {split: len(pictures) for split, pictures in setup.data.splits.items()},
        },
    }


def confusions(card: Card, pictures: Sequence[Picture], scores: Features, truth: Numbers) -> list[report.Confusion]:
    """The most confused pairs of labels, each with a picture taken wrong and one rightly taken for that label."""
    found = scores.argmax(1)
    pairs = []
    for right, wrong, count in report.worst_pairs(card.evaluation.confusion):
        mistaken = pictures[int(np.flatnonzero((truth == right) & (found == wrong))[0])]
        likely = np.flatnonzero((truth == wrong) & (found == wrong))
        like = pictures[int(likely[0])] if len(likely) else None
        shown = [_thumbnail(each) for each in (mistaken, like)]
        pairs.append(report.Confusion(card.labels[right], card.labels[wrong], count, shown[0], shown[1]))
    return pairs


def _thumbnail(picture: Picture | None) -> bytes:
    from kennel.pictures.census import thumbnail

    try:
        return thumbnail(picture.read(), 160) if picture else b""
    except PictureError:
        return b""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
