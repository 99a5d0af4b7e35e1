"""The function in front of the endpoint: a picture in any of a web's forms in, its breeds out. One file, for Lambda.

It needs what the runtime ships and nothing else: the standard library and botocore, on which boto3 stands. boto3's own
client is botocore's; made by botocore it is there sooner (docs/function.md has the figures).

    ENDPOINT_NAME    the SageMaker endpoint to ask; the only one that has no default
    ALLOWED_ORIGINS  web origins whose pages may ask, parted by commas; * for all                        (*)
    ALLOW_HTTP       true fetches pictures by http as well as by https                                   (false)
    S3_BUCKET        pictures may be named s3://S3_BUCKET/KEY; the role needs s3:GetObject there         (none)
    TOP_K            how many breeds an answer tells                                                     (5)
    MAX_BYTES        of a picture; the endpoint's container has the same limit                           (6291456)
    FETCH_SECONDS    for fetching a picture from the web, redirects included                             (6)

AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME count as they do for every client of AWS's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import io
import ipaddress
import json
import os
import queue
import re
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.loaders import Loader

Answer = dict[str, Any]
T = TypeVar("T")
PAGE = Path(__file__).with_name("page.html")
SEND = 'Send a picture as the body, or JSON: {"url": "https://…"} or {"image": "base64"}'
RESERVE_S = 0.4
"""Of the context's remaining time: for answering before Lambda ends the call."""
REDIRECTS = 3
PORTS = {"https": 443, "http": 80}
KINDS = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "image/tiff"),
)
"""How the pictures begin that the endpoint decodes."""
PHONES = re.compile(rb"....ftyp(?:hei[cfmsx]|hev[cmsx]|mif1|msf1|avi[fs])", re.DOTALL)
"""What phones make, and the endpoint does not decode: HEIC and AVIF."""


HALVES = re.compile(r"[\ud800-\udfff]")
"""Of characters: JSON can carry them, UTF-8 cannot."""
FIELDS = 20
"""Of a form, at most: nobody needs more, and each costs time."""


