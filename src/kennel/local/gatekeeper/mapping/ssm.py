"""Systems Manager, as far as the image for an instance is found there: public parameters, which are no account's."""

from __future__ import annotations

from collections.abc import Sequence

from kennel.local.gatekeeper.mapping.table import Place, Request, Rule, Table, texts


def _parameters(request: Request, place: Place) -> Sequence[str]:
    names = [*texts(request, "Name"), *texts(request, "Names[]")]
    return tuple(_arn(each, place) for each in names)


def _arn(name: str, place: Place) -> str:
    account = "" if name.startswith("/aws/service/") else place.account
    return f"arn:{place.partition}:ssm:{place.region}:{account}:parameter/{name.removeprefix('/')}"


TABLE: Table = {"GetParameter": (Rule(_parameters),), "GetParameters": (Rule(_parameters),)}
