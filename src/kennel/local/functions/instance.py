"""One instance of a function: a process with AWS's runtime client, asked over a Runtime API of its own.

One invocation at a time, as on AWS. What it prints goes to a file, and from there, line by line, to its log stream.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kennel.errors import KennelError
from kennel.local.functions.book import Target
from kennel.local.functions.code import CodeStore
from kennel.local.functions.limits import Limits
from kennel.local.functions.recorder import Recorder
from kennel.local.functions.report import Figures, Report, ended, stamp
from kennel.local.functions.runtime import Runtime, environment
from kennel.local.functions.runtime_api import Request, RuntimeApi
from kennel.local.parts import House
from kennel.local.tail import Tail
from kennel.local.work import Program, RunningProgram

LOOK_S = 0.02
"""Between two looks at an instance that works: whether it lives, and how much memory it takes."""
LINES = 500
"""The last ones of an invocation, of which its caller may be told the end."""
TIMED_OUT, OUT_OF_MEMORY, EXITED = "Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"


@dataclass(frozen=True, slots=True)
class Outcome:
    """payload: the function's answer, or the error that it ended with. lines: the end of its log."""

    payload: bytes
    failed: bool
    figures: Figures
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Site:
    """What all instances share. folder: for the files that they print to."""

    house: House
    limits: Limits
    code: CodeStore
    runtime: Runtime
    recorder: Recorder
    folder: Path


class InitFailed(Exception):
    """The code outside the handler failed. payload: what the caller is told."""

    def __init__(self, payload: bytes) -> None:
        super().__init__()
        self.payload = payload

    @property
    def kind(self) -> str:
        """Its errorType."""
        with suppress(ValueError, AttributeError):
            return str(json.loads(self.payload).get("errorType", EXITED))
        return EXITED


