"""How busy a machine was, from the series that the profiler has left. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kennel.comparison.recorded import POINTS, Point, Use, Utilisation
from kennel.debugger.profile import Floats, Profile, Series
from kennel.debugger.utilisation import samples

GPU_MEMORY = "GPUMemoryUtilization"


def used(profile: Profile) -> Utilisation | None:
    """Of the first host; None where nothing was sampled."""
    node = next(iter(profile.nodes), "")
    at = samples(profile, node)
    if not len(at.times):
        return None
    cpu, gpu = _mean(at.cpu), _mean(at.gpu)
    memory, gpu_memory = (
        profile.find(name, kind, node) for name, kind in (("", "MemoryUsedPercent"), (GPU_MEMORY, ""))
    )
    along = _along(memory, at.times)
    steps = [each for each in profile.steps if each.node == node and each.phase == "train"]
    begun = min((float(each.begun[0]) for each in steps), default=None)
    ended = max((float(each.begun[-1] + each.spans[-1]) for each in steps), default=None)
    first = float(at.spans()[0][0])
    return Utilisation(
        samples=len(at.times),
        seconds=float(at.times[-1]) - first,
        cores=len(at.cores),
        gpus=len(at.gpus),
        cpu=_use(cpu),
        gpu=_use(gpu),
        memory=_use(_values(memory)),
        gpu_memory=_use(_values(gpu_memory)),
        before_loop=None if begun is None else max(0.0, begun - first),
        loop=None if begun is None or ended is None else max(0.0, ended - begun),
        series=_points(at.times - first, cpu=cpu, gpu=gpu, memory=along),
    )


def _mean(values: Floats) -> Floats:
    """Over the cores (or GPUs) of each sample; NaN where none has a value."""
    there = np.isfinite(values)
    counts = there.sum(1)
    mean: Floats = np.where(counts > 0, np.where(there, values, 0).sum(1) / np.maximum(counts, 1), np.nan)
    return mean


def _values(series: Sequence[Series]) -> Floats:
    return np.concatenate([each.values for each in series]) if series else np.zeros(0)


def _use(values: Floats) -> Use | None:
    found = values[np.isfinite(values)]
    if not len(found):
        return None
    bounded = np.clip(found, 0, 100)
    return Use(mean=float(bounded.mean()), p95=float(np.percentile(bounded, 95)))


def _along(series: Sequence[Series], times: Floats) -> Floats:
    """The first series at these times; NaN without one."""
    if not series or not len(series[0].times):
        return np.full(len(times), np.nan)
    return np.asarray(np.interp(times, series[0].times, series[0].values))


def _points(at: Floats, **columns: Floats) -> tuple[Point, ...]:
    """At most POINTS, each the mean of as many samples."""
    groups = np.array_split(np.arange(len(at)), min(POINTS, len(at)))
    return tuple(
        Point(at=round(float(at[group[-1]]), 3), **{name: _rounded(each[group]) for name, each in columns.items()})
        for group in groups
    )


def _rounded(values: Floats) -> float | None:
    found = values[np.isfinite(values)]
    return round(float(np.clip(found.mean(), 0, 100)), 2) if len(found) else None
