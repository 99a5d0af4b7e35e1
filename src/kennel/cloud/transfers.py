"""Many files to S3 by boto3's own transfers: in parallel, large ones in parts, and none that is there already."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.cloud.session import Cloud
from kennel.files import sha256_of
from kennel.machine import threads
from kennel.progress import Advance, Progress

SHA256 = "kennel-sha256"
"""An object's own metadata: the digest of its content."""
PART = 16 << 20
"""Larger files go up in parts of this size, several at a time."""
REQUESTS = 16
"""At a time; also how many files are compared at a time."""
WAITING = 256
"""Uploads under way before the first one's outcome is looked at, so that a refusal ends the work soon."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file and its key in the project's bucket. size: in bytes."""

    path: Path
    key: str
    size: int


def send(cloud: Cloud, files: Sequence[Upload], there: Mapping[str, Any], progress: Progress, title: str) -> None:
    """Send what is not there. there: key → what a listing tells of it. Raises boto3's errors, the first one."""
    from boto3.s3.transfer import ProgressCallbackInvoker, create_transfer_manager

    with (
        progress.step(title, sum(each.size for each in files), "bytes") as advance,
        threads(REQUESTS) as pool,
        create_transfer_manager(cloud.client("s3"), options()) as manager,
    ):
        watch = ProgressCallbackInvoker(_one_at_a_time(advance))
        under_way: deque[Any] = deque()
        for each, digest in zip(files, pool.map(lambda one: _to_send(cloud, one, there), files), strict=True):
            if digest is None:
                watch.on_progress(each.size)
                continue
            extra = {"Metadata": {SHA256: digest}, "ExpectedBucketOwner": cloud.account}
            under_way.append(manager.upload(str(each.path), cloud.bucket, each.key, extra, [watch]))
            if len(under_way) > WAITING:
                under_way.popleft().result()
        for future in under_way:
            future.result()


def options() -> Any:
    """boto3's TransferConfig."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=PART,
        multipart_chunksize=PART,
        max_concurrency=REQUESTS,
        preferred_transfer_client="classic",  # the other one does not heed the client's settings
    )


def _to_send(cloud: Cloud, file: Upload, there: Mapping[str, Any]) -> str | None:
    """The file's sha256 where it must be sent, None where it is there.

    A listing tells size and, in most buckets, the md5 of what went up in one part; so many files are compared by few
    requests. Where it is something else (KMS, parts), the object's own metadata says.
    """
    known = there.get(file.key)
    if known is None or known["Size"] != file.size:
        return sha256_of(file.path)
    if known["ETag"].strip('"') == _md5_of(file.path):
        return None
    digest = sha256_of(file.path)
    found = cloud.client("s3").head_object(Bucket=cloud.bucket, Key=file.key, ExpectedBucketOwner=cloud.account)
    return None if found["Metadata"].get(SHA256) == digest else digest


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _one_at_a_time(advance: Advance) -> Callable[[int], None]:
    """Transfers tell of their progress from many threads."""
    lock = threading.Lock()

    def told_by(count: int) -> None:
        with lock:
            advance(count)

    return told_by
