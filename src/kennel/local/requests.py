"""What the front door reads of a request: by which name it came, whose page asks, its path, headers, bounded body."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from urllib.parse import quote

from kennel.local.call import Call, Environ, scope_of
from kennel.local.errors import Refused
from kennel.local.parts import Document
from kennel.local.wire import PRESERVED

MAX_BODY = 30 * 1024**2
"""Of everything but S3's objects. What an endpoint takes is less, and its own business."""
_LOOPBACK = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*)\.)?(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?", re.I)


def bucket_of_host(environ: Environ) -> str:
    """The bucket in `bucket.localhost`. Refuses who came by another name (DNS rebinding)."""
    found = _LOOPBACK.fullmatch(environ.get("HTTP_HOST", ""))
    if not found:
        raise Refused("AccessDenied", "The local AWS answers by the names localhost and 127.0.0.1 only", 403)
    return found["bucket"] or ""


def refuse_pages(environ: Environ) -> None:
    """Refuses pages of other sites; and those of functions, which are this site's: our own page only reads."""
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "none")
    foreign = origin is not None and origin != f"http://{environ['HTTP_HOST']}"
    acts = environ["REQUEST_METHOD"] not in ("GET", "HEAD") or scope_of(environ, "") is not None
    if foreign or site not in ("none", "same-origin") or (acts and (origin is not None or site == "same-origin")):
        raise Refused("AccessDenied", "The local AWS does not answer pages of other sites", 403)


def path_of(environ: Environ) -> str:
    """As it was sent, quoted."""
    return str(environ.get("REQUEST_URI") or quote(environ["PATH_INFO"])).split("?", 1)[0]


def call_of(environ: Environ, service: str, bucket: str) -> Call:
    """As moto wants it: metadata by the names that were sent, the bucket in the path."""
    named = environ["PATH_INFO"].strip("/")
    to_object = service == "s3" and bool(named if bucket else "/" in named)
    call = Call.of(service, environ, environ["wsgi.input"] if to_object else body_of(environ))
    if service != "s3" and "HTTP_CONTENT_ENCODING" in call.headers:
        call = _unpacked(call)
    if not bucket:
        return call
    headers = {**call.headers, "HTTP_HOST": environ["HTTP_HOST"].removeprefix(f"{bucket}.")}
    return Call(service, call.method, f"/{bucket}{call.path}", call.query, headers, call.body)


def _unpacked(call: Call) -> Call:
    """As it was before its client compressed it (botocore does, large PutMetricData), so that all read the same."""
    headers = {name: value for name, value in call.headers.items() if name != "HTTP_CONTENT_ENCODING"}
    if call.headers["HTTP_CONTENT_ENCODING"] != "gzip":
        raise Refused("SerializationException", "Content-Encoding may be gzip only")
    unpack = zlib.decompressobj(wbits=31)
    try:
        body = unpack.decompress(bytes(call.body) if isinstance(call.body, bytes) else b"", MAX_BODY + 1)
    except zlib.error as error:
        raise Refused("SerializationException", f"The request's body is not gzip ({error})") from error
    if len(body) > MAX_BODY or not unpack.eof or unpack.unused_data:
        raise Refused("SerializationException", "The request's body is not one gzip member of bounded size")
    return replace(call, headers={**headers, "CONTENT_LENGTH": str(len(body))}, body=body)


def body_of(environ: Environ, most: int = MAX_BODY) -> bytes:
    """The body, of bounded size."""
    if int(environ.get("CONTENT_LENGTH") or 0) > most:
        raise Refused("RequestEntityTooLargeException", f"Request must be smaller than {most} bytes", 413)
    return bytes(environ["wsgi.input"].read(most))


def parsed(body: bytes) -> Document:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise Refused("SerializationException", f"The request's body is not JSON ({error})") from error
    if not isinstance(request, dict):
        raise Refused("SerializationException", "The request's body is not a JSON object")
    return request


def header_names(environ: Environ) -> dict[str, str]:
    """`content-type`, `x-amzn-sagemaker-…`: names in lower case, with dashes."""
    found = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_") and key != PRESERVED}
    found |= {key: environ[key] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)}
    return {key.lower().replace("_", "-"): value for key, value in found.items()}
