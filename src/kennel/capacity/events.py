"""The same queue, request by request: exact where the arithmetic of `queueing` approximates, and slower by far.

What the approximations are held against, in tests and in `benchmarks/bench_scaling.py`; not part of a simulation.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from kennel.capacity.scaled import World
from kennel.capacity.service import Floats
from kennel.capacity.traffic import MINUTE, Trace


def answers(trace: Trace, instances: Sequence[int], world: World, seed: int) -> list[Floats]:
    """Seconds until each answer, by the minute in which the request came; infinite for one that fails.

    First come, first served, on as many servers as there are in the minute; what waits for `answer_s` is dropped.
    """
    random = np.random.default_rng(seed)
    found: list[Floats] = []
    free = [0.0] * (instances[0] * world.service.at_a_time)
    for minute, (count, serving) in enumerate(zip(trace.counts.tolist(), instances, strict=True)):
        free = _sized(free, serving * world.service.at_a_time, minute * MINUTE)
        arrivals = minute * MINUTE + np.sort(random.random(count)) * MINUTE
        work = random.choice(world.service.seconds, count, p=np.array(world.service.shares))
        found.append(_served(free, arrivals, work, world.answer_s))
    return found


def _served(free: list[float], arrivals: Floats, work: Floats, most: float) -> Floats:
    seconds = np.empty(len(arrivals))
    for number, (came, takes) in enumerate(zip(arrivals.tolist(), work.tolist(), strict=True)):
        begins = max(came, free[0])
        if begins - came > most:
            seconds[number] = np.inf
            continue
        heapq.heapreplace(free, min(begins + takes, came + most))
        seconds[number] = begins + takes - came if begins + takes - came <= most else np.inf
    return seconds


def _sized(free: list[float], servers: int, now: float) -> list[float]:
    """New ones are free at once; those that leave are the ones with nothing to do, or done first."""
    kept = sorted(free)[max(0, len(free) - servers) :]
    found = kept + [now] * (servers - len(kept))
    heapq.heapify(found)
    return found
