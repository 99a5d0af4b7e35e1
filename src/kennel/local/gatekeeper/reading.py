"""What a call to one of moto's services asks for: the operation and its request, in AWS's own member names."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from kennel.local.call import Call
from kennel.local.gatekeeper import forms
from kennel.local.gatekeeper.mapping import s3_operation
from kennel.local.parts import Document

MOST = 2**20
"""Bytes of a document beside an object."""


class Unreadable(Exception):
    """It is no request of this service's."""


def asked_of(call: Call) -> tuple[str, Document]:
    """(operation, request). Raises Unreadable, Unknown."""
    forms.check(call)
    return _of_s3(call) if call.service == "s3" else _named(call)


def _named(call: Call) -> tuple[str, Document]:
    """Of a service that tells its operations by a name."""
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.request import determine_request_protocol
    from werkzeug.datastructures import Headers, MultiDict

    name = call.action()
    model = _model(call.service)
    if name not in model.operation_names or not isinstance(call.body, bytes):
        raise Unreadable(f"{call.service} has no operation {name[:100]}")
    try:
        kind = call.headers.get("CONTENT_TYPE", "").split(";")[0].strip()
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, kind)](model.operation_model(name))
        given = {
            "method": call.method,
            "values": MultiDict(_values(call)),
            "headers": Headers(),
            "body": call.body,
            "url_path": call.path,
            "url_params": {},
        }
        return name, dict(parser.parse(given) or {})
    except Exception as error:  # whatever a hostile body makes of moto's parser
        raise Unreadable(f"the request cannot be read as {name}") from error


def _of_s3(call: Call) -> tuple[str, Document]:
    bucket, key = call.place()
    headers = {name[5:].lower().replace("_", "-"): value for name, value in call.headers.items() if name[:5] == "HTTP_"}
    return s3_operation(call.method, bucket, key, call.query, headers, _small_body(call))


def _small_body(call: Call) -> bytes:
    """Of what is no object's own bytes; it stays to be read."""
    if isinstance(call.body, bytes):
        return call.body
    if "tagging" not in call.options():
        return b""
    body = call.body.read(MOST)
    call.body.seek(0)
    return body


def _values(call: Call) -> list[tuple[str, str]]:
    body = call.body.decode("utf-8", "replace") if isinstance(call.body, bytes) else ""
    return [*parse_qsl(call.query, keep_blank_values=True), *parse_qsl(body, keep_blank_values=True)]


@lru_cache(maxsize=16)
def _model(service: str) -> Any:
    from moto.core.utils import get_service_model

    return get_service_model({"monitoring": "cloudwatch"}.get(service, service))
