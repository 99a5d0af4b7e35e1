"""A node's utilisation, and what its training loop did in the same moments. Pure functions of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kennel.debugger.profile import Floats, Profile, Series, Steps

Flags = np.ndarray[Any, np.dtype[np.bool_]]

MOMENT = 0.02
"""Seconds within which values belong to one sample: SageMaker's agent takes each kind by a thread of its own, and its
rules reckon with the same."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A node's samples. times [n]: epoch seconds; cpu [n, cores], waiting [n, cores], gpu [n, gpus]: percent, NaN where
    there is no value."""

    node: str
    times: Floats
    cores: tuple[str, ...]
    cpu: Floats
    waiting: Floats
    gpus: tuple[str, ...]
    gpu: Floats

    def spans(self) -> tuple[Floats, Floats]:
        """Each value speaks of the time since the one before (of as long as usual, at the first and after a gap)."""
        if len(self.times) < 2:
            return self.times - 0.5, self.times
        steps = np.diff(self.times)
        usual = float(np.median(steps))
        return self.times - np.minimum(np.concatenate([[usual], steps]), 1.5 * usual), self.times


@dataclass(frozen=True, slots=True)
class Activity:
    """Shares of each sample's time, [n] each: waiting for data, training, validating, and outside of the loop."""

    waiting: Floats
    training: Floats
    validating: Floats
    outside: Floats


def samples(profile: Profile, node: str) -> Samples:
    """CPU and GPU utilisation of a node, sample by sample."""
    cpu = profile.find("CPUUtilization", node=node)
    waiting = profile.find("I/OWaitPercentage", node=node)
    gpu = profile.find("GPUUtilization", node=node)
    found = [each.times for each in (*cpu, *gpu)]
    every = np.unique(np.concatenate(found)) if found else np.zeros(0)
    moments = _moments(every)
    cores, gpus = (tuple(each.name for each in group) for group in (cpu, gpu))
    named = {each.name: each for each in waiting}
    waits = [named.get(core, Series(node, "", core, "", np.zeros(0), np.zeros(0))) for core in cores]
    columns = (_columns(moments, group) for group in (cpu, waits, gpu))
    cpu_values, wait_values, gpu_values = columns
    return Samples(node, moments, cores, cpu_values, wait_values, gpus, gpu_values)


def activity(profile: Profile, at: Samples) -> Activity | None:
    """What the node's training loop did during each sample (its processes' mean); None where none is recorded."""
    mine = [each for each in profile.steps if each.node == at.node]
    if not mine:
        return None
    workers = len({each.worker for each in mine})
    begun, ended = at.spans()
    width = np.maximum(ended - begun, 1e-9) * workers
    waiting, worked = np.zeros(len(begun)), {"train": np.zeros(len(begun)), "valid": np.zeros(len(begun))}
    for each in mine:
        waiting += _within(each, each.waiting, begun, ended)
        worked[each.phase] += _within(each, each.seconds - each.waiting, begun, ended)
    waiting, training, validating = (np.minimum(1.0, each / width) for each in (waiting, *worked.values()))
    return Activity(waiting, training, validating, np.maximum(0.0, 1.0 - waiting - training - validating))


def stretches(at: Samples, mask: Flags) -> list[tuple[float, float]]:
    """(begin, end) in epoch seconds of each run of samples in which the mask holds."""
    begun, ended = at.spans()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(float(begun[first]), float(ended[past - 1])) for first, past in zip(edges[::2], edges[1::2], strict=True)]


def _moments(every: Floats) -> Floats:
    """The times at which samples begin: a value within MOMENT of such a time belongs to it."""
    if not len(every):
        return every
    if np.diff(every).min(initial=np.inf) > MOMENT:
        return every
    kept = [every[0]]
    for time in every:
        if time - kept[-1] > MOMENT:
            kept.append(time)
    return np.array(kept)


def _columns(moments: Floats, group: Sequence[Series]) -> Floats:
    columns = np.full((len(moments), len(group)), np.nan)
    for number, each in enumerate(group):
        row = np.searchsorted(moments, each.times, side="right") - 1
        near = (row >= 0) & (each.times - moments[np.maximum(row, 0)] <= MOMENT) if len(moments) else row < 0
        columns[row[near], number] = each.values[near]
    return columns


def _within(steps: Steps, seconds: Floats, begun: Floats, ended: Floats) -> Floats:
    """How much of a quantity that each run spreads evenly over itself falls into each span."""
    edges: Floats = np.maximum.accumulate(np.stack([steps.begun, steps.begun + steps.spans], 1).ravel())
    sums = np.cumsum(np.stack([np.zeros(len(seconds)), seconds], 1).ravel())
    return np.asarray(np.interp(ended, edges, sums) - np.interp(begun, edges, sums))
