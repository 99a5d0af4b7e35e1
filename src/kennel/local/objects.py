"""S3: moto's answers, with every object on disk before an answer goes out. Also S3 from inside the server.

An object's bytes are written once, to a file of their own; an index says which files are which versions. After each
call that may change an object, its versions in the index are made those that moto has. What nobody refers to at the
next start (unfinished uploads, calls that were never answered) is removed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kennel.local.call import Call
from kennel.local.errors import Refused
from kennel.local.index import Index
from kennel.local.keys import Bytes, Held, check_anew, complete, described, key_class, restored
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.parts import Reply
from kennel.local.within import StoredObject

LINGER_SECONDS = 600
"""A deleted object's file stays so long, for those inside the server who were just told its path."""
STREAMED = 1 << 20
"""Bytes from which on an object is sent from its file; moto would read all of it for each range of it."""
PLAIN_OPTIONS = {"versionId", "x-id", "AWSAccessKeyId", "Signature", "Expires"}


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is part of a file: from where it stands, as much as Content-Length says."""

    reply: Reply
    file: IO[bytes]


class ObjectStore:
    """Keeps S3's objects for moto, and implements within.Objects."""

    def __init__(self, folder: Path, moto: Moto) -> None:
        from moto.iam.access_control import PermissionResult
        from moto.s3 import models

        self._moto = moto
        self._bytes = Bytes(folder / "bytes")
        self._index = Index(folder / "index.sqlite")
        self._discarded = deque[tuple[float, str]]()
        vars(models)["FakeKey"] = key_class(self._bytes)
        # moto obeys a bucket policy's Deny without its conditions; the gatekeeper obeys all of it
        models.FakeBucket.get_permission = lambda bucket, action, resource: PermissionResult.NEUTRAL
        self._backend = models.s3_backends[ACCOUNT]["aws"]
        moto.kept_by("s3", self)

    def close(self) -> None:
        with self._moto.lock:
            self._index.close()

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        """Sorted by key."""
        with self._moto.lock:
            keys = [(name, key) for name, key in self._bucket(bucket).keys.items() if name.startswith(prefix)]
        return sorted((self._stored(key) for _, key in keys if hasattr(key, "held")), key=lambda each: each.key)

    def get(self, bucket: str, key: str) -> StoredObject:
        with self._moto.lock:
            self._bucket(bucket)
            found = self._backend.get_object(bucket, key)
        if found is None:
            raise Refused("NoSuchKey", "The specified key does not exist.", 404)
        return self._stored(found)

    def put(self, bucket: str, key: str, source: Path) -> None:
        """Keep a copy of a file's bytes under the key; durable when this returns."""
        held, digest = self._copied(source)
        with self._moto.lock:
            self._bucket(bucket)
            self._backend.put_object(bucket, key, held, etag=digest)
            self._reconcile(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        with self._moto.lock:
            self._bucket(bucket)
            self._backend.delete_object(bucket, key)
            self._reconcile(bucket, key)

    def stream(self, call: Call) -> Stream | None:
        """Answer a plain GET of a large object from its file; None of any other call, which is moto's to answer."""
        bucket, key = call.place()
        options = {each for each in call.options() if not each.startswith("X-Amz-")}
        if call.method != "GET" or not key or not options <= PLAIN_OPTIONS:
            return None
        with self._moto.lock:
            if not self._is_large(bucket, key):
                return None
            reply = self._moto.answer(Call(call.service, "HEAD", call.path, call.query, call.headers))
            found = self._version(bucket, key, reply)
            if reply.status not in (200, 206) or found is None:
                return None
            return Stream(_as_get(reply, found), self._open(found, reply))

    def keeps(self, call: Call) -> bool:
        """Objects, one or many; what is said of a bucket goes to the journal."""
        _, key = call.place()
        return bool(key) or call.method == "POST"

    def keep(self, call: Call) -> None:
        bucket, key = call.place()
        options = call.options()
        if key and "uploads" not in options and "partNumber" not in options:
            if "HTTP_X_AMZ_COPY_SOURCE" in call.headers:
                check_anew(self._backend.get_object(bucket, key))
            self._reconcile(bucket, key)
        elif not key and call.method == "POST":
            self._reconcile_all(bucket)

    def load(self) -> None:
        """Give moto its objects back."""
        used, tail = set[str](), None
        for bucket_name, name, document in self._index.all():
            bucket = self._backend.buckets.get(bucket_name)
            if bucket is None:
                continue
            tail = restored(document, self._backend, bucket, name, bucket.keys.get(name))
            bucket.keys[name] = tail
            used.add(document["file"])
        self._bytes.keep_only(used)

    def _bucket(self, name: str) -> Any:
        if name not in self._backend.buckets:
            raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)
        return self._backend.buckets[name]

    def _stored(self, key: Any) -> StoredObject:
        return StoredObject(key.name, key.held.size, self._bytes.path(key.held.file))

    def _copied(self, source: Path) -> tuple[Held, str]:
        """A copy, as nobody knows who else writes to the source; and the MD5 that is S3's ETag."""
        file, digest = self._bytes.new(), hashlib.md5(usedforsecurity=False)
        with source.open("rb") as given, self._bytes.path(file).open("wb") as kept:
            while block := given.read(1 << 20):
                digest.update(block)
                kept.write(block)
            kept.flush()
            os.fsync(kept.fileno())
            return Held(file, kept.tell()), digest.hexdigest()

    def _reconcile(self, bucket: str, key: str) -> None:
        """Make the index say of an object what moto says."""
        held = self._backend.buckets[bucket].keys.getlist(key, [])
        for each in held:
            complete(each)
        versions = [described(each, self._tags(each)) for each in held]
        if versions and versions[-1]["file"]:
            self._bytes.sync(versions[-1]["file"])
        for file in self._index.replace(bucket, key, versions):
            self._discard(file)

    def _reconcile_all(self, bucket: str) -> None:
        """After a call that may have deleted or made any number of objects."""
        known = self._index.keys(bucket)
        there = {
            name: (len(all_), _file(all_[-1])) for name, all_ in self._backend.buckets[bucket].keys.lists() if all_
        }
        for name in known.keys() | there.keys():
            if known.get(name) != there.get(name):
                self._reconcile(bucket, name)

    def _tags(self, version: Any) -> dict[str, str]:
        if not hasattr(version, "held"):
            return {}
        return dict(self._backend.tagger.get_tag_dict_for_resource(version.arn))

    def _discard(self, file: str) -> None:
        now = time.monotonic()
        self._discarded.append((now, file))
        while self._discarded and self._discarded[0][0] < now - LINGER_SECONDS:
            self._bytes.remove(self._discarded.popleft()[1])

    def _is_large(self, bucket: str, key: str) -> bool:
        found = self._backend.buckets[bucket].keys.getlist(key, []) if bucket in self._backend.buckets else []
        return any(hasattr(each, "held") and each.held.size >= STREAMED for each in found)

    def _version(self, bucket: str, key: str, reply: Reply) -> Any:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return self._backend.get_object(bucket, key, version_id=headers.get("x-amz-version-id"))

    def _open(self, key: Any, reply: Reply) -> IO[bytes]:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        file = self._bytes.path(key.held.file).open("rb")
        if reply.status == 206:
            file.seek(int(headers["content-range"].removeprefix("bytes ").split("-")[0]))
        return file


def _file(version: Any) -> str | None:
    return str(version.held.file) if hasattr(version, "held") else None


def _as_get(reply: Reply, key: Any) -> Reply:
    """moto's HEAD leaves out the number of parts, without which a client takes the checksum for the whole object's."""
    headers = dict(reply.headers)
    if key.checksum_type == "COMPOSITE":
        for name in headers:
            if name.lower() == f"x-amz-checksum-{str(key.checksum_algorithm).lower()}":
                headers[name] = f"{key.checksum_value}-{key.checksum_parts}"
    return Reply(reply.status, headers, b"")
