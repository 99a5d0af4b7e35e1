"""AWS's signature, version 4, held against a request: in its headers, or in its query where the address was presigned.

Canonicalised by botocore's own code, so what its clients sign is what is checked here. Chunks of S3's streamed bodies
that are signed one by one (STREAMING-…) are taken as they are; every other body that its signature covers is hashed.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import IO, Any, Literal, Self
from urllib.parse import unquote

from kennel.local.call import Environ

SKEW_S = 15 * 60
MOST_EXPIRES_S = 7 * 24 * 3600
UNSIGNED = "UNSIGNED-PAYLOAD"
HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)
CREDENTIAL = re.compile(r"([^/]+)/(\d{8})/([a-z]{2}(?:-[a-z]+)+-\d)/([^/]+)/aws4_request")
Flaw = Literal["incomplete", "skewed", "expired", "early", "mismatch", "body", "unsigned"]
"""What is wrong with a signature: of a form that cannot be read; made at another time than now, or for another; not by
this key of this request; not of this body; not of all that the request says."""


class Flawed(Exception):
    """told: what more there is to say of it."""

    def __init__(self, flaw: Flaw, told: str = "") -> None:
        super().__init__(flaw)
        self.flaw, self.told = flaw, told


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request says of its signature. at: ISO 8601, as signed. expires: of a presigned address, seconds.

    token: of a session. headers: the names of those that are signed, in lower case.
    """

    access_key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    at: str
    token: str = ""
    expires: int | None = None

    @classmethod
    def of(cls, environ: Environ) -> Self | None:
        """None of a request without one. Raises Flawed."""
        header = str(environ.get("HTTP_AUTHORIZATION", ""))
        if header.startswith("AWS4-"):
            return cls._of_header(header, environ)
        query = dict(_pairs(environ))
        return cls._of_query(query) if "X-Amz-Signature" in query or "X-Amz-Credential" in query else None

    @classmethod
    def _of_header(cls, header: str, environ: Environ) -> Self:
        found = HEADER.fullmatch(header)
        if not found:
            raise Flawed("incomplete", "Authorization header requires Credential, SignedHeaders and Signature.")
        at = str(environ.get("HTTP_X_AMZ_DATE", "")) or _of_date(str(environ.get("HTTP_DATE", "")))
        token = str(environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""))
        key, day, region, service, headers, signature = found.groups()
        return cls(key, day, region, service, tuple(headers.split(";")), signature, at, token)

    @classmethod
    def _of_query(cls, query: Mapping[str, str]) -> Self:
        credential = CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
        given = {name: query.get(f"X-Amz-{name}", "") for name in ("Algorithm", "SignedHeaders", "Signature", "Date")}
        expires = query.get("X-Amz-Expires", "")
        if not credential or given["Algorithm"] != "AWS4-HMAC-SHA256" or not re.fullmatch(r"\d{1,7}", expires):
            raise Flawed("incomplete", "The query string has to have X-Amz-Algorithm, Credential, Date and Expires.")
        if not 0 < int(expires) <= MOST_EXPIRES_S:
            raise Flawed("incomplete", "X-Amz-Expires must be between 1 and 604800 seconds.")
        names, token = tuple(given["SignedHeaders"].split(";")), query.get("X-Amz-Security-Token", "")
        key, day, region, service = credential.groups()
        return cls(key, day, region, service, names, given["Signature"], given["Date"], token, int(expires))

    def check(self, environ: Environ, secret: str, now: float) -> None:
        """Raises Flawed."""
        if "host" not in self.headers:
            raise Flawed("incomplete", "'Host' must be a signed header.")
        if unsigned := _unsigned(environ, self.headers):
            raise Flawed("unsigned", f"There were headers present in the request which were not signed: {unsigned}")
        self._check_time(now)
        claimed = _claimed(environ, self)
        told = "\n".join(("AWS4-HMAC-SHA256", self.at, f"{self.day}/{self.region}/{self.service}/aws4_request", ""))
        canonical = hashlib.sha256(_canonical(environ, self, claimed).encode()).hexdigest()
        wanted = hmac.new(_key(secret, self.day, self.region, self.service), (told + canonical).encode(), "sha256")
        if not hmac.compare_digest(wanted.hexdigest(), self.signature):
            raise Flawed("mismatch")
        if self.service == "s3" and re.fullmatch("[0-9a-f]{64}", claimed) and claimed != _hash(environ):
            raise Flawed("body")

    def _check_time(self, now: float) -> None:
        at = _epoch(self.at)
        if not self.at.startswith(self.day):
            raise Flawed("incomplete", "Date in Credential scope does not match the date of the request.")
        if self.expires is None and abs(now - at) > SKEW_S:
            raise Flawed("skewed", f"{self.at} is more than 15 min. from {_stamp(now)}")
        if self.expires is not None and at > now + SKEW_S:
            raise Flawed("early")
        if self.expires is not None and now > at + self.expires:
            raise Flawed("expired")


