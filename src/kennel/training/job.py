"""Where a training reads and writes, and everything it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from kennel.contract import Contract
from kennel.debugger.configuration import collections
from kennel.debugger.recorder import Recorder, read_config
from kennel.files import cache_dir
from kennel.hyperparameters import Hyperparameters
from kennel.machine import cores
from kennel.pictures import dataset
from kennel.pictures.dataset import DataSet, Picture
from kennel.progress import Progress
from kennel.training.checkpoint import Checkpoint
from kennel.training.sources import Numbers
from kennel.training.world import World, join
from kennel.weights import Weights
from kennel.weights.sources import pretrained


@dataclass(frozen=True, slots=True)
class Debugging:
    """What a training tells of itself. hook: DebugHookConfig as a file, None for our own; tensors: where they go."""

    hook: Path | None
    tensors: Path

    def recorder(self, steps_per_epoch: int) -> Recorder:
        """Raises SettingError for a configuration that cannot be read."""
        config = read_config(self.hook) if self.hook else {"CollectionConfigurations": collections(steps_per_epoch)}
        return Recorder(config, self.tensors)


@dataclass(frozen=True, slots=True)
class Job:
    """Where a training reads and writes. cache: features and quantised backbones, by content; given: more of them.

    Nothing is ever written to `data` or `given`.
    """

    data: Path
    model: Path
    output: Path
    checkpoints: Path
    cache: Path
    given: Path | None = None
    debugging: Debugging | None = None

    @classmethod
    def plain(cls, data: Path, out: Path, debug: bool = False) -> Job:
        """`kennel train --data DATA --out OUT`: laid out as the contract is, the cache the user's own."""
        output = out / "output"
        debugging = Debugging(None, output / "tensors") if debug else None
        return cls(data, out / "model", output, out / "checkpoints", cache_dir("training"), debugging=debugging)

    @classmethod
    def under(cls, contract: Contract) -> Job:
        """Under /opt/ml: the cache lies with the checkpoints, so that an interrupted job finds it again."""
        checkpoints, given = contract.checkpoints, contract.features
        hook = contract.hook_config
        return cls(
            contract.data, contract.model, contract.output, checkpoints, checkpoints / "cache",
            given if given.is_dir() else None,
            Debugging(hook, contract.tensors) if hook.is_file() else None,
        )  # fmt: skip

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

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.within(self.job.checkpoints, self.fingerprint)

    def truth(self, pictures: Sequence[Picture]) -> Numbers:
        """The numbers of the right labels, int64 [n]."""
        numbers = {label: number for number, label in enumerate(self.data.labels)}
        return np.array([numbers[picture.label] for picture in pictures], np.int64)


@contextmanager
def prepared(
    job: Job, hyperparameters: Hyperparameters, weights: str, progress: Progress | None, workers: int | None
) -> Iterator[Setup]:
    """What a job starts from: its place among the processes, the data set, pretrained weights. Raises KennelError."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(cores())  # a container's quota, which torch does not look at
    with join() as world:
        progress = progress if progress and world.leads else Progress()
        with progress.step("read the data set"):
            data = dataset.load(job.data)
        with progress.step("pretrained weights"):
            initial = _one_after_another(world, partial(pretrained, weights))
        yield Setup(job, data, initial, hyperparameters, world, workers or cores(), progress)


def _one_after_another(world: World, work: Callable[[], Weights]) -> Weights:
    """First one process of each host (it may download), then the others (they find it in the cache)."""
    if world.local_rank > 0:
        world.wait()
    found = work()
    if world.local_rank == 0:
        world.wait()
    return found
