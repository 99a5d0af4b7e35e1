"""The seam to Docker: images, containers and networks as the checks and the local AWS need them.

Everything that is started here is removed again. What the local AWS starts carries labels, by which another process
finds it when the server is gone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest

from kennel.errors import KennelError

log = logging.getLogger(__name__)

LABEL = "kennel.doctor"
START_ENGINE = "Start Docker; on a bare Debian: scripts/docker_engine.sh start"
BUILD = "Build it: scripts/build_push.sh all"
ANSWER_SECONDS = 10
"""An engine that takes longer to say that it is there is none."""
CALL_SECONDS = 300
DONE = ("exited", "dead")


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


@dataclass(frozen=True, slots=True)
class End:
    """A container's own end, as the engine tells it."""

    code: int
    out_of_memory: bool


class Engine:
    """A Docker engine that answers. Raises EngineError when there is none."""

    def __init__(self) -> None:
        try:
            self._client = docker.from_env(timeout=ANSWER_SECONDS, max_pool_size=100)
            self._client.ping()
        except (DockerException, OSError) as error:
            raise EngineError("no Docker engine answers", START_ENGINE) from error
        self._client.api.timeout = CALL_SECONDS

    def answers(self) -> bool:
        """Whether it still is there."""
        with suppress(DockerException, OSError):
            return bool(self._client.ping())
        return False

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

    def find(self, reference: str) -> str | None:
        """The id of an image that is on the engine, see `resolve`; nothing is pulled."""
        return resolve(reference, self._client.api.images())

    def tag_of(self, reference: str) -> str | None:
        """The tag of the image that `find` finds, where a reference names a repository only."""
        listed = self._client.api.images()
        found, name = resolve(reference, listed), _without_registry(reference)
        tags = [str(tag) for each in listed if each["Id"] == found for tag in each.get("RepoTags") or []]
        return next((tag.rpartition(":")[2] for tag in tags if tag.rpartition(":")[0] in (reference, name)), None)

    def pull(self, reference: str, user: str, password: str) -> str:
        """The id of an image that a registry has, pulled with a login. Raises EngineError."""
        return str(self._pull(reference, {"username": user, "password": password}).id)

    def gpus(self) -> list[DeviceRequest]:
        """All GPUs, as an option of `start`, where containers can have them."""
        there = "nvidia" in (self._client.info().get("Runtimes") or {})
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])] if there else []

    def start(self, reference: str, command: list[str], **options: Any) -> Container:
        """A container that runs; nothing is left where it cannot be started. Raises EngineError."""
        container = None
        try:
            container = self._client.containers.create(reference, command, detach=True, **options)
            container.start()
        except (DockerException, OSError) as error:
            if container is not None:
                self.remove(container)
            raise EngineError(f"{reference} cannot be started ({_reason(error)})", "Look at the image") from error
        return container

    @contextmanager
    def running(self, reference: str, command: list[str], **options: Any) -> Iterator[Container]:
        """A container, removed with the block, and killed first where it still runs. labels: beside our own."""
        labels = {LABEL: str(os.getpid())} | options.pop("labels", {})
        container = self.start(reference, command, labels=labels, **options)
        try:
            yield container
        finally:
            with suppress(NotFound):
                container.remove(force=True, v=True)

    def terminate(self, container: Container) -> None:
        """SIGTERM; nothing where it has ended by itself."""
        with suppress(APIError):
            container.kill("SIGTERM")

    def kill(self, container: Container) -> None:
        """SIGKILL to all of it; nothing where it has ended by itself."""
        with suppress(APIError):
            container.kill()

    def ended(self, container: Container, within: float) -> Ended:
        """Wait until a container ends, at most `within` seconds."""
        started = time.monotonic()
        while time.monotonic() - started < within:
            container.reload()
            if container.status in DONE:
                break
            time.sleep(0.1)
        done = container.status in DONE
        code = int(container.attrs["State"]["ExitCode"]) if done else None
        return Ended(code, time.monotonic() - started, self.log(container))

    def end(self, container: Container) -> End | None:
        """How it ended; None while it runs. Raises docker's NotFound when somebody has removed it."""
        container.reload()
        if container.status not in DONE:
            return None
        state = container.attrs["State"]
        return End(int(state["ExitCode"]), bool(state.get("OOMKilled")))

    def log(self, container: Container) -> str:
        """Everything a container printed."""
        return bytes(container.logs()).decode(errors="replace")

    def follow(self, container: Container) -> Iterator[bytes]:
        """Everything a container prints, from its first byte until it ends or the engine hangs up."""
        yield from container.logs(stream=True, follow=True)

    def finds(self, reference: str, program: str) -> bool:
        """Whether a program is on the image's PATH."""
        try:
            with self.running(reference, ["-c", f"command -v {program}"], entrypoint="sh", network_mode="none") as one:
                return self.ended(one, 30).code == 0
        except EngineError:  # an image without a shell
            return False

    def owned(self, folder: Path, reference: str, labels: Mapping[str, str] | None = None) -> None:
        """Hand what a container left as root back to whoever runs this; needs a shell in the image."""
        if os.getuid() == 0 or not folder.exists():
            return
        command = ["-c", f"chown -R {os.getuid()}:{os.getgid()} /left"]
        options = {"entrypoint": "sh", "volumes": [f"{folder}:/left"], "network_mode": "none", "labels": labels or {}}
        with self.running(reference, command, **options) as one:
            self.ended(one, 60)

    def labelled(self, labels: Mapping[str, str]) -> list[Container]:
        """The containers that carry all of these, also those that have ended."""
        found: list[Container] = self._client.containers.list(all=True, filters=_by(labels), ignore_removed=True)
        return found

    def remove(self, container: Container) -> None:
        """End a container, hand back what it left as root below folders it could write to, forget it."""
        self.kill(container)
        for mount in container.attrs.get("Mounts") or []:
            if mount["Type"] == "bind" and mount["RW"]:
                self._hand_back(Path(mount["Source"]), container)
        with suppress(APIError):  # it is gone, or just being removed
            container.remove(force=True, v=True)

    def has_network(self, name: str) -> bool:
        return bool([each for each in self._client.networks.list(names=[name]) if each.name == name])

    def add_network(self, name: str, internal: bool, labels: Mapping[str, str]) -> None:
        """A network of its own for some containers. internal: without a way out. Raises EngineError."""
        try:
            self._client.networks.create(name, driver="bridge", internal=internal, labels=dict(labels))
        except (DockerException, OSError) as error:
            remedy = "Remove networks that nothing uses: docker network prune"
            raise EngineError(f"no network can be made ({_reason(error)})", remedy) from error

    def place_in(self, network: str, alias: str) -> dict[str, Any]:
        """Options of `start`: a container that its neighbours in this network find by that name."""
        place = self._client.api.create_endpoint_config(aliases=[alias])
        return {"network": network, "networking_config": {network: place}}

    def remove_networks(self, labels: Mapping[str, str] | None = None, name: str | None = None) -> None:
        """Those with a name, or with labels, and whatever container is still in one is taken out of it."""
        filters = {"name": f"^{name}$"} if name else _by(labels or {})
        for network in self._client.networks.list(filters=filters):
            with suppress(APIError):
                network.reload()
                for each in network.containers:
                    network.disconnect(each, force=True)
                network.remove()

    def _hand_back(self, folder: Path, container: Container) -> None:
        try:
            self.owned(folder, container.attrs["Image"], container.labels)
        except EngineError as error:
            log.warning("what is root's in %s stays so: %s", folder, error.message)

    def _pull(self, reference: str, login: Mapping[str, str] | None = None) -> Any:
        try:
            return self._client.images.pull(reference, auth_config=dict(login) if login else None)
        except NotFound as error:
            raise EngineError(f"there is no image {reference}", BUILD) from error
        except APIError as error:
            remedy = f"Log in: docker login {reference.split('/')[0]}; or build it: scripts/build_push.sh all"
            raise EngineError(f"{reference} cannot be pulled ({_reason(error)})", remedy) from error

    def _media_type(self, reference: str, digests: list[str]) -> str:
        for name in [reference, *digests] if digests else []:
            with suppress(APIError):
                found = self._client.images.get_registry_data(name)
                return str(found.attrs["Descriptor"]["mediaType"])
        return ""


