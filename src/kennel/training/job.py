"""Where a training reads and writes, and everything it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kennel.contract import Contract
from kennel.files import cache_dir
from kennel.hyperparameters import Hyperparameters
from kennel.pictures.dataset import DataSet, Picture
from kennel.progress import Progress
from kennel.training.sources import Numbers
from kennel.training.world import World
from kennel.weights import Weights


@dataclass(frozen=True, slots=True)
class Job:
    """Where a training reads and writes. cache: features and quantised backbones, by content."""

    data: Path
    model: Path
    output: Path
    checkpoints: Path
    cache: Path

    @classmethod
    def plain(cls, data: Path, out: Path) -> Job:
        """`kennel train --data DATA --out OUT`: laid out as the contract is, the cache the user's own."""
        return cls(data, out / "model", out / "output", out / "checkpoints", cache_dir("training"))

    @classmethod
    def under(cls, contract: Contract) -> Job:
        """Under /opt/ml: the cache lies with the checkpoints, so that an interrupted job finds it again."""
        checkpoints = contract.checkpoints
        return cls(contract.data, contract.model, contract.output, checkpoints, checkpoints / "cache")

    @property
    def checkpoint(self) -> Path:
        return self.checkpoints / "latest.safetensors"

    @property
    def report(self) -> Path:
        return self.output / "report.html"


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything a training starts from."""

    job: Job
    data: DataSet
    weights: Weights
    hyperparameters: Hyperparameters
    world: World
    workers: int
    progress: Progress

    @property
    def fingerprint(self) -> str:
        """What must be equal for a checkpoint to be continued."""
        parts = [self.data.digest, self.weights.digest, self.weights.stride, self.hyperparameters.model_dump_json()]
        return hashlib.sha256("\n".join([*parts, str(self.world.size)]).encode()).hexdigest()

    def truth(self, pictures: Sequence[Picture]) -> Numbers:
        """The numbers of the right labels, int64 [n]."""
        numbers = {label: number for number, label in enumerate(self.data.labels)}
        return np.array([numbers[picture.label] for picture in pictures], np.int64)
