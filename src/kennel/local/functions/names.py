"""What a function is called by: its name, part of its ARN or all of it, with a version or an alias behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kennel.local.functions import words
from kennel.local.parts import Document, House

LATEST = "$LATEST"
_FORM = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)


@dataclass(frozen=True, slots=True)
class Ref:
    """qualifier: a version, an alias, or "" where none is named, which means the newest code."""

    name: str
    qualifier: str

    def arn(self, house: House) -> str:
        return house.arn(f"function:{self.name}{self.qualifier and f':{self.qualifier}'}", "lambda")


def ref_of(house: House, request: Document) -> Ref:
    """From a request's FunctionName and Qualifier. Raises Refused."""
    given, named = str(request["FunctionName"]), str(request.get("Qualifier") or "")
    found = _FORM.fullmatch(given)
    if found is None:
        raise words.invalid(f"{given} is not a function's name, nor an ARN of one")
    qualifier = found["qualifier"] or ""
    if qualifier and named and qualifier != named:
        raise words.invalid("The derived qualifier from the function name does not match the specified qualifier.")
    ref = Ref(found["name"], qualifier or named)
    if (found["region"] or house.region, found["account"] or house.account) != (house.region, house.account):
        raise words.not_found(given)
    return ref


def plain(house: House, request: Document) -> str:
    """The name, where a version or an alias has no place. Raises Refused."""
    ref = ref_of(house, request)
    if ref.qualifier:
        raise words.invalid(f"A qualifier has no place here: {request['FunctionName']}")
    return ref.name
