"""What is measured of invocations, put into CloudWatch every minute as SageMaker does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from kennel.local.parts import House

MINUTE = 60
NAMESPACE = "AWS/SageMaker"


@dataclass(slots=True)
class Minute:
    """Of one variant. Seconds are sums over its invocations."""

    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_s: float = 0.0
    overhead_s: float = 0.0


class Meter:
    """Of one endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[str, Minute] = {}

    def count(self, variant: str, status: int, model_s: float, overhead_s: float) -> None:
        """One invocation that reached the variant; status: the container's, 0 where it gave none."""
        with self._lock:
            minute = self._minutes.setdefault(variant, Minute())
            minute.invocations += 1
            minute.errors_4xx += 400 <= status < 500
            minute.errors_5xx += status >= 500 or status == 0
            minute.model_s += model_s
            minute.overhead_s += overhead_s

    def take(self, variant: str) -> Minute:
        """What was counted since the last time."""
        with self._lock:
            return self._minutes.pop(variant, Minute())


def publish(house: House, endpoint: str, variant: str, minute: Minute, instances: int, time: float) -> None:
    """time: the minute's begin."""
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    for name, value, unit in data(minute, instances):
        house.cloudwatch.put(NAMESPACE, name, value, dimensions, unit, time)


def data(minute: Minute, instances: int) -> Iterator[tuple[str, float, str]]:
    """(name, value, unit). A quiet minute has zeros, and no latencies."""
    yield "Invocations", minute.invocations, "None"
    yield "InvocationsPerInstance", minute.invocations / max(1, instances), "None"
    yield "Invocation4XXErrors", minute.errors_4xx, "None"
    yield "Invocation5XXErrors", minute.errors_5xx, "None"
    if minute.invocations:
        yield "ModelLatency", minute.model_s / minute.invocations * 1e6, "Microseconds"
        yield "OverheadLatency", minute.overhead_s / minute.invocations * 1e6, "Microseconds"
