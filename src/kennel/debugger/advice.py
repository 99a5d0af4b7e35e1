"""What a profile says about time and devices, and what to change: pure, and silent where the data does not support it.

The question behind it: a GPU (or, on a machine without one, the processors) was used too little; was that because the
training waited for data? So each sample of utilisation is laid beside what the training loop did in that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kennel.debugger.profile import Floats, Profile
from kennel.debugger.utilisation import Activity, Flags, Samples, activity, samples

ENOUGH = 20
"""Samples below which nothing is advised."""
LOW, HIGH, FULL, ONE = 50, 85, 90, 0.8
"""Percent: a device used too little; processors that have no room for more; a device that is full. And cores: the work
of one thread, which the kernel moves between cores, so that none of them need be full."""
STARVED, FED = 0.2, 0.05
"""Shares of training spent on waiting for data: from the one on too much, below the other not worth a word."""
IO_BOUND = 20
"""Percent of a core's time spent on waiting for I/O, while the training waits for data."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the profile cannot know; None where nobody said. precision: `float32`, `bfloat16` …"""

    batch_size: int | None = None
    precision: str | None = None
    workers: int | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the time of a node's profile went, in seconds, and how many training steps there were."""

    waiting: float
    training: float
    validating: float
    outside: float
    steps: int

    @property
    def loop(self) -> float:
        return self.waiting + self.training + self.validating

    @property
    def starved(self) -> float:
        """The share of the loop's time that was spent on waiting for data."""
        return self.waiting / self.loop if self.waiting else 0.0


@dataclass(frozen=True, slots=True)
class Cause:
    """What the loop did while a device was below LOW percent.

    device: `GPU`, `CPU`; low: share of all time; waiting, training, validating, outside: shares of the low time;
    while_waiting, while_training: the device's mean utilisation (percent) in these, NaN where there was none.
    """

    device: str
    low: float
    waiting: float
    training: float
    validating: float
    outside: float
    while_waiting: float
    while_training: float


@dataclass(frozen=True, slots=True)
class Advice:
    """what to change, and why: the figures that say so."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Examined:
    """All of it for one node. budget, cause: None where no step times (or no utilisation) were recorded."""

    at: Samples
    did: Activity | None
    budget: Budget | None
    cause: Cause | None
    advice: tuple[Advice, ...]


def examine(profile: Profile, node: str, facts: Facts | None = None) -> Examined:
    """A node's time, the cause of low utilisation, and what to change."""
    at = samples(profile, node)
    did = activity(profile, at)
    budget = _budget(profile, node, at)
    cause = _cause(at, did) if did is not None and len(at.times) else None
    enough = len(at.times) >= ENOUGH
    found = tuple(_advice(profile, at, did, budget, facts or Facts())) if enough else ()
    return Examined(at, did, budget, cause, found)


def loader(budget: Budget | None) -> str:
    """Whether the data loader is the bottleneck: the one answer to that, from the loop's own clock."""
    if budget is None or not budget.loop:
        return "Whether the data loader is the bottleneck is unknown: no step times were recorded."
    found = "is" if budget.starved >= STARVED else "is not"
    return f"The data loader {found} the bottleneck: {_waited(budget)}."


def _budget(profile: Profile, node: str, at: Samples) -> Budget | None:
    mine = [each for each in profile.steps if each.node == node]
    if not mine:
        return None
    workers = len({each.worker for each in mine})
    waiting = sum(float(each.waiting.sum()) for each in mine) / workers
    computing = {
        phase: sum(float((each.seconds - each.waiting).sum()) for each in mine if each.phase == phase) / workers
        for phase in ("train", "valid")
    }
    begun = min([float(each.begun[0]) for each in mine] + [float(each) for each in at.spans()[0][:1]])
    ended = max([float(each.begun[-1] + each.spans[-1]) for each in mine] + [float(each) for each in at.times[-1:]])
    outside = max(0.0, ended - begun - waiting - sum(computing.values()))
    steps = sum(int(each.counts.sum()) for each in mine if each.phase == "train") // workers
    return Budget(waiting, computing["train"], computing["valid"], outside, steps)


def _cause(at: Samples, did: Activity) -> Cause:
    device, used = utilisation(at)
    begun, ended = at.spans()
    width = np.where(np.isfinite(used), ended - begun, 0.0)
    low = np.where(used < LOW, width, 0.0)
    shares = [_mean(each, low) for each in (did.waiting, did.training, did.validating, did.outside)]
    whiles = [_mean(np.nan_to_num(used), width * (each >= 0.5)) for each in (did.waiting, did.training)]
    return Cause(device, float(low.sum() / max(width.sum(), 1e-9)), *(np.nan_to_num(shares)), *whiles)


def utilisation(at: Samples) -> tuple[str, Floats]:
    """("GPU", mean over the GPUs [n]), or ("CPU", mean over the cores [n]) where there is no GPU; NaN for gaps."""
    device, values = ("GPU", at.gpu) if at.gpus else ("CPU", at.cpu)
    there = np.isfinite(values)
    sums, counts = np.where(there, values, 0.0).sum(1), there.sum(1)
    return device, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _advice(
    profile: Profile, at: Samples, did: Activity | None, budget: Budget | None, facts: Facts
) -> Iterator[Advice]:
    if budget is not None and did is not None and budget.starved >= STARVED:
        yield _feed(at, did, budget, facts)
    busy = did.training >= 0.5 if did is not None else np.full(len(at.times), True)
    if busy.any() and (budget is None or budget.starved < STARVED):
        yield from _on_gpu(profile, at, busy, budget, facts) if at.gpus else _on_cpu(at, busy, budget)
    yield from _unused(at)
    yield from _memory(profile, at.node)


