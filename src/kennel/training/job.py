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
from kennel.debugger.profiler_settings import ProfilerSettings, profiler_settings
from kennel.debugger.recorder import Recorder, read_config
from kennel.debugger.sampler import Sampler, wanted
from kennel.debugger.steps import StepClock
from kennel.files import cache_dir
from kennel.hyperparameters import Hyperparameters
from kennel.machine import cores
from kennel.pictures import dataset
from kennel.pictures.dataset import DataSet, Picture
from kennel.progress import Progress
from kennel.training.checkpoint import Checkpoint
from kennel.training.observer import Observer
from kennel.training.sources import Numbers
from kennel.training.world import World, join
from kennel.weights import Weights
from kennel.weights.sources import pretrained


@dataclass(frozen=True, slots=True)
class Debugging:
    """What a training tells of itself. tensors: where they go, None for none; hook: DebugHookConfig as a file, None for
    our own; profiler: where step times go, None for none; samples: whether the machine is sampled too."""

    tensors: Path | None
    hook: Path | None = None
    profiler: ProfilerSettings | None = None
    samples: bool = True

    @classmethod
    def plain(cls, output: Path, tensors: bool = True) -> Debugging:
        """Everything, for `kennel train --debug`; without tensors for --profile."""
        return cls(output / "tensors" if tensors else None, profiler=ProfilerSettings(output / "profiler"))

    @classmethod
    def under(cls, contract: Contract) -> Debugging:
        """What the job was created with. Raises SettingError."""
        hook = contract.hook_config if contract.hook_config.is_file() else None
        profiler = profiler_settings(contract)
        return cls(contract.tensors if hook else None, hook, profiler, wanted())

    def sampler(self) -> Sampler:
        """Runs until it is closed; does nothing where it is not wanted."""
        return Sampler(self.profiler if self.samples else None)

    def observer(self, steps_per_epoch: int) -> Observer:
        """Raises SettingError for a configuration that cannot be read."""
        recorder = None
        if self.tensors:
            config = read_config(self.hook) if self.hook else {"CollectionConfigurations": collections(steps_per_epoch)}
            recorder = Recorder(config, self.tensors)
        return Observer(recorder, StepClock(self.profiler.folder, self.profiler.node) if self.profiler else None)


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
    debugging: Debugging = Debugging(None)

    @classmethod
    def plain(cls, data: Path, out: Path, debug: bool = False, profile: bool = False) -> Job:
        """`kennel train --data DATA --out OUT`: laid out as the contract is, the cache the user's own."""
        output = out / "output"
        debugging = Debugging.plain(output, debug) if debug or profile else Debugging(None)
        return cls(data, out / "model", output, out / "checkpoints", cache_dir("training"), debugging=debugging)

    @classmethod
    def under(cls, contract: Contract) -> Job:
        """Under /opt/ml: the cache lies with the checkpoints, so that an interrupted job finds it again."""
        checkpoints, given = contract.checkpoints, contract.features
        return cls(
            contract.data, contract.model, contract.output, checkpoints, checkpoints / "cache",
            given if given.is_dir() else None,
            Debugging.under(contract),
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
    torch.set_deterministic_debug_mode("warn")  # the other call imports torch's compiler too, which features need not
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
