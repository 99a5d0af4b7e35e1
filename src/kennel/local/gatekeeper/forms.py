"""The forms in which moto's services may be asked: each request in one, so that it reads in one way only.

moto looks for an operation and its members in a form, a query, headers and the body, and takes the first that it finds,
in whatever request. A request that says one thing to us and another to moto would pass the gate for the harmless one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from kennel.local.call import Call
from kennel.local.gatekeeper.mapping import Unknown
from kennel.local.gatekeeper.mapping.s3_routes import SIGNING

FORM = "application/x-www-form-urlencoded"
TARGETED = {"ecr", "logs", "monitoring"}
"""Services whose operations a header names, the request being JSON."""
QUERIED = {"ec2", "iam", "monitoring", "sts"}
"""Services that are asked by a form, or by a query."""
_TARGET = re.compile(r"\w+\.\w+")


def check(call: Call) -> None:
    """Raises Unknown."""
    if any(name.startswith("HTTP_X_MOTO") for name in call.headers):
        raise Unknown("headers for moto are not taken")
    if "AWSAccessKeyId" in call.options():
        raise Unknown("a query that names another caller is not taken")
    if call.service == "s3":  # whose ARNs have no region, and whose prefixes may be called anything
        return
    if "amazonaws.com" in unquote(call.query):
        raise Unknown("a query from which moto would read a region is not taken")
    fits = _targeted if "HTTP_X_AMZ_TARGET" in call.headers else _queried
    if call.path != "/" or not fits(call, _names(call.query), _kind(call)):
        raise Unknown("the request is in none of the forms that the service is asked in")


def _targeted(call: Call, query: Sequence[str], kind: str) -> bool:
    known = call.service in TARGETED and _TARGET.fullmatch(call.headers["HTTP_X_AMZ_TARGET"]) is not None
    return known and call.method == "POST" and not query and kind.startswith("application/x-amz-json")


def _queried(call: Call, query: Sequence[str], kind: str) -> bool:
    """In the query or in the body, and every name once."""
    if call.service not in QUERIED or not isinstance(call.body, bytes):
        return False
    form = _names(call.body.decode("utf-8", "replace"))
    names = form or query
    said = "Action" in names and len(set(names)) == len(names) and not (form and query)
    return said and (call.method == "POST" and kind == FORM if form else call.method in ("GET", "POST"))


def _names(text: str) -> list[str]:
    """Without those that sign the request."""
    return [name for name, _ in parse_qsl(text, keep_blank_values=True) if not SIGNING.fullmatch(name)]


def _kind(call: Call) -> str:
    return call.headers.get("CONTENT_TYPE", "").split(";")[0].strip().lower()
