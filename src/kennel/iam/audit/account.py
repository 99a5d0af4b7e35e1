"""Subjects from AWS's own descriptions: GetAccountAuthorizationDetails as boto3 or the AWS command line gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from kennel.iam.audit.values import Document, Kind, Subject

LISTS: Mapping[str, tuple[Kind, str]] = {
    "RoleDetailList": ("role", "Role"),
    "UserDetailList": ("user", "User"),
    "GroupDetailList": ("group", "Group"),
}
SERVICE_LINKED = "/aws-service-role/"
"""Roles that are AWS's own: nobody else can change them."""


def subjects_of(details: Mapping[str, Any], file: str = "") -> Iterator[Subject]:
    """Roles, users, groups and the managed policies that nobody has attached. file: where the description was read."""
    managed = {each["Arn"]: _default(each) for each in details.get("Policies", [])}
    attached: set[str] = set()
    for member, (kind, stem) in LISTS.items():
        for each in details.get(member, []):
            if str(each.get("Path", "")).startswith(SERVICE_LINKED):
                continue
            documents = tuple(_documents(each, stem, managed, file))
            attached |= {document.arn for document in documents}
            arn = str(each.get("Arn", ""))
            yield Subject(kind, str(each.get(f"{stem}Name", "")), documents, arn, account_of(arn))
    for each in details.get("Policies", []):
        if (arn := each["Arn"]) not in attached and ":iam::aws:" not in arn:
            document = Document("identity", str(each.get("PolicyName", arn)), managed[arn], arn, False, file)
            yield Subject("policy", document.name, (document,), arn, account_of(arn))


def account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 else ""


def decoded(policy: Any) -> Any:
    """A document may come as text, and that encoded for a URL, as IAM's API sends it."""
    if not isinstance(policy, str):
        return policy
    try:
        return json.loads(policy if policy.lstrip().startswith("{") else unquote(policy))
    except (ValueError, RecursionError):
        return policy


def _documents(each: Mapping[str, Any], stem: str, managed: Mapping[str, Any], file: str) -> Iterator[Document]:
    if "AssumeRolePolicyDocument" in each:
        yield Document("trust", "trust", decoded(each["AssumeRolePolicyDocument"]), file=file)
    for inline in each.get(f"{stem}PolicyList", []):
        yield Document("identity", str(inline["PolicyName"]), decoded(inline["PolicyDocument"]), file=file)
    for attached in each.get("AttachedManagedPolicies", []):
        arn = str(attached["PolicyArn"])
        yield Document("identity", str(attached.get("PolicyName", arn)), managed.get(arn), arn, False, file)


def _default(policy: Mapping[str, Any]) -> Any:
    versions = policy.get("PolicyVersionList", [])
    return next((decoded(each.get("Document")) for each in versions if each.get("IsDefaultVersion")), None)
