"""The instances of one endpoint: a deployment rolled out while the one before it serves, drained, and ended."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kennel.errors import ArtifactError
from kennel.local.errors import Refused
from kennel.local.hosting import archive, words
from kennel.local.hosting.models import object_of
from kennel.local.hosting.place import Place, Site
from kennel.local.hosting.plan import Deployment, Limits, Variant
from kennel.local.hosting.router import Router
from kennel.local.parts import House

CLOSING_DRAIN_S = 5
ENDED = "The server ended."
SLACK_S = 60
"""Beyond the startup limit of the slowest variant, for archives and for starts that are repeated."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances of a variant. current: of the deployment that serves; serving: those that answer at this moment."""

    current: int
    serving: int


class RolloutFailed(Exception):
    """reason: becomes the endpoint's FailureReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason[:1024]


class Fleet:
    """One rollout at a time; its caller takes care of that."""

    def __init__(self, house: House, limits: Limits, endpoint: str) -> None:
        self.router = Router(limits.outstanding)
        self._house, self._limits = house, limits
        self._folder = house.home / "endpoints" / endpoint
        self._site = Site(house, limits, self.router, endpoint, self._folder)
        self._deployment: Deployment | None = None
        self._places: dict[str, list[Place]] = {}
        self._leaving: list[Place] = []
        self._rolling, self._closing = threading.Lock(), threading.Event()

    def tidy(self) -> None:
        """Remove what instances of an earlier server left, and archives it did not come to unpack; whole ones stay."""
        for path in [*self._folder.glob("i-*"), *self._folder.glob(f"deployment-*/{archive.DRAFT}*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def roll_out(self, wanted: Deployment) -> None:
        """Move the traffic in one step when every instance answers. Raises RolloutFailed, and then nothing changed.

        Instances of the same deployment are kept, so a change of counts starts or ends only what it has to.
        """
        with self._rolling:
            if self._closing.is_set():
                raise RolloutFailed(ENDED)
            self._roll_out(wanted)

    def expect(self, deployment: Deployment) -> None:
        """Requests wait from now on for what is about to be rolled out."""
        self.router.swap({each.name: () for each in deployment.variants}, weights_of(deployment))

    def refuse(self) -> None:
        """No requests are taken any more."""
        self.router.swap({}, {})

    def counts(self, variant: str) -> Counts:
        places = self._places.get(variant, [])
        return Counts(len(places), sum(each.serving for each in places))

    def end(self, drain_s: float) -> None:
        """End every instance; requests that are under way may finish. Returns when all is gone."""
        self._closing.set()
        with self._rolling:
            self.refuse()
            self._retire([place for each in self._places.values() for place in each], drain_s)
        for place in self._leaving:
            place.join()

    def delete(self) -> None:
        self.end(self._limits.drain_s)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _roll_out(self, wanted: Deployment) -> None:
        kept = self._kept(wanted)
        new: list[Place] = []
        try:
            places = {each.name: self._filled(each, wanted, kept.get(each.name, []), new) for each in wanted.variants}
            self._await(new, max(each.startup_s for each in wanted.variants) + SLACK_S)
        except BaseException:
            self._retire(new, 0)
            if not self._closing.is_set():
                self._forget_archives(self._deployment)
            raise
        self._swap(wanted, places)

    def _kept(self, wanted: Deployment) -> dict[str, list[Place]]:
        """Places that the wanted deployment can go on with; those that answer first."""
        if self._deployment is None or self._deployment.identity != wanted.identity:
            return {}
        return {
            name: sorted(places, key=lambda each: not each.serving)[: variant.instances]
            for name, places in self._places.items()
            if (variant := wanted.named(name)) is not None
        }

    def _filled(self, variant: Variant, wanted: Deployment, kept: list[Place], new: list[Place]) -> list[Place]:
        missing = variant.instances - len(kept)
        tree = self._unpacked(variant, wanted.identity) if missing else None
        started = [Place(self._site, variant, tree) for _ in range(missing)]
        new += started
        return kept + started

    def _unpacked(self, variant: Variant, identity: str) -> Path | None:
        """The model's files, unpacked once a deployment, so that a replacement months later is the same."""
        if variant.data is None:
            return None
        tree = self._folder / f"deployment-{identity}" / variant.name
        if tree.is_dir():
            return tree
        try:
            found = self._site.house_of(variant).objects.get(*object_of(variant.data))
            archive.unpack(found.path, tree, self._limits)
        except Refused as error:
            raise RolloutFailed(words.no_data(variant.data)) from error
        except ArtifactError as error:
            raise RolloutFailed(words.bad_archive(variant.data, str(error))) from error
        return tree

    def _await(self, places: list[Place], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(each.serving for each in places):
            failed = next((each.failure for each in places if each.failure), None)
            if failed or time.monotonic() > until:
                raise RolloutFailed(failed or "The instances did not become healthy in time.")
            if self._closing.wait(0.02):
                raise RolloutFailed(ENDED)

    def _swap(self, wanted: Deployment, places: dict[str, list[Place]]) -> None:
        seats = {name: [place.seat for place in each] for name, each in places.items()}
        self.router.swap(seats, weights_of(wanted))
        stay = {place for each in places.values() for place in each}
        old = [place for each in self._places.values() for place in each if place not in stay]
        self._places, self._deployment = places, wanted
        self._retire(old, self._limits.drain_s)
        self._forget_archives(wanted)

    def _retire(self, places: Iterable[Place], drain_s: float) -> None:
        gone = list(places)
        for place in gone:
            place.end(drain_s)
        self._leaving = [each for each in self._leaving if each.alive] + gone

    def _forget_archives(self, current: Deployment | None) -> None:
        """Instances have links of their own to the files."""
        for path in self._folder.glob("deployment-*"):
            if current is None or path.name != f"deployment-{current.identity}":
                shutil.rmtree(path, ignore_errors=True)


def weights_of(deployment: Deployment) -> dict[str, float]:
    return {each.name: each.weight for each in deployment.variants}
