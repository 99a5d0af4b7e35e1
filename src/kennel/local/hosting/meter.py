"""What is measured of invocations, put into CloudWatch every minute as SageMaker does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from kennel.local.parts import Clock, House

MINUTE = 60
NAMESPACE = "AWS/SageMaker"


@dataclass(slots=True)
class Minute:
    """Of one variant: requests that came in it, and answers that went out in it, with their seconds as sums.

    shares: of 1 / instances, as each request found it.
    """

    invocations: int = 0
    shares: float = 0.0
    answers: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_s: float = 0.0
    overhead_s: float = 0.0


class Meter:
    """Of one endpoint. clock: its `now` says which minute it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._minutes: dict[tuple[str, float], Minute] = {}

    def request(self, variant: str, instances: int) -> None:
        """One that goes to the variant, however long it is going to take. instances: that the variant has."""
        with self._lock:
            minute = self._now(variant)
            minute.invocations += 1
            minute.shares += 1 / max(1, instances)

    def answer(self, variant: str, status: int, model_s: float, overhead_s: float) -> None:
        """status: the container's, 0 where it gave none."""
        with self._lock:
            minute = self._now(variant)
            minute.answers += 1
            minute.errors_4xx += 400 <= status < 500
            minute.errors_5xx += status >= 500 or status == 0
            minute.model_s += model_s
            minute.overhead_s += overhead_s

    def take(self, variant: str, begin: float) -> Minute:
        """What was counted in the minute that began then."""
        with self._lock:
            return self._minutes.pop((variant, begin), Minute())

    def forget(self, before: float) -> None:
        """Minutes that nobody took, of a variant that is no more or of a server that was suspended."""
        with self._lock:
            for place in [each for each in self._minutes if each[1] < before]:
                del self._minutes[place]

    def _now(self, variant: str) -> Minute:
        return self._minutes.setdefault((variant, self._clock.now() // MINUTE * MINUTE), Minute())


def publish(house: House, endpoint: str, variant: str, minute: Minute, time: float) -> None:
    """time: the minute's begin."""
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    for name, value, unit in data(minute):
        house.cloudwatch.put(NAMESPACE, name, value, dimensions, unit, time)


def data(minute: Minute) -> Iterator[tuple[str, float, str]]:
    """(name, value, unit): each a minute's sum, latencies its mean. A quiet minute has zeros, and no latencies.

    SageMaker sends 1 / instances with each request as InvocationsPerInstance, of which the minute's Sum is of use; and
    zeros where there is no traffic, so that target tracking scales in (its guide says so; what it said before was that
    nothing is sent then, and nothing scales in).
    """
    yield "Invocations", minute.invocations, "None"
    yield "InvocationsPerInstance", minute.shares, "None"
    yield "Invocation4XXErrors", minute.errors_4xx, "None"
    yield "Invocation5XXErrors", minute.errors_5xx, "None"
    if minute.answers:
        yield "ModelLatency", minute.model_s / minute.answers * 1e6, "Microseconds"
        yield "OverheadLatency", minute.overhead_s / minute.answers * 1e6, "Microseconds"
