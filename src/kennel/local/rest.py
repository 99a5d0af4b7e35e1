"""REST-JSON: AWS's services whose operations are told apart by method and path, read and written by botocore's models.

Covers what Lambda uses: parameters in the path, the query and headers, a body of JSON or of bytes, answers likewise.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from kennel.aws import shapes
from kennel.local.errors import Refused, invalid
from kennel.local.parts import Asker, Document, Operation, Reply


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path as it was sent (quoted), its headers' names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    fixed: Mapping[str, list[str]]
    name: str


class RestApi:
    """A service's operations by their REST paths."""

    def __init__(self, service: str, operations: Mapping[str, Operation]) -> None:
        self._service, self._operations = service, operations

    @cached_property
    def _routes(self) -> list[_Route]:
        """Made when the first request comes: reading a model takes a while."""
        model = shapes.model(self._service)
        routes = [_route(model.operation_model(name)) for name in model.operation_names]
        return sorted(routes, key=lambda each: not each.fixed)  # those with a word in the query first

    def answer(self, asked: Asked, asker: Asker | None = None) -> Reply:
        """asker: who has to be allowed to. Raises Refused."""
        route, labels = self._found(asked)
        if route.name not in self._operations:
            there = ", ".join(sorted(self._operations))
            told = f"The local AWS does not have {self._service}'s operation {route.name}; it has {there}"
            raise Refused("UnknownOperationException", told)
        operation = shapes.model(self._service).operation_model(route.name)
        request = _request(operation.input_shape, asked, labels) if operation.input_shape else {}
        if found := shapes.problems(self._service, route.name, request):
            raise invalid(shapes.refusal(found))
        if asker is not None:
            asker.admit(route.name, request)
        return _reply(operation, self._operations[route.name](request))

    def _found(self, asked: Asked) -> tuple[_Route, dict[str, str]]:
        query = parse_qs(asked.query)
        for route in self._routes:
            found = route.pattern.fullmatch(asked.path) if route.method == asked.method else None
            if found and route.fixed.items() <= query.items():
                return route, dict(zip(route.labels, map(unquote, found.groups()), strict=True))
        told = f"The local AWS does not have {asked.method} {asked.path} of {self._service}"
        raise Refused("UnknownOperationException", told, 404)


def _route(operation: Any) -> _Route:
    path, _, query = operation.http["requestUri"].partition("?")
    pieces = re.split(r"\{(\w+)\+?\}", path.rstrip("/"))
    pattern = "([^/]+)".join(re.escape(each) for each in pieces[::2])
    labels, fixed = tuple(pieces[1::2]), parse_qs(query, keep_blank_values=True)
    return _Route(operation.http["method"], re.compile(f"{pattern}/?"), labels, fixed, operation.name)


def _request(shape: Any, asked: Asked, labels: Mapping[str, str]) -> Document:
    query, payload = parse_qs(asked.query, keep_blank_values=True), shape.serialization.get("payload")
    request: Document = {} if payload else _body(shape, asked.body)
    for name, member in shape.members.items():
        at, key = member.serialization.get("location"), member.serialization.get("name", name)
        if at == "uri":
            request[name] = labels[key]
        elif at == "querystring" and key in query:
            request[name] = _of_text(member, query[key])
        elif at == "header" and key.lower() in asked.headers:
            request[name] = _of_text(member, [asked.headers[key.lower()]])
        elif name == payload:
            request[name] = asked.body if member.type_name == "blob" else _body(member, asked.body)
    return request


def _of_text(shape: Any, values: Sequence[str]) -> Any:
    kind = shape.type_name
    if kind == "list":
        return [_of_text(shape.member, [each]) for each in values]
    value = values[0]
    if kind == "boolean":
        return value.lower() == "true"
    if kind in ("integer", "long"):
        return int(value) if re.fullmatch(r"-?\d{1,18}", value) else value
    return value


def _body(shape: Any, body: bytes) -> Document:
    """Its members that stand in the body, bytes decoded."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise _unreadable("it is not JSON") from error
    if not isinstance(given, dict):
        raise _unreadable("it is not a JSON object")
    here = {name: value for name, value in given.items() if not _elsewhere(shape, name)}
    return dict(_with_blobs(shape, here, _decoded))


def _elsewhere(shape: Any, name: str) -> bool:
    return name in shape.members and "location" in shape.members[name].serialization


def _reply(operation: Any, answer: Document) -> Reply:
    shape, status = operation.output_shape, int(operation.http.get("responseCode", 200))
    headers, body, payload = dict[str, str](), Document(), None
    given = {name: value for name, value in answer.items() if value is not None}
    for name, value in given.items():
        member = shape.members[name]
        at = member.serialization.get("location")
        if at == "statusCode":
            status = int(value)
        elif at == "header":
            headers[member.serialization.get("name", name)] = str(value)
        elif name == shape.serialization.get("payload"):
            payload = bytes(value)
        else:
            body[name] = _with_blobs(member, value, lambda blob: base64.b64encode(blob).decode())
    if status == 204:
        return Reply(status, headers, b"")
    headers["Content-Type"] = "application/json"
    return Reply(status, headers, json.dumps(body).encode() if payload is None else payload)


def _with_blobs(shape: Any, value: Any, turn: Callable[[Any], Any]) -> Any:
    """The same value with its blobs turned. What does not fit its shape stays: that is told afterwards."""
    kind = shape.type_name
    if kind == "blob":
        return turn(value)
    if kind == "structure" and isinstance(value, dict):
        return dict(_members(shape, value, turn))
    if kind == "list" and isinstance(value, list):
        return [_with_blobs(shape.member, each, turn) for each in value]
    return value


def _members(shape: Any, value: Document, turn: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        known = name in shape.members and each is not None
        yield name, _with_blobs(shape.members[name], each, turn) if known else each


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise _unreadable("a value that should be base64 is not") from error


def _unreadable(why: str) -> Refused:
    return Refused("SerializationException", f"The request's body cannot be read: {why}")
