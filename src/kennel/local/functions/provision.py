"""Provisioned concurrency of one version or alias: so many instances, started and initialised ahead of any request."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kennel.errors import KennelError
from kennel.local.errors import Refused
from kennel.local.functions.book import Target, weights
from kennel.local.functions.instance import InitFailed, Instance
from kennel.local.functions.limits import Limits
from kennel.local.parts import Changes, Document

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Instances that start at a time: each wants a core."""
Make = Callable[[Target, bool], Instance]
"""(target, provisioned) → an instance that starts. Raises KennelError, Refused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """allocated: instances that there are; failure: why there are no more, "" while they are being made."""

    requested: int
    allocated: int
    failure: str

    @property
    def status(self) -> str:
        if self.failure:
            return "FAILED"
        return "READY" if self.allocated >= self.requested else "IN_PROGRESS"


class Provision:
    """A thread of its own makes it so, and replaces what dies. busy: instances that answer a request."""

    def __init__(self, make: Make, limits: Limits, changes: Changes, name: str) -> None:
        self._make, self._limits, self._changes = make, limits, changes
        self._condition = threading.Condition()
        self._wanted: list[Target] = []
        self._idle: list[Instance] = []
        self._busy: list[Instance] = []
        self._failures, self._failure, self._ended = 0, "", False
        self._thread = threading.Thread(target=self._run, name=f"provision-{name}", daemon=True)
        self._thread.start()

    def want(self, targets: Sequence[Target], again: bool) -> None:
        """From now on these; what serves others ends. again: also where it failed before."""
        with self._condition:
            if again or [each.key for each in targets] != [each.key for each in self._wanted]:
                self._failures, self._failure = 0, ""
            self._wanted = list(targets)
            surplus = self._surplus()
            self._condition.notify_all()
        for each in surplus:
            each.end()

    def take(self, target: Target) -> Instance | None:
        """An idle one of this version."""
        with self._condition:
            for each in self._idle:
                if each.target.version == target.version and each.alive:
                    self._idle.remove(each)
                    self._busy.append(each)
                    return each
        return None

    def give(self, instance: Instance) -> None:
        """Take it back after its request."""
        with self._condition:
            self._busy.remove(instance)
            stays = instance.alive and not self._ended and self._missing()[instance.target.key] > 0
            if stays:
                self._idle.append(instance)
            self._condition.notify_all()
        if not stays:
            instance.end()

    def standing(self) -> Standing:
        with self._condition:
            missing = (+self._missing()).total()  # a busy one of before makes up for none
            return Standing(len(self._wanted), len(self._wanted) - missing, self._failure)

    def utilization(self) -> float:
        with self._condition:
            return len(self._busy) / max(1, len(self._wanted))

    def look(self) -> None:
        """Read what they print; see whether one died."""
        with self._condition:
            idle = list(self._idle)
            self._condition.notify_all()
        for each in idle:
            each.pump()

    def end(self) -> None:
        with self._condition:
            self._ended, self._wanted = True, []
            idle, self._idle = self._idle, []
            self._condition.notify_all()
        for each in idle:
            each.end()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE, "provision") as pool:
            while missing := self._next():
                list(pool.map(self._add, missing))
                self._changes.tell()

    def _next(self) -> list[Target]:
        """Waits until some are missing; empty when it ends."""
        with self._condition:
            while True:
                if self._ended:
                    return []
                dead = [each for each in self._idle if not each.alive]
                self._idle = [each for each in self._idle if each not in dead]
                counts = self._missing()
                targets = {each.key: each for each in self._wanted}
                missing = [targets[key] for key, count in counts.items() for _ in range(count) if key in targets]
                if missing and not self._failure:
                    pause = self._limits.backoff_s * 2.0 ** (self._failures - 1) if self._failures else 0
                    if not pause or not self._condition.wait_for(lambda: self._ended, pause):
                        return missing
                    continue
                self._condition.wait()

    def _missing(self) -> Counter[tuple[str, str, str]]:
        """How many of each are wanted and not there. A busy one that has to end counts for none."""
        counts = Counter(each.key for each in self._wanted)
        counts.subtract(Counter(each.target.key for each in (*self._idle, *self._busy) if each.alive))
        return counts

    def _surplus(self) -> list[Instance]:
        """Idle ones that nobody wants any more, taken out."""
        counts, gone = self._missing(), list[Instance]()
        for each in list(self._idle):
            if counts[each.target.key] < 0:
                counts[each.target.key] += 1
                self._idle.remove(each)
                gone.append(each)
        return gone

    def _add(self, target: Target) -> None:
        reason = self._tried(target)
        with self._condition:
            self._failures = self._failures + 1 if reason else 0
            if reason and self._failures >= self._limits.attempts:
                self._failure = reason

    def _tried(self, target: Target) -> str:
        """Why it could not be made; "" where it was."""
        instance = None
        try:
            instance = self._make(target, True)
            if not instance.initialise(self._limits.provisioned_init_s):
                instance.end()
                return "FUNCTION_ERROR_INIT_TIMEOUT"
        except InitFailed as failed:
            if instance is not None:
                instance.end()
            return f"FUNCTION_ERROR_INIT_FAILURE ({failed.kind})"
        except (KennelError, Refused) as error:
            return str(error)
        self._keep(instance)
        return ""

    def _keep(self, instance: Instance) -> None:
        with self._condition:
            stays = not self._ended and self._missing()[instance.target.key] > 0
            if stays:
                self._idle.append(instance)
        if not stays:
            instance.end()


def split(alias: Document, count: int) -> dict[str, int]:
    """How many instances each version of an alias gets: by its weight, and one at least where there are enough."""
    found: dict[str, int] = {}
    for version, weight in weights(alias).items():
        found[version] = min(max(1, round(count * weight)), count - 1) if weight else 0
    return {str(alias["FunctionVersion"]): count - sum(found.values()), **found}
