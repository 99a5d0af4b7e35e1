"""Traffic: how many requests come in each minute, from a file or a shape. Within a minute they come as they like.

A shape is a rate over time; what comes in a minute is drawn from a Poisson distribution of that mean, by a seed, which
is what many askers who do not know of each other make. A file's counts are taken as they are.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kennel.errors import DataError, SettingError
from kennel.files import read_bounded

Counts = NDArray[np.int64]
Shape = Literal["steady", "spike", "day", "ramp", "on-off"]
MINUTE = 60
DAY = 1440
MOST_MINUTES = 366 * DAY
MOST_A_MINUTE = 1_000_000
MOST_BYTES = 64 * 2**20
LINE_MOST = 1000
FORMS = "CSV with the columns minute,invocations, JSON lines with the same names, or a timestamp a line"


@dataclass(frozen=True, slots=True)
class Trace:
    """counts: requests that come in each minute, from minute 0."""

    name: str
    counts: Counts

    @property
    def minutes(self) -> int:
        return len(self.counts)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A shape and its parameters. base, peak: requests a minute; the rest are minutes.

    spike: base, from `start` on peak for `length`. ramp: base, from `start` on evenly up to peak during `length`. day:
    a cosine with a period of 24 hours, base at midnight, peak at noon. on-off: peak for `length`, base for the rest
    of each `period`.
    """

    shape: Shape = "steady"
    base: float = 10
    peak: float = 100
    start: float = 30
    length: float = 10
    period: float = 60
    minutes: int = 180

    def __post_init__(self) -> None:
        if not 1 <= self.minutes <= MOST_MINUTES:
            raise SettingError(f"a trace has 1 to {MOST_MINUTES} minutes, not {self.minutes}", "Ask for fewer hours")
        for name in ("base", "peak"):
            if not 0 <= getattr(self, name) <= MOST_A_MINUTE:
                raise SettingError(f"{name} is not within 0 and {MOST_A_MINUTE} a minute", "Change its value")
        for name in ("start", "length", "period"):
            if not 0 <= getattr(self, name) <= MOST_MINUTES:
                raise SettingError(f"{name} is not within 0 and {MOST_MINUTES} minutes", "Change its value")
        if self.shape == "on-off" and self.period < 1:
            raise SettingError("period is less than a minute", "Change its value")


def drawn(wanted: Wanted, seed: int) -> Trace:
    """The shape's rate, and what came by chance."""
    counts = np.random.default_rng(seed).poisson(rates(wanted)).astype(np.int64)
    return Trace(f"{wanted.shape}, seed {seed}", counts)


def rates(wanted: Wanted) -> NDArray[np.float64]:
    """Requests that are expected in each minute."""
    at = np.arange(wanted.minutes, dtype=np.float64)
    return wanted.base + (wanted.peak - wanted.base) * _SHARES[wanted.shape](wanted, at)


def _steady(wanted: Wanted, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.zeros_like(at)


def _spike(wanted: Wanted, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((at >= wanted.start) & (at < wanted.start + wanted.length)).astype(np.float64)


def _ramp(wanted: Wanted, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((at - wanted.start) / max(wanted.length, 1), 0, 1)


def _day(wanted: Wanted, at: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = (1 - np.cos(2 * math.pi * at / DAY)) / 2
    return share


def _on_off(wanted: Wanted, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return (at % wanted.period < wanted.length).astype(np.float64)


_SHARES: Mapping[str, Callable[[Wanted, NDArray[np.float64]], NDArray[np.float64]]] = {
    "steady": _steady, "spike": _spike, "ramp": _ramp, "day": _day, "on-off": _on_off,
}  # fmt: skip


def read(path: Path) -> Trace:
    """A trace in a file: .jsonl or anything else as CSV; minutes without a line are quiet. Raises DataError.

    Timestamps are epoch seconds or ISO 8601 (UTC where they name no zone), in any order; minute 0 is the first one's.
    """
    try:
        content = read_bounded(path, MOST_BYTES)
        if len(content) > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES // 2**20} MB", "Sum it up: minute,invocations")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})", f"Name a file: {FORMS}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text", f"Name a file: {FORMS}") from error
    rows = _of_json(lines) if path.suffix.lower() in (".jsonl", ".ndjson", ".json") else _of_csv(lines)
    try:
        return Trace(path.name, _gathered(rows))
    except ValueError as error:
        raise DataError(f"{path}, {error}", f"It should be {FORMS}") from error


def _of_csv(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, values by column)."""
    names: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        _bounded(number, line)
        if not line.strip() or line.startswith("#"):
            continue
        cells = [each.strip() for each in next(csv.reader([line]))]
        if names is None:
            names = _head(cells)
            if names == [each.lower() for each in cells]:
                continue
        if len(cells) != len(names):
            raise ValueError(f"line {number} has {len(cells)} columns instead of {len(names)}")
        yield number, dict(zip(names, cells, strict=True))


def _head(cells: list[str]) -> list[str]:
    """The columns' names: the first line's, or what a file without such a line has."""
    lower = [each.lower() for each in cells]
    if "minute" in lower or "timestamp" in lower:
        return lower
    return ["timestamp"] if len(cells) == 1 else ["minute", "invocations"]


def _of_json(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        _bounded(number, line)
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not JSON") from error
        if not isinstance(found, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield number, found


def _bounded(number: int, line: str) -> None:
    if len(line) > LINE_MOST:
        raise ValueError(f"line {number} is longer than {LINE_MOST} characters")


def _gathered(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Counts:
    """Both kinds of rows, summed up by the minute."""
    found: dict[int, int] = {}
    clocked = False
    for number, row in rows:
        clocked = "minute" not in row
        minute = math.floor(_moment(number, row.get("timestamp")) / MINUTE) if clocked else _minute(number, row)
        count = _whole(number, "invocations", row.get("invocations", 1 if clocked else None), MOST_A_MINUTE)
        found[minute] = found.get(minute, 0) + count
        if found[minute] > MOST_A_MINUTE:
            raise ValueError(f"line {number}: more than {MOST_A_MINUTE} requests in a minute")
    if not found:
        raise ValueError("which has no line with a number of requests")
    return _dense(found, min(found) if clocked else 0)


def _dense(found: Mapping[int, int], first: int) -> Counts:
    minutes = max(found) - first + 1
    if minutes > MOST_MINUTES:
        raise ValueError(f"which spans more than {MOST_MINUTES} minutes")
    counts = np.zeros(minutes, np.int64)
    for minute, count in found.items():
        counts[minute - first] = count
    return counts


def _minute(number: int, row: Mapping[str, Any]) -> int:
    return _whole(number, "minute", row["minute"], MOST_MINUTES)


def _whole(number: int, name: str, value: Any, most: int) -> int:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not (0 <= found <= most and found == int(found)):
        raise ValueError(f"line {number}: {name} is not a whole number within 0 and {most}")
    return int(found)


def _moment(number: int, value: Any) -> float:
    """Epoch seconds."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = _iso(value)
    if isinstance(value, bool) or not 0 <= found < 1e11:
        raise ValueError(f"line {number}: timestamp is neither epoch seconds nor ISO 8601")
    return found


def _iso(value: Any) -> float:
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return math.nan
