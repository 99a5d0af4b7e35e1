"""What a profiler has left, as series: of our sampler and `StepClock`, or downloaded from AWS (`profiler-output/`).

Whoever trained wrote these files, so nothing in them is believed: what is no number, too long, too much or of another
kind is left out and counted, and `notes` say so. Links are not followed. A file may still be written to: a last line
without its end waits for the next look.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kennel.debugger.recorded import Phase
from kennel.debugger.steps import MODES
from kennel.errors import DataError

Floats = np.ndarray[Any, np.dtype[np.float64]]

SYSTEM = re.compile(r"(\d{1,12})\.([A-Za-z0-9-]{1,63})\.json")
TIMELINE = re.compile(r"\d{1,20}_(.{1,80})_pythontimeline\.json")
MOST_FILES = 50_000
DEEPEST = 8
"""Folders below the one that is read; profiler-output/system/incremental/2026112415 are four."""
MOST_BYTES = 2**30
"""Of a folder: about four hours of a machine with 96 cores at 500 ms. What is beyond is left out, and said."""
LARGEST_LOOK = 64 * 2**20
"""Of one file at one look; a minute of 96 cores at 100 ms is 16 MB."""
LONGEST_LINE = 1000
LARGEST_TIMELINE = 4 * 2**20
"""A minute of ours is less than a tenth of that; parsed, it is held in memory as objects."""
MOST_SERIES = 5000
LATEST = 2.0**33
"""Seconds since 1970; later ones are no time."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of a node. kind, name, dimension: SageMaker's words; times: epoch seconds, rising; values: finite."""

    node: str
    kind: str
    name: str
    dimension: str
    times: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Steps:
    """One process's steps in one phase, a run of steps a row, [n] each.

    begun: epoch seconds, rising; spans: seconds from the run's begin to its end (other things may lie in between);
    seconds: of the steps themselves, of which `waiting` for data; counts: how many steps; first: the first's number.
    """

    worker: str
    phase: Phase
    begun: Floats
    spans: Floats
    seconds: Floats
    waiting: Floats
    counts: Floats
    first: Floats

    @property
    def node(self) -> str:
        """`7-algo-1` is process 7 of algo-1."""
        return self.worker.partition("-")[2] or self.worker


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything so far. notes: what was left out, a sentence each."""

    series: tuple[Series, ...] = ()
    steps: tuple[Steps, ...] = ()
    notes: tuple[str, ...] = ()

    def find(self, dimension: str, name: str = "", node: str = "") -> list[Series]:
        """By dimension (and name and node, where they are given), in the order of node and name."""
        return [
            each
            for each in self.series
            if each.dimension == dimension and name in ("", each.name) and node in ("", each.node)
        ]

    @property
    def nodes(self) -> list[str]:
        found = {each.node for each in self.series} | {each.node for each in self.steps}
        return sorted(found, key=lambda node: _natural((node,)))


@dataclass(slots=True)
class _Read:
    """How far a file was read, and what a timeline held."""

    offset: int = 0
    stamp: tuple[int, int] = (0, 0)
    rows: list[tuple[Phase, tuple[float, ...]]] = field(default_factory=list)


class ProfileReader:
    """Reads a folder, and again what was added to it since. folder: LocalPath, or `profiler-output`, or one above it.

    Raises DataError where there is no such folder at the first look; an empty one is an empty profile.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder", "Name the one that holds system/ and framework/")
        self._folder, self._most = folder, most_bytes
        self._files: dict[Path, _Read] = {}
        self._values: dict[tuple[str, str, str, str], tuple[array[float], array[float]]] = {}
        self._left_out: Counter[str] = Counter()
        self._bytes = 0

    def read(self) -> Profile:
        """All that is there by now."""
        for path in self._paths():
            system, timeline = SYSTEM.fullmatch(path.name), TIMELINE.fullmatch(path.name)
            if system and "system" in path.parts:
                self._read_system(path)
            elif timeline and "pevents" in path.parts:
                self._read_timeline(path)
        return Profile(tuple(self._series()), tuple(self._steps()), tuple(_notes(self._left_out)))

    def _paths(self) -> list[Path]:
        found: list[Path] = []
        seen = 0
        for folder, folders, names in os.walk(self._folder):
            found += [Path(folder, name) for name in names if name.endswith(".json")]
            seen += len(names) + len(folders)
            if len(Path(folder).relative_to(self._folder).parts) >= DEEPEST:
                folders.clear()
            if seen > MOST_FILES:
                self._left_out[f"files beyond the first {MOST_FILES}"] = 1
                break
        return sorted(found[:MOST_FILES], key=lambda path: (path.name, str(path)))

    def _read_system(self, path: Path) -> None:
        known = self._files.setdefault(path, _Read())
        content = self._content(path, known.offset, LARGEST_LOOK)
        whole, end, rest = content.rpartition(b"\n")
        if len(rest) > LONGEST_LINE:  # that is no line which is being written
            whole, end, rest = content, b"", b""
        known.offset += len(whole + end)
        self._bytes += len(whole + end)
        for line in whole.split(b"\n"):
            self._take(line)

    def _take(self, line: bytes) -> None:
        """One line: a metric, or something to be counted as left out."""
        if not line.strip():
            return
        found = _metric(line)
        if isinstance(found, str):
            self._left_out[found] += 1
            return
        key, time, value = found
        if key not in self._values and len(self._values) >= MOST_SERIES:
            self._left_out[f"values of metrics beyond the first {MOST_SERIES}"] += 1
            return
        times, values = self._values.setdefault(key, (array("d"), array("d")))
        times.append(time)
        values.append(value)

    def _read_timeline(self, path: Path) -> None:
        """These are written anew as a whole while they grow."""
        known = self._files.setdefault(path, _Read())
        try:
            about = path.stat(follow_symlinks=False)
        except OSError:
            return  # replaced in this moment
        stamp = (about.st_size, about.st_mtime_ns)
        if stamp == known.stamp:
            return
        self._bytes += min(LARGEST_TIMELINE, stamp[0]) - min(LARGEST_TIMELINE, known.stamp[0])
        known.stamp = stamp
        if about.st_size > LARGEST_TIMELINE:
            self._left_out[f"step files above {LARGEST_TIMELINE // 2**20} MB"] += 1
            return
        events = _events(self._content(path, 0, LARGEST_TIMELINE))
        if events is None:
            self._left_out["step files that are no JSON"] += 1
            return
        known.rows = list(_runs(events))

    def _content(self, path: Path, offset: int, most: int) -> bytes:
        """At most `most` bytes from there on; b"" for what is no plain file, cannot be read or is too much."""
        if self._bytes >= self._most:
            self._left_out[f"what is beyond {self._most / 2**20:.3g} MB in all"] = 1
            return b""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return b""
                file.seek(offset)
                return file.read(most)
        except OSError:
            self._left_out["files that cannot be read"] = 1
            return b""

    def _series(self) -> Iterator[Series]:
        for key in sorted(self._values, key=_natural):
            times, values = (np.array(each, np.float64) for each in self._values[key])
            order = np.argsort(times, kind="stable")
            yield Series(*key, times[order], values[order])

    def _steps(self) -> Iterator[Steps]:
        rows: dict[tuple[str, Phase], list[tuple[float, ...]]] = {}
        for path, known in self._files.items():
            for phase, row in known.rows:
                match = TIMELINE.fullmatch(path.name)
                rows.setdefault((match[1] if match else "", phase), []).append(row)
        for (worker, phase), found in sorted(rows.items()):
            yield Steps(worker, phase, *np.array(sorted(found), np.float64).T)


