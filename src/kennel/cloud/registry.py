"""The image that a setting means, as SageMaker wants it told: registry, repository and digest.

On the local side the registry is one on loopback, where `[local] registry` names it, else the Docker engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kennel.cloud import on_engine
from kennel.cloud.session import Cloud, code_of, told
from kennel.errors import KennelError, SettingError

if TYPE_CHECKING:
    import httpx

IMAGE = re.compile(r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?", re.ASCII)
REGISTRY = "Start it, with ECR's password: KENNEL_REGISTRY_PASSWORD=… scripts/docker_engine.sh registry start"
MISSING = ("RepositoryNotFoundException", "ImageNotFoundException")


def image_uri(cloud: Cloud, image: str) -> str:
    """`ACCOUNT.dkr.ecr.REGION.amazonaws.com/kennel-training@sha256:…` of repository[:tag]; without a tag, the newest.

    A digest, since a tag could move between a job and its repetition. The local AWS need not have the repository: where
    there is no registry, its runner looks on this machine's engine, where no tag is told for the newest of now. Raises
    KennelError where the image is missing.
    """
    repository, tag = _parted(image)
    if cloud.side == "local" and (host := cloud.settings.local.registry):
        return f"{host}/{repository}@{_LoopbackRegistry(host, cloud.account).digest(repository, tag)}"
    base = f"{registry(cloud)}/{repository}"
    found = _find(cloud, repository, tag)
    if cloud.side == "local":
        tags = [tag] if tag else sorted((found or {}).get("imageTags", []))
        return f"{base}:{tags[0]}" if tags else on_engine.tagged(cloud, base)
    if found is None:
        kind = "serving" if repository.endswith("serving") else "training"
        remedy = f"Build and push it: scripts/build_push.sh {kind} --push --region {cloud.region}"
        raise KennelError(f"{image} is not in ECR in {cloud.region}", remedy)
    return f"{base}@{found['imageDigest']}"


def repository_of(image: str) -> str:
    """`kennel-training` of `kennel-training:1a2b`. Raises SettingError."""
    return _parted(image)[0]


def registry(cloud: Cloud) -> str:
    """The host of the account's own registry."""
    ending = "amazonaws.com.cn" if cloud.region.startswith("cn-") else "amazonaws.com"
    return f"{cloud.account}.dkr.ecr.{cloud.region}.{ending}"


def _parted(image: str) -> tuple[str, str | None]:
    found = IMAGE.fullmatch(image)
    if found is None:
        raise SettingError(f"image {image!r} is not repository[:tag]", "Write kennel-training or kennel-training:TAG")
    return found["repository"], found["tag"]


def _find(cloud: Cloud, repository: str, tag: str | None) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    with told(f"look for the image {repository} in ECR"):
        try:
            found = _describe(cloud, repository, tag)
        except ClientError as error:
            if code_of(error) not in MISSING:
                raise
            return None
    return max(found, key=lambda each: each["imagePushedAt"], default=None)


def _describe(cloud: Cloud, repository: str, tag: str | None) -> list[dict[str, Any]]:
    """Untagged images are what a tag left behind, or parts of others."""
    request: dict[str, Any] = {"registryId": cloud.account, "repositoryName": repository}
    request |= {"imageIds": [{"imageTag": tag}]} if tag else {"filter": {"tagStatus": "TAGGED"}}
    pages = cloud.client("ecr").get_paginator("describe_images").paginate(**request)
    return [each for page in pages for each in page["imageDetails"]]


MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
"""Docker's and OCI's: a registry tells the digest of the form that is asked for."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _LoopbackRegistry:
    """A registry on this machine. Its password is the one that the local AWS's ECR gives to all who ask for a login; it
    is not asked here, since on AWS whoever looks up an image needs no login either."""

    host: str
    account: str

    def digest(self, repository: str, tag: str | None) -> str:
        """Raises KennelError."""
        tag = tag or self._tag(repository)
        digest = str(self._ask("HEAD", f"{repository}/manifests/{tag}").headers.get("Docker-Content-Digest", ""))
        if not DIGEST.fullmatch(digest):
            raise KennelError(f"{self.host} tells no digest of {repository}:{tag}", "See that it is a Docker registry")
        return digest

    def _tag(self, repository: str) -> str:
        """The one that a registry has; it does not know which of several is the newest. Raises KennelError."""
        try:
            found = list(self._ask("GET", f"{repository}/tags/list").json()["tags"] or [])
        except (ValueError, LookupError, TypeError) as error:
            remedy = "See that it is a Docker registry"
            raise KennelError(f"{self.host} tells no tags of {repository}", remedy) from error
        if "latest" in found or len(found) == 1:
            return "latest" if "latest" in found else str(found[0])
        named = ", ".join(map(str, found[:5]))
        raise KennelError(f"{self.host} has several of {repository}", f"Name one in kennel.toml's [images]: {named}")

    def _ask(self, method: str, path: str) -> httpx.Response:
        """Raises KennelError."""
        import httpx

        login, address = ("AWS", f"{self.account}-auth-token"), f"http://{self.host}/v2/{path}"
        try:
            with httpx.Client(auth=login, trust_env=False, timeout=30) as client:  # no proxy: it is on loopback
                answer = client.request(method, address, headers={"Accept": ", ".join(MANIFESTS)})
        except httpx.HTTPError as error:
            raise KennelError(f"no registry answers at {self.host}", REGISTRY) from error
        if answer.status_code == 404:
            kind = "serving" if path.startswith("kennel-serving") else "training"
            push = f"Push it: scripts/build_push.sh {kind} --push --registry {self.host}"
            raise KennelError(f"{path.split('/')[0]} is not in the registry {self.host}", push)
        if answer.status_code != 200:
            raise KennelError(f"the registry {self.host} says {answer.status_code}", REGISTRY)
        return answer
