"""What a call to one of moto's services asks for: the operation and its request, in AWS's own member names."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from kennel.local.call import Call
from kennel.local.parts import Document


class Unreadable(Exception):
    """It is no request of this service's."""


def read(call: Call) -> tuple[str, Document]:
    """(operation, request) of a service that tells its operations by a name. Raises Unreadable."""
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.request import determine_request_protocol
    from werkzeug.datastructures import Headers, MultiDict

    name = call.action()
    model = _model(call.service)
    if name not in model.operation_names or not isinstance(call.body, bytes):
        raise Unreadable(name)
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
        raise Unreadable(name) from error


def delete_keys(call: Call) -> list[tuple[str, str]]:
    """(key, version or "") of each object that DeleteObjects names. Raises Unreadable."""
    from xml.etree import ElementTree

    if not isinstance(call.body, bytes) or b"<!DOCTYPE" in call.body or b"<!ENTITY" in call.body:
        raise Unreadable("DeleteObjects")
    try:
        root = ElementTree.fromstring(call.body)  # noqa: S314 - entities are refused above
    except ElementTree.ParseError as error:
        raise Unreadable("DeleteObjects") from error
    found = []
    for each in root.iter():
        if each.tag.rpartition("}")[2] == "Object":
            parts = {child.tag.rpartition("}")[2]: child.text or "" for child in each}
            found.append((parts.get("Key", ""), parts.get("VersionId", "")))
    return found


def _values(call: Call) -> list[tuple[str, str]]:
    body = call.body.decode("utf-8", "replace") if isinstance(call.body, bytes) else ""
    return [*parse_qsl(call.query, keep_blank_values=True), *parse_qsl(body, keep_blank_values=True)]


@lru_cache(maxsize=16)
def _model(service: str) -> Any:
    from moto.core.utils import get_service_model

    return get_service_model({"monitoring": "cloudwatch"}.get(service, service))
