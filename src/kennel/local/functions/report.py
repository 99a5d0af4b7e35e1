"""What Lambda writes around a function's own output: START, END, REPORT and reasons, as text or as JSON."""

from __future__ import annotations

import base64
import json
import math
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LOG_RESULT = 4096
"""Bytes of a log's end that an invocation can be answered with."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one invocation. init_ms: None unless it had to wait for its instance's start. problem: see Outcome."""

    identity: str
    duration_ms: float
    init_ms: float | None
    memory_mb: int
    used_mb: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Words the lines of one function. as_json: its LoggingConfig says LogFormat JSON."""

    as_json: bool

    def init_start(self, runtime: str, at: float) -> str:
        if self.as_json:
            return self._json("platform.initStart", at, {"phase": "init", "runtimeVersion": runtime})
        return f"INIT_START Runtime Version: {runtime}"

    def init_failed(self, seconds: float, problem: str, at: float) -> str:
        record = {"phase": "init", "status": "error", "errorType": problem, "metrics": {"durationMs": _ms(seconds)}}
        if self.as_json:
            return self._json("platform.initReport", at, record)
        return f"INIT_REPORT Init Duration: {_ms(seconds):.2f} ms\tPhase: init\tStatus: error\tError Type: {problem}"

    def start(self, identity: str, version: str, at: float) -> str:
        if self.as_json:
            return self._json("platform.start", at, {"requestId": identity, "version": version})
        return f"START RequestId: {identity} Version: {version}"

    def end(self, figures: Figures, at: float) -> list[str]:
        if self.as_json:
            return [self._json("platform.report", at, _record(figures))]
        return [f"END RequestId: {figures.identity}", _text(figures)]

    def _json(self, kind: str, at: float, record: Mapping[str, object]) -> str:
        return json.dumps({"time": stamp(at), "type": kind, "record": record})


def log_result(lines: Sequence[str]) -> str:
    """The end of an invocation's log, as the header X-Amz-Log-Result has it."""
    text = "".join(f"{each}\n" for each in lines).encode()
    return base64.b64encode(text[-LOG_RESULT:]).decode()


def stamp(at: float) -> str:
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def ended(code: int) -> str:
    """How a runtime ended, in Lambda's words. code: as work.Running tells it."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code - 128 in signal.valid_signals():
        return f"Runtime exited with error: signal: {(signal.strsignal(code - 128) or '').lower()}"
    return f"Runtime exited with error: exit status {code}"


def _record(figures: Figures) -> dict[str, object]:
    metrics: dict[str, object] = {
        "durationMs": round(figures.duration_ms, 3),
        "billedDurationMs": _billed(figures),
        "memorySizeMB": figures.memory_mb,
        "maxMemoryUsedMB": figures.used_mb,
    }
    if figures.init_ms is not None:
        metrics["initDurationMs"] = round(figures.init_ms, 3)
    record: dict[str, object] = {"requestId": figures.identity, "metrics": metrics, "status": "success"}
    if figures.problem:
        record |= {"status": _status(figures.problem), "errorType": figures.problem}
    return record


def _text(figures: Figures) -> str:
    fields = [
        f"REPORT RequestId: {figures.identity}",
        f"Duration: {figures.duration_ms:.2f} ms",
        f"Billed Duration: {_billed(figures)} ms",
        f"Memory Size: {figures.memory_mb} MB",
        f"Max Memory Used: {figures.used_mb} MB",
    ]
    if figures.init_ms is not None:
        fields.append(f"Init Duration: {figures.init_ms:.2f} ms")
    if figures.problem:
        fields += [f"Status: {_status(figures.problem)}", f"Error Type: {figures.problem}"]
    return "\t".join(fields)


def _status(problem: str) -> str:
    return "timeout" if problem == "Sandbox.Timedout" else "error"


def _billed(figures: Figures) -> int:
    """The start of an instance is billed since August 2025."""
    return math.ceil(figures.duration_ms + (figures.init_ms or 0.0))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
