"""What the local AWS starts, and by what: the seam between its services and its runners. No behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner starts: one host of a training job, or one endpoint instance.

    name: unique on this server (`training-JOB-algo-1`), letters, digits and dashes. root: the folder that is /opt/ml
    to it. read_only: folders below root that it may not write to. log: the file its output is added to (both streams).
    host: its name among the job's hosts. network: containers of one network find each other by host.
    isolated: no way out to any network.
    """

    name: str
    image: str
    command: Literal["train", "serve"]
    root: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    read_only: tuple[Path, ...] = ()
    host: str = "algo-1"
    network: str | None = None
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A process of this machine that stands for no image: a function's instance, user data. name, log: as Work's.

    environment: all that it gets, beside a folder for temporary files and the marks by which it is found. containers:
    whether it may start some, which carry its marks as labels, and end with it.
    """

    name: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    containers: bool = False


class Running(Protocol):
    """Started work. Every method may be called at any time, from any thread, more than once."""

    @property
    def address(self) -> str | None:
        """`http://127.0.0.1:PORT` of a `serve`; None of a `train`."""

    def exit_code(self) -> int | None:
        """None while it runs; 137 for one that was killed (also for memory), 143 after SIGTERM, as Docker tells it."""

    def out_of_memory(self) -> bool:
        """Whether the kernel ended it for memory, as far as can be known."""

    def terminate(self) -> None:
        """SIGTERM to its first process."""

    def kill(self) -> None:
        """SIGKILL to all of it."""

    def close(self) -> None:
        """End what is left of it; no process, container or root-owned file of it remains."""


class RunningProgram(Running, Protocol):
    """A process of this machine."""

    def memory(self) -> int:
        """Bytes that it holds at this moment; 0 when it has ended."""

    def shut_down(self, seconds: float) -> None:
        """SIGTERM to its first process, which can end in order, at most so long; then to all that is left of it."""


class Runner(Protocol):
    """Starts work, in containers or as processes."""

    @property
    def name(self) -> Literal["docker", "process"]: ...

    @property
    def interface(self) -> str:
        """The network interface by which hosts of one job see each other (`eth0`, `lo`)."""

    def hosts(self, count: int) -> list[str]:
        """Names for the hosts of one job which find each other, sorted."""

    def network(self, name: str) -> AbstractContextManager[str | None]:
        """A network for several hosts; None where none is needed."""

    def start(self, work: Work) -> Running:
        """Raises kennel.errors.KennelError when it cannot be started (image not found, for one)."""


class Runners(Protocol):
    """Chooses by the image: `auto | docker | process`."""

    def choose(self, image: str) -> Runner:
        """Raises KennelError, when docker is demanded and there is no engine or no such image."""

    def close(self) -> None:
        """End everything that this server started."""


class Programs(Protocol):
    """Starts processes that stand for no image."""

    def run(self, program: Program) -> RunningProgram:
        """Raises KennelError."""
