"""A place in an endpoint's fleet: one instance sits there; one that dies or falls silent is replaced."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from kennel.errors import KennelError
from kennel.local.errors import Refused
from kennel.local.hosting import archive, words
from kennel.local.hosting.instance import Instance
from kennel.local.hosting.plan import Limits, Variant
from kennel.local.hosting.router import Router, Seat
from kennel.local.hosting.warmup import warm
from kennel.local.parts import House
from kennel.local.tail import Tail
from kennel.local.work import Work

LOG = logging.getLogger(__name__)
ATTEMPTS = 3
"""Starts of a new place that may end by themselves before it is given up; AWS restarts a container too."""
STEADY_S = 60
"""An instance that lived so long is replaced at once when it dies."""
STARTING_PING_EVERY_S = 0.1
WITHDRAWN_PING_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """What the places of an endpoint share."""

    house: House
    limits: Limits
    router: Router
    endpoint: str
    folder: Path

    def house_of(self, variant: Variant) -> House:
        """As it is to SageMaker under the variant's role."""
        arn = self.house.arn(f"endpoint/{self.endpoint}")
        return self.house.acting_as(variant.role, arn) if variant.role else self.house


@dataclass(frozen=True, slots=True)
class Failure:
    """final: starting again would not help."""

    reason: str
    final: bool


class Place:
    """Fills itself, in a thread of its own. tree: the unpacked archive; None for a model without data.

    failure: why it was given up before it ever served.
    """

    def __init__(self, site: Site, variant: Variant, tree: Path | None) -> None:
        self.seat = Seat()
        self.failure: str | None = None
        self._site, self._limits, self._variant, self._tree = site, site.limits, variant, tree
        self._house = site.house_of(variant)
        self._ended, self._drain_s, self._served = threading.Event(), 0.0, False
        self._thread = threading.Thread(target=self._run, name=f"{site.endpoint}-{variant.name}", daemon=True)
        self._thread.start()

    @property
    def serving(self) -> bool:
        instance = self.seat.instance
        return instance is not None and instance.serving

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self, drain_s: float) -> None:
        """Give it up: its instance may finish its requests, then ends. Returns at once; see join."""
        self._drain_s = drain_s
        self._ended.set()
        if self.seat.instance is not None:
            self.seat.instance.look.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        deaths = 0
        while not self._ended.is_set():
            began = time.monotonic()
            failure = self._live()
            deaths = 1 if time.monotonic() - began >= STEADY_S else deaths + 1
            if failure is not None and not self._served and (failure.final or deaths >= ATTEMPTS):
                self.failure = failure.reason
                return
            self._ended.wait(pause(deaths, self._limits))

    def _live(self) -> Failure | None:
        """One instance, from its start to its end; None where it served."""
        name = f"i-{uuid.uuid4().hex[:17]}"
        root, log = self._site.folder / name, self._site.folder / f"{name}.log"
        try:
            return self._run_one(name, root, log)
        except Refused as refused:
            LOG.warning("endpoint %s, %s: %s", self._site.endpoint, name, refused.message)
            return Failure(words.no_image(self._variant.role, self._variant.image), final=True)
        except KennelError as error:
            LOG.warning("endpoint %s, %s: %s", self._site.endpoint, name, error)
            return Failure(str(error)[:1024], final=True)
        except Exception as error:
            if self._ended.is_set():  # its archive may have gone under its hands
                return None
            LOG.exception("endpoint %s, %s", self._site.endpoint, name)
            return Failure(f"The instance could not be run ({error})"[:1024], final=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)
            log.unlink(missing_ok=True)

    def _run_one(self, name: str, root: Path, log: Path) -> Failure | None:
        instance = self._start(name, root, log)
        try:
            failure = self._bring_up(instance)
            if failure is None:
                self._watch(instance)
            return failure
        finally:
            self._finish(instance)

    def _start(self, name: str, root: Path, log: Path) -> Instance:
        site, variant, model = self._site, self._variant, root / "model"
        model.mkdir(parents=True)
        if self._tree is not None:
            archive.link(self._tree, model)
        work = Work(
            name=f"endpoint-{site.endpoint}-{name}",
            image=variant.image,
            command="serve",
            root=root,
            log=log,
            environment=variant.environment,
            read_only=(model,),
            isolated=variant.isolated,
        )
        running = self._house.runners.choose(variant.image).start(work)
        group, stream = words.log_group(site.endpoint), f"{variant.name}/{name}"
        tail = Tail(log, lambda lines: self._house.logs.write(group, stream, lines))
        return Instance(running, tail, site.limits.outstanding)

    def _bring_up(self, instance: Instance) -> Failure | None:
        """Wait for the first healthy /ping and, as far as strangers' containers allow it, a first invocation."""
        until = time.monotonic() + self._variant.startup_s
        reason = words.no_ping(self._variant.name)
        while not self._ended.is_set():
            self._read_log(instance)
            if instance.running.exit_code() is not None:
                return Failure(reason, final=False)
            if instance.ping(min(self._limits.ping_s, max(0.1, until - time.monotonic()))):
                if not warm(instance, min(self._limits.warm_s, max(0.1, until - time.monotonic())), self._ended):
                    LOG.info("endpoint %s: an instance answers /ping, and no picture", self._site.endpoint)
                if instance.running.exit_code() is not None:
                    return Failure(reason, final=False)
                self._served = True
                self._site.router.admit(self.seat, instance)
                return None
            if time.monotonic() > until:
                return Failure(reason, final=True)
            self._ended.wait(STARTING_PING_EVERY_S)
        return None

    def _watch(self, instance: Instance) -> None:
        """Until the place is given up, or the instance died or fell silent."""
        misses, pinged = 0, time.monotonic()
        while misses < self._limits.misses:
            urgent = instance.look.wait(self._limits.look_every_s)
            instance.look.clear()
            self._read_log(instance)
            if self._ended.is_set() or instance.running.exit_code() is not None:
                return
            every = self._limits.ping_every_s if instance.serving else WITHDRAWN_PING_EVERY_S
            if not urgent and time.monotonic() < pinged + every:
                continue
            before, pinged = pinged, time.monotonic()
            healthy = instance.ping(self._limits.ping_s)
            if healthy:
                misses = 0
                self._site.router.admit(self.seat, instance)
            elif healthy is False or instance.answered < before:  # one that answers requests is only busy
                misses += 1

    def _finish(self, instance: Instance) -> None:
        if self._ended.is_set():
            until = time.monotonic() + self._drain_s
            while instance.outstanding and instance.running.exit_code() is None and time.monotonic() < until:
                time.sleep(0.02)
        self._site.router.withdraw(instance)
        instance.end(self._limits.stop_s if self._ended.is_set() else 0)
        self._read_log(instance, last=True)

    def _read_log(self, instance: Instance, last: bool = False) -> None:
        """A log that cannot be written to is no reason to end an instance."""
        try:
            instance.tail.pump(self._site.house.clock.now(), last)
        except Exception:
            LOG.exception("the log of endpoint %s", self._site.endpoint)


def pause(deaths: int, limits: Limits) -> float:
    """Seconds before the next start: none after the first death, then ever more, so that none spins."""
    return 0.0 if deaths <= 1 else min(limits.backoff_most_s, limits.backoff_s * 2.0 ** min(deaths - 2, 30))
