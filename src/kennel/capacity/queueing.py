"""Waiting, as arithmetic on whole arrays: a queue of many servers, and the tail of what an asker waits for an answer.

* Erlang C: the chance to wait in M/M/c (Erlang 1917; here by the recursion of Erlang B, which does not overflow).
* Allen–Cunneen: with other service times the wait is (Ca² + Cs²)/2 times as long (Allen, "Probability, Statistics and
  Queueing Theory", 1990); arrivals are Poisson, so Ca² = 1. Who waits at all waits about exponentially.
* Near and above saturation no queue reaches its stationary length within minutes: what randomness makes of it is
  bounded by a diffusion (mean of a reflected Brownian motion, Newell 1971) over `RELAX_S`; what more comes than can be
  done is a fluid, which the simulation carries from minute to minute.

One queue for all instances: the router gives a request to the instance with the fewest, which is close to that.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kennel.capacity.service import Floats, Service

RELAX_S = 60.0
"""Chosen by holding the whole against `events`."""
GRID_LOW, GRID_HIGH, GRID_POINTS = 2e-3, 120.0, 160
PIECES = 4
"""Of a minute in which the fluid grows or shrinks."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Elementwise: the chance that a request waits, the mean wait in seconds of one that does, and what it waits at
    most, where no more may wait than a function has executions."""

    chance: Floats
    wait_s: Floats
    most_s: Floats


@functools.cache
def grid() -> Floats:
    """Seconds, at which tails are known; evenly on a logarithmic scale. One array for all, so nobody writes to it."""
    marks: Floats = np.geomspace(GRID_LOW, GRID_HIGH, GRID_POINTS, dtype=np.float64)
    marks.flags.writeable = False
    return marks


def erlang_b(servers: NDArray[np.int64], load: Floats) -> Floats:
    """Chance that all servers are busy where nobody waits. load: arrivals × service time."""
    servers, load = np.broadcast_arrays(servers, load)
    found, blocked = np.ones(load.shape), np.ones(load.shape)
    for number in range(1, int(servers.max(initial=0)) + 1):
        blocked = load * blocked / (number + load * blocked)
        found = np.where(servers == number, blocked, found)
    return found


def erlang_c(servers: NDArray[np.int64], load: Floats) -> Floats:
    """Chance to wait, 1 where the load is as much as the servers or more."""
    blocked = erlang_b(servers, load)
    use = np.minimum(load / servers, 1.0)
    chance: Floats = np.where(use < 1, blocked / (1 - use * (1 - blocked)), 1.0)
    return chance


def queue(arrivals_s: Floats, instances: NDArray[np.int64], service: Service, room: Floats | float = np.inf) -> Queue:
    """Of requests that come at these rates to so many instances. room: of them may wait."""
    servers = instances * service.at_a_time
    able_s = servers / service.mean_s
    spread = (1 + service.scv) / 2
    with np.errstate(divide="ignore"):
        stationary = np.where(arrivals_s < able_s, spread / np.maximum(able_s - arrivals_s, 1e-12), np.inf)
    wandering = np.sqrt(2 * RELAX_S / math.pi * (arrivals_s + able_s * service.scv)) * (2 / 3) / able_s
    waits = np.maximum(np.minimum(stationary, wandering), 1e-9)
    return Queue(erlang_c(servers, arrivals_s * service.mean_s), waits, np.maximum(room, 0.0) / able_s)


def tails(queues: Queue, service: Service, extra_s: float = 0.0) -> Floats:
    """[..., grid]: chance that an answer takes longer than each of the grid's seconds. extra_s: before and after."""
    shape = queues.chance.shape
    each = [np.broadcast_to(values, shape).ravel() for values in (queues.chance, queues.wait_s, queues.most_s)]
    rows, where = np.unique(np.stack(each, -1), axis=0, return_inverse=True)  # many minutes are alike
    chance, wait, most, at = rows[:, :1], rows[:, 1:2], rows[:, 2:], grid() - extra_s
    over = np.minimum(np.exp(-most / wait), 1 - 1e-9)
    found = np.zeros((len(rows), GRID_POINTS))
    for seconds, share in zip(service.seconds, service.shares, strict=True):
        soon = int(np.searchsorted(at, seconds))
        found[:, :soon] += share
        found[:, soon:] += share * chance * np.maximum(np.exp((seconds - at[soon:]) / wait) - over, 0) / (1 - over)
    told: Floats = found[where.ravel()].reshape(*shape, GRID_POINTS)
    return told


def behind(tail: Floats, fluid: Floats) -> Floats:
    """Tails [rows, grid] behind a fluid that takes `fluid` [rows, PIECES] seconds in the course of a minute."""
    marks, flat = grid(), tail.ravel()
    first = np.arange(len(tail))[:, None] * GRID_POINTS
    scale = (GRID_POINTS - 1) / math.log(GRID_HIGH / GRID_LOW)
    found = np.zeros_like(tail)
    for piece in fluid.T:
        at = marks - piece[:, None]
        place = np.log(np.maximum(at, GRID_LOW) / GRID_LOW) * scale
        low = np.minimum(place.astype(np.int64), GRID_POINTS - 2)
        here = flat[first + low]
        found += np.where(at < GRID_LOW, 1.0, here + (flat[first + low + 1] - here) * (place - low))
    return found / fluid.shape[1]


def pieces() -> Floats:
    """Seconds of a minute, at which the fluid is looked at."""
    return (np.arange(PIECES) + 0.5) * 60 / PIECES


def quantiles(tail: Floats, share: float) -> Floats:
    """[...] seconds that this share of the requests does not exceed, of tails [..., grid]; between points linear in
    the logarithm of time. Infinite where more than 1 - share take longer than the grid."""
    over = tail > 1 - share
    last = np.where(over.any(-1), GRID_POINTS - 1 - np.argmax(over[..., ::-1], -1), 0)
    following = np.minimum(last + 1, GRID_POINTS - 1)
    high = np.take_along_axis(tail, last[..., None], -1)[..., 0]
    low = np.take_along_axis(tail, following[..., None], -1)[..., 0]
    part = np.clip((high - (1 - share)) / np.maximum(high - low, 1e-12), 0, 1)
    marks = np.log(grid())
    seconds = np.exp(marks[last] + part * (marks[following] - marks[last]))
    found: Floats = np.where(tail[..., -1] > 1 - share, np.inf, seconds)
    return found
