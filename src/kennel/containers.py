"""The seam to Docker: images and containers as the checks and the local AWS need them.

Everything that is started here is removed again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from kennel.errors import KennelError

LABEL = "kennel.doctor"
START_ENGINE = "Start Docker; on a bare Debian: scripts/docker_engine.sh start"


class EngineError(KennelError):
    """The engine is not there, or does not have the image."""


@dataclass(frozen=True, slots=True)
class Image:
    """What the engine knows of an image, and what its registry knows of the manifest ("" for one never pushed)."""

    reference: str
    config: Mapping[str, Any]
    platform: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended. code: None when it had to be killed; seconds: until it ended, from start or signal."""

    code: int | None
    seconds: float
    log: str


class Engine:
    """A Docker engine that answers. Raises EngineError when there is none."""

    def __init__(self) -> None:
        try:
            self._client = docker.from_env(timeout=300)
            self._client.ping()
        except DockerException as error:
            raise EngineError("no Docker engine answers", START_ENGINE) from error

    def image(self, reference: str) -> Image:
        """The image, pulled if it is not there. Raises EngineError."""
        try:
            found = self._client.images.get(reference)
        except ImageNotFound:
            found = self._pull(reference)
        attrs = found.attrs
        return Image(
            reference=reference,
            config=attrs["Config"],
            platform=f"{attrs['Os']}/{attrs['Architecture']}",
            size=int(attrs["Size"]),
            media_type=self._media_type(reference, attrs.get("RepoDigests") or []),
        )

    @contextmanager
    def running(self, reference: str, command: list[str], **options: Any) -> Iterator[Container]:
        """A container, removed with the block, and killed first where it still runs."""
        try:
            container = self._client.containers.run(
                reference, command, detach=True, labels={LABEL: str(os.getpid())}, **options
            )
        except APIError as error:
            raise EngineError(f"{reference} cannot be started ({_reason(error)})", "Look at the image") from error
        try:
            yield container
        finally:
            with suppress(NotFound):
                container.remove(force=True, v=True)

    def terminate(self, container: Container) -> None:
        """SIGTERM; nothing where it has ended by itself."""
        with suppress(APIError):
            container.kill("SIGTERM")

    def ended(self, container: Container, within: float) -> Ended:
        """Wait until a container ends, at most `within` seconds."""
        started = time.monotonic()
        while time.monotonic() - started < within:
            container.reload()
            if container.status in ("exited", "dead"):
                break
            time.sleep(0.1)
        done = container.status in ("exited", "dead")
        code = int(container.attrs["State"]["ExitCode"]) if done else None
        return Ended(code, time.monotonic() - started, self.log(container))

    def log(self, container: Container) -> str:
        """Everything a container printed."""
        return bytes(container.logs()).decode(errors="replace")

    def finds(self, reference: str, program: str) -> bool:
        """Whether a program is on the image's PATH."""
        try:
            with self.running(reference, ["-c", f"command -v {program}"], entrypoint="sh", network_mode="none") as one:
                return self.ended(one, 30).code == 0
        except EngineError:  # an image without a shell
            return False

    def owned(self, folder: Path, reference: str) -> None:
        """Hand what a container left as root back to whoever runs this; needs a shell in the image."""
        if os.getuid() == 0 or not folder.exists():
            return
        command = ["-c", f"chown -R {os.getuid()}:{os.getgid()} /left"]
        with self.running(reference, command, entrypoint="sh", volumes=[f"{folder}:/left"]) as one:
            self.ended(one, 60)

    def _pull(self, reference: str) -> Any:
        try:
            return self._client.images.pull(reference)
        except NotFound as error:
            raise EngineError(f"there is no image {reference}", "Build it: scripts/build_push.sh all") from error
        except APIError as error:
            remedy = f"Log in: docker login {reference.split('/')[0]}; or build it: scripts/build_push.sh all"
            raise EngineError(f"{reference} cannot be pulled ({_reason(error)})", remedy) from error

    def _media_type(self, reference: str, digests: list[str]) -> str:
        for name in [reference, *digests] if digests else []:
            with suppress(APIError):
                found = self._client.images.get_registry_data(name)
                return str(found.attrs["Descriptor"]["mediaType"])
        return ""


def _reason(error: APIError) -> str:
    return str(error.explanation or error).strip().splitlines()[0][:160]
