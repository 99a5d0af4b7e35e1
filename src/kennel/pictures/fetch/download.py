"""The download: one file over HTTP that is continued where it broke off, and checked to be still the same."""

import json
import re
from dataclasses import asdict, dataclass

import httpx

from kennel.errors import DataError
from kennel.files import write_atomically
from kennel.pictures.fetch.job import CHUNK, Job, readable

TIMEOUT = httpx.Timeout(30, connect=10)
TRANSIENT = (408, 416, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that are worth another try (RFC 9110, RFC 6585); 416: from the first byte."""
UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
CHECK = "Check the address, or get the archive elsewhere and name it with --from"


def download(job: Job, url: str) -> None:
    """Get `job.part` whole. Tries are counted anew when the download has grown; no connection at all ends it at once.

    Raises DataError; what was received stays.
    """
    failures, best, reached = 0, job.received, False
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        while True:
            try:
                return _receive(job, client, url)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
                raise DataError(f"{job.source} cannot be got ({error})", "Check the address given to --from") from error
            except (_AgainError, httpx.TransportError) as error:
                reached = reached or not isinstance(error, UNREACHABLE)
                failures = 1 if job.received >= best + CHUNK else failures + 1
                best = max(best, job.received)
                if not reached or failures >= job.limits.tries:
                    raise _broken_off(job, error, reached) from error
            job.wait(2.0 ** (failures - 1))


class _AgainError(Exception):
    """The server failed in a way that another try may mend."""


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


def _broken_off(job: Job, error: Exception, reached: bool) -> DataError:
    why = str(error) or type(error).__name__
    if not reached:
        remedy = "Go online and run it again, or get the archive elsewhere and name it with --from"
        return DataError(f"no network: {job.source} cannot be reached ({why})", remedy)
    remedy = "Run it again, it continues; or get the archive elsewhere and name it with --from"
    return DataError(f"the download of {job.source} broke off at {readable(job.received)} ({why})", remedy)


def _receive(job: Job, client: httpx.Client, url: str) -> None:
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


def _continued(job: Job) -> _Note | None:
    """The note to `.part`, if it can be continued, or is whole."""
    try:
        note = _Note(**json.loads(job.note.read_bytes()))
        fits = note.url == job.source and bool(note.validator) and 0 < job.received <= note.total
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return note if fits else None


def _check_status(job: Job, response: httpx.Response) -> None:
    if response.status_code == 416:  # what is here does not fit what is there any more
        job.forget_download()
    if response.status_code in TRANSIENT:
        raise _AgainError(f"the server answers {response.status_code}")
    if response.status_code not in (200, 206):
        raise DataError(f"the server answers {response.status_code} for {job.source}", CHECK)


def _started(job: Job, response: httpx.Response) -> _Note:
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


def _append(job: Job, response: httpx.Response, done: int, total: int) -> None:
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


def _too_large(job: Job, size: int) -> DataError:
    message = f"{job.source} is {readable(size)}, more than the {readable(job.limits.download)} allowed"
    return DataError(message, "Check the address; a data set that large is better unpacked by hand")
