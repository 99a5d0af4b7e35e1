"""Which of S3's operations a request is, and its members: by S3's own model, from method, path, query and headers.

Strict where moto is not: a query that names two things at once, or one that the operation does not know, is refused,
since moto would do the one that it looks for first. What stands in bodies is read where it says what is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from kennel.local.gatekeeper.mapping import s3
from kennel.local.gatekeeper.mapping.table import Unknown

SIGNING = re.compile(r"x-amz-(?:algorithm|credential|date|expires|security-token|signature|signedheaders)|x-id", re.I)
_SOURCE = re.compile(r"/?(?P<bucket>[A-Za-z0-9._-]+)/(?P<key>[^?#;\\\s]+)(?:\?versionId=(?P<version>[^&?#\s]+))?")
_NEVER_EMPTY = {"versionId", "uploadId", "partNumber", "id"}
_BODY = {"CreateBucket", "DeleteObjects", "PutObjectTagging", "PutBucketReplication"}


@dataclass(frozen=True, slots=True)
class _Route:
    """query, headers: their names → members. fixed: what has to stand in the query; needed: which names must be."""

    operation: str
    fixed: frozenset[tuple[str, str]]
    needed: frozenset[str]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def fits(self, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        return (
            self.fixed <= set(query.items())
            and self.needed <= query.keys() | headers.keys()
            and query.keys() <= self.query.keys() | dict(self.fixed).keys()
        )


def s3_operation(
    method: str, bucket: str, key: str, query: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[str, dict[str, Any]]:
    """(the operation, its members). key: as it is, not quoted. headers: names in small letters. Raises Unknown."""
    asked = _query(query)
    level = "object" if key else "bucket" if bucket else "service"
    found = [each for each in _routes().get((method, level), ()) if each.fits(asked, headers)]
    if (key and not bucket) or not found:
        raise Unknown(f"S3 has no operation {method} {'?'.join([level, *sorted(asked)])} here")
    route = max(found, key=lambda each: (len(each.fixed), len(each.needed)))
    request: dict[str, Any] = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}
    request |= {route.query[name]: value for name, value in asked.items() if name in route.query}
    request |= {route.headers[name]: value for name, value in headers.items() if name in route.headers}
    request |= _derived(route.operation, request, body)
    return route.operation, request


def _query(text: str) -> dict[str, str]:
    """By name, without what signs the request; every name once."""
    pairs = [pair for pair in parse_qsl(text, keep_blank_values=True) if not SIGNING.fullmatch(pair[0])]
    found = dict(pairs)
    if len(found) < len(pairs) or any(not found[name] for name in _NEVER_EMPTY & found.keys()):
        raise Unknown("a name stands twice in the query, or without its value")
    return found


@cache
def _routes() -> Mapping[tuple[str, str], Sequence[_Route]]:
    from kennel.aws import shapes

    found: dict[tuple[str, str], list[_Route]] = {}
    for name in s3.TABLE:
        operation = shapes.model("s3").operation_model(name)
        path, _, fixed = operation.http["requestUri"].partition("?")
        level = "object" if "{Key+}" in path else "bucket" if "{Bucket}" in path else "service"
        found.setdefault((operation.http["method"], level), []).append(_route(name, operation.input_shape, fixed))
    return found


def _route(name: str, shape: Any, fixed: str) -> _Route:
    where: dict[str, dict[str, str]] = {"querystring": {}, "header": {}}
    needed = set()
    for member, each in shape.members.items():
        location, wire = each.serialization.get("location"), each.serialization.get("name", "")
        if location in where:
            wire = wire.lower() if location == "header" else wire
            where[location][wire] = member
            if member in shape.required_members and wire in ("uploadId", "partNumber", "id", "x-amz-copy-source"):
                needed.add(wire)
    pairs = frozenset(parse_qsl(fixed, keep_blank_values=True))
    return _Route(name, pairs, frozenset(needed), where["querystring"], where["header"])


def _derived(operation: str, request: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """What the members mean: whether an ACL is set, which tags, what is copied, what the body touches."""
    found: dict[str, Any] = {}
    acl = request.get("ACL", "")
    harmless = operation == "CreateBucket" and acl == "private"
    found["Granted"] = "true" if (acl and not harmless) or any(name.startswith("Grant") for name in request) else ""
    if tagging := request.get("Tagging"):
        found["Tags"] = dict(_once(parse_qsl(tagging, keep_blank_values=True)))
    if "CopySource" in request:
        found["Source"] = _source(str(request["CopySource"]))
    if operation in _BODY:
        found |= _in_body(operation, request, body)
    return found


def _once(pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    if len(dict(pairs)) < len(pairs):
        raise Unknown("a tag is given twice")
    return pairs


def _source(header: str) -> dict[str, str]:
    """What is copied. Only what can be read in one way."""
    found = _SOURCE.fullmatch(header)
    bucket, _, key = unquote(header.partition("?")[0]).lstrip("/").partition("/")
    if found is None or found["bucket"] != bucket or not key:
        raise Unknown("x-amz-copy-source is not BUCKET/KEY, quoted, with an optional ?versionId=")
    version = {"VersionId": unquote(found["version"])} if found["version"] else {}
    return {"Bucket": bucket, "Key": key} | version


def _in_body(operation: str, request: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    document = _document(body, strip_whitespace=operation != "DeleteObjects")
    if operation == "CreateBucket":
        return {"LocationConstraint": (document.get("CreateBucketConfiguration") or {}).get("LocationConstraint")}
    if operation == "PutBucketReplication":
        return {"Role": (document.get("ReplicationConfiguration") or {}).get("Role") or ""}
    if operation == "PutObjectTagging":
        tags = ((document.get("Tagging") or {}).get("TagSet") or {}).get("Tag") or []
        return {"Tags": tags if isinstance(tags, list) else [tags]}
    return _deleted(request, (document.get("Delete") or {}).get("Object") or [])


OF_DELETED = {"Key", "VersionId", "ETag", "LastModifiedTime", "Size"}


def _deleted(request: Mapping[str, Any], objects: Any) -> dict[str, Any]:
    listed = [dict(each) for each in (objects if isinstance(objects, list) else [objects]) if isinstance(each, Mapping)]
    if not listed or not all(isinstance(each.get("Key"), str) for each in listed):
        raise Unknown("the objects to be deleted cannot be read")
    if any(set(each) - OF_DELETED for each in listed):
        raise Unknown("the objects to be deleted have members that S3 does not know")
    return {"Objects": [{**each, "Bucket": request["Bucket"]} for each in listed]}


def _document(body: bytes, *, strip_whitespace: bool) -> dict[str, Any]:
    """XML as moto reads it, so that both see the same."""
    if not body:
        return {}
    from xmltodict import parse  # moto's

    try:
        return dict(parse(body, strip_whitespace=strip_whitespace))
    except Exception as error:
        raise Unknown(f"the body is not XML ({error})") from error
