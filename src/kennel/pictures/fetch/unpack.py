"""From an archive or a folder, trusted with nothing, to a whole data set in its place."""

import copy
import io
import json
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from kennel.errors import DataError
from kennel.files import write_atomically
from kennel.pictures.dataset import EXPECTED, SPLITS, split_folders
from kennel.pictures.fetch.job import CHUNK, MARKER, Job, RefusedError, readable

DIRECTORY = 64 * 2**20
"""Bytes of an archive's directory at most; zipfile reads it in one piece, before anything about it can be checked."""
ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flag bits of a member: encrypted, strongly encrypted, directory encrypted (APPNOTE.TXT 4.4.4)."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError)
"""What zipfile raises for an archive that is not in order."""
BY_HAND = "Unpack it by hand and give the folder"


def unpack(job: Job, path: Path) -> None:
    """Make the destination what the zip file holds. Raises DataError; RefusedError when the archive is at fault."""
    with _Bounded(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*DAMAGED, OSError) as error:  # OSError: it seeks to before the file's beginning
            raise _damaged(job, error) from error
        infos = archive.infolist()
        _check_amount(job, len(infos), sum(info.file_size for info in infos))
        members = [
            _Member(parts, info.file_size, partial(archive.open, _one_more(info)))
            for info, parts in [(info, _checked(job, info)) for info in infos]  # all, before the first is written
            if not info.is_dir() and not _is_junk(parts)
        ]
        _install(job, "unpack", members)


def copy_folder(job: Job, folder: Path) -> None:
    """Make the destination what the folder holds. Raises DataError."""
    if job.destination.is_relative_to(folder) or folder.is_relative_to(job.destination):
        message = f"{job.destination} and {folder} lie in one another"
        raise DataError(message, "Name a destination outside of the source")
    check_splits(folder, job.source)
    members: list[_Member] = []
    total = 0
    for path in _files(folder):
        members.append(_Member(path.relative_to(folder).parts, path.stat().st_size, partial(io.FileIO, path)))
        total += members[-1].size
        _check_amount(job, len(members), total)
    _install(job, "copy", members)


def check_splits(root: Path, name: str) -> None:
    """Raises DataError, naming the source, unless all three splits are there."""
    try:
        missing = SPLITS.keys() - split_folders(root).keys()
    except DataError as error:
        raise RefusedError(f"{name} is no data set", EXPECTED) from error
    if missing:
        raise RefusedError(f"{name} is no data set, it has no {' and no '.join(sorted(missing))} folder", EXPECTED)


@dataclass(frozen=True, slots=True)
class _Member:
    """A file to be written. parts: its path below the data set's root. size: in bytes, as its source declares it."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes]]


class _Bounded(io.BufferedReader):
    """An archive's file of which no huge piece is read at once, so that a lying directory cannot fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


