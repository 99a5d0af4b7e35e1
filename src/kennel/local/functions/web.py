"""A function URL's two translations: an HTTP request into the event that Lambda makes of it, and an answer back.

Pure. The event is of payload format 2.0, as function URLs and API Gateway's HTTP APIs have it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from kennel.local.parts import Document, Reply, WebRequest

TEXT = ("application/json", "application/javascript", "application/xml", "application/x-javascript")
"""Bodies of these types, and of text/*, reach a function as they are; all others as base64."""
FAILED = Reply(502, {"Content-Type": "application/json", "x-amzn-ErrorType": "InternalServerErrorException"},
               b"Internal Server Error")  # fmt: skip
"""What AWS answers where the function fails, or its answer is none."""
SIGNATURE = ("authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256")
"""Headers of a signed request that its function does not see."""
HOP = (
    "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "trailer", "trailers", "te", "date",
    "server", "proxy-authenticate", "proxy-authorization",
)  # fmt: skip
"""Headers of a function's answer that are the server's own business."""


@dataclass(frozen=True, slots=True)
class Where:
    """Of one request. identity: the URL's; path: what follows the URL, quoted; caller: of a signed request."""

    identity: str
    path: str
    account: str
    request_id: str
    at: float
    caller: Mapping[str, str] | None = None


def event(request: WebRequest, body: bytes, where: Where) -> Document:
    """What the function gets."""
    host = request.headers.get("host", "")
    made: Document = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": where.path,
        "rawQueryString": request.query,
        "headers": _headers(request, where.caller is not None),
        "requestContext": {
            "accountId": where.account if where.caller else "anonymous",
            "apiId": where.identity,
            "domainName": host,
            "domainPrefix": where.identity,
            "http": {
                "method": request.method,
                "path": where.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source,
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": where.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": f"{datetime.fromtimestamp(where.at, UTC):%d/%b/%Y:%H:%M:%S} +0000",
            "timeEpoch": round(where.at * 1000),
        },
        "isBase64Encoded": False,
    }
    if where.caller:
        made["requestContext"]["authorizer"] = {"iam": dict(where.caller)}
    if cookies := [each.strip() for each in request.headers.get("cookie", "").split(";") if each.strip()]:
        made["cookies"] = cookies
    if parameters := _parameters(request.query):
        made["queryStringParameters"] = parameters
    if body:
        made |= _body(body, request.headers.get("content-type", ""))
    return made


def reply(payload: bytes) -> Reply:
    """The HTTP answer in a function's answer; FAILED where it is none."""
    try:
        answer = json.loads(payload)
        if not isinstance(answer, dict) or "statusCode" not in answer:
            return Reply(200, {"Content-Type": "application/json"}, payload)
        return _of_proxy(answer)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return FAILED


def _of_proxy(answer: Document) -> Reply:
    """Raises what `reply` expects where it is malformed."""
    status = int(answer["statusCode"])
    if not 200 <= status <= 599 or isinstance(answer["statusCode"], bool):
        raise ValueError(status)
    headers = {"Content-Type": "application/json"}
    for name, value in (answer.get("headers") or {}).items():
        _set(headers, name, value)
    given = answer.get("body")
    text = given if isinstance(given, str) else "" if given is None else json.dumps(given)
    body = (
        base64.b64decode("".join(text.split()), validate=True)
        if answer.get("isBase64Encoded") is True
        else text.encode()
    )
    cookies = tuple(_line(each) for each in answer.get("cookies") or ())
    return Reply(status, headers, body, cookies)


def _set(headers: dict[str, str], name: str, value: Any) -> None:
    """Raises ValueError for a name or a value that would be another line."""
    if not name or not name.isascii() or any(each in ' \t\r\n:()<>@,;\\"/[]?={}' for each in name):
        raise ValueError(name)
    if name.lower() in HOP:
        return
    for held in [each for each in headers if each.lower() == name.lower()]:
        del headers[held]
    headers[name] = _line(value)


def _line(value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if any(ord(each) < 32 and each != "\t" for each in text) or "\x7f" in text:
        raise ValueError("a header of more than one line")
    text.encode("latin-1")
    return text


def _headers(request: WebRequest, signed: bool) -> dict[str, str]:
    hidden = ("cookie", *(SIGNATURE if signed else ()))
    shown = {name: value for name, value in request.headers.items() if name not in hidden}
    host, _, port = request.headers.get("host", "").rpartition(":")
    return {
        **shown,
        "x-forwarded-for": request.source,
        "x-forwarded-proto": "http",
        "x-forwarded-port": port if host and port.isdecimal() else "80",
    }


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _body(body: bytes, content_type: str) -> Document:
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in TEXT or kind.endswith(("+json", "+xml")):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def preflight(cors: Document, headers: Mapping[str, str]) -> Reply:
    """The answer to OPTIONS of a URL with CORS; its function is not asked."""
    found = allowed(cors, headers.get("origin", ""))
    if found:
        for member, header in (("AllowMethods", "Methods"), ("AllowHeaders", "Headers")):
            if member in cors:
                found[f"Access-Control-Allow-{header}"] = ",".join(cors[member])
        if "MaxAge" in cors:
            found["Access-Control-Max-Age"] = str(cors["MaxAge"])
    return Reply(200, {"Content-Type": "application/json", **found}, b"")


def allowed(cors: Document, origin: str) -> dict[str, str]:
    """What an answer to this origin says; nothing where it is not allowed."""
    origins: Sequence[str] = cors.get("AllowOrigins", [])
    if not origin or not ({"*", origin} & set(origins)):
        return {}
    found = {"Access-Control-Allow-Origin": origin if cors.get("AllowCredentials") or "*" not in origins else "*"}
    if found["Access-Control-Allow-Origin"] != "*":
        found["Vary"] = "Origin"
    if cors.get("AllowCredentials"):
        found["Access-Control-Allow-Credentials"] = "true"
    if cors.get("ExposeHeaders"):
        found["Access-Control-Expose-Headers"] = ",".join(cors["ExposeHeaders"])
    return found


def with_cors(answer: Reply, cors: Document, origin: str) -> Reply:
    """What the URL's configuration says of origins stands over what the function says."""
    own = allowed(cors, origin)
    taken = {"access-control-" + name for name in ("allow-origin", "allow-credentials", "expose-headers")}
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in taken}
    return Reply(answer.status, {**kept, **own}, answer.body, answer.cookies)
