"""What pytest's workers share: things that are made once for all of them, and things that one may use at a time.

`make test` runs the tests in several processes (pytest-xdist), each with session fixtures of its own; without it there
is one process, and the same code.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, of all that name the same file; free again however the process ends."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Shared:
    """A folder that all workers of this run see."""

    folder: Path

    def once(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, filled by whoever comes first; the others wait for it. Nobody may change it then."""
        place, done = self.folder / name, self.folder / f"{name}.done"
        with alone(self.folder / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                make(place)
                done.touch()
        return place

    @contextmanager
    def lent(self, name: str, make: Callable[[], str], drop: Callable[[str], object]) -> Iterator[str]:
        """What `make` says, made by whoever comes first and dropped by whoever goes last."""
        users, note, lock = self.folder / name, self.folder / f"{name}.txt", self.folder / f"{name}.lock"
        me = users / str(os.getpid())
        with alone(lock):
            users.mkdir(exist_ok=True)
            if not note.exists():
                note.write_text(make())
            me.touch()
        try:
            yield note.read_text()
        finally:
            with alone(lock):
                me.unlink()
                if not any(users.iterdir()):
                    drop(note.read_text())
                    note.unlink()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return Shared(folder)


@pytest.fixture(scope="session")
def worker() -> int:
    """This process's number among the workers."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture
def meeting_port() -> Iterator[None]:
    """Port 7777, where sagemaker-training lets several processes of a job meet: one job at a time on a machine."""
    with alone(Path(tempfile.gettempdir()) / f"kennel-tests-7777-{os.getuid()}.lock"):
        yield
