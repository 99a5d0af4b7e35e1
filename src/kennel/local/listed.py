"""Answers of the List operations: filtered, sorted, a page at a time."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from kennel.local.errors import invalid
from kennel.local.parts import Document

PAGE = 10
"""Where the request names no MaxResults."""


def listed(
    documents: Sequence[Document],
    request: Document,
    answer: str,
    kind: str,
    shown: Sequence[str],
    by: str = "CreationTime",
    descending: bool = True,
) -> Document:
    """answer: the member that holds the list; kind: `Endpoint` of EndpointName; shown: members besides name and ARN.
    by, descending: the order where the request names none.

    Pages go on after the last one shown, also where others came or went in between.
    """
    order = {"Name": f"{kind}Name", "Status": f"{kind}Status"}.get(request.get("SortBy", by), "CreationTime")

    def place(document: Document) -> tuple[Any, str]:
        return document[order], document[f"{kind}Name"]

    backwards = request.get("SortOrder", "Descending" if descending else "Ascending") == "Descending"
    found = sorted((each for each in documents if _wanted(each, request, kind)), key=place, reverse=backwards)
    if token := request.get("NextToken"):
        last = _parsed(token, order)
        found = [each for each in found if (place(each) < last if backwards else place(each) > last)]
    most = request.get("MaxResults", PAGE)
    members = (f"{kind}Name", f"{kind}Arn", "CreationTime", *shown)
    page: Document = {answer: [{name: each[name] for name in members if name in each} for each in found[:most]]}
    if len(found) > most:
        page["NextToken"] = _token(order, place(found[most - 1]))
    return page


def _wanted(document: Document, request: Document, kind: str) -> bool:
    if request.get("NameContains", "").lower() not in document[f"{kind}Name"].lower():
        return False
    if request.get("StatusEquals", document.get(f"{kind}Status")) != document.get(f"{kind}Status"):
        return False
    return all(
        request.get(f"{name}After", 0) <= document.get(name, 0) <= request.get(f"{name}Before", float("inf"))
        for name in ("CreationTime", "LastModifiedTime")
    )


def _token(order: str, last: tuple[Any, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, *last]).encode()).decode()


def _parsed(token: str, order: str) -> tuple[Any, str]:
    try:
        by, value, name = json.loads(base64.urlsafe_b64decode(token))
        kind = (int, float) if order == "CreationTime" else str
        if by != order or not isinstance(value, kind) or not isinstance(name, str):
            raise ValueError(by)
    except (ValueError, TypeError) as error:
        raise invalid("The NextToken is not one of this list.") from error
    return value, name