def read_profile(folder: Path) -> Profile:
    """A folder, once. Raises DataError where there is none."""
    return ProfileReader(folder).read()


def _metric(line: bytes) -> tuple[tuple[str, str, str, str], float, float] | str:
    """((node, kind, name, dimension), time, value), or why the line is left out."""
    if len(line) > LONGEST_LINE:
        return f"lines longer than {LONGEST_LINE} characters"
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return "lines that are no JSON"
    if not isinstance(event, dict):
        return "lines that are no object"
    words = [event.get(name) for name in ("NodeId", "Type", "Name", "Dimension")]
    node, kind, name, dimension = ("" if word is None else word for word in words)
    if not all(isinstance(word, str) for word in (node, kind, name, dimension)) or not node or not (name or dimension):
        return "lines without their names"
    time, value = _finite(event.get("Timestamp")), _finite(event.get("Value"))
    if value is None or time is None or not 0 < time < LATEST:
        return "values that are no number"
    return (node, kind, name, dimension), time, value


def _events(content: bytes) -> list[Any] | None:
    """The events of a timeline, also of one whose end is missing (smdebug leaves that while it writes)."""
    for text in (content, content.rpartition(b"\n")[0].rstrip().rstrip(b",") + b"]"):
        try:
            events = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return events if isinstance(events, list) else None
    return [] if not content.strip() else None


def _runs(events: Iterable[Any]) -> Iterator[tuple[Phase, tuple[float, ...]]]:
    """The steps that say how long they waited: ours. Other events pass by."""
    phases = {name: phase for phase, name in MODES.items()}
    start = 0.0
    for event in events:
        about = event.get("args") if isinstance(event, dict) else None
        if not isinstance(about, dict):
            continue
        start = _finite(about.get("start_time_since_epoch_in_micros")) or start
        phase = phases.get(str(event.get("name")))
        at, span = (_finite(event.get(name)) for name in ("ts", "dur"))
        told = [_finite(about.get(name)) for name in ("waiting_us", "computing_us", "steps", "step_num")]
        waiting, computing, count, first = (math.nan if number is None else number for number in told)
        if phase is None or at is None or span is None or math.isnan(waiting + computing + count + first):
            continue
        begun = (start + at) / 1e6
        if 0 < begun < LATEST and min(waiting, computing) >= 0 and waiting + computing <= span + 1000 and count >= 1:
            yield phase, (begun, span / 1e6, (waiting + computing) / 1e6, waiting / 1e6, count, first)


def _finite(value: Any) -> float | None:
    """A number, or a string that is one (smdebug's step numbers); None for anything else, NaN and infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _natural(key: tuple[str, ...]) -> tuple[Any, ...]:
    """cpu2 before cpu10."""
    return tuple((re.sub(r"\d+", "", word), [int(n) for n in re.findall(r"\d{1,9}", word)], word) for word in key)


def _notes(left_out: Counter[str]) -> Iterator[str]:
    for what, count in sorted(left_out.items()):
        yield f"Left out: {count} {what}." if what[0].islower() and count > 1 else f"Left out: {what}."
