"""model.tar.gz: packing an artifact, and unpacking one that may mean harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kennel.artifact.files import CARD, FILES, MAX_BYTES, MAX_HEADER_BYTES, REMEDY, Artifact, find, load
from kennel.errors import ArtifactError


def unpack(archive: Path, folder: Path) -> Path:
    """A model.tar.gz into `folder`: only the files an artifact has, bounded in size. Raises ArtifactError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive) as file:
            _unpack(_Granted(file), folder)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{archive.name} cannot be unpacked ({error})", REMEDY) from error
    return find(folder)


def pack(folder: Path, archive: Path) -> None:
    """The folder as model.tar.gz, the same bytes for the same artifact. Raises ArtifactError."""
    if archive.resolve().parent == folder.resolve():
        raise ArtifactError(f"{archive} lies in the artifact's own folder", "Name another place")
    draft = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with (
            draft.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=1) as file,
            tarfile.open(fileobj=file, mode="w") as tar,
        ):
            for name in (CARD, *FILES):
                tar.add(folder / name, name, filter=_plain)
        draft.replace(archive)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[Artifact]:
    """The artifact at `path` (a folder, what `train --out` made, or an archive), checked. Raises ArtifactError."""
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        found = find(path)
        yield load(found if found.is_dir() else unpack(found, Path(folder)))


class _Granted(io.BufferedIOBase):
    """A decompressed archive that may be read as far as was granted.

    What a tar reader takes in on a header's word alone (long names, extended headers, a list of holes) could
    otherwise be any size.
    """

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = MAX_HEADER_BYTES

    def grant(self, size: int) -> None:
        """Let `size` bytes more be read."""
        self._left += size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file. Raises tarfile.ReadError when more is read than was granted."""
        data = self._file.read(-1 if size is None else size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError("its headers are too large")
        return data


def _unpack(stream: _Granted, folder: Path) -> None:
    left, seen = MAX_BYTES, set[str]()
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir() and name in ("", "."):
                continue
            if not member.isfile() or name not in {CARD, *FILES} - seen:
                raise tarfile.ReadError(f"{member.name!r} is no file of an artifact, or there twice")
            if not 0 <= member.size <= left:
                raise tarfile.ReadError(f"{name} is too large")
            left -= member.size
            seen.add(name)
            stream.grant(member.size)
            _copy_member(tar, member, folder / name)


def _copy_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    with path.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode = 0, 0, 0, "", "", 0o644
    return member