def _unsigned(environ: Environ, signed: tuple[str, ...]) -> str:
    """Those that say something to a service, and that somebody else may have added."""
    there = (name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_"))
    return ", ".join(sorted(set(there) - {name.replace("_", "-") for name in signed}))


def _claimed(environ: Environ, signature: Signature) -> str:
    """The body's hash as it was signed. S3's clients say it in a header; of all others it is the body's own."""
    if signature.service != "s3":
        return _hash(environ)
    if given := str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")):
        return given
    if signature.expires is not None:
        return UNSIGNED
    raise Flawed("incomplete", "Missing required header for this request: x-amz-content-sha256")


def _hash(environ: Environ) -> str:
    """Of the body, which stays to be read: waitress has all of it, in memory or in a file."""
    body: IO[bytes] = environ["wsgi.input"]
    digest = hashlib.sha256()
    while block := body.read(1 << 18):
        digest.update(block)
    body.seek(0)
    return digest.hexdigest()


def _canonical(environ: Environ, signature: Signature, claimed: str) -> str:
    """The canonical request, by botocore's parts of it."""
    signer = _signer(signature.service)
    path, _, _ = str(environ.get("REQUEST_URI") or environ["PATH_INFO"]).partition("?")
    pairs = [each for each in _pairs(environ) if signature.expires is None or each[0] != "X-Amz-Signature"]
    headers = [f"{name}:{signer._header_value(_header(environ, name))}" for name in signature.headers]
    return "\n".join(
        (
            environ["REQUEST_METHOD"],
            signer._normalize_url_path(path),
            signer._canonical_query_string_params(pairs),
            *headers,
            "",
            ";".join(signature.headers),
            claimed,
        )
    )


@lru_cache(maxsize=32)
def _signer(service: str) -> Any:
    from botocore.auth import S3SigV4Auth, SigV4Auth

    return (S3SigV4Auth if service == "s3" else SigV4Auth)(None, service, "")


@lru_cache(maxsize=1024)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for each in (day, region, service, "aws4_request"):
        key = hmac.digest(key, each.encode(), "sha256")
    return key


def _pairs(environ: Environ) -> list[tuple[str, str]]:
    """Of the query, in its order; a plus is a plus, as in no canonical query it means a space."""
    query = str(environ.get("QUERY_STRING", ""))
    parts = (each.partition("=") for each in query.split("&") if each)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _header(environ: Environ, name: str) -> str:
    """Raises Flawed, where one is signed that is not there."""
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")
    if value is None:
        raise Flawed("mismatch")
    return str(value)


def _epoch(at: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(at, "%Y%m%dT%H%M%SZ")))
    except ValueError as error:
        raise Flawed("incomplete", "A valid X-Amz-Date or Date is required.") from error


def _of_date(header: str) -> str:
    """A Date header as X-Amz-Date would have it; "" where there is none."""
    try:
        return _stamp(parsedate_to_datetime(header).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _stamp(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
