"""What was asked of a service, in its order, one JSON line each, on disk before the answer goes out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from kennel.files import PRIVATE, forget_drafts, write_atomically
from kennel.local.parts import Document


class Journal:
    """A file of JSON lines. sync: whether a line is also forced to the disk, so that it outlives a power cut."""

    def __init__(self, path: Path, sync: bool = True) -> None:
        self._path, self._sync = path, sync
        self._handle: int | None = None

    def read(self) -> list[Document]:
        """All lines. What a killed server left of a line is cut off: its request was never answered."""
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            self.write_anew([json.loads(line) for line in whole.splitlines()])
        return [json.loads(line) for line in whole.splitlines()]

    def add(self, documents: Sequence[Document]) -> None:
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        lines = memoryview("".join(f"{json.dumps(each)}\n" for each in documents).encode())
        while lines:
            lines = lines[os.write(self._handle, lines) :]
        if self._sync:
            os.fsync(self._handle)

    def write_anew(self, documents: Sequence[Document]) -> None:
        """Replace the whole."""
        self.close()
        forget_drafts(self._path)
        write_atomically(self._path, "".join(f"{json.dumps(each)}\n" for each in documents).encode(), PRIVATE)

    def remove(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
