"""Images as this machine's Docker engine knows them: what the local side names them by where it has no registry."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kennel.errors import KennelError

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud


def tagged(cloud: Cloud, image: str) -> str:
    """The image by the tag it has now. Without one it is the newest of its repository, which in a minute may be
    another. As it was where this machine's engine has none, or jobs are no containers."""
    if "@" in image or ":" in image.rpartition("/")[2] or not _in_containers(cloud):
        return image
    from kennel.containers import Engine, EngineError

    with suppress(EngineError):
        if tag := Engine().tag_of(image):
            return f"{image}:{tag}"
    return image


def id_of(image: str) -> str:
    """`sha256:…`. Raises KennelError where there is no engine, or no such image on it."""
    from kennel.containers import Engine

    found = Engine().find(image)
    if found is None:
        raise KennelError(f"there is no image {image} on the Docker engine", "Build it: scripts/build_push.sh training")
    return found


def id_if_known(cloud: Cloud, image: str) -> str:
    """`sha256:…` of what a job or a machine of the local side was given; "" where nothing can tell."""
    if image and _in_containers(cloud):
        with suppress(KennelError):
            return id_of(image)
    return ""


def _in_containers(cloud: Cloud) -> bool:
    return cloud.side == "local" and cloud.settings.local.runner != "process"
