"""The report of one training: curves, accuracy by breed, the pairs that are confused most, with their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

from kennel.artifact import Card
from kennel.pictures.dataset import breed
from kennel.reports.page import BLUE, MUTED, ORANGE, axes, jpeg, render, svg

WORST = 12
"""Pairs shown."""


class Row(Protocol):
    """One epoch's figures."""

    @property
    def number(self) -> int: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def train_accuracy(self) -> float: ...
    @property
    def valid_loss(self) -> float: ...
    @property
    def valid_accuracy(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` test pictures of `label` were taken for `taken_for`. Pictures are JPEGs, b"" for none."""

    label: str
    taken_for: str
    count: int
    mistaken: bytes
    like: bytes


@dataclass(frozen=True, slots=True)
class LabelAccuracy:
    """right of pictures."""

    label: str
    right: int
    pictures: int

    @property
    def share(self) -> float:
        return self.right / self.pictures


def page(card: Card, history: Sequence[Row], confusions: Sequence[Confusion]) -> str:
    """The report as HTML."""
    return render(
        "training.html",
        card=card,
        breed=breed,
        jpeg=jpeg,
        confusions=confusions,
        labels=by_label(card),
        plots=[_curve(history, "loss", card.best_epoch), _curve(history, "accuracy", card.best_epoch)],
    )


def by_label(card: Card) -> list[LabelAccuracy]:
    """Accuracy of each label that the test split has, worst first."""
    rows = enumerate(card.evaluation.confusion)
    found = [LabelAccuracy(card.labels[number], row[number], sum(row)) for number, row in rows if sum(row)]
    return sorted(found, key=lambda each: (each.share, each.label))


def worst_pairs(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """(right label, label it was taken for, how often), most frequent first, at most twelve."""
    pairs = [
        (right, wrong, count)
        for right, row in enumerate(confusion)
        for wrong, count in enumerate(row)
        if right != wrong and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:WORST]


def _curve(history: Sequence[Row], quantity: str, best: int) -> Markup:
    figure, plot = axes(5.2, 2.8, quantity)
    numbers = [each.number for each in history]
    marker = "o" if len(history) < 3 else None
    plot.plot(
        numbers, [getattr(each, f"train_{quantity}") for each in history], color=ORANGE, label="train", marker=marker
    )
    plot.plot(
        numbers, [getattr(each, f"valid_{quantity}") for each in history], color=BLUE, label="valid", marker=marker
    )
    plot.axvline(best, color=MUTED, linewidth=1, linestyle=":", label=f"kept: epoch {best}")
    plot.set_xlabel("epoch", fontsize=9)
    plot.xaxis.get_major_locator().set_params(integer=True)
    plot.legend(fontsize=8, frameon=False)
    return svg(figure)