def _feed(at: Samples, did: Activity, budget: Budget, facts: Facts) -> Advice:
    """The loader is too slow: what it lacks is what was full while the training waited."""
    hungry = did.waiting >= min(0.5, float(did.waiting.max()))
    used, disk = _cores_used(at, hungry)
    why = f"{_share(budget.starved)} of the loop's time was waiting for data; meanwhile {used:.1f} of {len(at.cores)} "
    why += f"cores were in use, {disk:.0f} % of their time for I/O."
    now = f" (now {facts.workers})" if facts.workers is not None else ""
    if disk >= IO_BOUND:
        return Advice("Bring the data nearer: pack the pictures, and File mode in place of FastFile", why)
    if used >= HIGH / 100 * len(at.cores):
        return Advice("More cores, or less work in the loader (pack the pictures); more workers would not help", why)
    if used >= ONE:
        return Advice(f"More workers in the loader{now}: it uses {used:.1f} cores, and the others have room", why)
    return Advice(f"More workers in the loader{now}, reading further ahead: no processor and no disk was busy", why)


def _on_gpu(profile: Profile, at: Samples, busy: Flags, budget: Budget | None, facts: Facts) -> Iterator[Advice]:
    used = utilisation(at)[1][busy]
    used = used[np.isfinite(used)]
    memory = [float(np.quantile(each.values, 0.95)) for each in profile.find("GPUMemoryUtilization", node=at.node)]
    full = max(memory, default=float("nan"))
    if not len(used):
        return
    mean = float(used.mean())
    if mean < LOW and budget is not None and full < 70:
        now = f" (now {facts.batch_size})" if facts.batch_size is not None else ""
        why = f"While it had its data the GPU was at {mean:.0f} %, and its memory at most {full:.0f} % full."
        yield Advice(f"A larger batch_size{now}, or a smaller GPU: the steps are too small for this one", why)
    elif mean >= FULL and facts.precision == "float32":
        why = f"The GPU is at {mean:.0f} % and computes in float32."
        yield Advice("Mixed precision (bfloat16): the GPU does the work, and can do it faster", why)
    elif mean >= FULL and (budget is None or budget.starved < FED):
        why = f"The GPU is at {mean:.0f} %; {_waited(budget)}."
        yield Advice("Nothing, unless it has to be faster: then a faster instance, for this GPU is full", why)
    if full >= 95:
        yield Advice("A slightly smaller batch_size: little is left of the GPU's memory", f"It was {full:.0f} % full.")


def _on_cpu(at: Samples, busy: Flags, budget: Budget | None) -> Iterator[Advice]:
    """Where no step times are recorded, what the processors worked at is unknown, and one busy core says nothing."""
    used, _ = _cores_used(at, busy)
    meanwhile = "While it trained " if budget is not None else ""
    why = f"{meanwhile}{used:.1f} of {len(at.cores)} cores were in use; {_waited(budget)}."
    if used >= HIGH / 100 * len(at.cores):
        full = " of the training itself" if budget is not None else ""
        yield Advice(f"An instance with a GPU, or with more cores: the processors are full{full}", why)
    elif budget is not None and ONE <= used < 2 * ONE and len(at.cores) > 1:
        yield Advice("A smaller instance would be as fast: one core does the work (a larger batch_size uses more)", why)


def _unused(at: Samples) -> Iterator[Advice]:
    idle = [name for name, values in zip(at.gpus, at.gpu.T, strict=True) if np.nanmax(values, initial=0.0) == 0]
    if idle and len(idle) < len(at.gpus):
        yield Advice("Fewer GPUs, or a process for each", f"{', '.join(idle)} did nothing from beginning to end.")


def _memory(profile: Profile, node: str) -> Iterator[Advice]:
    for each in profile.find("", "MemoryUsedPercent", node):
        if len(each.values) and float(each.values.max()) >= FULL:
            yield Advice("More memory, or fewer workers", f"Memory was {each.values.max():.0f} % full.")


def _cores_used(at: Samples, when: Flags) -> tuple[float, float]:
    """In those samples: cores' worth of work, and percent of the cores' time spent on waiting for I/O."""
    chosen, waits = at.cpu[when], at.waiting[when]
    if not np.isfinite(chosen).any():
        return 0.0, 0.0
    disk = float(np.nanmean(waits)) if np.isfinite(waits).any() else 0.0
    return float(np.nanmean(chosen)) / 100 * len(at.cores), disk


def _waited(budget: Budget | None) -> str:
    if budget is None:
        return "how long it waited for data is unknown, as no step times were recorded"
    return f"{_share(budget.starved)} of the loop's time was waiting for data"


def _mean(values: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    return float((values * weights).sum() / total) if total > 0 else float("nan")


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"
