"""How good a classifier is on the test split. Pure: features, a head and true labels in, figures out."""

from __future__ import annotations

import numpy as np

from kennel.artifact import Evaluation
from kennel.engines import Scores
from kennel.training.sources import Numbers


def evaluate(scores: Scores, truth: Numbers) -> Evaluation:
    """scores: [n, labels]; truth: the numbers of the right labels [n]."""
    labels = scores.shape[1]
    confusion = np.zeros((labels, labels), np.int64)
    np.add.at(confusion, (truth, scores.argmax(1)), 1)
    return Evaluation(
        pictures=len(truth),
        accuracy=accuracy(scores, truth),
        top5_accuracy=top_accuracy(scores, truth, 5),
        confusion=confusion.tolist(),
    )


def accuracy(scores: Scores, truth: Numbers) -> float:
    """Share of pictures whose best score is the right label's."""
    return float((scores.argmax(1) == truth).mean())


def top_accuracy(scores: Scores, truth: Numbers, count: int) -> float:
    """Share of pictures whose right label is among the `count` best scores."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return float((best == truth[:, None]).any(axis=1).mean())
