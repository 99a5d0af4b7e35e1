"""The front door: every request to the local AWS comes here and is told apart by what it is signed for.

SageMaker's operations and invocations are ours; S3, IAM and some more are moto's; a browser gets the page. What is
signed is done only as far as the gatekeeper lets it. Who may knock at all: this machine, and no web page of somebody
else in its browser.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote, unquote
from uuid import uuid4
from xml.sax.saxutils import escape

from kennel.aws import shapes
from kennel.local.asking import SERVICE as OWN
from kennel.local.call import Call, Environ, Scope, scope_of
from kennel.local.errors import Refused, invalid
from kennel.local.moto_side import SERVICES
from kennel.local.objects import Stream
from kennel.local.parts import (
    Asker,
    Document,
    Gate,
    Invocations,
    JsonService,
    Operation,
    Page,
    Reply,
    RestService,
    WebRequest,
)
from kennel.local.rest import Asked, RestApi
from kennel.local.wire import PRESERVED

log = logging.getLogger(__name__)

MAX_BODY = 30 * 1024**2
"""Of everything but S3's objects. What an endpoint takes is less, and its own business."""
MAX_PACKAGE = 70_167_211
"""Of a function's package, in base64; AWS's own bound."""
WHOSE = {"sagemaker": "SageMaker", "application-autoscaling": "Application Auto Scaling", "ssm": "Systems Manager"}
WEB = ("/_url/", "/_code/")
OWNERS = ("/_kennel/calls",)
"""Pages for the owner of the home only."""
_LOOPBACK = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*)\.)?(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?", re.I)
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")


class Others(Protocol):
    """The services that are not ours."""

    def answer(self, call: Call) -> Reply: ...


class Streams(Protocol):
    """Answers large GETs of S3."""

    def stream(self, call: Call) -> Stream | None: ...


class Door:
    """The WSGI application. region: the one that SageMaker is in. gate: None lets everybody in."""

    def __init__(
        self,
        region: str,
        operations: Mapping[str, Operation],
        invocations: Invocations,
        others: Others,
        streams: Streams,
        page: Page,
        rest: Sequence[RestService] = (),
        json: Sequence[JsonService] = (),
        gate: Gate | None = None,
    ) -> None:
        self._region, self._invocations = region, invocations
        self._operations = {"sagemaker": operations, **{each.service: each.json_operations() for each in json}}
        self._others, self._streams, self._page = others, streams, page
        self._rest = {each.service: RestApi(each.service, each.rest_operations()) for each in rest}
        self._webs = [each.web for each in rest]
        self._gate = gate

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        request_id = str(uuid4())
        try:
            answer = self._answer(environ)
        except Refused as refused:
            answer = _refusal(environ, refused, request_id)
        except Exception:
            log.exception("request %s: %s %s", request_id, environ["REQUEST_METHOD"], environ.get("PATH_INFO"))
            told = f"The local AWS has a defect; its log tells more, look for {request_id}"
            answer = _refusal(environ, Refused("InternalFailure", told, 500), request_id)
        return _send(environ, start_response, answer, request_id)

    def _answer(self, environ: Environ) -> Reply | Stream:
        bucket = _bucket_of_host(environ)
        if _path(environ).startswith(WEB) and (found := self._web(environ)):
            return found
        _refuse_pages(environ)
        scope = scope_of(environ, self._region)
        if scope is None:
            return self._shown(environ, owner=self._gate is None)
        if scope.service not in (OWN, *self._operations, *self._rest, *SERVICES):
            there = ", ".join([*self._operations, *self._rest, *SERVICES])
            raise _unknown(f"The local AWS does not have the service {scope.service}; it has {there}")
        asker = self._gate.asker(environ, scope.service) if self._gate else None
        if scope.service == OWN:
            return self._shown(environ, owner=asker is None or asker.administrator)
        if scope.service == "sagemaker":
            return self._sagemaker(environ, scope, asker)
        if scope.service in self._operations:
            return self._json_api(environ, scope, asker)
        if scope.service in self._rest:
            return self._rest_api(environ, scope, asker)
        return self._other(environ, scope, bucket, asker)

    def _shown(self, environ: Environ, owner: bool) -> Reply:
        """The page and what it reads. owner: signed with the home's own key, for the service `kennel`."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method not in ("GET", "POST") or not (path == "/" or path.startswith("/_kennel/")):
            raise _unsigned()
        if not owner and (method == "POST" or path in OWNERS):
            raise _unsigned()
        return self._page(method, f"{path}?{environ.get('QUERY_STRING', '')}")

    def _web(self, environ: Environ) -> Reply | None:
        """Addresses that are no API's. Pages of any site may ask there, as on AWS: what they may read CORS says."""
        request = WebRequest(
            environ["REQUEST_METHOD"],
            _path(environ),
            environ.get("QUERY_STRING", ""),
            _header_names(environ),
            environ.get("REMOTE_ADDR", ""),
            lambda most: _read(environ, most),
            (lambda: gate.asker(environ, "lambda")) if (gate := self._gate) else None,
        )
        return next((found for each in self._webs if (found := each(request))), None)

    def _rest_api(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        headers, body = _header_names(environ), _read(environ, MAX_PACKAGE)
        query = environ.get("QUERY_STRING", "")
        asked = Asked(environ["REQUEST_METHOD"], _path(environ), query, headers, body)
        return self._rest[scope.service].answer(asked, asker)

    def _check_region(self, scope: Scope) -> None:
        if scope.region != self._region:
            told = f"This local AWS has {scope.service} in {self._region} only, and the request is for {scope.region}"
            raise invalid(told)

    def _sagemaker(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        body = _read(environ)
        if target := environ.get("HTTP_X_AMZ_TARGET"):
            return self._operation("sagemaker", target.rpartition(".")[2], body, asker)
        found = _INVOCATIONS.fullmatch(environ["PATH_INFO"])
        if found and environ["REQUEST_METHOD"] == "POST":
            name, headers = unquote(found[1]), _header_names(environ)
            if asker is not None:
                asker.admit("InvokeEndpoint", _invocation(name, headers))
            return self._invocations.invoke(name, headers, body)
        raise _unknown(f"The local AWS does not have {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")

    def _json_api(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        return self._operation(scope.service, target.rpartition(".")[2], _read(environ), asker)

    def _operation(self, service: str, name: str, body: bytes, asker: Asker | None) -> Reply:
        operations = self._operations[service]
        if name not in operations:
            there, whose = ", ".join(sorted(operations)), WHOSE.get(service, service)
            raise _unknown(f"The local AWS does not have {whose}'s operation {name}; it has {there}")
        request = _parsed(body)
        if found := shapes.problems(service, name, request):
            raise invalid(shapes.refusal(found))
        if asker is not None:
            asker.admit(name, request)
        return _json(200, operations[name](request))

    def _other(self, environ: Environ, scope: Scope, bucket: str, asker: Asker | None) -> Reply | Stream:
        call = _call(environ, scope.service, bucket)
        operation = asker.admit_call(call) if asker is not None else ""
        if asker is not None and (told := asker.answer(operation)):
            return told
        if scope.service == "s3" and (streamed := self._streams.stream(call)):
            return streamed
        try:
            reply = self._others.answer(call)
        except NotImplementedError as error:
            raise _unknown(f"The local AWS does not have this operation of {scope.service} ({error})") from error
        if asker is not None and scope.service == "s3" and reply.status == 404 and call.method in ("GET", "HEAD"):
            _hide(call, reply, operation, asker)
        return reply


def _hide(call: Call, reply: Reply, operation: str, asker: Asker) -> None:
    """Whether there is an object is told only to those who may list its bucket. Raises Refused."""
    bucket, key = call.place()
    if (
        key
        and b"NoSuchBucket" not in reply.body
        and (refused := asker.why_not("s3:ListBucket", f"arn:aws:s3:::{bucket}", operation))
    ):
        raise refused


def _invocation(name: str, headers: Mapping[str, str]) -> Document:
    """InvokeEndpoint's request, as far as policies ask for it."""
    target = headers.get("x-amzn-sagemaker-target-model")
    return {"EndpointName": name, **({"TargetModel": target} if target else {})}


def _bucket_of_host(environ: Environ) -> str:
    """The bucket in `bucket.localhost`. Refuses who came by another name (DNS rebinding)."""
    found = _LOOPBACK.fullmatch(environ.get("HTTP_HOST", ""))
    if not found:
        raise Refused("AccessDenied", "The local AWS answers by the names localhost and 127.0.0.1 only", 403)
    return found["bucket"] or ""


def _refuse_pages(environ: Environ) -> None:
    """Refuses pages of other sites; and those of functions, which are this site's: our own page only reads."""
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "none")
    foreign = origin is not None and origin != f"http://{environ['HTTP_HOST']}"
    acts = environ["REQUEST_METHOD"] not in ("GET", "HEAD") or scope_of(environ, "") is not None
    if foreign or site not in ("none", "same-origin") or (acts and (origin is not None or site == "same-origin")):
        raise Refused("AccessDenied", "The local AWS does not answer pages of other sites", 403)


def _path(environ: Environ) -> str:
    """As it was sent, quoted."""
    return str(environ.get("REQUEST_URI") or quote(environ["PATH_INFO"])).split("?", 1)[0]


def _call(environ: Environ, service: str, bucket: str) -> Call:
    """As moto wants it: metadata by the names that were sent, the bucket in the path."""
    named = environ["PATH_INFO"].strip("/")
    to_object = service == "s3" and bool(named if bucket else "/" in named)
    call = Call.of(service, environ, environ["wsgi.input"] if to_object else _read(environ))
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


def _read(environ: Environ, most: int = MAX_BODY) -> bytes:
    """The body, of bounded size."""
    if int(environ.get("CONTENT_LENGTH") or 0) > most:
        raise Refused("RequestEntityTooLargeException", f"Request must be smaller than {most} bytes", 413)
    return bytes(environ["wsgi.input"].read(most))


def _parsed(body: bytes) -> Document:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise Refused("SerializationException", f"The request's body is not JSON ({error})") from error
    if not isinstance(request, dict):
        raise Refused("SerializationException", "The request's body is not a JSON object")
    return request


def _header_names(environ: Environ) -> dict[str, str]:
    """`content-type`, `x-amzn-sagemaker-…`: names in lower case, with dashes."""
    found = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_") and key != PRESERVED}
    found |= {key: environ[key] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)}
    return {key.lower().replace("_", "-"): value for key, value in found.items()}


def _unsigned() -> Refused:
    told = "The request is not signed; set AWS_ACCESS_KEY_ID and its secret"
    return Refused("MissingAuthenticationToken", told, 403)


def _unknown(message: str) -> Refused:
    return Refused("UnknownOperationException", message)


def _json(status: int, document: Document) -> Reply:
    return Reply(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())


def _refusal(environ: Environ, refused: Refused, request_id: str) -> Reply:
    """In the form that the caller's protocol has for errors."""
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    scope = scope_of(environ, "")
    if scope is not None and scope.service == "ec2":
        error = f"<Error><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message></Error>"
        body = f"<Response><Errors>{error}</Errors><RequestID>{request_id}</RequestID></Response>"
        return Reply(refused.status, {"Content-Type": "text/xml"}, body.encode())
    if form or (scope is not None and scope.service == "s3"):
        error = f"<Error><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>" if form else error
        return Reply(refused.status, {"Content-Type": "text/xml"}, body.encode())
    reply = _json(refused.status, {"__type": refused.code, "message": refused.message, **refused.more})
    return Reply(reply.status, {**reply.headers, "x-amzn-ErrorType": refused.code}, reply.body)


def _send(environ: Environ, start_response: Any, answer: Reply | Stream, request_id: str) -> Iterable[bytes]:
    reply = answer.reply if isinstance(answer, Stream) else answer
    headers = {name: value for name, value in reply.headers.items() if "\n" not in value}
    names = {name.lower() for name in headers}
    if not names & {"x-amzn-requestid", "x-amz-request-id"}:
        headers["x-amzn-RequestId"] = request_id
    if "content-length" not in names:
        headers["Content-Length"] = str(len(reply.body))
    cookies = [("Set-Cookie", each) for each in reply.cookies]
    start_response(f"{reply.status} {_reason(reply.status)}", [*headers.items(), *cookies])
    if isinstance(answer, Stream):
        found: Iterable[bytes] = environ["wsgi.file_wrapper"](answer.file, 1 << 18)
        return found
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
