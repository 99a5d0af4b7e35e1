"""A data set's way onto this disk: the public dog set, somebody's archive (an address or a file), or a folder.

A destination is either whole (the splits and a marker that names the source) or not there: everything is written
beside it, as `<destination>.unpacking`, and renamed at the end. A download lives in `<destination>.part` and
`<destination>.part.json` until then, and is continued by the next call, whatever stopped it.

An archive is hostile until shown otherwise: its directory is checked before a byte is written, and what comes out is
counted against it. Not covered: two fetches into one destination at once, and whether the pictures can be decoded.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from kennel.errors import DataError
from kennel.pictures.fetch.download import download
from kennel.pictures.fetch.job import MARKER, Job, Limits, Progress, RefusedError, free_bytes, quiet
from kennel.pictures.fetch.unpack import check_splits, copy_folder, unpack

__all__ = ["MARKER", "UDACITY", "Limits", "Progress", "fetch", "free_bytes", "quiet"]

UDACITY = "https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip"
"""The Udacity dog set: 133 breeds, 8,351 photographs, about 1.1 GB."""
LIMITS = Limits()
SOURCES = "Name an http(s) address, a zip or a folder"


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

    True when something was done, False when `destination` already holds this source, or any while none is asked for
    by name. `wait` is called with the seconds between two tries. Raises DataError; run again, a download continues.
    """
    job = Job(destination.resolve(), _identity(source), progress, limits, free, wait)
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
        raise DataError(f"{source} is no address ({error})", SOURCES) from error
    query = hashlib.sha256(url.query.encode()).hexdigest()[:12] if url.query else ""
    return url._replace(netloc=url.netloc.rpartition("@")[2], query=query, fragment="").geturl()


def _is_there(job: Job) -> bool:
    """Whether the destination holds this source, or any when it is the default. Raises DataError for anything else."""
    if not job.destination.exists():
        return False
    if not job.destination.is_dir():
        raise DataError(f"{job.destination} is a file", "Name a folder")
    held = _marked(job.destination)
    if held and job.source in (held, UDACITY):
        check_splits(job.destination, str(job.destination))
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


def _from_url(job: Job, url: str) -> None:
    download(job, url)
    try:
        unpack(job, job.part)
    except RefusedError as error:
        job.forget_download()
        remedy = "The download is removed; run it again, or name a good copy with --from"
        raise DataError(error.message, remedy) from error


def _from_disk(job: Job, path: Path) -> None:
    if path in (job.part, job.unpacking):  # both are removed on the way
        raise DataError(f"{path} is what an earlier fetch left", "Run it again without --from, or rename it")
    if path.is_dir():
        copy_folder(job, path)
    elif path.is_file():
        unpack(job, path)
    else:
        raise DataError(f"no file or folder at {path}", SOURCES)
