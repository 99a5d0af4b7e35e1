"""Work as containers, started as SageMaker starts them: `IMAGE train` or `IMAGE serve`, work.root as /opt/ml.

No container has a limit of memory, and none can reach the local AWS: it listens on loopback only. Isolated work that
needs a network of its own (several hosts, an endpoint) still reaches what on this machine listens on all addresses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Literal

from docker.errors import DockerException, NotFound
from docker.models.containers import Container
from docker.types import Mount

from kennel.containers import BUILD, End, Engine, EngineError
from kennel.errors import one_line
from kennel.local.runners.process import LOOPBACK, without_proxies
from kennel.local.warden import Guard
from kennel.local.work import Work

log = logging.getLogger(__name__)

PORT = 8080
NOBODY = 9
"""A port where nothing listens, for an endpoint instance that has ended before its address was seen."""
ROOT = Path("/opt/ml")
SHARED_MEMORY = "8g"
"""Of /dev/shm, where PyTorch's loaders hand pictures over; taken only as it is used, and Docker's 64 MB are too few."""
LOST_SECONDS = 60
"""An engine that is away longer has taken the container with it."""
JOIN_SECONDS = 10
KILLED = End(137, False)


class DockerRunner:
    """Starts containers; implements work.Runner."""

    name: Literal["docker"] = "docker"
    interface = "eth0"

    def __init__(self, engine: Engine, guard: Guard) -> None:
        self._engine, self._guard = engine, guard
        self._lock = threading.Lock()

    def hosts(self, count: int) -> list[str]:
        return sorted(f"algo-{number}" for number in range(1, count + 1))

    @contextmanager
    def network(self, name: str) -> Iterator[str]:
        """Made with the first container in it, which says whether there is to be a way out."""
        chosen = f"kennel-{name}-{token_hex(3)}"
        try:
            yield chosen
        finally:
            with suppress(OSError):
                self._engine.remove_networks(name=chosen)

    def start(self, work: Work) -> RunningContainer:
        """Raises EngineError."""
        return self._guard.begin(lambda: self._start(work))

    def _start(self, work: Work) -> RunningContainer:
        image = self._image(work.image)
        mark = self._guard.mark_for(work.name)
        try:
            lines = _open(work.log)
        except OSError as error:
            raise one_line(error) from error
        own: str | None = None
        try:
            place, own = self._place(work, mark.labels(), f"kennel-{mark.work}")
            options = self._options(work) | place
            name = f"kennel-{mark.work}"
            container = self._engine.start(image, [work.command], name=name, labels=mark.labels(), **options)
        except BaseException:
            lines.close()
            if own:
                self._engine.remove_networks(name=own)
            raise
        address = self._address(container, own) if work.command == "serve" else None
        return RunningContainer(self._engine, container, lines, address, own, self._guard)

    def _image(self, reference: str) -> str:
        try:
            found = self._engine.find(reference)
        except OSError as error:
            raise EngineError(f"the Docker engine does not answer ({error})", "See whether it runs") from error
        if found is None:
            raise EngineError(f"there is no image {reference} on the Docker engine", BUILD)
        return found

    def _options(self, work: Work) -> dict[str, Any]:
        root = work.root.resolve()
        folders = [(ROOT, root, False)]
        folders += [(ROOT / each.relative_to(work.root), each.resolve(), True) for each in work.read_only]
        mounts = [Mount(str(inside), str(path), type="bind", read_only=kept) for inside, path, kept in folders]
        return {
            "environment": without_proxies(work.environment) if work.isolated else dict(work.environment),
            "hostname": work.host,
            "mounts": mounts,
            "shm_size": SHARED_MEMORY,
            "device_requests": self._engine.gpus(),
            "use_config_proxy": not work.isolated,
            "healthcheck": {"test": ["NONE"]},  # /ping is asked by the local AWS
        }

    def _place(self, work: Work, labels: dict[str, str], name: str) -> tuple[dict[str, Any], str | None]:
        """Where in the network it stands, as options; and the network that is its alone, if it has one."""
        if work.network:
            with self._lock:
                if not self._engine.has_network(work.network):
                    self._engine.add_network(work.network, work.isolated, self._guard.mark.labels())
            return self._engine.place_in(work.network, work.host), None
        if work.isolated and work.command == "serve":
            self._engine.add_network(name, True, labels)
            return self._engine.place_in(name, work.host), name
        if work.isolated:
            return {"network_mode": "none"}, None
        return ({"ports": {f"{PORT}/tcp": (LOOPBACK, 0)}} if work.command == "serve" else {}), None

    def _address(self, container: Container, own: str | None) -> str:
        """From this machine: published on loopback; in a network without a way out, the container's own address."""
        with suppress(DockerException, OSError):
            container.reload()
        settings = container.attrs["NetworkSettings"]
        if own and (found := settings["Networks"][own]["IPAddress"]):
            return f"http://{found}:{PORT}"
        bound = (settings["Ports"] or {}).get(f"{PORT}/tcp")
        return f"http://{LOOPBACK}:{bound[0]['HostPort'] if bound else NOBODY}"


class RunningContainer:
    """Implements work.Running."""

    def __init__(
        self, engine: Engine, container: Container, lines: IO[bytes], address: str | None, own: str | None, guard: Guard
    ) -> None:
        self._engine, self._container, self._lines, self._guard = engine, container, lines, guard
        self._address, self._own_network = address, own
        self._lock = threading.Lock()
        self._closed = False
        self._end: End | None = None
        self._written = 0
        self._watcher = threading.Thread(target=self._watch, name=f"log of {container.name}", daemon=True)
        self._watcher.start()

    @property
    def address(self) -> str | None:
        return self._address

    def exit_code(self) -> int | None:
        """Told when its whole log is written."""
        return self._end.code if self._end else None

    def out_of_memory(self) -> bool:
        return self._end is not None and self._end.out_of_memory

    def terminate(self) -> None:
        if self._end is None:
            with suppress(OSError):
                self._engine.terminate(self._container)

    def kill(self) -> None:
        if self._end is None:
            with suppress(OSError):
                self._engine.kill(self._container)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.kill()
            self._watcher.join(JOIN_SECONDS)
            try:
                self._engine.remove(self._container)
                if self._own_network:
                    self._engine.remove_networks(name=self._own_network)
            except OSError as error:  # it is found by its label when the server ends, or starts again
                log.warning("%s cannot be removed now: %s", self._container.name, error)
        self._guard.forget(self)

    def _watch(self) -> None:
        """Its output into the log, and its end; whatever happens to the engine, there is one."""
        with self._lines:
            self._end = self._until_end()

    def _until_end(self) -> End:
        lost = 0.0
        while True:
            try:
                self._follow()
                if end := self._engine.end(self._container):
                    return end
                lost = 0.0
            except NotFound:
                return KILLED
            except (DockerException, OSError) as error:
                log.warning("%s: the Docker engine does not answer (%s)", self._container.name, error)
                lost = lost or time.monotonic()
                if time.monotonic() - lost > LOST_SECONDS:
                    return KILLED
            time.sleep(0.1)

    def _follow(self) -> None:
        """Add what it prints; where the engine had hung up, from the byte after the last one that was written."""
        seen = 0
        for chunk in self._engine.follow(self._container):
            new = chunk[max(0, self._written - seen) :]
            seen += len(chunk)
            if new:
                self._written += len(new)
                self._write(new)

    def _write(self, chunk: bytes) -> None:
        try:
            self._lines.write(chunk)
        except OSError as error:  # a full disk is no reason to lose sight of the container
            log.warning("%s: its log cannot be written: %s", self._container.name, error.strerror)


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)
