"""Work as processes of this installation: `train` and `serve` under a moved contract root.

A process sees this machine: work.read_only and work.isolated can be kept in a container only. What the server's own
environment holds does not reach it, AWS credentials least of all.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from kennel.errors import KennelError, one_line
from kennel.local.warden import Guard, Mark, end_containers, end_processes, processes
from kennel.local.work import Program, Work

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PORTS = range(20000, 32767)
"""multi-model-server takes none above 32766; ports above are the system's own, for outgoing connections."""
MASTER_PORT = 7777
"""sagemaker-training's, for torchrun; it cannot be told another."""
KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "KENNEL_CACHE", "XDG_CACHE_HOME", "JAVA_HOME", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE",
)  # fmt: skip
"""What of the server's environment a process needs to find programs, pretrained weights and the machine's devices."""
IMAGES = {
    "MPLBACKEND": "Agg",
    "PYTHONUNBUFFERED": "1",
    "SAGEMAKER_TRAINING_MODULE": "kennel.training.sagemaker:main",
    "GLOO_SOCKET_IFNAME": "lo",
}
"""As the training image sets them. Hosts meet on loopback, whatever this machine's name resolves to."""
STRANGERS = {
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""HOME is the user's, the credentials in it are not for jobs."""
PACKAGES = {"train": "train", "serve": "serve"}
KILL_SECONDS = 10
LOOK_S, REST_S = 0.1, 5
"""Of a machine that goes down: between two looks; and for what its first process has left behind."""


class ProcessRunner:
    """Starts processes; implements work.Runner."""

    name: Literal["process"] = "process"
    interface = "lo"

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._ports = Ports()
        self._meeting = threading.Lock()
        self._warned = False

    def hosts(self, count: int) -> list[str]:
        """Addresses of loopback: the first is where torchrun's processes meet."""
        return sorted(f"127.0.0.{number}" for number in range(1, count + 1))

    @contextmanager
    def network(self, name: str) -> Iterator[None]:
        """For jobs of several hosts only: one at a time, since torchrun's port is the same for all."""
        while not self._meeting.acquire(timeout=0.2):
            self._guard.refuse_if_closed()
        try:
            if not _free(MASTER_PORT):
                remedy = "End what listens there, or let containers do it: scripts/build_push.sh training"
                raise KennelError(f"several hosts as processes need port {MASTER_PORT}, which is taken", remedy)
            yield None
        finally:
            self._meeting.release()

    def start(self, work: Work) -> RunningProcess:
        """Raises KennelError."""
        self._warn_once(work)
        return self._guard.begin(lambda: self._start(work))

    def _start(self, work: Work) -> RunningProcess:
        program = _program(work.command)
        mark = self._guard.mark_for(work.name)
        port = self._ports.take() if work.command == "serve" else None
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{mark.folder_prefix()}-"))
            process = _spawn(program, work, mark, folder, port)
        except OSError as error:
            self._ports.give_back(port)
            raise one_line(error) from error
        return RunningProcess(process, mark, folder, port, self)

    def run(self, program: Program) -> RunningProcess:
        """Raises KennelError."""
        return self._guard.begin(lambda: self._run(program))

    def _run(self, program: Program) -> RunningProcess:
        mark = self._guard.mark_for(program.name)
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{mark.folder_prefix()}-"))
            own = {"HOME": str(folder), "TMPDIR": str(folder)}
            environment = own | dict(program.environment) | mark.environment()
            process = _popen(program.arguments, environment, program.folder, program.log, folder)
        except OSError as error:
            raise one_line(error) from error
        return RunningProcess(process, mark, folder, None, self, program.containers)

    def forget(self, running: RunningProcess, port: int | None) -> None:
        """It is gone, and its port free."""
        self._ports.give_back(port)
        self._guard.forget(running)

    def _warn_once(self, work: Work) -> None:
        if work.isolated and not self._warned:
            self._warned = True
            log.warning("%s: a process cannot be kept from the network; isolation takes a container", work.name)


class RunningProcess:
    """Implements work.Running and work.RunningProgram."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        mark: Mark,
        folder: Path,
        port: int | None,
        runner: ProcessRunner,
        containers: bool = False,
    ) -> None:
        self._containers = containers
        self._process, self._mark, self._folder, self._port, self._runner = process, mark, folder, port, runner
        self._lock = threading.Lock()
        self._killed = self._closed = False
        self._kills_before = _kills_for_memory()

    @property
    def address(self) -> str | None:
        return f"http://{LOOPBACK}:{self._port}" if self._port else None

    def exit_code(self) -> int | None:
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def out_of_memory(self) -> bool:
        """A SIGKILL that is not ours, while the kernel counted one for memory."""
        return (
            self.exit_code() == 128 + signal.SIGKILL and not self._killed and _kills_for_memory() > self._kills_before
        )

    def memory(self) -> int:
        import psutil

        with suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def terminate(self) -> None:
        self._process.terminate()  # which looks first whether it still is ours

    def shut_down(self, seconds: float) -> None:
        import psutil

        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        for each in processes(self._mark):
            with suppress(psutil.Error):
                each.terminate()
        until = time.monotonic() + REST_S
        while processes(self._mark) and time.monotonic() < until:
            time.sleep(LOOK_S)
            self._process.poll()  # or it stays as a zombie

    def kill(self) -> None:
        with self._lock:
            if not self._closed:
                self._kill()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
            if self._containers:
                end_containers(self._mark)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._closed = True
        self._runner.forget(self, self._port)

    def _kill(self) -> None:
        """Its group, as long as the number is certainly its own, and whatever else carries its mark."""
        if self._process.poll() is None:
            self._killed = True
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        end_processes(self._mark)


class Ports:
    """Ports of this server's endpoint instances: none is given out twice at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self) -> int:
        """From a random place on, so that two servers seldom choose the same. Raises KennelError."""
        start = random.randrange(len(PORTS))
        with self._lock:
            for turn in range(len(PORTS)):
                port = PORTS[(start + turn) % len(PORTS)]
                if port not in self._taken and _free(port):
                    self._taken.add(port)
                    return port
        raise KennelError(f"no port from {PORTS[0]} to {PORTS[-1]} is free", "End what listens there")

    def give_back(self, port: int | None) -> None:
        with self._lock:
            self._taken.discard(port or 0)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def _program(command: str) -> Path:
    """The console script of this installation. Raises KennelError."""
    found = Path(sys.executable).with_name(command)
    if not found.is_file():
        raise KennelError(f"`{command}` is not installed here", f"Run: pip install 'kennel[{PACKAGES[command]}]'")
    return found


CODE = ("LD_", "PYTHON", "PATH", "JAVA_", "_JAVA", "SAGEMAKER_TRAINING_MODULE")
"""Beginnings of variables by which a request could have other code run in this installation's place."""


def _environment(work: Work, mark: Mark, folder: Path, port: int | None) -> dict[str, str]:
    """Least binding first: what is kept, what the image would set, what the request says, what must be so."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    must = {"SAGEMAKER_BASE_DIR": str(work.root.resolve()), "TMPDIR": str(folder)}
    if port:
        must |= {"SAGEMAKER_BIND_TO_PORT": str(port), "KENNEL_HOST": LOOPBACK}
    asked = without_proxies(work.environment) if work.isolated else work.environment
    safe = {name: value for name, value in asked.items() if not name.startswith(CODE)}
    return kept | {"PATH": path} | IMAGES | STRANGERS | safe | must | mark.environment()


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """What isolated work is told."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


def _spawn(program: Path, work: Work, mark: Mark, folder: Path, port: int | None) -> subprocess.Popen[bytes]:
    return _popen([str(program)], _environment(work, mark, folder, port), work.root, work.log, folder)


def _popen(
    arguments: Sequence[str], environment: Mapping[str, str], place: Path, log_file: Path, folder: Path
) -> subprocess.Popen[bytes]:
    """folder: for its temporary files; removed here when it cannot be started."""
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as lines:
            return subprocess.Popen(
                arguments,
                env=environment,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=lines,
                start_new_session=True,
            )
    except OSError:
        folder.rmdir()
        raise


def _kills_for_memory() -> int:
    """How often this kernel has ended a process for memory; 0 where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.removeprefix("oom_kill "))
    return 0
