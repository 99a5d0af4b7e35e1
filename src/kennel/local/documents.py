"""Resources on disk: one JSON file each, written atomically, all of a kind held in memory."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path

from kennel.files import PRIVATE, write_atomically
from kennel.local.parts import Changes, Document


class Documents:
    """The resources of one kind, by name. What is given out is a copy; a change is on disk before it is seen."""

    def __init__(self, folder: Path, changes: Changes) -> None:
        self._folder, self._changes = folder, changes
        self._lock = threading.RLock()
        self._held: dict[str, Document] = {}
        for draft in folder.glob(".*.json.*"):  # of a server that was killed while it wrote
            draft.unlink()
        for path in sorted(folder.glob("*.json")):
            self._held[path.stem] = json.loads(path.read_text())

    def get(self, name: str) -> Document | None:
        with self._lock:
            return copy.deepcopy(self._held.get(name))

    def all(self) -> list[Document]:
        with self._lock:
            return copy.deepcopy(list(self._held.values()))

    def names(self) -> list[str]:
        with self._lock:
            return list(self._held)

    def add(self, name: str, document: Document) -> bool:
        """Keep a new one; False, and nothing done, where the name is taken."""
        with self._lock:
            if name in self._held:
                return False
            self._keep(name, document)
            return True

    def change(self, name: str, how: Callable[[Document], None]) -> Document | None:
        """Let `how` alter a resource in one step; the altered one, None where there is none (any more)."""
        with self._lock:
            if name not in self._held:
                return None
            altered = copy.deepcopy(self._held[name])
            how(altered)
            self._keep(name, altered)
            return copy.deepcopy(altered)

    def remove(self, name: str) -> None:
        with self._lock:
            if self._held.pop(name, None) is not None:
                (self._folder / f"{name}.json").unlink(missing_ok=True)
        self._changes.tell()

    def _keep(self, name: str, document: Document) -> None:
        """name: a SageMaker name, so letters, digits and dashes only."""
        content = json.dumps(document, indent=1, sort_keys=True).encode()
        write_atomically(self._folder / f"{name}.json", content, PRIVATE)  # a function's variables may be secrets
        self._held[name] = copy.deepcopy(document)
        self._changes.tell()
