"""Nothing of a local AWS outlives it: what it starts carries marks, and a small process ends all that carries them.

`python -m kennel.local.warden HOME SERVER` holds the read end of a pipe from the server. When the server dies, by
SIGKILL too, the pipe ends, and the warden ends the server's processes, containers and networks. The same is done at a
server's start (for what an earlier one left although its warden was killed as well) and at its orderly end.

Imports little: it has to be there before the first process of a job is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from kennel.errors import KennelError, one_line

log = logging.getLogger(__name__)

HOME, SERVER, WORK = "KENNEL_LOCAL_HOME_ID", "KENNEL_LOCAL_SERVER", "KENNEL_LOCAL_WORK"
LABELS = {HOME: "kennel.local.home", SERVER: "kennel.local.server", WORK: "kennel.local.work"}
END_SECONDS = 10
"""For processes to be gone after SIGKILL; one that hangs in the kernel longer cannot be waited for."""
AGAIN_SECONDS = 0.3
"""What the server was starting in the very moment in which it died shows only after it: look again."""
DISMISSED = b"."


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose something is. server: one start of a server; work: one start of one work; "" for any of them."""

    home: str
    server: str = ""
    work: str = ""

    @classmethod
    def of(cls, home: Path, server: str = "") -> Mark:
        return cls(hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:10], server)

    def environment(self) -> dict[str, str]:
        """What a process is given, and hands on to its children."""
        values = {HOME: self.home, SERVER: self.server, WORK: self.work}
        return {name: value for name, value in values.items() if value}

    def labels(self) -> dict[str, str]:
        """The same for containers and networks."""
        return {LABELS[name]: value for name, value in self.environment().items()}

    def folder_prefix(self) -> str:
        """How the temporary folders of its processes begin. Short: sockets lie in them."""
        return "-".join(["kennel", self.home, *([self.server] if self.server else [])])


def sweep(mark: Mark) -> None:
    """End all that carries the mark, and wait until it is gone."""
    end_processes(mark)
    end_containers(mark)
    _remove_folders(mark)


def end_processes(mark: Mark) -> None:
    """SIGKILL to every process with the mark, and to those that they started meanwhile."""
    import psutil

    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        if not (found := processes(mark)):
            return
        for each in found:
            with suppress(psutil.Error):
                each.kill()
        time.sleep(0.02)
    log.warning("processes of %s could not be ended within %d s", mark, END_SECONDS)


def processes(mark: Mark) -> list[Any]:
    """psutil's of all that carry the mark."""
    import psutil

    wanted = mark.environment().items()
    return [each for each in psutil.process_iter() if each.pid != os.getpid() and wanted <= _marks(each).items()]


def _marks(process: Any) -> Mapping[str, str]:
    """A process's environment; empty for one that has ended or is another user's."""
    import psutil

    try:
        found: Mapping[str, str] = process.environ()
    except (psutil.Error, OSError):
        return {}
    return found


def end_containers(mark: Mark) -> None:
    """Those with the mark as labels, and networks; nothing where there is no engine."""
    from kennel.containers import Engine

    try:
        engine = Engine()
    except KennelError:
        return
    try:
        for container in engine.labelled(mark.labels()):
            engine.remove(container)
        engine.remove_networks(mark.labels())
    except OSError as error:  # also what docker's client raises
        log.warning("containers of %s could not be removed: %s", mark, error)


def _remove_folders(mark: Mark) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{mark.folder_prefix()}*"):
        if folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


class Closing(Protocol):
    """Work that can be ended."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Closing)


class Guard:
    """The server's side: its mark, its warden, and what it has started.

    Making one ends what an earlier server of the same home has left: hold the home's lock before.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self.mark = Mark.of(home, token_hex(4))
        self._lock = threading.Lock()
        self._started: list[Closing] = []
        self._closed = False
        self._warden: subprocess.Popen[bytes] | None = None
        sweep(Mark.of(home))

    def mark_for(self, name: str) -> Mark:
        """The mark of one start of one work: a later start of the same work is not the same."""
        return replace(self.mark, work=f"{name}-{token_hex(3)}")

    def begin(self, start: Callable[[], R]) -> R:
        """Start work under the warden's eyes. Raises KennelError when the server is ending."""
        self._watch()
        running = start()
        with self._lock:
            if not self._closed:
                self._started.append(running)
                return running
        running.close()
        raise _ending()

    def forget(self, running: Closing) -> None:
        """It has been closed."""
        with self._lock, suppress(ValueError):
            self._started.remove(running)

    def refuse_if_closed(self) -> None:
        """Raises KennelError when the server is ending."""
        if self._closed:
            raise _ending()

    def close(self) -> None:
        """End all that was started, then send the warden away."""
        with self._lock:
            self._closed = True
            started = list(self._started)
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda each: each.close(), started))
        finally:
            sweep(self.mark)
            self._dismiss()

    def _watch(self) -> None:
        """A warden, another where it has died."""
        with self._lock:
            self.refuse_if_closed()
            if self._warden is None or self._warden.poll() is not None:
                self._warden = _start_warden(self._home, self.mark.server)
                threading.Thread(target=self._replace, args=(self._warden,), name="warden", daemon=True).start()

    def _replace(self, warden: subprocess.Popen[bytes]) -> None:
        """When it dies: what runs needs another, also where nothing else is ever started."""
        warden.wait()
        time.sleep(AGAIN_SECONDS)  # none that cannot live shall spin
        with suppress(KennelError):
            self._watch()

    def _dismiss(self) -> None:
        with self._lock:
            warden, self._warden = self._warden, None
        if warden is None:
            return
        with suppress(subprocess.TimeoutExpired):
            warden.communicate(DISMISSED, timeout=END_SECONDS)
        warden.kill()
        warden.wait()


def _ending() -> KennelError:
    return KennelError("the local AWS is ending", "Start it again: kennel local up")


def _start_warden(home: Path, server: str) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C in the server's terminal does not reach it. Raises KennelError."""
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "kennel.local.warden", str(home), server],
            env={name: value for name, value in os.environ.items() if name not in LABELS},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise one_line(error) from error


def main() -> None:
    """Wait until the server says that all is well, or says nothing any more."""
    home, server = Path(sys.argv[1]), sys.argv[2]
    if os.read(sys.stdin.fileno(), 1) == DISMISSED:
        return
    mark = Mark.of(home, server)
    sweep(mark)
    time.sleep(AGAIN_SECONDS)
    sweep(mark)


if __name__ == "__main__":
    main()
