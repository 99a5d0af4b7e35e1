"""What lies in the project's bucket: folders up, artifacts down, nothing sent twice.

Every call names the bucket's owner, so that a name which somebody else took first gets nothing from us.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.cloud.session import Cloud, code_of, told
from kennel.cloud.transfers import Upload, options, send
from kennel.errors import DataError, KennelError
from kennel.progress import Progress

LARGEST_DOWNLOAD = 10 << 30


@dataclass(frozen=True, slots=True)
class S3Uri:
    """`s3://bucket/key`. A key that ends with a slash stands for everything below it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Raises KennelError."""
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not text.startswith("s3://") or not bucket:
            raise KennelError(f"{text!r} is no address in S3", "Write s3://bucket/key")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> S3Uri:
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{name}" if self.key else name)


def upload_folder(cloud: Cloud, folder: Path, prefix: str, progress: Progress) -> S3Uri:
    """Make what lies below the prefix exactly the folder; returns `s3://bucket/prefix/`.

    Hidden files, and links that lead out of the folder, are left out. Files which are there already are not sent again;
    keys below the prefix that the folder no longer has are removed. Progress is in bytes. Raises KennelError.
    """
    target = S3Uri(cloud.bucket, f"{prefix.strip('/')}/")
    if target.key == "/":
        raise KennelError("a folder cannot be the whole bucket", "Name a prefix")
    files = [Upload(path, target.key + name, path.stat().st_size) for name, path in _files(folder)]
    if not files:
        raise DataError(f"{folder} holds no files", "Name a folder of pictures, or a packed one")
    with told(f"upload {folder} to {target}"):
        there = {each["Key"]: each for each in _list(cloud, target)}
        send(cloud, files, there, progress, f"upload {target}")
        _remove(cloud, sorted(there.keys() - {each.key for each in files}))
    return target


def upload_file(cloud: Cloud, path: Path, key: str, progress: Progress) -> S3Uri:
    """The file under this key, unless it is there already. Raises KennelError."""
    target, size = S3Uri(cloud.bucket, key), path.stat().st_size
    with told(f"upload {path} to {target}"):
        there = {each["Key"]: each for each in _list(cloud, target)}
        send(cloud, [Upload(path, key, size)], there, progress, f"upload {target}")
    return target


def download(cloud: Cloud, uri: S3Uri, to: Path, limit: int = LARGEST_DOWNLOAD) -> None:
    """An object as a file, which is there whole or not at all. limit: bytes. Raises KennelError."""
    s3, owner = cloud.client("s3"), {"ExpectedBucketOwner": cloud.account}
    with told(f"download {uri}"):
        size = int(s3.head_object(Bucket=uri.bucket, Key=uri.key, **owner)["ContentLength"])
        if size > limit:
            raise KennelError(f"{uri} has {size / 1e9:.1f} GB, {limit / 1e9:.1f} are allowed", "See what wrote it")
        to.parent.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(to.parent).free:
            raise KennelError(f"{uri} has {size / 1e9:.1f} GB, more than {to.parent} has left", "Free some space")
        s3.download_file(uri.bucket, uri.key, str(to), ExtraArgs=owner, Config=options())


def exists(cloud: Cloud, uri: S3Uri) -> bool:
    """Whether there is such an object; of a key that ends with a slash, anything below it. Raises KennelError.

    By a list: to whom may list below some prefixes only, S3 says of a missing object that it is forbidden.
    """
    from botocore.exceptions import ClientError

    with told(f"look for {uri}"):
        try:
            found = cloud.client("s3").list_objects_v2(
                Bucket=uri.bucket, Prefix=uri.key, MaxKeys=1, ExpectedBucketOwner=cloud.account
            )
        except ClientError as error:
            if code_of(error) != "NoSuchBucket":
                raise
            return False
    keys = [each["Key"] for each in found.get("Contents", [])]
    return bool(keys) if uri.key.endswith("/") else keys == [uri.key]  # the shortest comes first


# --- files ------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name below the folder, path), sorted."""
    return _walk(folder, folder.resolve(), "", frozenset())


def _walk(folder: Path, root: Path, name: str, above: frozenset[Path]) -> Iterator[tuple[str, Path]]:
    """above: the folders that we are in, by which a link in a circle is known."""
    here = folder.resolve()
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.resolve().is_relative_to(root):
            continue
        if path.is_dir():
            yield from _walk(path, root, f"{name}{path.name}/", above | {here})
        elif path.is_file():
            yield _checked(f"{name}{path.name}"), path


def _checked(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name {name!r} is not UTF-8; S3 takes no other", "Rename the file") from error
    return name


def _list(cloud: Cloud, below: S3Uri) -> Iterator[dict[str, Any]]:
    pages = cloud.client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=below.bucket, Prefix=below.key, ExpectedBucketOwner=cloud.account):
        yield from page.get("Contents", [])


def _remove(cloud: Cloud, keys: Sequence[str]) -> None:
    """A thousand a request, as many as S3 takes."""
    for start in range(0, len(keys), 1000):
        some = [{"Key": key} for key in keys[start : start + 1000]]
        done = cloud.client("s3").delete_objects(
            Bucket=cloud.bucket, Delete={"Objects": some, "Quiet": True}, ExpectedBucketOwner=cloud.account
        )
        for error in done.get("Errors", []):
            what = f"{cloud.bucket}/{error.get('Key')} cannot be removed ({error.get('Code')})"
            raise KennelError(what, "Ask for s3:DeleteObject, or remove it by hand: it would be trained on")
