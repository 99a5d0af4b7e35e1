"""The record of what was decided: `HOME/gatekeeper/calls.jsonl`, bounded; its form is kennel.iam.record's."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from kennel.iam.record import NOW, OLDER, Call

FULL = 32 * 2**20
"""Bytes, from which on the file becomes the older one: a story makes about a tenth of it."""


class CallLog:
    """Lines are not forced to the disk: a power cut may take the last ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0

    def add(self, call: Call) -> None:
        line = f"{call.line()}\n".encode()
        with self._lock:
            if self._handle is None:
                self._open()
            elif self._size + len(line) > FULL:
                self._close()
                (self.folder / NOW).replace(self.folder / OLDER)
                self._open()
            assert self._handle is not None
            os.write(self._handle, line)
            self._size += len(line)

    def text(self, after: float) -> bytes:
        """The lines since a time, epoch seconds, the oldest first."""
        lines = []
        for name in (OLDER, NOW):
            path = self.folder / name
            if path.is_file():
                lines += [each for each in path.read_bytes().splitlines(keepends=True) if each.endswith(b"\n")]
        return b"".join(each for each in lines if not after or Call.parse(each).time >= after)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / NOW
        _mend(path)
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _mend(path: Path) -> None:
    """What a killed server left of a line is ended there, lest the next one be lost with it."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
