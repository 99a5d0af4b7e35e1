"""A job's channels: from objects in S3 to files under /opt/ml/input/data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from kennel.local.errors import Refused
from kennel.local.parts import Document
from kennel.local.within import Objects, StoredObject


class DataMissing(Exception):
    """Becomes the job's FailureReason, in SageMaker's words."""


def fetch(channel: Document, linked: bool, folder: Path, objects: Objects, host: int, hosts: int) -> None:
    """Put a channel's files into `folder`. host: this one's number among `hosts`. Raises DataMissing.

    linked: as hard links to S3's own files, which the runner has to show read-only; else copies, which a job may alter.
    """
    source = channel["DataSource"]["S3DataSource"]
    bucket, prefix = parted(source["S3Uri"])
    found = _listed(objects, bucket, prefix, source)
    if source.get("S3DataDistributionType") == "ShardedByS3Key":
        found = shard(found, host, hosts)
    place(found, folder, linked)


def place(found: Sequence[tuple[str, StoredObject]], folder: Path, linked: bool = False) -> None:
    """Objects as files of these names below `folder`. Raises DataMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, stored in found:
        if name.startswith("/") or ".." in name.split("/"):
            raise DataMissing(f"ClientError: Data download failed: the key {stored.key!r} leads out of its folder")
        try:
            _place(stored.path, folder / name, linked)
        except (OSError, ValueError) as error:  # a name that is also a folder's, or too long; no space left
            why = error.strerror if isinstance(error, OSError) else error
            raise DataMissing(f"ClientError: Data download failed: {stored.key}: {why}") from error


def refused_data(refused: Refused, uri: str) -> DataMissing:
    """A bucket, or an object, that the job's role may not read, or that is not there."""
    return DataMissing(f"ClientError: Data download failed: Failed to download data. {refused.message} ({uri})")


def parted(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix` → (bucket, some/prefix)."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix


def name_of(key: str, prefix: str) -> str:
    """Where an object lies in its channel: below the prefix's last slash, as SageMaker does it."""
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(f"{prefix}/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def named(objects: Sequence[StoredObject], prefix: str) -> list[tuple[str, StoredObject]]:
    """(name in its channel, object); without those that stand for folders."""
    pairs = [(name_of(each.key, prefix), each) for each in objects]
    return [(name, each) for name, each in pairs if name and not name.endswith("/")]


def readable(
    found: Sequence[tuple[str, StoredObject]], bucket: str, objects: Objects
) -> list[tuple[str, StoredObject]]:
    """The same, each asked for by itself: who may list a bucket may not yet read what is in it. Raises Refused."""
    return [(name, objects.get(bucket, each.key)) for name, each in found]


def shard(objects: Sequence[tuple[str, StoredObject]], host: int, hosts: int) -> list[tuple[str, StoredObject]]:
    """Every hosts-th object, so that each is on one host."""
    return list(objects[host::hosts])


def _listed(objects: Objects, bucket: str, prefix: str, source: Document) -> list[tuple[str, StoredObject]]:
    try:
        if source["S3DataType"] == "ManifestFile":
            return _of_manifest(objects, bucket, prefix)
        found = readable(named(objects.list(bucket, prefix), prefix), bucket, objects)
    except Refused as refused:
        raise refused_data(refused, source["S3Uri"]) from refused
    if not found:
        raise DataMissing(
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{source["S3Uri"]}" given in input '
            "data source. Please ensure that the bucket exists in the selected region, that objects exist under that "
            "S3 prefix, and that the role has s3:ListBucket permissions on the bucket."
        )
    return found


def _of_manifest(objects: Objects, bucket: str, key: str) -> list[tuple[str, StoredObject]]:
    """`[{"prefix": "s3://bucket/a/"}, "b.jpg", …]`."""
    try:
        head, *names = json.loads(objects.get(bucket, key).path.read_text())
        other, prefix = parted(head["prefix"])
        return [(str(name), objects.get(other, prefix + str(name))) for name in names]
    except (ValueError, TypeError, KeyError) as error:
        raise DataMissing(f"ClientError: The manifest s3://{bucket}/{key} cannot be read ({error})") from error


def _place(source: Path, target: Path, linked: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        try:
            target.hardlink_to(source)
            return
        except OSError:  # another file system, or too many links
            pass
    shutil.copyfile(source, target)