class Refused(Exception):
    """An answer that is no prediction. message and remedy: for the caller, one line each."""

    def __init__(self, status: int, message: str, remedy: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.message, self.remedy, self.retry_after = status, message, remedy, retry_after


class Settings(NamedTuple):
    endpoint: str
    origins: tuple[str, ...] = ("*",)
    allow_http: bool = False
    bucket: str = ""
    top_k: int = 5
    most_bytes: int = 6 << 20
    fetch_s: float = 6.0


class Request(NamedTuple):
    """form: direct, url (a function URL, or API Gateway's HTTP API), rest (API Gateway's REST API); headers: names in
    lower case; body: text only where the event holds text."""

    form: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Picture(NamedTuple):
    """kind: `image/jpeg`; source: body, image, form or url; host: of a URL, all of it that is logged."""

    content: bytes
    kind: str
    source: str
    host: str = ""


def handler(event: Any, context: Any) -> Answer:
    """Lambda's entry point."""
    return _ready()(event, context)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Raises ValueError in one line, which Lambda shows as the reason why the function does not start."""
    get = environment.get
    if not get("ENDPOINT_NAME"):
        raise ValueError("ENDPOINT_NAME is not set: name the endpoint to ask in the function's environment")
    origins = tuple(each.strip() for each in get("ALLOWED_ORIGINS", "*").split(",") if each.strip())
    try:
        return Settings(
            endpoint=get("ENDPOINT_NAME", ""),
            origins=origins,
            allow_http=get("ALLOW_HTTP", "false").lower() == "true",
            bucket=get("S3_BUCKET", ""),
            top_k=int(get("TOP_K", "5")),
            most_bytes=int(get("MAX_BYTES", str(6 << 20))),
            fetch_s=float(get("FETCH_SECONDS", "6")),
        )
    except ValueError as error:
        raise ValueError(f"TOP_K, MAX_BYTES and FETCH_SECONDS are numbers: {error}") from error


class Function:
    """One execution environment's. client: of sagemaker-runtime; web: fetches; s3: makes a client of S3."""

    def __init__(self, settings: Settings, client: Any, web: Web, page: bytes, s3: Callable[[], Any]) -> None:
        self._settings, self._client, self._web, self._s3 = settings, client, web, s3
        self._page, self._policy = page.decode(), content_policy(page)
        self._first = True

    def __call__(self, event: Any, context: Any) -> Answer:
        began, cold, self._first = time.monotonic(), self._first, False
        call = _Call(getattr(context, "aws_request_id", ""), began + _remaining(context) - RESERVE_S)
        request = Request("direct", "POST", "", {}, None)
        try:
            request = read_event(event)
            answer = self._answer(request, call)
        except Refused as refusal:
            answer = self._refusal(request, refusal, call)
        except Exception:  # a defect of ours: its traceback is for the log, the caller learns the request's id
            call.note["traceback"] = traceback.format_exc()
            answer = self._refusal(request, Refused(500, "something went wrong here", "Try again later"), call)
        call.spent["function"] = seconds = time.monotonic() - began
        answer["headers"]["Server-Timing"] = ", ".join(f"{k};dur={v * 1000:.1f}" for k, v in call.spent.items())
        log_line(request, answer["statusCode"], seconds, cold, call, getattr(context, "function_name", ""))
        return answer

    def _answer(self, request: Request, call: _Call) -> Answer:
        if request.method == "OPTIONS":
            return self._reply(request, 204, "", "text/plain", call, PREFLIGHT)
        if request.method in ("GET", "HEAD"):
            if "." in request.path.rsplit("/", 1)[-1]:
                raise Refused(404, "there is only one page here", "Open the address without a file's name")
            return self._reply(request, 200, self._page, "text/html; charset=utf-8", call, PAGE_HEADERS | self._policy)
        if request.method != "POST":
            raise Refused(405, f"{request.method[:20]} is not for this address", "GET shows a page; POST a picture")
        picture = self._picture(request, call)
        call.note |= {"source": picture.source, "bytes": len(picture.content), "type": picture.kind}
        call.note |= {"host": picture.host} if picture.host else {}
        text, best = call.timed("endpoint", lambda: self._ask(picture, call))
        call.note |= {"label": best.get("label", ""), "probability": best.get("probability", 0.0)}
        return self._reply(request, 200, text, answer_type(request), call)

    def _picture(self, request: Request, call: _Call) -> Picture:
        """The picture in a request, or at the address that it names."""
        found = find(request, self._settings.most_bytes)
        if isinstance(found, str):
            return call.timed("fetch", lambda: self._fetch(found, call))
        content, source = found
        return Picture(content, kind_of(content, self._settings.most_bytes), source)

    def _fetch(self, url: str, call: _Call) -> Picture:
        settings, most = self._settings, self._settings.most_bytes
        if url.lower().startswith("s3://"):
            content, host = self._stored(url, call), "s3"
        else:  # a third of what is left stays for the endpoint
            until = time.monotonic() + min(settings.fetch_s, call.left() * 2 / 3)
            content, host = self._web.get(url, most, until, settings.allow_http)
        return Picture(content, kind_of(content, most), "url", host)

    def _stored(self, url: str, call: _Call) -> bytes:
        bucket, _, key = url[5:].partition("/")
        if not self._settings.bucket or bucket != self._settings.bucket or not key or HALVES.search(key):
            raise Refused(400, "s3:// addresses are not taken here", SEND)
        try:
            return within(call.left() * 2 / 3, lambda: self._object(key))
        except Late as late:
            raise Refused(422, "the picture did not come in time", "Try again later", 5) from late
        except (ClientError, BotoCoreError) as error:
            call.note["reason"] = type(error).__name__
            raise Refused(422, "there is no such picture in the bucket", "See that its key is right") from error

    def _object(self, key: str) -> bytes:
        found = self._s3().get_object(Bucket=self._settings.bucket, Key=key)
        check_size(found["ContentLength"], self._settings.most_bytes)
        return bytes(found["Body"].read())

    def _ask(self, picture: Picture, call: _Call) -> tuple[str, dict[str, Any]]:
        """The endpoint's answer and its best prediction."""
        try:
            text = within(call.left(), lambda: self._invoke(picture))
            predictions = json.loads(text)["predictions"]
            return text, {**predictions[0]}
        except (Late, ReadTimeoutError, ConnectTimeoutError) as error:
            call.note["reason"] = type(error).__name__
            raise Refused(504, "the classifier did not answer in time", "Try again in a few seconds", 5) from error
        except ClientError as error:
            call.note["reason"] = error.response["Error"].get("Code", "")
            raise endpoint_refusal(error.response) from error
        except (BotoCoreError, ValueError, LookupError, TypeError) as error:
            call.note["reason"] = type(error).__name__
            raise Refused(502, "the classifier cannot be asked just now", "Try again later") from error

    def _invoke(self, picture: Picture) -> str:
        found = self._client.invoke_endpoint(
            EndpointName=self._settings.endpoint,
            Body=picture.content,
            ContentType=picture.kind,
            Accept="application/json",
            CustomAttributes=f"top_k={self._settings.top_k}",
        )
        return str(found["Body"].read().decode())

    def _refusal(self, request: Request, refusal: Refused, call: _Call) -> Answer:
        call.note["error"] = refusal.message
        body = {"error": refusal.message, "remedy": refusal.remedy, "request_id": call.id}
        more = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
        more |= {"Allow": METHODS} if refusal.status == 405 else {}
        text = json.dumps(body, ensure_ascii=False)
        return self._reply(request, refusal.status, text, answer_type(request), call, more)

    def _reply(
        self, request: Request, status: int, body: str, kind: str, call: _Call, more: Mapping[str, str] | None = None
    ) -> Answer:
        headers = {"Content-Type": kind, "X-Request-Id": call.id, "X-Content-Type-Options": "nosniff"}
        headers |= {"Cache-Control": "no-store"} | allowed(self._settings.origins, request.headers.get("origin", ""))
        headers |= more or {}
        body = "" if request.method == "HEAD" else body
        return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


class _Call:
    """One request's id, end of its time (monotonic), seconds spent by step, and what the log shall tell."""

    def __init__(self, request_id: str, until: float) -> None:
        self.id, self.until = request_id, until
        self.spent: dict[str, float] = {}
        self.note: dict[str, Any] = {}

    def left(self) -> float:
        return self.until - time.monotonic()

    def timed(self, step: str, do: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return do()
        finally:
            self.spent[step] = time.monotonic() - began


# ---- events: what a caller sent


def read_event(event: Any) -> Request:
    """A function URL's event, API Gateway's of either version, or what was invoked with directly. Raises Refused."""
    if not isinstance(event, Mapping):
        raise Refused(400, "the event is no JSON object", SEND)
    context = event.get("requestContext")
    if isinstance(context, Mapping) and isinstance(context.get("http"), Mapping):
        method, path = context["http"].get("method"), event.get("rawPath")
        return Request("url", _word(method), _word(path), _headers(event), _body(event))
    if "httpMethod" in event:
        return Request("rest", _word(event["httpMethod"]), _word(event.get("path")), _headers(event), _body(event))
    return Request("direct", "POST", "", {}, event)


def find(request: Request, most: int) -> str | tuple[bytes, str]:
    """A URL, or a picture's bytes and where they stood. Raises Refused."""
    body = request.body
    if request.form == "direct":
        return _named(body, most)
    content = body if isinstance(body, bytes) else _bytes(body, most)
    if not content:
        raise Refused(400, "the request has no body", SEND)
    if is_picture(content):
        return content, "body"
    if request.type == "multipart/form-data":
        return _of_form(content, request.headers["content-type"])
    if request.type == "application/x-www-form-urlencoded":
        return _of_fields(content)
    if request.type in ("application/json", "text/json") or content.lstrip()[:1] == b"{":
        try:
            return _named(json.loads(content), most)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not JSON", SEND) from error
    if request.type and not request.type.startswith(("image/", "application/octet-stream", "binary/")):
        raise Refused(415, f"content of type {request.type[:60]} is not taken", SEND)
    if "\ufffd" in body if isinstance(body, str) else b"\xef\xbf\xbd" in content[:64]:
        remedy = "Let the gateway pass image/* as binary, or send base64"
        raise Refused(422, "the picture was damaged on its way: it was taken for text", remedy)
    return content, "body"


def kind_of(content: bytes, most: int) -> str:
    """`image/jpeg`, by how it begins. Raises Refused."""
    if not content:
        raise Refused(400, "the picture is empty", SEND)
    check_size(len(content), most)
    kind = is_picture(content)
    if kind:
        return kind
    if PHONES.match(content):
        raise Refused(422, "HEIC and AVIF pictures are not read", "Save it as a JPEG, or use the page: it converts")
    raise Refused(422, "that is not a picture", "JPEG, PNG, WebP, GIF, BMP and TIFF are read")


def is_picture(content: bytes) -> str:
    """Its kind, "" for what begins like none."""
    return next((kind for pattern, kind in KINDS if pattern.match(content)), "")


def check_size(size: int, most: int) -> None:
    if size > most:
        raise Refused(413, f"the picture has more than the {most / 1e6:.1f} MB allowed", "Send a smaller one")


def _named(values: Any, most: int) -> str | tuple[bytes, str]:
    """{"url": …} or {"image": …}."""
    if not isinstance(values, Mapping):
        raise Refused(400, "the JSON is no object", SEND)
    given = [name for name in ("url", "image") if values.get(name) is not None]
    if len(given) != 1:
        raise Refused(400, "both url and image are given" if given else "the request names no picture", SEND)
    value = values[given[0]]
    if not isinstance(value, str):
        raise Refused(400, f"{given[0]} is not text", SEND)
    return value if given[0] == "url" else (_decoded(value, most), "image")


def _decoded(text: str, most: int) -> bytes:
    """base64, or a data URL. Raises Refused."""
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise Refused(400, "a data URL has to be base64", SEND)
    check_size(len(text) * 3 // 4 - 2 - text.count("\n") * 2, most)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "the picture is not base64", SEND) from error


def _bytes(text: str, most: int) -> bytes:
    """A body that came as text: bytes as characters, base64 that nobody declared, a data URL, or text indeed."""
    if text[:5].lower() == "data:":
        return _decoded(text, most)
    raw = text.encode("latin-1", "ignore") if not text.startswith("{") else b""
    if is_picture(raw) and len(raw) == len(text):
        return raw
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")
    return content if is_picture(content) else text.encode()


def _of_fields(content: bytes) -> str:
    """The field `url` of a form that holds no file."""
    try:
        found = parse_qs(content.decode("utf-8", "replace"), max_num_fields=FIELDS)
    except ValueError as error:
        raise Refused(400, "the form has too many fields", SEND) from error
    return found.get("url", [""])[0] or _refuse_nothing()


def _of_form(content: bytes, content_type: str) -> str | tuple[bytes, str]:
    """The file of a plain form, whatever its name; else the field `url`."""
    found = re.search(r'boundary="?([^";,]{1,70})"?', content_type)
    if not found:
        raise Refused(400, "the form has no boundary", "Let the browser, or curl -F, set the content type")
    url, mark = "", b"--" + found[1].strip().encode("utf-8", "replace")
    pieces = content.split(mark, FIELDS + 1)
    if mark in pieces[-1]:
        raise Refused(400, "the form has too many fields", SEND)
    for part in pieces[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        value = value.removesuffix(b"\r\n")
        if value and re.search(rb"(?i)\bfilename\*?=", head):
            return value, "form"
        if re.search(rb'(?i)\bname="?url"?', head):
            url = value.decode("utf-8", "replace").strip()
    return url or _refuse_nothing()


def _refuse_nothing() -> str:
    raise Refused(400, "the form holds neither a file nor a url", SEND)


def _body(event: Mapping[str, Any]) -> Any:
    """Bytes where the gateway encoded them, else the text as it is. Raises Refused."""
    body = event.get("body")
    if body is None:
        return ""
    if not isinstance(body, str):
        raise Refused(400, "the event's body is not text", SEND)
    if event.get("isBase64Encoded") is not True:
        return body
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "the body is not the base64 that it is said to be", SEND) from error


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    found = event.get("headers")
    return {str(name).lower(): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


# ---- answers

METHODS = "GET, HEAD, POST, OPTIONS"
PREFLIGHT = {
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "Content-Type, Accept",
    "Access-Control-Max-Age": "7200",
}
PAGE_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def allowed(origins: tuple[str, ...], origin: str) -> dict[str, str]:
    """CORS's headers. The function sets them, the function URL has no CORS of its own: with both, AWS would send them
    twice, which browsers refuse; and API Gateway and direct callers get the same answer this way."""
    expose = {"Access-Control-Expose-Headers": "Server-Timing, X-Request-Id, Retry-After"}
    if "*" in origins:
        return {"Access-Control-Allow-Origin": "*", **expose}
    found = {"Access-Control-Allow-Origin": origin, **expose} if origin in origins else {}
    return {**found, "Vary": "Origin"}


def answer_type(request: Request) -> str:
    """JSON is said to be JSON to whoever asks for it; else it is text."""
    asked = [each.strip().lower() for each in request.headers.get("accept", "").split(",")]
    return "application/json" if any(each.split(";")[0] == "application/json" for each in asked) else "text/plain"


def content_policy(page: bytes) -> dict[str, str]:
    """Nothing but the page's own script and style, known by their hashes, and requests to where it came from."""

    def hashes(tag: bytes) -> str:
        found = re.findall(b"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(each).digest()).decode() for each in found]
        return " ".join(f"'sha256-{each}'" for each in digests) or "'none'"

    policy = (
        f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy}


def endpoint_refusal(response: Mapping[str, Any]) -> Refused:
    """What boto3's ClientError of InvokeEndpoint means for the caller, who is not told the endpoint's name."""
    code = response["Error"].get("Code", "")
    if code in ("ThrottlingException", "TooManyRequestsException", "ServiceUnavailable", "ModelNotReadyException"):
        return Refused(503, "the classifier has too much to do", "Try again in a few seconds", 2)
    if code != "ModelError":
        return Refused(502, "the classifier cannot be asked just now", "Try again later")
    status, original = response.get("OriginalStatusCode") or 0, str(response.get("OriginalMessage", ""))
    if "timed out" in original + response["Error"].get("Message", ""):
        return Refused(504, "the classifier did not answer in time", "Try again in a few seconds", 5)
    if status in (429, 503):
        return Refused(503, "the classifier has too much to do", "Try again in a few seconds", 2)
    if 400 <= status < 500:
        message, remedy = _said(original)
        return Refused(413 if status == 413 else 422, message, remedy)
    return Refused(424, "the classifier failed at this picture", "Try another one", 0)


def _said(original: str) -> tuple[str, str]:
    """The container's own words: a line of JSON with error and remedy."""
    try:
        said = json.loads(original)
        return str(said["error"])[:300], str(said.get("remedy", ""))[:300]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "the classifier does not take this picture", "Send another one"


def log_line(request: Request, status: int, seconds: float, cold: bool, call: _Call, function: str) -> None:
    """One line of JSON, which CloudWatch takes metrics from (its embedded metric format). Never a picture, a path or a
    query: those may be somebody's secret."""
    start = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    metrics = {"Latency": seconds * 1000, "ColdStart": float(cold and start == "on-demand")}
    metrics |= {"Refused": float(400 <= status < 500), "Failed": float(status >= 500)}
    metrics |= {f"{step.capitalize()}Latency": taken * 1000 for step, taken in call.spent.items() if step != "function"}
    units = [{"Name": each, "Unit": "Milliseconds" if "Latency" in each else "Count"} for each in metrics]
    told = {"Namespace": "Kennel", "Dimensions": [["function"]], "Metrics": units}
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [told]},
        "function": function,
        "request_id": call.id,
        "form": request.form,
        "method": request.method[:20],
        "status": status,
        "first": cold,
        "start": start,
        **{name: round(value, 2) for name, value in metrics.items()},
        **call.note,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


# ---- time


class Late(Exception):
    """It took longer than it may."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises; Late where it takes longer. botocore and resolvers know no limit that moves,
    hence the thread, which then ends by the client's own time-out, answered by nobody."""
    box: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            value = call()
            box.put(lambda: value)
        except BaseException as error:
            box.put(partial(_raise, error))

    if seconds <= 0:
        raise Late
    threading.Thread(target=run, daemon=True).start()
    try:
        return box.get(timeout=seconds)()
    except queue.Empty:
        raise Late from None


def _raise(error: BaseException) -> Any:
    raise error


def _remaining(context: Any) -> float:
    """Seconds until Lambda ends the call."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return float(remaining()) / 1000 if remaining else 30.0


# ---- the web: every address is an attack until shown otherwise

NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
"""IANA's special-purpose registries. Python's is_global is asked as well, and differs by version. 2001::/23 has Teredo,
2002::/16 is 6to4: both carry an IPv4 address inside."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All public IPv6. Outside of it are loopback, link-local, private, multicast, IPv4-mapped and NAT64 addresses."""


def is_public(address: str) -> bool:
    """Whether an IP address, in its canonical form, is one of the public internet."""
    if "%" in address:  # a zone: of links, not of the internet
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found not in GLOBAL_UNICAST:
        return False
    inside = any(found in network for network in NOT_PUBLIC if network.version == found.version)
    return found.is_global and not inside


class Target(NamedTuple):
    """host: in ASCII; path: with its query, percent-encoded."""

    scheme: str
    host: str
    path: str

    @property
    def port(self) -> int:
        return PORTS[self.scheme]


def target_of(url: str, allow_http: bool) -> Target:
    """A URL that may be fetched, as far as its text tells. Raises Refused."""
    if len(url) > 2048 or re.search(r"[\x00-\x20\x7f\\\ud800-\udfff]", url):
        raise Refused(400, "that is no address of a picture", SEND)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode().rstrip(".")
    except (ValueError, UnicodeError) as error:
        raise Refused(400, "that is no address of a picture", SEND) from error
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme not in schemes or not host:
        raise Refused(400, f"only {' and '.join(schemes)} addresses are fetched", SEND)
    if "@" in parts.netloc:
        raise Refused(400, "an address with a user's name is not fetched", SEND)
    if port not in (None, PORTS[parts.scheme]) or not re.fullmatch(r"[a-z0-9._-]{1,253}|[0-9a-f:.]+", host):
        raise Refused(400, "addresses with a port of their own are not fetched", SEND)
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, quote(f"{parts.path or '/'}{query}", safe="%/:=&?~#+!$,;'@()*[]"))


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host, by the system's resolver, which also reads 0x7f.1 and 2130706433 as addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to exactly this address: nothing is resolved again."""
    return socket.create_connection((address, port), seconds)


class Web:
    """Fetches pictures from public addresses. Seams: what resolves, what connects, whom to trust."""

    def __init__(
        self,
        resolve: Callable[[str, int], list[str]] = resolve,
        dial: Callable[[str, int, float], socket.socket] = dial,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._resolve, self._dial, self._trust = resolve, dial, trust
        self._tls: ssl.SSLContext | None = None

    def get(self, url: str, most: int, until: float, allow_http: bool = False) -> tuple[bytes, str]:
        """What lies there, at most `most` bytes, and the host. until: monotonic. Raises Refused."""
        target = target_of(url, allow_http)
        try:
            for _ in range(REDIRECTS + 1):
                found, again = self._once(target, most, until)
                if not again:
                    return found, target.host
                target = target_of(urljoin(f"{target.scheme}://{target.host}{target.path}", again), allow_http)
        except (Late, TimeoutError) as error:
            raise Refused(422, f"{target.host} did not answer in time", "Send the picture itself") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refused(422, f"no picture comes from {target.host}", "See that the address is right") from error
        raise Refused(422, "the address leads from one to the next without end", "Send the picture itself")

    def _once(self, target: Target, most: int, until: float) -> tuple[bytes, str]:
        """The body, or where to look instead."""
        with self._connection(target, until) as connection:
            connection.request("GET", target.path, headers=FETCHING)
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                return b"", response.headers.get("Location") or _refuse_status(target, response.status)
            if response.status != 200:
                _refuse_status(target, response.status)
            if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise Refused(422, f"{target.host} sends the picture packed", "Send the picture itself")
            check_size(response.length or 0, most)
            content = response.read(most + 1)
            if response.length and len(content) <= most:
                raise http.client.IncompleteRead(content)
            return content, ""

    def _connection(self, target: Target, until: float) -> _Connection:
        return _Connection(target, self._socket(target, self._addresses(target, until), until), until)

    def _addresses(self, target: Target, until: float) -> list[str]:
        """All have to be public: one that is not is a host that plays games."""
        found: list[str] = within(until - time.monotonic(), lambda: self._resolve(target.host, target.port))
        if not found or not all(is_public(each) for each in found):
            raise Refused(400, "addresses that are not public are not fetched", SEND)
        return found

    def _socket(self, target: Target, addresses: list[str], until: float) -> socket.socket:
        """To the first address that answers; by TLS, which checks the host's name."""
        for place, address in enumerate(addresses[:4]):
            try:
                plain = self._dial(address, target.port, _until(until))
                break
            except OSError:
                if place + 1 == len(addresses[:4]):
                    raise
        if target.scheme == "http":
            return plain
        try:
            plain.settimeout(_until(until))
            self._tls = self._tls or self._trust()
            return self._tls.wrap_socket(plain, server_hostname=target.host)
        except BaseException:
            plain.close()
            raise


FETCHING = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "kennel", "Connection": "close"}


class _Connection(http.client.HTTPConnection):
    """Over a socket that is there already; every read has what is left of the time, so a trickle ends too."""

    def __init__(self, target: Target, connected: socket.socket, until: float) -> None:
        super().__init__(target.host, target.port)
        self.default_port = target.port  # so that Host names no port
        self._connected = connected
        self.sock: Any = _Timed(connected, until)
        self.auto_open = 0

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self._connected.close()


class _Timed:
    """A socket as http.client uses it."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket, self._end = connected, until

    def close(self) -> None:
        """Not yet: http.client lets go of a connection when it hands out the response, whose body is still to come."""

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_until(self._end))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._end))


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket, self._end = connected, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_until(self._end))
        return self._socket.recv_into(buffer)


def _until(end: float) -> float:
    """Seconds left, for a socket. Raises Late."""
    left = end - time.monotonic()
    if left <= 0:
        raise Late
    return left


def _refuse_status(target: Target, status: int) -> str:
    raise Refused(422, f"{target.host} answered {status}", "See that the address is right")


# ---- the init phase


def make(environment: Mapping[str, str]) -> Function:
    """Client, page and settings. Raises ValueError."""
    settings, page = settings_of(environment), PAGE.read_bytes()
    return Function(settings, client("sagemaker-runtime"), Web(), page, lambda: client("s3"))


class Known(Loader):  # type: ignore[misc]
    """botocore's data, but without a look into the folders of all of AWS's services for the names of two."""

    def list_available_services(self, type_name: str) -> list[str]:
        return ["s3", "sagemaker-runtime"]


def client(service: str) -> Any:
    """botocore's client. One retry: a connection that slept with the environment may be gone."""
    config = Config(
        connect_timeout=3,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 2},
        tcp_keepalive=True,
        user_agent_extra="kennel-function",
    )
    session = botocore.session.Session()
    session.register_component("data_loader", Known())
    return session.create_client(service, config=config)


_function: Function | None = None


def _ready() -> Function:
    global _function
    if _function is None:
        _function = make(os.environ)
    return _function


if "AWS_LAMBDA_RUNTIME_API" in os.environ:  # Lambda imports this: what can be done before a request is done now
    _ready()
