"""Policies and subjects for the audit's tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from kennel.iam.audit import Document, Finding, Subject, audit
from kennel.iam.record import Call

ACCOUNT = "123456789012"
OTHER = "999999999999"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
SAGEMAKER, LAMBDA = "sagemaker.amazonaws.com", "lambda.amazonaws.com"
Statement = Mapping[str, Any]


@cache
def managed(name: str) -> Any:
    """The document of a policy of AWS's, as moto has it."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    return json.loads(aws_managed_policies_data)[name]["Document"]


def attached(name: str) -> Document:
    return Document("identity", name, managed(name), f"arn:aws:iam::aws:policy/{name}", inline=False)


def policy(*statements: Statement) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: Any, resources: Any = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Sid": "Given", "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def trust(principal: Any, action: str = "sts:AssumeRole", **condition: Any) -> dict[str, Any]:
    statement = {"Sid": "Given", "Effect": "Allow", "Principal": principal, "Action": action}
    return {**statement, "Condition": condition} if condition else statement


def careful(service: str) -> Document:
    """A trust policy with nothing wrong in it."""
    asked: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    return Document("trust", "trust", policy(trust({"Service": service}, **asked)))


def role(*documents: Document, name: str = "worker") -> Subject:
    return Subject("role", name, documents, f"arn:aws:iam::{ACCOUNT}:role/{name}", ACCOUNT)


def identity(*statements: Statement) -> Subject:
    return role(Document("identity", "inline", policy(*statements)))


def call(action: str, resource: str, *, allowed: bool = True, who: str = ROLE, **context: str) -> Call:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{who.rpartition('/')[2]}/session"
    keys = {key.replace("__", ":"): (value,) for key, value in context.items()}
    return Call(0.0, session, who, action, resource, allowed, "allowed", "Given", "test", keys)


def found(subject: Subject, calls: Iterable[Call] | None = None, project: str = "") -> tuple[Finding, ...]:
    return audit([subject], None if calls is None else list(calls), project)


def rules(subject: Subject, calls: Iterable[Call] | None = None) -> list[tuple[str, str]]:
    """(rule, severity) of each finding."""
    return sorted((each.rule, each.severity) for each in found(subject, calls))
