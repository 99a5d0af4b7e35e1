"""What the front door sends: replies and streams as WSGI has them, refusals in the form of the caller's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from kennel.local.call import Environ, scope_of
from kennel.local.errors import Refused
from kennel.local.objects import Stream
from kennel.local.parts import Document, Reply


def json_reply(status: int, document: Document) -> Reply:
    return Reply(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())


def refusal(environ: Environ, refused: Refused, request_id: str) -> Reply:
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
    reply = json_reply(refused.status, {"__type": refused.code, "message": refused.message, **refused.more})
    return Reply(reply.status, {**reply.headers, "x-amzn-ErrorType": refused.code}, reply.body)


def send(environ: Environ, start_response: Any, answer: Reply | Stream, request_id: str) -> Iterable[bytes]:
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
