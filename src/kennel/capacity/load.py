"""Asking one instance as the public does: requests leave when they are due, whether earlier ones were answered or not.

Open loop: a client that waits for an answer before it asks again slows down with the server and never sees the queue
(coordinated omission). So arrivals are drawn first, and an answer's time counts from the moment its request was due,
also where this client was late with it; how late is kept too, since a client that cannot keep up measures itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Ask = Callable[[], str]
"""Sends one request and waits for its answer; "" where it is right, else a word for what is wrong with it."""

THREADS = 32
"""Requests under way at most, as many as boto3's client has connections; more wait for a thread, which counts too."""
BACKLOG_MOST = 1000
GROWS_BY = 1.5
GROWS_FROM = 3.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. due: seconds since the load began; seconds: from then to its answer; late: to its departure;
    waiting: others that had no answer when it was due."""

    due: float
    seconds: float
    late: float
    error: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Step:
    """A rate held for a while, in the order of departure. cut: it was ended early, since too many had no answer."""

    rate: float
    seconds: float
    samples: tuple[Sample, ...]
    cut: bool = False

    @property
    def errors(self) -> int:
        return sum(bool(each.error) for each in self.samples)

    @property
    def error_share(self) -> float:
        return self.errors / len(self.samples) if self.samples else 0.0

    @property
    def late_s(self) -> float:
        """What this client was late by, at the 99th percentile."""
        return quantile([each.late for each in self.samples], 0.99)

    @property
    def grows(self) -> bool:
        """Whether ever more had no answer: in the last quarter half as many again as in the second, and 3 at least."""
        if self.cut:
            return True
        quarters = np.array_split(np.array([each.waiting for each in self.samples] or [0]), 4)
        before, after = (float(each.mean()) if len(each) else 0.0 for each in (quarters[1], quarters[3]))
        return after >= GROWS_FROM and after > GROWS_BY * before

    def quantile(self, share: float) -> float:
        """Seconds, of the right answers; NaN where there are none."""
        return quantile([each.seconds for each in self.samples if not each.error], share)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share > 0 else 0)]


def alone(ask: Ask, requests: int, seconds: float) -> list[Sample]:
    """One after the other, each when the one before is answered: what the work takes where nobody waits."""
    began, found = time.monotonic(), list[Sample]()
    while len(found) < requests and time.monotonic() - began < seconds:
        due = time.monotonic()
        error = ask()
        found.append(Sample(due - began, time.monotonic() - due, 0.0, error, 0))
    return found


def saturated(ask: Ask, seconds: float, threads: int = THREADS) -> tuple[float, int]:
    """(right answers a second, errors) where there are always more requests than can be answered."""
    lock, right, wrong = threading.Lock(), [0], [0]
    began = time.monotonic()
    settled, until = began + seconds / 5, began + seconds

    def client() -> None:
        while time.monotonic() < until:
            error = ask()
            now = time.monotonic()
            with lock:
                wrong[0] += bool(error)
                right[0] += not error and settled <= now <= until

    _together([client] * threads)
    return right[0] / (until - settled), wrong[0]


def step(ask: Ask, rate: float, seconds: float, seed: int, most: int) -> Step:
    """Poisson arrivals of this rate; most: requests. Returns when all are answered."""
    load = _Load(ask)
    cut = False
    with ThreadPoolExecutor(THREADS) as pool:
        began = time.monotonic()
        try:
            for number, due in enumerate(arrivals(rate, seconds, seed, most)):
                _until(began + due)
                if cut := load.waiting > BACKLOG_MOST:
                    break
                load.depart()
                pool.submit(load.send, number, due, began, load.waiting - 1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Step(rate, seconds, tuple(load.samples[number] for number in sorted(load.samples)), cut)


def arrivals(rate: float, seconds: float, seed: int, most: int) -> list[float]:
    """Seconds from the begin at which requests are due."""
    random = np.random.default_rng(seed)
    expected = min(most, math.ceil(rate * seconds + 6 * math.sqrt(rate * seconds) + 10))
    due = np.cumsum(random.exponential(1 / rate, expected))
    return [float(each) for each in due if each < seconds]


class _Load:
    """Of one step."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self.samples: dict[int, Sample] = {}
        self.waiting = 0

    def depart(self) -> None:
        with self._lock:
            self.waiting += 1

    def send(self, number: int, due: float, began: float, waiting: int) -> None:
        left = time.monotonic() - began
        error = self._ask()
        back = time.monotonic() - began
        with self._lock:
            self.waiting -= 1
            self.samples[number] = Sample(due, back - due, max(0.0, left - due), error, waiting)


def _until(moment: float) -> None:
    if (left := moment - time.monotonic()) > 0:
        time.sleep(left)


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(jobs)) as pool:
        for each in [pool.submit(job) for job in jobs]:
            each.result()
