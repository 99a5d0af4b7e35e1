"""What one instance does with a request: how long it works on it, and on how many at a time.

A distribution is a handful of atoms (seconds and their shares), enough for a p99.9 and cheap to add up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kennel.errors import SettingError

Floats = NDArray[np.float64]
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
"""Of the shares that an atom stands for; it lies in the middle of its share."""
MOST_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True)
class Service:
    """at_a_time: requests that an instance works on at once; seconds, shares: of one request's work, alone."""

    at_a_time: int
    seconds: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.at_a_time <= MOST_AT_A_TIME:
            raise SettingError(f"an instance works on 1 to {MOST_AT_A_TIME} requests at a time", "Change --concurrency")
        if not self.seconds or not all(0 < each < math.inf for each in self.seconds):
            raise SettingError("a service time is not above 0", "Change --service-ms")

    @classmethod
    def lognormal(cls, mean_s: float, cv: float, at_a_time: int) -> Self:
        """cv: standard deviation over mean; service times of a network on one picture are nearly constant."""
        if not (1e-5 <= mean_s <= 900 and 0 <= cv <= 5):
            raise SettingError("a service time is within 0.01 ms and 15 min, its cv within 0 and 5", "Change them")
        sigma = math.sqrt(math.log1p(cv**2))
        normal = NormalDist()
        seconds = np.exp([sigma * normal.inv_cdf(each) for each in middles()])
        return cls(at_a_time, *_scaled(seconds, widths(), mean_s))

    @classmethod
    def of_quantiles(cls, quantiles: Sequence[float], at_a_time: int) -> Self:
        """quantiles: seconds at `middles()`, as measured."""
        return cls(at_a_time, tuple(quantiles), tuple(widths()))

    @property
    def mean_s(self) -> float:
        return math.fsum(s * share for s, share in zip(self.seconds, self.shares, strict=True))

    @property
    def scv(self) -> float:
        """Variance over mean squared."""
        square = math.fsum(s * s * share for s, share in zip(self.seconds, self.shares, strict=True))
        return max(0.0, square / self.mean_s**2 - 1)

    @property
    def most_per_s(self) -> float:
        """Requests that an instance can finish in a second at most."""
        return self.at_a_time / self.mean_s

    def at_rate(self, most_per_s: float) -> Self:
        """The same shape, so fast that an instance finishes that many: work is slower beside other work."""
        factor = self.at_a_time / most_per_s / self.mean_s
        return replace(self, seconds=tuple(each * factor for each in self.seconds))


def middles() -> list[float]:
    return [(low + high) / 2 for low, high in itertools.pairwise(EDGES)]


def widths() -> list[float]:
    return [high - low for low, high in itertools.pairwise(EDGES)]


def _scaled(seconds: Floats, shares: Sequence[float], mean_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    factor = mean_s / float(np.dot(seconds, shares))
    return tuple(float(each) * factor for each in seconds), tuple(shares)