def _checked(job: Job, info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's path. Raises DataError for whatever is no plain file or folder below the root."""
    name = info.orig_filename  # before zipfile cut it at a NUL or turned backslashes around
    parts = tuple(part for part in name.removesuffix("/").split("/") if part != ".")
    kind = stat.S_IFMT(info.external_attr >> 16)
    # No steps upward, absolute paths or drives.
    if any(part in ("", "..") or part[1:2] == ":" for part in parts) or re.search(r"[\\\x00-\x1f\x7f]", name):
        raise RefusedError(f"{job.source} has a member with an unsafe path, {name!r}", "Do not trust it")
    if info.header_offset < 0 or not (parts or info.is_dir()):
        raise _damaged(job, f"member {name!r}")
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise RefusedError(f"{job.source}: {name!r} is a link or special file", "Pack the files themselves (zip -r)")
    if info.flag_bits & ENCRYPTED:
        raise RefusedError(f"{job.source} is encrypted ({name!r})", BY_HAND)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others are decompressed by zipfile without a bound on the memory.
        raise RefusedError(f"{job.source}: {name!r} is neither stored nor deflated", BY_HAND)
    return parts


def _one_more(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """zipfile stops reading at the declared size; one byte more lets a lie be seen."""
    longer = copy.copy(info)
    longer.file_size += 1
    return longer


def _files(root: Path) -> Iterator[Path]:
    """Every file below, sorted. Raises DataError for links and special files: skipping them would lose pictures."""
    for path in sorted(root.iterdir()):
        mode = path.lstat().st_mode
        if _is_junk((path.name,)):
            continue
        if stat.S_ISDIR(mode):
            yield from _files(path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            remedy = "Give a copy that holds the files themselves (cp -rL)"
            raise RefusedError(f"{path} is a link or special file", remedy)


def _is_junk(parts: tuple[str, ...]) -> bool:
    """What macOS leaves in archives and folders, and the marker of a fetched folder that was packed or copied."""
    return "__MACOSX" in parts or any(part in (".DS_Store", MARKER) or part.startswith("._") for part in parts[-1:])


def _check_amount(job: Job, members: int, total: int) -> None:
    holds = ""
    if members > job.limits.members:
        holds = f"{members:,} files, more than the {job.limits.members:,}"
    elif total > job.limits.unpacked:
        holds = f"{readable(total)} unpacked, more than the {readable(job.limits.unpacked)}"
    if holds:
        remedy = "Check that it is the data set you mean; a larger one is better put there by hand"
        raise RefusedError(f"{job.source} holds {holds} allowed", remedy)


def _install(job: Job, step: str, members: Sequence[_Member]) -> None:
    """Write the members, check that they are a data set, and make them the destination, in this order."""
    members = _without_top(members)
    _check_clashes(job, members)
    job.need(sum(member.size for member in members))
    if job.unpacking.exists():  # left by a crash
        shutil.rmtree(job.unpacking)
    try:
        job.unpacking.mkdir()
        _write(job, step, members)
        check_splits(job.unpacking, job.source)
        write_atomically(job.unpacking / MARKER, json.dumps({"source": job.source}).encode())
        if job.destination.exists():
            job.destination.rmdir()  # empty, or it would have been refused
        job.unpacking.rename(job.destination)
    finally:
        shutil.rmtree(job.unpacking, ignore_errors=True)


def _without_top(members: Sequence[_Member]) -> Sequence[_Member]:
    """The members without the folder(s) that all of them lie in, as long as that is not a split."""
    splits = {name for names in SPLITS.values() for name in names}
    while len(tops := {member.parts[0] for member in members}) == 1 and not tops & splits:
        if any(len(member.parts) == 1 for member in members):
            break
        members = [replace(member, parts=member.parts[1:]) for member in members]
    return members


def _check_clashes(job: Job, members: Sequence[_Member]) -> None:
    files = {member.parts for member in members}
    folders = {parts[:depth] for parts in files for depth in range(1, len(parts))}
    if len(files) < len(members) or files & folders:
        raise RefusedError(f"{job.source} has two members of one name", "Get another copy, or unpack it by hand")


def _write(job: Job, step: str, members: Sequence[_Member]) -> None:
    """Every member, as a new file with the default mode, counted against its declared size."""
    done, total = 0, sum(member.size for member in members)
    job.progress(step, 0, total)
    for member in members:
        path, written = job.unpacking.joinpath(*member.parts), 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for chunk in _chunks(job, member):
                written += len(chunk)
                if written > member.size:
                    break
                file.write(chunk)
                job.progress(step, done + written, total)
        if written != member.size:
            raise RefusedError(f"{job.source}: {path.name} is not as large as declared", "Get another copy")
        done += written


def _chunks(job: Job, member: _Member) -> Iterator[bytes]:
    try:
        with member.open() as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except DAMAGED as error:
        raise _damaged(job, error) from error


def _damaged(job: Job, why: object) -> RefusedError:
    return RefusedError(f"{job.source} is damaged or no zip archive ({why})", "Get another copy")
