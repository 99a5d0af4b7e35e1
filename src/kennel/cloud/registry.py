"""The image that a setting means, as SageMaker wants it told: registry, repository and digest."""

from __future__ import annotations

import re
from typing import Any

from kennel.cloud.session import Cloud, code_of, told
from kennel.errors import KennelError, SettingError

IMAGE = re.compile(r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?", re.ASCII)
MISSING = ("RepositoryNotFoundException", "ImageNotFoundException")


def image_uri(cloud: Cloud, image: str) -> str:
    """`ACCOUNT.dkr.ecr.REGION.amazonaws.com/kennel-training@sha256:…` of repository[:tag]; without a tag, the newest.

    A digest, since a tag could move between a job and its repetition. The local AWS need not have the repository: its
    runner looks on this machine's engine, for the newest of the repository where no tag is told.
    Raises KennelError where the image is missing.
    """
    repository, tag = _parted(image)
    base = f"{registry(cloud)}/{repository}"
    found = _find(cloud, repository, tag)
    if cloud.side == "local":
        tags = [tag] if tag else sorted((found or {}).get("imageTags", []))
        return f"{base}:{tags[0]}" if tags else base
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
