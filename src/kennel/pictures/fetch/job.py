"""What every step of a fetch shares: where it writes, what it is allowed, whom it tells."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kennel.errors import DataError

MARKER = ".kennel-fetched.json"
GIB = 2**30
CHUNK = 2**20


class Progress(Protocol):
    """Told how far a step is. step: "download", "unpack" or "copy"; bytes; total is 0 while it is unknown."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


def quiet(step: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def free_bytes(folder: Path) -> int:
    """Bytes free to this user on the disk `folder` is on."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused above (bytes; members), and how many failures in a row end a download."""

    download: int = 4 * GIB
    unpacked: int = 8 * GIB
    members: int = 200_000
    tries: int = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What every step needs. source: what messages and the marker call it, free of secrets."""

    destination: Path
    source: str
    progress: Progress
    limits: Limits
    free: Callable[[Path], int]
    wait: Callable[[float], object]

    @property
    def part(self) -> Path:
        """The download, as far as it is."""
        return self._beside(".part")

    @property
    def note(self) -> Path:
        """What `part` is a part of."""
        return self._beside(".part.json")

    @property
    def unpacking(self) -> Path:
        """The data set until it is whole."""
        return self._beside(".unpacking")

    @property
    def received(self) -> int:
        """Bytes downloaded so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def forget_download(self) -> None:
        """Remove what was downloaded; the next try starts at the first byte."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def need(self, needed: int) -> None:
        """Raises DataError unless `needed` more bytes fit beside the destination."""
        free = self.free(self.destination.parent)
        if free < needed:
            message = f"{self.destination.parent} has {readable(free)} free, {readable(needed)} are needed"
            raise DataError(message, "Make room, or name a folder on another disk")

    def _beside(self, suffix: str) -> Path:
        return self.destination.with_name(self.destination.name + suffix)


class RefusedError(DataError):
    """What the source holds is at fault; the same bytes would be refused again."""


def readable(size: int) -> str:
    """Bytes for people: 1.1 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
