"""The folder of one machine: its disk, the programs that stand in for its system's, its console."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

CONSOLE = 64 * 1024
"""Bytes that EC2 keeps of a console, the last ones."""
MOST = 8 * 1024**2
"""Bytes of the file; one that grows beyond is cut to its end."""
PROGRAMS = ("shutdown", "docker", "sudo")
LINKS = ("poweroff", "halt")
_MINUTES = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Folder:
    """disk: goes with the machine; the console stays."""

    root: Path

    @property
    def disk(self) -> Path:
        return self.root / "disk"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def console(self) -> Path:
        return self.root / "console.log"

    def prepare(self) -> None:
        """Its programs, and folders for what it keeps. Raises OSError."""
        for each in (self.bin, self.disk / "home", self.disk / "work"):
            each.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            source = files("kennel.local.machines").joinpath("bin", name)
            self._program(self.bin / name, source.read_bytes())
        for name in LINKS:
            (self.bin / name).unlink(missing_ok=True)
            (self.bin / name).symlink_to("shutdown")
        self.take_power()

    def script(self, content: bytes) -> Path:
        """User data, ready to be run. Raises OSError."""
        path = self.root / "user-data"
        self._program(path, content)
        return path

    def say(self, line: str) -> None:
        """To the console, in the place of boot's own words."""
        with suppress(OSError), open(self.console, "ab", opener=_at_once) as file:
            file.write(f"{line}\n".encode())

    def bound(self, most: int = MOST) -> None:
        """Keep the console's file small; a line that is written in that moment may be lost."""
        with suppress(OSError):
            if self.console.stat().st_size > most:
                end = console(self.root)
                os.truncate(self.console, 0)
                with open(self.console, "ab", opener=_at_once) as file:
                    file.write(end)

    def take_power(self) -> str:
        """What `shutdown` has asked for since the last look: minutes, or `cancel`; "" for nothing."""
        path = self.root / "power"
        try:
            with open(path, opener=_at_once) as file:
                found = file.read(16).strip()
            path.unlink(missing_ok=True)
        except (OSError, ValueError):
            return ""
        return found if found == "cancel" or _MINUTES.fullmatch(found) else ""

    def remove(self) -> None:
        """All but the console."""
        for each in (self.disk, self.bin):
            shutil.rmtree(each, ignore_errors=True)
        for name in ("user-data", "power"):
            (self.root / name).unlink(missing_ok=True)

    def _program(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o700)


def _at_once(path: str, flags: int) -> int:
    """User data can put there what it likes, a pipe that nobody writes to, say: the server waits for none."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW, 0o644)


def console(root: Path) -> bytes:
    """The last of what it printed; nothing of a machine that has printed nothing."""
    try:
        with open(root / "console.log", "rb", opener=_at_once) as file:
            file.seek(-min(CONSOLE, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read(CONSOLE)
    except OSError:
        return b""
