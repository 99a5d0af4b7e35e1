"""Systems Manager, as far as a machine image is found by it: parameters. Those of AWS's own are no account's."""

from __future__ import annotations

from collections.abc import Sequence

from kennel.local.gatekeeper.mapping.table import Place, Request, Resources, Rule, Table, Unknown, texts

PUBLIC = "/aws/service/"


def _parameters(path: str) -> Resources:
    """By name; with a version or a label (NAME:3) it is the same one. An ARN may stand for the name."""

    def found(request: Request, place: Place) -> Sequence[str]:
        return tuple(_arn(each, place) for each in texts(request, path))

    return found


def _arn(name: str, place: Place) -> str:
    if name.startswith("arn:"):
        raise Unknown("a parameter named by its ARN is not looked up")
    bare = name.split(":", 1)[0]
    account = "" if bare.startswith(PUBLIC) else place.account
    return f"arn:{place.partition}:ssm:{place.region}:{account}:parameter/{bare.removeprefix('/')}"


TABLE: Table = {
    "GetParameter": (Rule(_parameters("Name")),),
    "GetParameters": (Rule(_parameters("Names[]")),),
}
