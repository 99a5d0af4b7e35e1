"""Who answers a request: a variant by weight, in it the instance with the fewest requests; the rest wait in order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kennel.local.hosting.instance import Instance


class NoVariant(Exception):
    """The request names a variant that is not there."""


class NoInstance(Exception):
    """None became free in time."""


class Closed(Exception):
    """The endpoint takes no requests (any more)."""


@dataclass(eq=False, slots=True)
class Seat:
    """Where an instance sits; who sits there changes when one dies."""

    instance: Instance | None = None


@dataclass(eq=False, slots=True)
class _Waiter:
    target: str | None
    variant: str
    instance: Instance | None = None
    refused: bool = False
    told: threading.Event = field(default_factory=threading.Event)


class Router:
    """Of one endpoint. Requests that wait are served in their order."""

    def __init__(self, outstanding: int) -> None:
        self._most = outstanding
        self._lock = threading.Lock()
        self._seats: dict[str, tuple[Seat, ...]] = {}
        self._weights: dict[str, float] = {}
        self._waiting: list[_Waiter] = []
        self._random = random.Random()

    def swap(self, seats: Mapping[str, Sequence[Seat]], weights: Mapping[str, float]) -> None:
        """From now on these variants and seats get the requests; without any, the endpoint is closed."""
        with self._lock:
            self._seats = {name: tuple(each) for name, each in seats.items()}
            self._weights = dict(weights)
            self._serve()

    def acquire(self, target: str | None, until: float) -> tuple[str, Instance]:
        """A variant and its instance, to be released. Raises NoVariant, NoInstance, Closed."""
        with self._lock:
            waiter = _Waiter(target, self._choose(target))
            self._waiting.append(waiter)
            self._serve()
        waiter.told.wait(max(0.0, until - time.monotonic()))
        with self._lock:
            if waiter.instance is not None:
                return waiter.variant, waiter.instance
            if waiter.refused:
                raise NoVariant if self._seats else Closed
            self._waiting.remove(waiter)
        raise NoInstance

    def release(self, instance: Instance) -> None:
        with self._lock:
            instance.outstanding -= 1
            self._serve()

    def admit(self, seat: Seat, instance: Instance) -> None:
        """The instance answers: it may get requests."""
        with self._lock:
            seat.instance, instance.serving = instance, True
            self._serve()

    def withdraw(self, instance: Instance) -> None:
        """It gets no more, until it is admitted (again)."""
        with self._lock:
            instance.serving = False

    def size(self, variant: str) -> int:
        """Instances of a variant that serve, or are about to again."""
        with self._lock:
            return len(self._seats.get(variant, ()))

    def _choose(self, target: str | None) -> str:
        if not self._seats:
            raise Closed
        if target is not None:
            if target not in self._seats:
                raise NoVariant
            return target
        names = list(self._seats)
        weights = [self._weights[name] for name in names]
        return self._random.choices(names, weights if sum(weights) > 0 else None)[0]

    def _serve(self) -> None:
        """Give instances to those who wait, the first come first."""
        left, full = [], set[str]()
        for waiter in self._waiting:
            if waiter.variant not in self._seats and not self._rechoose(waiter):
                continue
            found = None if waiter.variant in full else self._least(waiter.variant)
            if found is None:
                full.add(waiter.variant)
                left.append(waiter)
                continue
            found.outstanding += 1
            waiter.instance = found
            waiter.told.set()
        self._waiting = left

    def _rechoose(self, waiter: _Waiter) -> bool:
        try:
            waiter.variant = self._choose(waiter.target)
        except (Closed, NoVariant):
            waiter.refused = True
            waiter.told.set()
            return False
        return True

    def _least(self, variant: str) -> Instance | None:
        instances = [each.instance for each in self._seats[variant] if each.instance is not None]
        free = [each for each in instances if each.serving and each.outstanding < self._most]
        return min(free, key=lambda each: each.outstanding, default=None)
