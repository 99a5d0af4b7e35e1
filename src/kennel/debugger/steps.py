"""Where a training step's time goes: waiting for its batch, or computing with it.

`StepClock.batches` wraps the iterator of batches. What it measured is appended about once a second to trace-event files
of smdebug's form, which smdebug's own readers and a browser's trace viewer read. A file is complete JSON at every
moment, so nothing has to be closed when the training is killed; at most the last second is missing.

Steps shorter than half a second are put together into runs of about that length, so the files stay small: about 4 MB an
hour, however short the steps and epochs. On a GPU "computing" is true only as far as the step waits for the GPU, as the
trainer's does (it reads the loss).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kennel.debugger.recorded import Phase

log = logging.getLogger(__name__)

T = TypeVar("T")

RUN = 0.5
"""Seconds that a run of short steps is long, over the ends of epochs, which may take less."""
PAUSE = 0.1
"""Seconds between two epochs after which a new run begins: a checkpoint is no part of either."""
FLUSH = 1.0
FILE = 60.0
"""Seconds of events a file holds; smdebug's own default."""
MODES: dict[Phase, str] = {"train": "Step:ModeKeys.TRAIN", "valid": "Step:ModeKeys.EVAL"}
"""smdebug's names of the phases."""
WAITING = "DataWaiting"
LINES = {name: number for number, name in enumerate([*MODES.values(), WAITING], start=1)}
"""A viewer's lines, which the format calls processes."""


@dataclass(slots=True)
class Run:
    """Steps of one phase that are told together. begun, ended: of the clock; waiting, computing: seconds in it."""

    begun: float = 0.0
    ended: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    first: int = 0
    steps: int = 0


class StepClock:
    """Measures the steps of one process. folder: the profiler's LocalPath; None measures nothing and costs nothing."""

    def __init__(
        self, folder: Path | None, node: str = "algo-1", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._runs: dict[Phase, Run] = {phase: Run() for phase in MODES}
        self._file = None if folder is None else TraceFile(folder, node, time.time() - clock())

    def batches(self, source: Iterable[T], phase: Phase) -> Iterator[T]:
        """The same batches. From asking for one until it is there is waiting, the rest is computing."""
        return iter(source) if self._file is None else self._measured(source, phase, self._file)

    def close(self) -> None:
        """Write what is not written yet."""
        if self._file is not None:
            self._tell(self._file, self._clock(), least=0.0)
            self._file.flush()

    def _measured(self, source: Iterable[T], phase: Phase, file: TraceFile) -> Iterator[T]:
        clock, run = self._clock, self._runs[phase]
        asked = ready = clock()
        if run.steps and asked - run.ended > PAUSE:
            self._tell(file, asked, least=0.0)
        if not run.steps:
            run.begun = asked
        try:
            for batch in source:
                ready = clock()
                run.waiting += ready - asked
                run.steps += 1
                yield batch
                run.ended = asked = clock()
                run.computing += asked - ready
                if asked - run.begun >= RUN:
                    self._tell(file, asked)
                    run.begun = asked
        except GeneratorExit:
            run.ended = clock()  # who takes the batches has left in the middle of a step
            run.computing += run.ended - ready
            raise

    def _tell(self, file: TraceFile, now: float, least: float = RUN) -> None:
        """Hand on the runs of both phases that have begun long enough ago."""
        for phase, run in self._runs.items():
            if run.steps and now - run.begun >= least:
                file.add(phase, run)
                run.waiting, run.computing, run.first, run.steps = 0.0, 0.0, run.first + run.steps, 0


class TraceFile:
    """Files of smdebug's trace events: `framework/pevents/<hour>/<end in µs>_<process>-<node>_pythontimeline.json`.

    offset: what makes epoch seconds of the clock's. An error of the disk ends the writing, not the training.
    """

    def __init__(self, folder: Path, node: str, offset: float) -> None:
        self._folder, self._node, self._offset = folder / "framework/pevents", f"{os.getpid()}-{node}", offset
        self._start = 0.0
        self._events: list[str] = []
        self._flushed = 0.0
        self._broken = False

    def add(self, phase: Phase, run: Run) -> None:
        """Append a run, and write once a second."""
        if self._broken:
            return
        if self._events and run.ended - self._start >= FILE:
            self.flush()
            self._events.clear()
        if not self._events:
            self._start = self._flushed = run.begun
        at, waited = _micros(run.begun - self._start), _micros(run.waiting)
        about = {"step_num": str(run.first), "steps": run.steps, "waiting_us": waited}
        about["computing_us"] = _micros(run.computing)
        self._events += [
            _event(MODES[phase], at, _micros(run.ended - run.begun), about),
            _event(WAITING, at, waited, {"steps": run.steps}),
        ]
        if run.ended - self._flushed >= FLUSH:
            self.flush()
            self._flushed = run.ended

    def flush(self) -> None:
        """Put the file on disk as it is now, whole."""
        if not self._events or self._broken:
            return
        start = _micros(self._start + self._offset)
        path = self._path(start)
        draft = path.with_name(f".{path.stem}.draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text("[\n" + ",\n".join([*_head(start), *self._events]) + "\n]\n")
            draft.replace(path)  # not synced to the disk: a power cut may cost it, a kill does not
        except OSError as error:
            self._broken = True
            log.warning("step times are recorded no longer: %s", error)

    def _path(self, start: int) -> Path:
        """Named by the end that the file may reach: smdebug looks into files that end after what it seeks."""
        end = start + _micros(FILE)
        hour = time.strftime("%Y%m%d%H", time.gmtime(end / 1e6))
        return self._folder / hour / f"{end}_{self._node}_pythontimeline.json"


def _head(start: int) -> list[str]:
    """Metadata: when the file's times begin, and a name for each line of a viewer."""
    events: list[dict[str, Any]] = [_meta(0, {"start_time_since_epoch_in_micros": start})]
    events += [_meta(number, {"name": name}) for name, number in LINES.items()]
    return [json.dumps(each) for each in events]


def _meta(number: int, about: dict[str, Any]) -> dict[str, Any]:
    return {"name": "process_name", "ph": "M", "pid": number, "args": about}


def _event(name: str, at: int, duration: int, about: dict[str, Any]) -> str:
    return json.dumps({"name": name, "pid": LINES[name], "ph": "X", "ts": at, "dur": duration, "args": about})


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
