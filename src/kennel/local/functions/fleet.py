"""All instances: who gets which, who has to wait for a new one, and who is refused because there are enough.

A request goes to provisioned concurrency first, then to an instance that idles, else to a new one (a cold start). As
on AWS nobody queues: what is above a limit is refused at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kennel.local.functions import words
from kennel.local.functions.book import Book, Target
from kennel.local.functions.instance import TIMED_OUT, InitFailed, Instance, Outcome, Site, payload_of
from kennel.local.functions.names import LATEST
from kennel.local.functions.provision import Provision, Standing, split
from kennel.local.functions.recorder import Counted
from kennel.local.functions.report import Figures
from kennel.local.functions.runtime_api import Request
from kennel.local.parts import Document

log = logging.getLogger(__name__)

LOOK_S = 0.5
NONE = Standing(1, 0, "")
"""Of what was asked for and is not begun yet."""


class Fleet:
    """make: how an instance comes to be; tests give another."""

    def __init__(self, site: Site, book: Book, make: Callable[[Site, Target, bool], Instance] = Instance) -> None:
        self._site, self._book, self._limits, self._make_one = site, book, site.limits, make
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        """So that nobody acts on a document that is an older one by then."""
        self._idle: list[Instance] = []
        self._busy: list[Instance] = []
        """On demand, both."""
        self._starting = Counter[str]()
        self._provisions: dict[tuple[str, str], Provision] = {}
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="functions", daemon=True)

    def start(self) -> None:
        self._keeper.start()
        for document in self._book.all():
            self.changed(document["Name"])

    def invoke(self, target: Target, request: Request) -> Outcome:
        """Raises Refused where there are enough at work, KennelError where no instance can be started."""
        provision = self._provisions.get((target.name, target.asked))
        instance = provision.take(target) if provision else None
        if provision and instance:
            try:
                return self._counted(target, instance.invoke(request, None), provision, True)
            finally:
                provision.give(instance)
        try:
            instance = self._admitted(target)
        except BaseException:
            self._site.recorder.count(target, Counted(self._at_work(target.name)))
            raise
        return self._on_demand(target, request, instance, provision)

    def changed(self, name: str, again: str | None = None) -> None:
        """A function has changed, or is gone: what runs of it follows. again: a qualifier whose failure is forgiven."""
        with self._changing:
            self._follow(name, again)

    def standing(self, name: str, qualifier: str) -> Standing:
        provision = self._provisions.get((name, qualifier))
        return provision.standing() if provision else NONE

    def running(self, name: str) -> int:
        """Instances on demand, at work or idle."""
        with self._lock:
            return sum(each.target.name == name for each in (*self._idle, *self._busy))

    def close(self) -> None:
        """End them all."""
        self._closing.set()
        self._keeper.join()
        with self._lock:
            provisions = list(self._provisions.values())
            instances = [*self._idle, *self._busy]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: each.end(), provisions))
            list(pool.map(lambda each: each.end(), instances))

    def _follow(self, name: str, again: str | None) -> None:
        document = next((each for each in self._book.all() if each["Name"] == name), None)
        wanted = {key: count["Requested"] for key, count in document["Provisioned"].items()} if document else {}
        with self._lock:
            stale = [each for each in self._idle if not self._is_current(each.target)]
            self._idle = [each for each in self._idle if each not in stale]
            here = {qualifier for function, qualifier in self._provisions if function == name}
            gone = [self._provisions.pop((name, qualifier)) for qualifier in here - wanted.keys()]
            if not self._closing.is_set():
                for qualifier in wanted.keys() - here:
                    self._provisions[name, qualifier] = self._provision(f"{name}-{qualifier}")
        for instance in stale:
            instance.end()
        for provision in gone:
            provision.end()
        for qualifier, count in wanted.items():
            if document and (found := self._provisions.get((name, qualifier))):
                found.want(_wanted(document, qualifier, count), again == qualifier)

    def _admitted(self, target: Target) -> Instance | None:
        """A seat among those at work, with an idle instance if there is one. Raises Refused."""
        with self._lock:
            self._check_limits(target.name)
            for each in reversed(self._idle):  # the last that worked: the others may end
                if each.target.key == target.key and each.alive:
                    self._idle.remove(each)
                    self._busy.append(each)
                    return each
            self._starting[target.name] += 1
            return None

    def _check_limits(self, name: str) -> None:
        """Raises Refused."""
        documents = self._book.all()
        reserved = {each["Name"]: each["Concurrency"] for each in documents if each["Concurrency"] is not None}
        provisioned = {each["Name"]: provisioned_of(each) for each in documents}
        at_work = self._on_demand_at_work()
        if name in reserved:
            if at_work[name] >= reserved[name] - provisioned.get(name, 0):
                raise words.throttled(reserved=True)
            return
        shared = sum(count for each, count in at_work.items() if each not in reserved)
        kept = sum(reserved.values()) + sum(count for each, count in provisioned.items() if each not in reserved)
        if shared >= self._limits.concurrency - kept:
            raise words.throttled(reserved=False)

    def _on_demand(
        self, target: Target, request: Request, instance: Instance | None, provision: Provision | None
    ) -> Outcome:
        """A cold start where there is no instance."""
        init_s = None
        try:
            if instance is None:
                instance = self._started(target)
                began = time.monotonic()
                timeout = int(target.configuration["Timeout"])
                if not (instance.initialise(self._limits.init_s) or instance.initialise(timeout)):
                    raise InitFailed(payload_of(TIMED_OUT, f"Task timed out after {timeout:.2f} seconds"))
                init_s = instance.init_s or time.monotonic() - began
            outcome = instance.invoke(request, init_s)
        except InitFailed as failed:
            if instance is not None:
                instance.abandon()
            outcome = _init_failed(request, failed, target)
        finally:
            if instance is not None:
                self._released(instance)
        return self._counted(target, outcome, provision, False)

    def _started(self, target: Target) -> Instance:
        try:
            instance = self._make_one(self._site, target, False)
        except BaseException:
            with self._lock:
                self._starting[target.name] -= 1
            raise
        with self._lock:
            self._starting[target.name] -= 1
            self._busy.append(instance)
            return instance

    def _released(self, instance: Instance) -> None:
        with self._lock:
            self._busy.remove(instance)
            stays = instance.alive and self._is_current(instance.target) and not self._closing.is_set()
            if stays:
                self._idle.append(instance)
        if not stays:
            instance.end()

    def _counted(self, target: Target, outcome: Outcome, provision: Provision | None, provisioned: bool) -> Outcome:
        utilization = provision.utilization() if provision else None
        at_work = self._at_work(target.name) + 1
        counted = Counted(at_work, outcome.figures.duration_ms, outcome.failed, provisioned, utilization)
        self._site.recorder.count(target, counted)
        return outcome

    def _at_work(self, name: str) -> int:
        with self._lock:
            return self._on_demand_at_work()[name]

    def _on_demand_at_work(self) -> Counter[str]:
        return Counter(each.target.name for each in self._busy) + self._starting

    def _is_current(self, target: Target) -> bool:
        """Whether requests may still come for it."""
        document = next((each for each in self._book.all() if each["Name"] == target.name), None)
        if document is None:
            return False
        found = document["Runs"] if target.version == LATEST else document["Versions"].get(target.version)
        return found is not None and found["RevisionId"] == target.configuration["RevisionId"]

    def _provision(self, name: str) -> Provision:
        return Provision(
            lambda target, provisioned: self._make_one(self._site, target, provisioned),
            self._limits,
            self._site.house.changes,
            name,
        )

    def _keep(self) -> None:
        """Idle instances end after a while; what is printed meanwhile is read."""
        while not self._closing.wait(LOOK_S):
            try:
                self._look()
            except Exception:
                log.exception("instances of functions")

    def _look(self) -> None:
        with self._lock:
            before = time.monotonic() - self._limits.idle_s
            old = [each for each in self._idle if each.idle_since < before or not each.alive]
            self._idle = [each for each in self._idle if each not in old]
            left, provisions = [*self._idle, *self._busy], list(self._provisions.values())
        for each in old:
            each.end()
        for each in left:
            each.pump()
        for provision in provisions:
            provision.look()


def provisioned_of(document: Document) -> int:
    """Instances that a function's provisioned concurrency has asked for."""
    return sum(each["Requested"] for each in document["Provisioned"].values())


def _wanted(document: Document, qualifier: str, count: int) -> list[Target]:
    alias = document["Aliases"].get(qualifier)
    counts = split(alias, count) if alias else {qualifier: count}
    return [
        Target(document["Name"], qualifier, version, document["Versions"][version])
        for version, number in counts.items()
        for _ in range(number)
        if version in document["Versions"]
    ]


def _init_failed(request: Request, failed: InitFailed, target: Target) -> Outcome:
    figures = Figures(request.identity, 0.0, None, int(target.configuration["MemorySize"]), 0, failed.kind)
    return Outcome(failed.payload, True, figures, ())
