"""The local AWS as a process of its own: started, found, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from kennel.errors import ServerError
from kennel.local.home import LOG, State, state

START_SECONDS = 60
STOP_SECONDS = 150
"""A training job is given two minutes to end."""


def start_in_background(home: Path, port: int, region: str, runner: str, concurrency: int = 10) -> State:
    """Start a server that outlives this process; return when it answers. Raises ServerError with the reason.

    concurrency: of functions, see settings.Local.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home / LOG
    with log.open("ab") as file:
        before = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "kennel.local", str(home), str(port), region, runner, str(concurrency)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ServerError(_reason(log, before), f"See {log}")
        if (found := state(home)) and found.pid == process.pid:
            return found
        time.sleep(0.05)
    process.terminate()
    raise ServerError(f"the local AWS did not answer within {START_SECONDS} s", f"See {log}")


def stop(home: Path) -> bool:
    """End the server and all that it runs; False where none runs. Raises ServerError when it does not end."""
    found = state(home)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until:
        if not _lives(found.pid):
            return True
        time.sleep(0.05)
    raise ServerError(f"the local AWS did not end within {STOP_SECONDS} s", f"End its process {found.pid} by kill -9")


def _lives(pid: int) -> bool:
    """Not: one that has ended and that whoever started it did not wait for yet."""
    import psutil

    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _reason(log: Path, before: int) -> str:
    """The log's last line says why a server did not start. before: where its lines begin."""
    told = log.read_bytes()[before:].decode(errors="replace")
    lines = [each for each in told.splitlines() if each.strip()]
    return lines[-1].strip() if lines else "the local AWS ended at once"
