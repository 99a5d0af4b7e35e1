"""What functions leave in CloudWatch: log lines at once, metrics every minute, as AWS/Lambda has them.

Also metrics that a function prints in CloudWatch's embedded form. All of it by one thread of its own: an invocation
waits for none of it.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kennel.local.functions.book import Target
from kennel.local.parts import Document, House

log = logging.getLogger(__name__)

MINUTE = 60
NAMESPACE = "AWS/Lambda"
MOST_METRICS = 100
"""Of one embedded document; CloudWatch's own bound."""
MOST_DURATIONS = 1000
"""Of a minute; the rest is counted and not told one by one."""
Datum = tuple[str, str, float, Mapping[str, str], str]
"""(namespace, name, value, dimensions, unit)"""


@dataclass(slots=True)
class Minute:
    """Of one function, or one version or alias of it. concurrency: the most at a time; utilization: likewise."""

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    provisioned: int = 0
    spilled: int = 0
    concurrency: int = 0
    utilization: float | None = None
    durations: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Counted:
    """One request. duration_ms: None where it was throttled. utilization: of the provisioned concurrency, if any."""

    concurrency: int
    duration_ms: float | None = None
    failed: bool = False
    provisioned: bool = False
    utilization: float | None = None


class Recorder:
    """close: writes what is left."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._queue = queue.SimpleQueue[tuple[Target, str, Sequence[tuple[float, str]]] | None]()
        self._houses: dict[tuple[str, str], House] = {}
        self._lock = threading.Lock()
        self._minutes: dict[tuple[str, str], Minute] = {}
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=each, name="function-records", daemon=True) for each in (self._write, self._publish)
        ]

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def write(self, target: Target, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        """Returns at once."""
        if lines:
            self._queue.put((target, stream, lines))

    def count(self, target: Target, counted: Counted) -> None:
        with self._lock:
            for resource in {"", target.asked}:
                _add(self._minutes.setdefault((target.name, resource), Minute()), counted)

    def close(self) -> None:
        self._closing.set()
        self._queue.put(None)
        for each in self._threads:
            each.join()
        self._publish_all(self._house.clock.now())

    def _write(self) -> None:
        while (taken := self._queue.get()) is not None:
            target, stream, lines = taken
            group = target.configuration["LoggingConfig"]["LogGroup"]
            try:
                self._house_of(target).logs.write(group, stream, lines)
                for at, text in lines if self._house.logs.has(group, stream) else ():
                    for namespace, name, value, dimensions, unit in embedded(text):
                        self._house.cloudwatch.put(namespace, name, value, dimensions, unit, at)
            except Exception:
                log.exception("the log of a function, %s", group)

    def _house_of(self, target: Target) -> House:
        """As it is to Lambda under the function's role."""
        name, role = target.name, str(target.configuration["Role"])
        if (name, role) not in self._houses:
            arn = self._house.arn(f"function:{name}", "lambda")
            self._houses[name, role] = self._house.acting_as(role, arn, session=name)
        return self._houses[name, role]

    def _publish(self) -> None:
        clock = self._house.clock
        while True:
            begin = clock.now() // MINUTE * MINUTE
            if clock.wait(self._closing, begin + MINUTE - clock.now()):
                return
            self._publish_all(begin)

    def _publish_all(self, at: float) -> None:
        """at: the minute's begin."""
        with self._lock:
            minutes, self._minutes = self._minutes, {}
        try:
            for (name, resource), minute in minutes.items():
                dimensions = {"FunctionName": name, **({"Resource": f"{name}:{resource}"} if resource else {})}
                for metric, value, unit in data(minute):
                    self._house.cloudwatch.put(NAMESPACE, metric, value, dimensions, unit, at)
        except Exception:
            log.exception("the metrics of functions")


def data(minute: Minute) -> Iterator[tuple[str, float, str]]:
    """(name, value, unit)."""
    yield "Invocations", minute.invocations, "Count"
    yield "Errors", minute.errors, "Count"
    yield "Throttles", minute.throttles, "Count"
    yield "ConcurrentExecutions", minute.concurrency, "Count"
    for duration in minute.durations:
        yield "Duration", duration, "Milliseconds"
    if minute.utilization is not None:
        yield "ProvisionedConcurrencyInvocations", minute.provisioned, "Count"
        yield "ProvisionedConcurrencySpilloverInvocations", minute.spilled, "Count"
        yield "ProvisionedConcurrencyUtilization", minute.utilization, "None"


def embedded(line: str) -> Iterator[Datum]:
    """The metrics in a log line of CloudWatch's embedded form; none in any other line, nor in a malformed one."""
    if '"_aws"' not in line:
        return
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            yield from list(_of_directive(document, directive))


def _of_directive(document: Document, directive: Document) -> Iterator[Datum]:
    for metric in directive["Metrics"][:MOST_METRICS]:
        values = document[metric["Name"]]
        for value in values if isinstance(values, list) else [values]:
            for names in directive.get("Dimensions") or [[]]:
                dimensions = {name: str(document[name]) for name in names}
                yield str(directive["Namespace"]), metric["Name"], float(value), dimensions, metric.get("Unit", "None")


def _add(minute: Minute, counted: Counted) -> None:
    minute.concurrency = max(minute.concurrency, counted.concurrency)
    if counted.utilization is not None:
        minute.utilization = max(minute.utilization or 0.0, counted.utilization)
    if counted.duration_ms is None:
        minute.throttles += 1
        return
    minute.invocations += 1
    minute.errors += counted.failed
    minute.provisioned += counted.provisioned
    minute.spilled += counted.utilization is not None and not counted.provisioned
    if len(minute.durations) < MOST_DURATIONS:
        minute.durations.append(counted.duration_ms)
