"""A data set's way onto this disk: the public dog set, somebody's archive (an address or a file), or a folder.

A destination is either whole (the splits and a marker that names the source) or not there: everything is written
beside it, as `<destination>.unpacking`, and renamed at the end. A download lives in `<destination>.part` and
`<destination>.part.json` until then, and is continued by the next call, whatever stopped it.

An archive is hostile until shown otherwise: its directory is checked before a byte is written, and what comes out is
counted against it. Not covered: two fetches into one destination at once, and whether the pictures can be decoded.
"""

import copy
import hashlib
import io
import json
import re
import shutil
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

import httpx

from kennel.errors import DataError
from kennel.files import write_atomically
from kennel.pictures.dataset import EXPECTED, SPLITS, split_folders

UDACITY = "https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip"
"""The Udacity dog set: 133 breeds, 8,351 photographs, about 1.1 GB."""
MARKER = ".kennel-fetched.json"
GIB = 2**30
CHUNK = 2**20
DIRECTORY = 64 * 2**20
"""Bytes of an archive's directory at most; zipfile reads it in one piece, before anything about it can be checked."""
TIMEOUT = httpx.Timeout(30, connect=10)
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that are worth another try (RFC 9110, RFC 6585)."""
ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flag bits of a member: encrypted, strongly encrypted, directory encrypted (APPNOTE.TXT 4.4.4)."""

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError)
"""What zipfile raises for an archive that is not in order."""

_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class Progress(Protocol):
    """Told how far a step is. step: "download", "unpack" or "copy"; bytes; total is 0 while it is unknown."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused above (bytes; members), and how many failures in a row end a download."""

    download: int = 4 * GIB
    unpacked: int = 8 * GIB
    members: int = 200_000
    tries: int = 4


LIMITS = Limits()


