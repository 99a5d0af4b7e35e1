"""What a training step is fed: rows of cached features for the head, or pictures for the whole network.

The order of the training rows depends on (seed, epoch) alone, never on what ran before: that is why a training that
was interrupted ends as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kennel.engines import Pictures
from kennel.machine import threads
from kennel.pictures.dataset import Picture
from kennel.pictures.views import random_view, view
from kennel.training.features import SplitFeatures

Batch = tuple[Tensor, Tensor]
"""What the module takes [n, …], and the numbers of the labels int64 [n]."""
Numbers = np.ndarray[Any, np.dtype[np.int64]]
"""int64 [n]."""
AHEAD = 2
"""Batches read in advance."""
FEATURES_AT_ONCE, PICTURES_AT_ONCE = 1024, 64
"""Rows of a validation batch."""


class Source(Protocol):
    """The batches of a training."""

    def training(self, epoch: int) -> Iterator[Batch]:
        """All training rows once, shuffled by (seed, epoch)."""

    def validation(self) -> Iterator[Batch]:
        """All validation rows once, in order."""

    def steps(self) -> int:
        """Training batches an epoch."""

    def validation_steps(self) -> int:
        """Validation batches an epoch."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows that one process of `size` takes of every batch; a few come twice where they do not divide evenly."""

    rank: int = 0
    size: int = 1

    def of(self, rows: Numbers) -> Numbers:
        return np.resize(rows, -(-len(rows) // self.size) * self.size)[self.rank :: self.size]


class FeatureSource:
    """Batches of cached features: float32 [n, 2048]. Every view of a training picture is a row of its own."""

    def __init__(
        self, train: SplitFeatures, valid: SplitFeatures, labels: Sequence[str], batch_size: int, seed: int, part: Slice
    ) -> None:
        self._train = _rows(train, labels)
        self._valid = _rows(SplitFeatures(valid.features[:, :1], valid.pictures, ()), labels)
        self._batch_size, self._seed, self._part = batch_size, seed, part

    def training(self, epoch: int) -> Iterator[Batch]:
        features, labels = self._train
        for rows in batches(shuffled(len(labels), self._seed, epoch), self._batch_size):
            chosen = torch.from_numpy(self._part.of(rows))
            yield features[chosen], labels[chosen]

    def validation(self) -> Iterator[Batch]:
        features, labels = self._valid
        for rows in batches(np.arange(len(labels)), FEATURES_AT_ONCE):
            chosen = torch.from_numpy(self._part.of(rows))
            yield features[chosen], labels[chosen]

    def steps(self) -> int:
        return -(-len(self._train[1]) // self._batch_size)

    def validation_steps(self) -> int:
        return -(-len(self._valid[1]) // FEATURES_AT_ONCE)


class PictureSource:
    """Batches of pictures, uint8 [n, 224, 224, 3], read by threads a little ahead of the network.

    views: None draws a random view of each training picture an epoch (by seed, epoch and row); a number takes that many
    fixed views as rows of their own, in the order in which `FeatureSource` has them.
    """

    def __init__(
        self,
        train: Sequence[Picture],
        valid: Sequence[Picture],
        labels: Sequence[str],
        batch_size: int,
        seed: int,
        part: Slice,
        workers: int,
        views: int | None = None,
    ) -> None:
        self._train, self._valid = train, valid
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._batch_size, self._seed, self._part, self._workers = batch_size, seed, part, workers
        self._views = views

    def training(self, epoch: int) -> Iterator[Batch]:
        count = len(self._train) * (self._views or 1)
        return self._read(batches(shuffled(count, self._seed, epoch), self._batch_size), self._train, epoch)

    def validation(self) -> Iterator[Batch]:
        return self._read(batches(np.arange(len(self._valid)), PICTURES_AT_ONCE), self._valid, None)

    def steps(self) -> int:
        return -(-len(self._train) * (self._views or 1) // self._batch_size)

    def validation_steps(self) -> int:
        return -(-len(self._valid) // PICTURES_AT_ONCE)

    def _read(
        self,
        groups: Iterator[Numbers],
        pictures: Sequence[Picture],
        epoch: int | None,
    ) -> Iterator[Batch]:
        with threads(self._workers) as pool:
            waiting: list[tuple[list[Future[Pictures]], list[int]]] = []
            for rows in groups:
                mine = [int(row) for row in self._part.of(rows)]
                waiting.append(([pool.submit(self._pixels, pictures, row, epoch) for row in mine], mine))
                if len(waiting) > AHEAD:
                    yield self._batch(*waiting.pop(0), pictures, epoch)
            for read, mine in waiting:
                yield self._batch(read, mine, pictures, epoch)

    def _batch(
        self, read: list[Future[Pictures]], rows: list[int], pictures: Sequence[Picture], epoch: int | None
    ) -> Batch:
        per = self._views or 1 if epoch is not None else 1
        labels = [self._numbers[pictures[row // per].label] for row in rows]
        return torch.from_numpy(np.stack([each.result() for each in read])), torch.tensor(labels)

    def _pixels(self, pictures: Sequence[Picture], row: int, epoch: int | None) -> Pictures:
        if epoch is None:
            return view(pictures[row].read(), 0)
        if self._views:
            return view(pictures[row // self._views].read(), row % self._views)
        return random_view(pictures[row].read(), np.random.default_rng((self._seed, epoch, row)))


def shuffled(count: int, seed: int, epoch: int) -> Numbers:
    """A permutation of 0 … count − 1 that depends on seed and epoch alone."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def batches(rows: Numbers, size: int) -> Iterator[Numbers]:
    """Runs of `size` rows; the last may be shorter."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _rows(split: SplitFeatures, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    numbers = {label: number for number, label in enumerate(labels)}
    views = split.features.shape[1]
    rows = torch.from_numpy(split.features.reshape(-1, split.features.shape[2]))
    return rows, torch.tensor([numbers[each.label] for each in split.pictures]).repeat_interleave(views)
