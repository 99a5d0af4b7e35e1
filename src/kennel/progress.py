"""Progress of long work as its maker tells it; how it looks is the watcher's business. Keeps each step's seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Advance = Callable[[int], None]
"""Told how many units are done since it was last told."""
Unit = Literal["things", "bytes"]


class Watcher(Protocol):
    """Shows steps to somebody."""

    def step(self, title: str, total: int | None, unit: Unit) -> AbstractContextManager[Advance]:
        """One step of the work; total: units, None when they cannot be counted."""

    def say(self, line: str) -> None:
        """A line worth keeping, a metric for example."""


class Progress:
    """What work is handed: it passes steps on to a watcher and remembers how long each took."""

    def __init__(self, watcher: Watcher | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._watcher, self._clock = watcher, clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str, total: int | None = None, unit: Unit = "things") -> Iterator[Advance]:
        """Do one step: `with progress.step("features", 8500) as advance: … advance(1)`."""
        started = self._clock()
        try:
            if self._watcher is None:
                yield lambda count: None
            else:
                with self._watcher.step(title, total, unit) as advance:
                    yield advance
        finally:
            self.seconds[title] = self.seconds.get(title, 0.0) + self._clock() - started

    def say(self, line: str) -> None:
        if self._watcher is not None:
            self._watcher.say(line)


class Printer:
    """A watcher for logs: a line when a step begins, at every tenth of it, and when it ends. Lines go to `write`."""

    def __init__(self, write: Callable[[str], None] = lambda line: print(line, flush=True)) -> None:
        self._write = write

    def say(self, line: str) -> None:
        self._write(line)

    @contextmanager
    def step(self, title: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        started, done, told = time.monotonic(), 0, 0

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            if total and done * 10 // total > told:
                told = done * 10 // total
                self._write(f"{title}: {_amount(done, total, unit)}")

        self._write(f"{title} …")
        yield advance
        self._write(f"{title}: done in {time.monotonic() - started:.1f} s")


def _amount(done: int, total: int, unit: Unit) -> str:
    if unit == "bytes":
        size, name = (1e6, "MB") if total >= 1e6 else (1e3, "kB")
        return f"{done / size:.1f} of {total / size:.1f} {name}"
    return f"{done} of {total}"
