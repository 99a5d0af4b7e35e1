"""moto's objects of S3, with their bytes in files of ours: as moto holds them, and as a document on disk."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from kennel.local.parts import Document

PLAIN = [
    "website_redirect_location",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "_storage_class",
    "_is_versioned",
    "_version_id",
]
"""Attributes of moto's that are JSON as they are."""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that lie in the store already."""

    file: str
    size: int


class Bytes:
    """Files by random names, each written once, spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for number in range(256):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, file: str) -> Path:
        return self._folder / file[:2] / file

    def new(self) -> str:
        return token_hex(16)

    def add(self, content: bytes) -> Held:
        file = self.new()
        self.path(file).write_bytes(content)
        return Held(file, len(content))

    def sync(self, file: str) -> None:
        """Force it to the disk."""
        handle = os.open(self.path(file), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, file: str) -> None:
        self.path(file).unlink(missing_ok=True)

    def keep_only(self, files: set[str]) -> None:
        for path in self._folder.glob("??/*"):
            if path.name not in files:
                path.unlink()


def key_class(store: Bytes) -> Any:
    """moto's class for an object, and for a part of a multipart upload, made to keep the bytes in `store`."""
    from moto.s3.models import FakeKey

    class Key(FakeKey):  # type: ignore[misc]
        held: Held
        _etag: str | None

        @property
        def _value_buffer(self) -> None:
            """moto's own: a temporary file each. Nothing here uses it."""

        @_value_buffer.setter
        def _value_buffer(self, buffer: object) -> None: ...

        @property
        def value(self) -> bytes:
            return store.path(self.held.file).read_bytes()

        @value.setter
        def value(self, value: bytes | str | Held) -> None:
            content = value.encode() if isinstance(value, str) else value
            self.held = content if isinstance(content, Held) else store.add(content)
            self.contentsize = self.held.size

        @property
        def etag(self) -> str:
            if self._etag is None:
                with store.path(self.held.file).open("rb") as file:
                    self._etag = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            return f'"{self._etag}"'

        def dispose(self, garbage: bool = False) -> None:
            """An upload's part (moto names it by its number) goes with the upload; objects are the index's business."""
            if isinstance(self.name, int):
                store.remove(self.held.file)

        def __deepcopy__(self, memo: object) -> Key:
            """moto copies every version that it lists, and would copy its bytes too."""
            copied: Key = object.__new__(Key)
            copied.__dict__.update(self.__dict__)
            return copied

        def __del__(self) -> None:
            """moto's complains of objects that were not disposed of."""

    return Key


def complete(version: Any) -> None:
    """Mend what moto leaves of a multipart upload: parts that are no more, no access control list."""
    from moto.s3.models import get_canned_acl

    if hasattr(version, "held"):
        version.multipart = None
        version.acl = version.acl or get_canned_acl("private")


def check_anew(copied: Any) -> None:
    """Make the checksum that of the bytes: moto copies it too, also where it is one of a multipart upload's parts."""
    from moto.s3.utils import compute_checksum

    if copied.checksum_value:
        copied.checksum_value = compute_checksum(copied.value, copied.checksum_algorithm).decode()
        copied.checksum_type, copied.checksum_parts = None, None


def described(version: Any, tags: dict[str, str]) -> Document:
    """A version, or a delete marker, as a document."""
    common = {"version": version._version_id, "time": version.last_modified.isoformat()}
    if not hasattr(version, "held"):
        return {"file": None, **common}
    return {
        **common,
        "file": version.held.file,
        "size": version.held.size,
        "etag": version.etag.strip('"'),
        "metadata": list(version.metadata.items()),
        "acl": _acl_described(version.acl),
        "tags": tags,
        "more": {name: value for name in PLAIN if (value := getattr(version, name)) is not None},
    }


def restored(document: Document, backend: Any, bucket: Any, name: str, before: Any) -> Any:
    """The version again. before: the version before it, which a delete marker refers to."""
    from moto.s3 import models

    modified = datetime.datetime.fromisoformat(document["time"])
    if document["file"] is None:
        marker = models.FakeDeleteMarker(before or _Gone(name))
        marker.last_modified, marker._version_id = modified, document["version"]
        return marker
    key = models.FakeKey(
        name=name,
        bucket_name=bucket.name,
        value=Held(document["file"], document["size"]),
        account_id=backend.account_id,
        region_name=backend.region_name,
        etag=document["etag"],
    )
    key.last_modified, key.acl = modified, _acl_restored(document["acl"])
    key._metadata.clear()
    key.set_metadata(dict(document["metadata"]))
    for name_of, value in document["more"].items():
        setattr(key, name_of, value)
    if document["tags"]:
        backend.tagger.tag_resource(key.arn, [{"Key": each, "Value": text} for each, text in document["tags"].items()])
    return key


@dataclass(frozen=True, slots=True)
class _Gone:
    """What a delete marker refers to when the version before it was deleted."""

    name: str


def _acl_described(acl: Any) -> list[Document]:
    return [
        {"grantees": [[each.id, each.uri, each.display_name] for each in grant.grantees], "allow": grant.permissions}
        for grant in acl.grants
    ]


def _acl_restored(grants: list[Document]) -> Any:
    from moto.s3 import models

    return models.FakeAcl(
        [
            models.FakeGrant([models.FakeGrantee(*grantee) for grantee in grant["grantees"]], grant["allow"])
            for grant in grants
        ]
    )
