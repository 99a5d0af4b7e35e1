"""A log file as it grows, line by line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

CHUNK = 2**18
"""Bytes, as many as CloudWatch takes in one event; a longer line is cut."""
MOST_CHUNKS = 4
"""A look takes no more: an endless log must not keep the looker from all else."""
BACKLOG, LARGEST = 2**22, 2**28
"""Bytes of the file that are not yet read, and in all: with more it is emptied. Nor may a log fill disk and memory."""


class Tail:
    """Lines that were added to a log file since the last look. Whoever writes it appends to it (O_APPEND)."""

    def __init__(self, path: Path, write: Callable[[Sequence[tuple[float, str]]], None]) -> None:
        self._path, self._write = path, write
        self._at, self._rest = 0, b""

    def pump(self, now: float, last: bool = False) -> None:
        """Hand on whole lines; `last`: also a line without an end."""
        if self._path.is_file():
            self._read(now, BACKLOG // CHUNK if last else MOST_CHUNKS)
        if last:
            self._hand_on([self._rest], now)
            self._rest = b""

    def _read(self, now: float, chunks: int) -> None:
        with self._path.open("rb") as file:
            file.seek(self._at)
            for _ in range(chunks):
                if not (chunk := file.read(CHUNK)):
                    break
                self._at += len(chunk)
                self._take(chunk, now)
            size = os.fstat(file.fileno()).st_size
        if size - self._at > BACKLOG or size > LARGEST:
            self._empty(size - self._at, now)

    def _empty(self, unread: int, now: float) -> None:
        os.truncate(self._path, 0)
        note = [f"[{unread} bytes of this log are left out]".encode()] if unread else []
        self._hand_on([self._rest, *note], now)
        self._at, self._rest = 0, b""

    def _take(self, chunk: bytes, now: float) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > CHUNK:
            lines.append(self._rest)
            self._rest = b""
        self._hand_on(lines, now)

    def _hand_on(self, lines: Sequence[bytes], now: float) -> None:
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        told = [(now, text) for text in texts if text]
        if told:
            self._write(told)
