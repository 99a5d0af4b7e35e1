"""Answers of the Describe operations, a page at a time."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from kennel.local.errors import Refused
from kennel.local.parts import Document

PAGE = 50
"""AWS's own bound, and what it takes where a request names none."""


def paged(request: Document, answer: str, found: Sequence[Document]) -> Document:
    """answer: the member that holds the list."""
    first = _parsed(request["NextToken"]) if "NextToken" in request else 0
    most = min(PAGE, request.get("MaxResults", PAGE))
    page: Document = {answer: list(found[first : first + most])}
    if len(found) > first + most:
        page["NextToken"] = base64.urlsafe_b64encode(json.dumps([first + most]).encode()).decode()
    return page


def _parsed(token: str) -> int:
    try:
        [first] = json.loads(base64.urlsafe_b64decode(token))
        if not isinstance(first, int) or first < 0:
            raise ValueError(first)
    except (ValueError, TypeError) as error:
        raise Refused("InvalidNextTokenException", "The NextToken is not one of this list") from error
    return first
