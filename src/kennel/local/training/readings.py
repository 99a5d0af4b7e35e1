"""A job's metrics, read from its log lines by the regexes of its MetricDefinitions."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from kennel.local.parts import Document

KEPT = 10_000
"""Values of a metric that are remembered, the newest: an endless log must not fill the memory."""
KEPT_AFTERWARDS = 1000
"""The same, once the job is over."""
LONGEST_LINE = 4096
"""Of a line's characters that regexes are held against."""


class Readings:
    """All values of a job's metrics so far. May be read while it is written."""

    def __init__(self, definitions: Sequence[Document]) -> None:
        self._regexes = {each["Name"]: re.compile(each["Regex"]) for each in definitions}
        self._values: dict[str, list[tuple[float, float]]] = {name: [] for name in self._regexes}
        self._lock = threading.Lock()

    def read(self, time: float, line: str) -> list[tuple[str, float]]:
        """The metrics in a line, each match's first group; they are remembered."""
        found = []
        for name, regex in self._regexes.items():
            for match in regex.finditer(line[:LONGEST_LINE]):
                value = number(match.group(1) if regex.groups else match.group())
                if value is not None:
                    found.append((name, value))
        with self._lock:
            for name, value in found:
                self._values[name].append((time, value))
                del self._values[name][:-KEPT]
        return found

    def values(self, name: str) -> list[tuple[float, float]]:
        """(epoch seconds, value), the oldest first."""
        with self._lock:
            return list(self._values.get(name, ()))

    def newest(self) -> dict[str, list[tuple[float, float]]]:
        """What is worth keeping when the job is over, by metric."""
        with self._lock:
            return {name: values[-KEPT_AFTERWARDS:] for name, values in self._values.items()}

    def last(self) -> list[Document]:
        """FinalMetricDataList."""
        with self._lock:
            return [
                {"MetricName": name, "Value": values[-1][1], "Timestamp": values[-1][0]}
                for name, values in self._values.items()
                if values
            ]


def number(text: str | None) -> float | None:
    """None for what is no finite number, which CloudWatch does not take; also for a group that matched nothing."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None
