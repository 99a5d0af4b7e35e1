"""Profiles written by hand, for the tests of rules, advice and report; and real work for the sampler to see."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kennel.debugger.profile import Floats, Profile, ProfileReader, Series, Steps

START = 1_591_748_100.0
"""A full minute."""


def series(name: str, values: Sequence[float] | Floats, node: str = "algo-1", interval: float = 0.5) -> Series:
    """One metric, a value every `interval` seconds. name: `cpu0`, `gpu0`; `cpu0 wait` is its I/O wait."""
    words = {"cpu": "CPUUtilization", "gpu": "GPUUtilization", "mem": "GPUMemoryUtilization"}
    device, _, wait = name.partition(" ")
    dimension = "I/OWaitPercentage" if wait == "wait" else "GPUMemoryUtilization" if wait else words[device[:3]]
    times = np.array([START + interval * (number + 1) for number in range(len(values))])
    return Series(node, device[:3], device, dimension, times, np.array(values, np.float64))


def profile(given: Mapping[str, Sequence[float] | Floats], steps: Sequence[Steps] = ()) -> Profile:
    """Metrics of algo-1 by their names, and step times."""
    return Profile(tuple(series(name, values) for name, values in given.items()), tuple(steps))


def steps(
    waiting: float,
    seconds: float = 0.5,
    count: int = 100,
    phase: Any = "train",
    begun: float = START,
    node: str = "algo-1",
) -> Steps:
    """`count` steps of `seconds` each, one after the other, of which `waiting` was spent on data."""
    at = np.array([begun + seconds * number for number in range(count)])
    first = np.array([float(number) for number in range(count)])
    full = np.full(count, seconds)
    return Steps(f"1-{node}", phase, at, full, full, np.full(count, waiting), np.full(count, 1.0), first)


def write_lines(folder: Path, lines: Sequence[str], minute: int = int(START), node: str = "algo-1") -> Path:
    """Lines of the system metrics, in the place where SageMaker has them."""
    path = folder / "system/incremental/2020061000" / f"{minute}.{node}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def line(value: Any = 1.36, name: str = "cpu0", at: Any = START + 9.23, **other: Any) -> str:
    """One line as AWS's agent writes it."""
    kind = name[:3]
    event = {"Type": kind, "Name": name, "Dimension": f"{kind.upper()}Utilization", "Value": value}
    return json.dumps({**event, "NodeId": "algo-1", "Timestamp": at, **other})


def wait_for(folder: Path, samples: int) -> None:
    """Until the real sampler has put that many samples on disk."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if folder.exists() and any(len(each.times) >= samples for each in ProfileReader(folder).read().series):
            return
        time.sleep(0.02)
    raise AssertionError(f"no {samples} samples within 30 s")