class Instance:
    """Started when it is made, initialised, then invoked again and again, by one thread at a time. Raises KennelError.

    idle_since: of time.monotonic. init_s: what its start took.
    """

    def __init__(self, site: Site, target: Target, provisioned: bool) -> None:
        self.target, self.provisioned = target, provisioned
        self.idle_since, self.init_s = time.monotonic(), 0.0
        self._site, self._began = site, time.monotonic()
        self._identity = uuid.uuid4().hex
        day = time.strftime("%Y/%m/%d", time.gmtime(site.house.clock.now()))
        self._stream = f"{day}/[{target.version}]{self._identity}"
        self._report = Report(target.configuration["LoggingConfig"]["LogFormat"] == "JSON")
        self._over = False
        self._memory_mb, self._used = int(target.configuration["MemorySize"]), 0
        self._lock = threading.Lock()
        self._unwritten = list[tuple[float, str]]()
        self._last = deque[str](maxlen=LINES)
        self._file = site.folder / f"{self._identity}.log"
        self._tail = Tail(self._file, self._unwritten.extend)
        self._api = RuntimeApi()
        try:
            self._running = self._start()
        except BaseException:
            self._api.close()
            raise

    @property
    def alive(self) -> bool:
        return not self._over and self._running.exit_code() is None

    def initialise(self, seconds: float) -> bool:
        """Wait for its code outside the handler to have run; False where it needs longer. Raises InitFailed."""
        until = time.monotonic() + seconds
        while not self._api.ready.wait(LOOK_S):
            if not self.alive:
                self._fail(payload_of(EXITED, ended(self._running.exit_code() or 0)))
            if self._is_too_large():
                self._running.kill()
                self._fail(payload_of(OUT_OF_MEMORY, ended(137)))
            if time.monotonic() > until:
                return False
        self.init_s = time.monotonic() - self._began
        if self._api.init_error is not None:
            self._fail(self._api.init_error)
        return True

    def invoke(self, request: Request, init_s: float | None) -> Outcome:
        """Answers in any case. init_s: how long the request had to wait for the start; None for an instance at hand."""
        timeout = int(self.target.configuration["Timeout"])
        self.pump()
        self._last.clear()
        began, now = time.monotonic(), self._now()
        request.deadline = now + timeout
        self._tell(self._report.start(request.identity, self.target.version, now))
        self._api.offer(request)
        problem = self._wait(request, began + timeout)
        self._over = bool(problem)  # also while what was killed still dies
        duration_s = timeout if problem == TIMED_OUT else time.monotonic() - began
        self._used = max(self._used, self._running.memory())
        self.pump(last=bool(problem))
        if problem:
            self._explain(request, problem, timeout)
        figures = Figures(
            request.identity, duration_s * 1000, init_s and init_s * 1000, self._memory_mb, self._used >> 20, problem
        )
        for line in self._report.end(figures, self._now()):
            self._tell(line)
        self.idle_since = time.monotonic()
        return Outcome(request.answer, request.failed, figures, list(self._last))

    def abandon(self) -> None:
        """No request comes to it any more."""
        self._over = True

    def pump(self, last: bool = False) -> None:
        """Hand on what it has printed."""
        with self._lock:
            self._tail.pump(self._now(), last)
            lines = list(self._unwritten)
            self._unwritten.clear()
            self._last.extend(text for _, text in lines)
            self._site.recorder.write(self.target, self._stream, lines)

    def end(self) -> None:
        self._running.close()  # first: told that there is nothing more, it would complain in its log
        self._api.close()
        self.pump(last=True)
        self._file.unlink(missing_ok=True)

    def _start(self) -> RunningProgram:
        """Raises KennelError, Refused."""
        site, target = self._site, self.target
        if site.house.programs is None or site.house.sessions is None:
            raise KennelError("this local AWS cannot run functions", "Start it: kennel local up")
        site.runtime.say_once(target.configuration["Runtime"])
        folder = site.code.unpacked(target.configuration["CodeSha256"])
        keys = site.house.sessions.keys(target.configuration["Role"], target.name)
        places = {
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "LAMBDA_TASK_ROOT": str(folder),
            "LAMBDA_RUNTIME_DIR": str(site.runtime.folder),
        }
        program = Program(
            name=f"function-{target.name}-{self._identity[:8]}",
            arguments=site.runtime.program(target.configuration["Handler"]),
            folder=folder,
            log=self._file,
            environment=environment(site.house, target, keys, places, self.provisioned),
        )
        self._tell(self._report.init_start(target.configuration["Runtime"], self._now()))
        return site.house.programs.run(program)

    def _wait(self, request: Request, until: float) -> str:
        """Until it is answered; why not, where it is not, and then the instance is no more."""
        while not request.done.wait(LOOK_S):
            if not self.alive:
                self._api.close()
                return EXITED
            if self._is_too_large():
                self._running.kill()
                return OUT_OF_MEMORY
            if time.monotonic() > until:
                self._running.kill()
                return TIMED_OUT
        return ""

    def _is_too_large(self) -> bool:
        self._used = max(self._used, self._running.memory())
        return self._used > self._memory_mb << 20

    def _explain(self, request: Request, problem: str, timeout: int) -> None:
        """To the log and to the caller."""
        if problem == TIMED_OUT:
            why = f"Task timed out after {timeout:.2f} seconds"
            self._tell(f"{stamp(self._now())} {request.identity} {why}")
        else:
            why = ended(137 if problem == OUT_OF_MEMORY else self._running.exit_code() or 0)
            self._tell(f"RequestId: {request.identity} Error: {why}\n{problem}")
        request.finish(payload_of(problem, f"RequestId: {request.identity} Error: {why}"), failed=True)

    def _fail(self, payload: bytes) -> None:
        """Raises InitFailed."""
        self.abandon()  # while it still lives, half of it is there
        failed = InitFailed(payload)
        self.pump(last=True)
        self._tell(self._report.init_failed(time.monotonic() - self._began, failed.kind, self._now()))
        raise failed

    def _tell(self, line: str) -> None:
        """A line of Lambda's own."""
        with self._lock:
            self._last.append(line)
            self._site.recorder.write(self.target, self._stream, [(self._now(), line)])

    def _now(self) -> float:
        return self._site.house.clock.now()


def payload_of(kind: str, message: str) -> bytes:
    """An error as a caller is told it."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
