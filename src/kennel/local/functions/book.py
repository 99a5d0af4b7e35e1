"""Functions as they are kept: a document each, with its versions, aliases, policies and all else that is its own."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kennel.local.documents import Documents
from kennel.local.functions import words
from kennel.local.functions.names import LATEST, Ref
from kennel.local.parts import Document, House


@dataclass(frozen=True, slots=True)
class Target:
    """What a qualifier leads to. asked: the qualifier as named, "" for none. configuration: not to be altered."""

    name: str
    asked: str
    version: str
    configuration: Document

    @property
    def key(self) -> tuple[str, str, str]:
        """Instances of one key are alike: an update of the newest code makes another."""
        return self.name, self.version, str(self.configuration["RevisionId"])


class Book:
    """All functions. What `read` gives is shared and not to be altered; `change` alters."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._kept = Documents(house.home / "functions", house.changes)
        self._lock = threading.RLock()  # what alters one may look at the others
        self._shared: dict[str, Document] = {each["Name"]: each for each in self._kept.all()}

    def all(self) -> list[Document]:
        with self._lock:
            return [self._shared[name] for name in sorted(self._shared)]

    def read(self, ref: Ref) -> Document:
        """Raises Refused."""
        with self._lock:
            found = self._shared.get(ref.name)
        if found is None:
            raise words.not_found(ref.arn(self._house))
        return found

    def add(self, document: Document) -> bool:
        with self._lock:
            if not self._kept.add(document["Name"], document):
                return False
            self._shared[document["Name"]] = document
            return True

    def change(self, ref: Ref, how: Callable[[Document], None]) -> Document:
        """Raises Refused, where there is none or `how` does, and then nothing changed."""
        with self._lock:
            altered = self._kept.change(ref.name, how)
            if altered is not None:
                self._shared[ref.name] = altered
        if altered is None:
            raise words.not_found(ref.arn(self._house))
        return altered

    def remove(self, name: str) -> None:
        with self._lock:
            self._kept.remove(name)
            self._shared.pop(name, None)

    def configuration(self, ref: Ref) -> Document:
        """Of the version that the qualifier leads to; an alias with weights leads to its first one. Raises Refused."""
        document = self.read(ref)
        alias = document["Aliases"].get(ref.qualifier)
        return self._version(document, ref, alias["FunctionVersion"] if alias else ref.qualifier)

    def target(self, ref: Ref) -> Target:
        """What to run, by chance where an alias has weights. Raises Refused."""
        document = self.read(ref)
        alias = document["Aliases"].get(ref.qualifier)
        version = chosen(alias, random.random()) if alias else ref.qualifier or LATEST
        found = self._version(document, ref, version)
        if found["State"] != "Active":
            raise words.conflict(words.IN_STATE.format(state=found["State"]))
        runs = document["Runs"] if found["Version"] == LATEST else found
        return Target(ref.name, ref.qualifier, found["Version"], runs)

    def now(self) -> str:
        """As Lambda writes times."""
        at = datetime.fromtimestamp(self._house.clock.now(), UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"

    def _version(self, document: Document, ref: Ref, version: str) -> Document:
        found = document["Configuration"] if version in ("", LATEST) else document["Versions"].get(version)
        if found is None:
            raise words.not_found(ref.arn(self._house))
        return dict(found)


def chosen(alias: Document, chance: float) -> str:
    """The version that a request through an alias gets. chance: from 0 to 1."""
    for version, weight in weights(alias).items():
        if chance < weight:
            return version
        chance -= weight
    return str(alias["FunctionVersion"])


def weights(alias: Document) -> dict[str, float]:
    """Of the versions beside the alias's own."""
    return dict(alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}))


def revision() -> str:
    return str(uuid.uuid4())


def check_revision(request: Document, held: Document) -> None:
    """Raises Refused where the request names a revision that is not the held one."""
    if request.get("RevisionId") not in (None, held["RevisionId"]):
        raise words.stale()


def page(found: list[Document], request: Document, answer: str, most: int = 50) -> Document:
    """A list's answer, a page at a time; markers are counts."""
    marker = str(request.get("Marker") or "0")
    if not marker.isdecimal():
        raise words.invalid("The Marker is not one of this list.")
    start, size = int(marker), min(int(request.get("MaxItems", most)), most)
    shown: Document = {answer: found[start : start + size]}
    if start + size < len(found):
        shown["NextMarker"] = str(start + size)
    return shown