def resolve(reference: str, images: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the image that a reference means, out of those on an engine (as its API lists them).

    First the reference as it stands, then what follows the registry's host. Without a tag it is the newest image of
    the repository; a digest is the content's own, whatever the repository is called here.
    """
    for name in dict.fromkeys((reference, _without_registry(reference))):
        found = [each for each in images if _is(each, name)]
        if found:
            return str(max(found, key=lambda each: each["Created"])["Id"])
    return None


def _is(image: Mapping[str, Any], name: str) -> bool:
    tags = [str(each) for each in image.get("RepoTags") or []]
    repository, _, digest = name.partition("@")
    if digest:
        return any(str(each).endswith(f"@{digest}") for each in image.get("RepoDigests") or [])
    if ":" in repository.rpartition("/")[2]:
        return repository in tags
    return repository in [each.rpartition(":")[0] for each in tags]


def _without_registry(reference: str) -> str:
    """A first part is a host where it has a dot or a port, or is localhost: Docker's own rule."""
    host, slash, rest = reference.partition("/")
    return rest if slash and ("." in host or ":" in host or host == "localhost") else reference


def _by(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{name}={value}" for name, value in labels.items()]}


def _reason(error: Exception) -> str:
    told = getattr(error, "explanation", None) or error
    return str(told).strip().splitlines()[0][:160]
