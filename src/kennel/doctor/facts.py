"""What can be said of an image without running it. Pure."""

from __future__ import annotations

from kennel.containers import Image
from kennel.doctor import Check, Checks, outcome

PLATFORM = "linux/amd64"
DOCKER_V2 = "application/vnd.docker.distribution.manifest.v2+json"
LARGE = 10_000_000_000
"""Bytes, unpacked; above this a pull takes minutes, and Lambda refuses the image."""
REBUILD = "Build with scripts/build_push.sh"


def check(image: Image) -> Checks:
    """Platform, media type, size, user, form of the entry point."""
    yield outcome("platform", image.platform == PLATFORM, image.platform, f"SageMaker runs {PLATFORM}: {REBUILD}")
    yield media_type(image)
    size = f"{image.size / 1e9:.2f} GB unpacked"
    yield outcome("size", image.size < LARGE, size, "Find what takes the space: docker history IMAGE")
    user = str(image.config.get("User") or "")
    is_root = user.split(":")[0] in ("", "0", "root")
    yield outcome("user", is_root, user or "root", "SageMaker mounts /opt/ml for root: take the USER line out")
    yield entry_point(image)


def media_type(image: Image) -> Check:
    """SageMaker and Lambda want one manifest in Docker's own form, no list and no attestation."""
    if not image.media_type:
        return Check("media type", "skip", "not in a registry yet")
    remedy = f"Push without provenance, with Docker's media types: {REBUILD} --push"
    return outcome("media type", image.media_type == DOCKER_V2, image.media_type.rsplit(".", 1)[-1], remedy)


def entry_point(image: Image) -> Check:
    """The exec form, so that the program is process 1: a shell there does not pass SIGTERM on."""
    entry = list(image.config.get("Entrypoint") or [])
    by_shell = entry[:2] in (["/bin/sh", "-c"], ["/bin/bash", "-c"], ["sh", "-c"], ["bash", "-c"])
    remedy = 'Write ENTRYPOINT ["program"] as a list, or leave it away'
    return outcome("entry point", not by_shell, " ".join(entry) or "none: the program is named at start", remedy)