def quiet(step: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def free_bytes(folder: Path) -> int:
    """Bytes free to this user on the disk `folder` is on."""
    return shutil.disk_usage(folder).free


def fetch(
    destination: Path,
    source: str | Path = UDACITY,
    progress: Progress = quiet,
    *,
    limits: Limits = LIMITS,
    free: Callable[[Path], int] = free_bytes,
    wait: Callable[[float], object] = time.sleep,
) -> bool:
    """Make `destination` a data set. source: an http(s) address, a zip file or a folder; neither is changed.

    True when something was done, False when `destination` already holds this source. `wait` is called with the
    seconds between two tries. Raises DataError; run again, a download continues.
    """
    job = _Job(destination.resolve(), _identity(source), progress, limits, free, wait)
    if _is_there(job):
        return False
    try:
        job.destination.parent.mkdir(parents=True, exist_ok=True)
        if _is_url(source):
            _from_url(job, str(source))
        else:
            _from_disk(job, Path(source).resolve())
        job.forget_download()
    except OSError as error:
        raise DataError(f"cannot fetch into {destination} ({error})", "Mend that, or name another folder") from error
    return True


@dataclass(frozen=True, slots=True)
class _Job:
    """What every step needs. source: what messages and the marker call it, free of secrets."""

    destination: Path
    source: str
    progress: Progress
    limits: Limits
    free: Callable[[Path], int]
    wait: Callable[[float], object]

    def beside(self, suffix: str) -> Path:
        return self.destination.with_name(self.destination.name + suffix)

    @property
    def part(self) -> Path:
        return self.beside(".part")

    @property
    def note(self) -> Path:
        return self.beside(".part.json")

    @property
    def unpacking(self) -> Path:
        return self.beside(".unpacking")

    @property
    def received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def forget_download(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def need(self, needed: int) -> None:
        """Raises DataError unless `needed` more bytes fit beside the destination."""
        free = self.free(self.destination.parent)
        if free < needed:
            message = f"{self.destination.parent} has {_size(free)} free, {_size(needed)} are needed"
            raise DataError(message, "Make room, or name a folder on another disk")


class _RefusedError(DataError):
    """What the source holds is at fault; the same bytes would be refused again."""


class _AgainError(Exception):
    """The server failed in a way that another try may mend."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A file to be written. parts: its path below the data set's root. size: in bytes, as its source declares it."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes]]


def _is_url(source: str | Path) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def _identity(source: str | Path) -> str:
    """The source's name: an absolute path, or the address with its query hashed and its user left away.

    A query can be a secret (a presigned address), but it can also tell two archives apart.
    """
    if not _is_url(source):
        return str(Path(source).resolve())
    try:
        url = urlsplit(str(source))
    except ValueError as error:
        raise DataError(f"{source} is no address ({error})", "Name an http(s) address, a zip or a folder") from error
    query = hashlib.sha256(url.query.encode()).hexdigest()[:12] if url.query else ""
    return url._replace(netloc=url.netloc.rpartition("@")[2], query=query, fragment="").geturl()


def _is_there(job: _Job) -> bool:
    """Whether the destination holds this source. Raises DataError when it holds anything else."""
    if not job.destination.exists():
        return False
    if not job.destination.is_dir():
        raise DataError(f"{job.destination} is a file", "Name a folder")
    held = _marked(job.destination)
    if held == job.source:
        _check_splits(job.destination, str(job.destination))
        return True
    if held:
        raise DataError(f"{job.destination} holds the data set from {held}", "Name another folder, or delete this one")
    if any(job.destination.iterdir()):
        remedy = "Use it as it is if it is a data set, or name an empty or new folder"
        raise DataError(f"{job.destination} is not empty and was not fetched by kennel", remedy)
    return False


def _marked(folder: Path) -> str | None:
    """The source that the folder's marker names; None without a (readable) marker."""
    try:
        return str(json.loads((folder / MARKER).read_bytes())["source"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


# --- the download


@dataclass(frozen=True, slots=True)
class _Note:
    """What the bytes in `.part` are a part of. total: bytes, 0 when the server does not say."""

    url: str
    etag: str
    modified: str
    total: int

    @property
    def validator(self) -> str:
        """For If-Range, "" when there is none: weak tags are not allowed there (RFC 9110, 13.1.5)."""
        usable = (each for each in (self.etag, self.modified) if each.isascii() and not each.startswith("W/"))
        return next(filter(None, usable), "")


def _from_url(job: _Job, url: str) -> None:
    _download(job, url)
    try:
        _from_archive(job, job.part)
    except _RefusedError as error:
        job.forget_download()
        remedy = "The download is removed; run it again, or name a good copy with --from"
        raise DataError(error.message, remedy) from error


def _download(job: _Job, url: str) -> None:
    """Until `.part` is whole. Tries are counted anew when the download has grown; no connection at all ends it at once.

    Raises DataError; what was received stays.
    """
    failures, best, reached = 0, job.received, False
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        while True:
            try:
                return _receive(job, client, url)
            except (_AgainError, httpx.TransportError) as error:
                reached = reached or not isinstance(error, _UNREACHABLE)
                failures = 1 if job.received >= best + CHUNK else failures + 1
                best = max(best, job.received)
                if not reached or failures >= job.limits.tries:
                    raise _broken_off(job, error, reached) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise DataError(f"{job.source} cannot be got ({error})", "Check the address given to --from") from error
            job.wait(2.0 ** (failures - 1))


def _broken_off(job: _Job, error: Exception, reached: bool) -> DataError:
    why = str(error) or type(error).__name__
    if not reached:
        remedy = "Go online and run it again, or get the archive elsewhere and name it with --from"
        return DataError(f"no network: {job.source} cannot be reached ({why})", remedy)
    remedy = "Run it again, it continues; or get the archive elsewhere and name it with --from"
    return DataError(f"the download of {job.source} broke off at {_size(job.received)} ({why})", remedy)


def _receive(job: _Job, client: httpx.Client, url: str) -> None:
    """One request, for what is missing. Raises _AgainError, httpx's errors and DataError."""
    note = _continued(job)
    done = job.received if note else 0
    if note and done == note.total:
        return
    headers = {"Accept-Encoding": "identity"}
    if note:
        headers |= {"Range": f"bytes={done}-", "If-Range": note.validator}
    with client.stream("GET", url, headers=headers) as response:
        _check_status(job, response)
        if response.status_code != 206:
            done, note = 0, _started(job, response)
        elif note is None or not _continues(note, done, response):
            job.forget_download()
            raise _AgainError("the server sent another part than was asked for")
        _append(job, response, done, note.total)


def _continued(job: _Job) -> _Note | None:
    """The note to `.part`, if it can be continued, or is whole."""
    try:
        note = _Note(**json.loads(job.note.read_bytes()))
        fits = note.url == job.source and bool(note.validator) and 0 < job.received <= note.total
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return note if fits else None


def _check_status(job: _Job, response: httpx.Response) -> None:
    if response.status_code == 416:  # what is here does not fit what is there any more
        job.forget_download()
    if response.status_code in (416, *TRANSIENT):
        raise _AgainError(f"the server answers {response.status_code}")
    if response.status_code not in (200, 206):
        message = f"the server answers {response.status_code} for {job.source}"
        raise DataError(message, "Check the address, or get the archive elsewhere and name it with --from")


def _started(job: _Job, response: httpx.Response) -> _Note:
    """From the first byte (anew, when the server ignores ranges or has something else by now)."""
    total = int(response.headers.get("content-length", "0"))
    note = _Note(job.source, response.headers.get("etag", ""), response.headers.get("last-modified", ""), total)
    if total > job.limits.download:
        raise _too_large(job, total)
    job.forget_download()
    write_atomically(job.note, json.dumps(asdict(note)).encode())
    return note


def _continues(note: _Note, done: int, response: httpx.Response) -> bool:
    """Whether a 206 goes on where `.part` ends, in the same content: a server may know ranges but not If-Range."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("content-range", ""))
    known = [(response.headers.get("etag"), note.etag), (response.headers.get("last-modified"), note.modified)]
    same = all(new is None or new == old for new, old in known)
    return same and span is not None and (int(span[1]), int(span[2])) == (done, note.total)


def _append(job: _Job, response: httpx.Response, done: int, total: int) -> None:
    job.need(2 * total - done)  # photographs do not shrink in an archive: unpacked they are no smaller
    with job.part.open("ab") as file:
        job.progress("download", done, total)
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > (total or job.limits.download):
                job.forget_download()
                raise _AgainError("the server sent more than it said") if total else _too_large(job, done)
            file.write(chunk)
            job.progress("download", done, total)
    if done < total:
        raise _AgainError(f"the server sent {done} of {total} bytes")


def _too_large(job: _Job, size: int) -> DataError:
    message = f"{job.source} is {_size(size)}, more than the {_size(job.limits.download)} allowed"
    return DataError(message, "Check the address; a data set that large is better unpacked by hand")


# --- archives and folders


class _Bounded(io.BufferedReader):
    """An archive's file of which no huge piece is read at once, so that a lying directory cannot fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


def _from_disk(job: _Job, path: Path) -> None:
    if path in (job.part, job.unpacking):  # both are removed on the way
        raise DataError(f"{path} is what an earlier fetch left", "Run it again without --from, or rename it")
    if path.is_dir():
        _from_folder(job, path)
    elif path.is_file():
        _from_archive(job, path)
    else:
        raise DataError(f"no file or folder at {path}", "Name an http(s) address, a zip or a folder")


def _from_archive(job: _Job, path: Path) -> None:
    with _Bounded(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*_DAMAGED, OSError) as error:  # OSError: it seeks to before the file's beginning
            raise _damaged(job, error) from error
        infos = archive.infolist()
        _check_amount(job, len(infos), sum(info.file_size for info in infos))
        checked = [(info, _checked(job, info)) for info in infos]
        _install(
            job,
            "unpack",
            [
                _Member(parts, info.file_size, partial(archive.open, _one_more(info)))
                for info, parts in checked
                if not info.is_dir() and not _is_junk(parts)
            ],
        )


def _checked(job: _Job, info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's path. Raises DataError for whatever is no plain file or folder below the root."""
    name = info.orig_filename  # before zipfile cut it at a NUL or turned backslashes around
    parts = tuple(part for part in name.removesuffix("/").split("/") if part != ".")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if not _is_inside(parts) or re.search(r"[\\\x00-\x1f\x7f]", name):
        raise _RefusedError(f"{job.source} has a member outside of it, {name!r}", "Do not trust it; get another copy")
    if info.header_offset < 0 or not (parts or info.is_dir()):
        raise _damaged(job, f"member {name!r}")
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise _RefusedError(f"{job.source}: {name!r} is a link or special file", "Pack the files themselves (zip -r)")
    if info.flag_bits & ENCRYPTED:
        raise _RefusedError(f"{job.source} is encrypted ({name!r})", "Unpack it by hand and give the folder")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others are decompressed by zipfile without a bound on the memory.
        raise _RefusedError(
            f"{job.source}: {name!r} is neither stored nor deflated", "Unpack it by hand and give the folder"
        )
    return parts


def _is_inside(parts: tuple[str, ...]) -> bool:
    """False for absolute paths, for drives, and for steps upward."""
    return not any(part in ("", "..") or part[1:2] == ":" for part in parts)


def _one_more(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """zipfile stops reading at the declared size; one byte more lets a lie be seen."""
    longer = copy.copy(info)
    longer.file_size += 1
    return longer


def _from_folder(job: _Job, folder: Path) -> None:
    if job.destination.is_relative_to(folder) or folder.is_relative_to(job.destination):
        raise DataError(
            f"{job.destination} and {folder} lie in one another", "Name a destination outside of the source"
        )
    _check_splits(folder, job.source)
    members: list[_Member] = []
    total = 0
    for path in _files(job, folder):
        members.append(_Member(path.relative_to(folder).parts, path.stat().st_size, partial(io.FileIO, path)))
        total += members[-1].size
        _check_amount(job, len(members), total)
    _install(job, "copy", members)


def _files(job: _Job, root: Path) -> Iterator[Path]:
    """Every file below, sorted. Raises DataError for links and special files: skipping them would lose pictures."""
    for path in sorted(root.iterdir()):
        mode = path.lstat().st_mode
        if _is_junk((path.name,)):
            continue
        if stat.S_ISDIR(mode):
            yield from _files(job, path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise _RefusedError(
                f"{path} is a link or special file", "Give a copy that holds the files themselves (cp -rL)"
            )


def _is_junk(parts: tuple[str, ...]) -> bool:
    """What macOS leaves in archives and folders, and the marker of a fetched folder that was packed or copied."""
    return "__MACOSX" in parts or any(part in (".DS_Store", MARKER) or part.startswith("._") for part in parts[-1:])


def _check_amount(job: _Job, members: int, total: int) -> None:
    remedy = "Check that it is the data set you mean; a larger one is better put there by hand"
    if members > job.limits.members:
        raise _RefusedError(
            f"{job.source} holds {members:,} files, more than the {job.limits.members:,} allowed", remedy
        )
    if total > job.limits.unpacked:
        allowed = _size(job.limits.unpacked)
        raise _RefusedError(f"{job.source} holds {_size(total)} unpacked, more than the {allowed} allowed", remedy)


# --- writing


def _install(job: _Job, step: str, members: Sequence[_Member]) -> None:
    """Write the members, check that they are a data set, and make them the destination, in this order."""
    members = _without_top(members)
    _check_clashes(job, members)
    job.need(sum(member.size for member in members))
    if job.unpacking.exists():  # left by a crash
        shutil.rmtree(job.unpacking)
    try:
        job.unpacking.mkdir()
        _write(job, step, members)
        _check_splits(job.unpacking, job.source)
        write_atomically(job.unpacking / MARKER, json.dumps({"source": job.source}).encode())
        if job.destination.exists():
            job.destination.rmdir()  # empty, or it would have been refused
        job.unpacking.rename(job.destination)
    finally:
        shutil.rmtree(job.unpacking, ignore_errors=True)


def _without_top(members: Sequence[_Member]) -> list[_Member]:
    """The members without the folder(s) that all of them lie in, as long as that is not a split."""
    splits = {name for names in SPLITS.values() for name in names}
    members = list(members)
    while len(tops := {member.parts[0] for member in members}) == 1 and not tops & splits:
        if any(len(member.parts) == 1 for member in members):
            break
        members = [_Member(member.parts[1:], member.size, member.open) for member in members]
    return members


def _check_clashes(job: _Job, members: Sequence[_Member]) -> None:
    files = {member.parts for member in members}
    folders = {parts[:depth] for parts in files for depth in range(1, len(parts))}
    if len(files) < len(members) or files & folders:
        raise _RefusedError(f"{job.source} has two members of one name", "Get another copy, or unpack it by hand")


def _write(job: _Job, step: str, members: Sequence[_Member]) -> None:
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
            raise _RefusedError(f"{job.source}: {path.name} is not as large as declared", "Get another copy")
        done += written


def _chunks(job: _Job, member: _Member) -> Iterator[bytes]:
    try:
        with member.open() as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except _DAMAGED as error:
        raise _damaged(job, error) from error


def _check_splits(root: Path, name: str) -> None:
    """Raises DataError, naming the source, unless all three splits are there."""
    try:
        missing = SPLITS.keys() - split_folders(root).keys()
    except DataError as error:
        raise _RefusedError(f"{name} is no data set", EXPECTED) from error
    if missing:
        raise _RefusedError(f"{name} is no data set, it has no {' and no '.join(sorted(missing))} folder", EXPECTED)


def _damaged(job: _Job, why: object) -> _RefusedError:
    return _RefusedError(f"{job.source} is damaged or no zip archive ({why})", "Get another copy")


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
