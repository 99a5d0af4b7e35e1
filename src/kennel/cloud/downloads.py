"""What lies below a prefix of S3, as a folder."""

from __future__ import annotations

from pathlib import Path

from kennel.cloud.session import Cloud, told
from kennel.cloud.storage import S3Uri
from kennel.errors import KennelError
from kennel.machine import threads
from kennel.progress import Progress

LARGEST_FOLDER = 20 << 30
"""Bytes."""
REQUESTS = 8
"""At a time."""


def receive(cloud: Cloud, uri: S3Uri, to: Path, progress: Progress) -> int:
    """What lies below a prefix into a folder; files of the right size that are there already are not fetched again.

    How many objects lie there. Raises KennelError, also for more than LARGEST_FOLDER bytes and for a key that leads out
    of the folder.
    """
    s3, owner = cloud.client("s3"), {"ExpectedBucketOwner": cloud.account}
    with told(f"download {uri}"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=uri.key, **owner)
        found = {each["Key"]: int(each["Size"]) for page in pages for each in page.get("Contents", [])}
        if (total := sum(found.values())) > LARGEST_FOLDER:
            raise KennelError(f"{uri} has {total / 1e9:.1f} GB", f"At most {LARGEST_FOLDER / 1e9:.0f} are fetched")
        places = {key: to / _below(key, uri) for key in found if not key.endswith("/")}
        missing = {key: path for key, path in places.items() if not _has(path, found[key])}
        with progress.step(f"download {uri}", len(missing)) as advance, threads(REQUESTS) as pool:

            def fetch(key: str) -> None:
                places[key].parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(uri.bucket, key, str(places[key]), ExtraArgs=owner)

            for _ in pool.map(fetch, missing):
                advance(1)
    return len(places)


def _below(key: str, uri: S3Uri) -> str:
    """Raises KennelError."""
    name = key.removeprefix(uri.key).lstrip("/")
    if not name or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise KennelError(f"{key!r} in {uri.bucket} is no name for a file", "See who wrote it")
    return name


def _has(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
