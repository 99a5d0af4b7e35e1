"""What moto would take and may not be: policies that cannot be read, members that it forgets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kennel.errors import PolicyError
from kennel.iam.documents import Kind, parse
from kennel.local.call import Call
from kennel.local.errors import Refused
from kennel.local.gatekeeper.standing import Standing

IGNORED = {
    "AssumeRole": ("PolicyArns", "Tags", "TransitiveTagKeys", "SourceIdentity", "ProvidedContexts"),
    "CreateUser": ("PermissionsBoundary",),
}
"""Members that moto forgets, and with them a limit or a condition's value."""
NOT_HERE = ("GetSessionToken", "GetFederationToken")
"""moto answers these with keys that everybody knows."""
DOCUMENTS: Mapping[str, tuple[str, Kind]] = {
    "PutRolePolicy": ("PolicyDocument", "identity"),
    "PutUserPolicy": ("PolicyDocument", "identity"),
    "PutGroupPolicy": ("PolicyDocument", "identity"),
    "CreatePolicy": ("PolicyDocument", "identity"),
    "CreatePolicyVersion": ("PolicyDocument", "identity"),
    "CreateRole": ("AssumeRolePolicyDocument", "trust"),
    "UpdateAssumeRolePolicy": ("PolicyDocument", "trust"),
    "AssumeRole": ("Policy", "identity"),
}
SHORTEST_S = 900


def check(call: Call, operation: str, request: Mapping[str, Any], standing: Standing) -> None:
    """Raises Refused."""
    if operation == "PutBucketPolicy" and isinstance(call.body, bytes):
        _check_policy(call.body.decode("utf-8", "replace"), "bucket", "MalformedPolicy")
    if call.service not in ("iam", "sts"):
        return
    if operation in NOT_HERE:
        raise Refused("ValidationError", f"The local AWS does not have {operation}; assume a role (AssumeRole)")
    for member in IGNORED.get(operation, ()):
        if request.get(member):
            raise Refused("ValidationError", f"The local AWS does not have {member} of {operation}; leave it away here")
    if operation in DOCUMENTS:
        member, kind = DOCUMENTS[operation]
        _check_policy(request.get(member), kind, "MalformedPolicyDocument")
    if operation == "AssumeRole":
        _check_name(str(request.get("RoleSessionName", "")))
        _check_duration(request, standing)


def _check_policy(given: object, kind: Kind, code: str) -> None:
    if not given:
        return
    try:
        parse(given if isinstance(given, str) else json.dumps(given), kind)
    except PolicyError as error:
        raise Refused(code, str(error)) from error


def _check_name(name: str) -> None:
    """It becomes part of an ARN."""
    if not re.fullmatch(r"[\w+=,.@-]{2,64}", name, re.ASCII):
        told = f"Value '{name[:64]}' at 'roleSessionName' failed to satisfy constraint"
        raise Refused("ValidationError", f"{told}: Member must satisfy regular expression pattern: [\\w+=,.@-]*")


def _check_duration(request: Mapping[str, Any], standing: Standing) -> None:
    seconds = int(request.get("DurationSeconds") or 3600)
    if seconds < SHORTEST_S:
        told = f"Member must have value greater than or equal to {SHORTEST_S}"
        raise Refused("ValidationError", f"Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: {told}")
    if seconds > standing.longest_session(str(request.get("RoleArn", ""))):
        raise Refused(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
