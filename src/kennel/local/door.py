"""The front door: every request to the local AWS comes here and is told apart by what it is signed for.

SageMaker's operations and invocations are ours; S3, IAM and some more are moto's; a browser gets the page. What is
signed is done only as far as the gatekeeper lets it. Who may knock at all: this machine, and no web page of somebody
else in its browser.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote
from uuid import uuid4

from kennel.aws import shapes
from kennel.local.answers import json_reply, refusal, send
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
from kennel.local.requests import body_of, bucket_of_host, call_of, header_names, parsed, path_of, refuse_pages
from kennel.local.rest import Asked, RestApi

log = logging.getLogger(__name__)

MAX_PACKAGE = 70_167_211
"""Of a function's package, in base64; AWS's own bound."""
WHOSE = {"sagemaker": "SageMaker", "application-autoscaling": "Application Auto Scaling", "ssm": "Systems Manager"}
WEB = ("/_url/", "/_code/")
OWNERS = ("/_kennel/calls",)
"""Pages for the owner of the home only."""
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
            answer = refusal(environ, refused, request_id)
        except Exception:
            log.exception("request %s: %s %s", request_id, environ["REQUEST_METHOD"], environ.get("PATH_INFO"))
            told = f"The local AWS has a defect; its log tells more, look for {request_id}"
            answer = refusal(environ, Refused("InternalFailure", told, 500), request_id)
        return send(environ, start_response, answer, request_id)

    def _answer(self, environ: Environ) -> Reply | Stream:
        bucket = bucket_of_host(environ)
        if path_of(environ).startswith(WEB) and (found := self._web(environ)):
            return found
        refuse_pages(environ)
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
            path_of(environ),
            environ.get("QUERY_STRING", ""),
            header_names(environ),
            environ.get("REMOTE_ADDR", ""),
            lambda most: body_of(environ, most),
            (lambda: gate.asker(environ, "lambda")) if (gate := self._gate) else None,
        )
        return next((found for each in self._webs if (found := each(request))), None)

    def _rest_api(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        headers, body = header_names(environ), body_of(environ, MAX_PACKAGE)
        query = environ.get("QUERY_STRING", "")
        asked = Asked(environ["REQUEST_METHOD"], path_of(environ), query, headers, body)
        return self._rest[scope.service].answer(asked, asker)

    def _check_region(self, scope: Scope) -> None:
        if scope.region != self._region:
            told = f"This local AWS has {scope.service} in {self._region} only, and the request is for {scope.region}"
            raise invalid(told)

    def _sagemaker(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        body = body_of(environ)
        if target := environ.get("HTTP_X_AMZ_TARGET"):
            return self._operation("sagemaker", target.rpartition(".")[2], body, asker)
        found = _INVOCATIONS.fullmatch(environ["PATH_INFO"])
        if found and environ["REQUEST_METHOD"] == "POST":
            name, headers = unquote(found[1]), header_names(environ)
            if asker is not None:
                asker.admit("InvokeEndpoint", _invocation(name, headers))
            return self._invocations.invoke(name, headers, body)
        raise _unknown(f"The local AWS does not have {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")

    def _json_api(self, environ: Environ, scope: Scope, asker: Asker | None) -> Reply:
        self._check_region(scope)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        return self._operation(scope.service, target.rpartition(".")[2], body_of(environ), asker)

    def _operation(self, service: str, name: str, body: bytes, asker: Asker | None) -> Reply:
        operations = self._operations[service]
        if name not in operations:
            there, whose = ", ".join(sorted(operations)), WHOSE.get(service, service)
            raise _unknown(f"The local AWS does not have {whose}'s operation {name}; it has {there}")
        request = parsed(body)
        if found := shapes.problems(service, name, request):
            raise invalid(shapes.refusal(found))
        if asker is not None:
            asker.admit(name, request)
        return json_reply(200, operations[name](request))

    def _other(self, environ: Environ, scope: Scope, bucket: str, asker: Asker | None) -> Reply | Stream:
        call = call_of(environ, scope.service, bucket)
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


def _unsigned() -> Refused:
    told = "The request is not signed; set AWS_ACCESS_KEY_ID and its secret"
    return Refused("MissingAuthenticationToken", told, 403)


def _unknown(message: str) -> Refused:
    return Refused("UnknownOperationException", message)
