"""One attempt at a training job: its hosts laid out, started and watched until they end or have to."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kennel.local.parts import Document, House
from kennel.local.tail import Tail
from kennel.local.training import layout, rules, states
from kennel.local.training.checkpoints import Checkpoints
from kennel.local.work import Runner, Running

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
KEEP_EVERY_S = 3.0
GRACE_S = 120.0
"""From SIGTERM to SIGKILL, as on SageMaker."""
CLOSING_GRACE_S = 5.0
"""The same when the server ends: a user waits for it."""
Wish = Literal["stop", "interrupt", "runtime", "wait", "close"]
"""Why a job shall end before it is done: asked to, its spot instance goes, its time to run or to wait is up, the server
ends."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. wish: None when by itself; reason: why it failed; ran: whether hosts were started."""

    wish: Wish | None
    reason: str = ""
    ran: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an attempt. due: given the seconds that it has trained, why it shall end, if it shall; closing:
    whether the server ends; event: set when due may have changed."""

    due: Callable[[float], Wish | None]
    closing: Callable[[], bool]
    event: threading.Event


class Attempt:
    """On new instances, so under new roots below `folder`."""

    def __init__(self, house: House, job: Document, runner: Runner, hosts: list[str], folder: Path) -> None:
        self._house, self._job, self._runner, self._hosts, self._folder = house, job, runner, hosts, folder
        self._roots = [folder / host for host in hosts]
        uri = job.get("CheckpointConfig", {}).get("S3Uri")
        places = [layout.checkpoints_of(job, root) for root in self._roots]
        self._checkpoints = [Checkpoints(uri, place, house.objects) for place in places]
        told = [each for root in self._roots for each in rules.outputs(job, root)]
        self._kept = [*self._checkpoints, *(Checkpoints(*each, house.objects) for each in told)]
        self._started: list[Running] = []
        self._told_at: float | None = None
        self._wish: Wish | None = None
        self._failed: int | None = None
        self.trained = 0.0
        """Seconds, so far."""

    def prepare(self) -> None:
        """Configuration, data and checkpoints. Raises DataMissing."""
        for number, root in enumerate(self._roots):
            shutil.rmtree(root, ignore_errors=True)
            layout.lay_out(self._job, self._runner, self._hosts, number, root, self._house.objects)
        # After an interruption tensors and metrics too, as rules on AWS read them in S3: steps go on where they were.
        for each in self._kept if states.was_interrupted(self._job) else self._checkpoints:
            each.restore()

    def run(self, asked: Asked, tails: list[Tail], begun: Callable[[], None]) -> Outcome:
        """begun: told once all hosts are started. Raises KennelError when one cannot be."""
        with self._network() as network:
            start = self._house.clock.now()
            try:
                for number, host in enumerate(self._hosts):
                    work = layout.work(self._house, self._job, self._roots[number], host, network)
                    self._started.append(self._runner.start(work))
                begun()
                return self._watch(asked, tails, start)
            finally:
                self._leave(tails)
                self.trained = self._house.clock.now() - start

    @contextmanager
    def _network(self) -> Iterator[str | None]:
        if len(self._hosts) == 1:
            yield None
            return
        with self._runner.network(self._job["TrainingJobName"]) as network:
            yield network

    def _watch(self, asked: Asked, tails: list[Tail], start: float) -> Outcome:
        clock, kept, unset = self._house.clock, start, threading.Event()
        while True:
            codes = [running.exit_code() for running in self._started]
            now = clock.now()
            for tail in tails:
                tail.pump(now)
            if now - kept >= KEEP_EVERY_S:
                kept = now
                for each in self._kept:
                    each.keep()
            if self._failed is None and self._told_at is None:
                self._failed = next((number for number, code in enumerate(codes) if code), None)
            if None not in codes:
                return self._outcome()
            self._end_if_due(asked, now, start)
            # once they have been told to end, the event stays set
            clock.wait(asked.event if self._told_at is None else unset, LOOK_EVERY_S)

    def _end_if_due(self, asked: Asked, now: float, start: float) -> None:
        """SIGTERM, grace and SIGKILL."""
        if self._told_at is None:
            # where one host failed, the others wait for it in vain
            self._wish = None if self._failed is not None else asked.due(now - start)
            if self._failed is None and self._wish is None:
                return
            self._told_at = now
            for running in self._started:
                running.terminate()
        if now - self._told_at > (CLOSING_GRACE_S if asked.closing() else GRACE_S):
            for running in self._started:
                running.kill()

    def _outcome(self) -> Outcome:
        if self._wish is not None or self._failed is None:
            return Outcome(self._wish)
        failed = self._started[self._failed]
        told = layout.failure(self._roots[self._failed])
        return Outcome(None, states.failure_reason(told, failed.exit_code(), failed.out_of_memory()))

    def _leave(self, tails: list[Tail]) -> None:
        """Nothing of it runs any more; what it wrote last is kept."""
        for running in self._started:
            running.close()
        for tail in tails:
            tail.pump(self._house.clock.now(), last=True)
        for each in self._kept:
            each.keep(last=True)


def nothing_left(folder: Path) -> None:
    """Remove a job's files."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
