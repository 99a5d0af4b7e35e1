"""The statement to use instead: from what a record says was really called, else from what is known of the statement.

Words in capitals in what it proposes (`BUCKET-NAME`) are the reader's to fill in: nobody else can know them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kennel.iam.audit import knowledge
from kennel.iam.audit.statements import Statement
from kennel.iam.audit.values import Subject
from kennel.iam.audit.wild import is_wild, matches
from kennel.iam.record import Call

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
LOG = ("logs:CreateLogStream", "logs:PutLogEvents")
USUAL: Mapping[str, tuple[str, ...]] = {
    "lambda.amazonaws.com": ("sagemaker:InvokeEndpoint", *LOG),
    "sagemaker.amazonaws.com": (
        "s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:GetAuthorizationToken", *PULL,
        "logs:CreateLogGroup", *LOG, "cloudwatch:PutMetricData",
    ),
    "ec2.amazonaws.com": ("s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:GetAuthorizationToken", *PULL, *LOG),
}  # fmt: skip
"""What the work of a role that a service takes on usually needs."""
FEW: Mapping[str, tuple[str, ...]] = {
    "s3": ("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    "sagemaker": ("sagemaker:InvokeEndpoint",),
    "lambda": ("lambda:InvokeFunction",),
    "logs": LOG,
    "ecr": PULL,
    "cloudwatch": ("cloudwatch:PutMetricData",),
    "iam": ("iam:PassRole",),
    "sts": ("sts:AssumeRole",),
    "dynamodb": ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"),
    "kms": ("kms:Decrypt",),
    "secretsmanager": ("secretsmanager:GetSecretValue",),
    "ssm": ("ssm:GetParameter",),
    "sns": ("sns:Publish",),
    "sqs": ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"),
}
"""What is used of a service most, where nobody knows whose the policy is."""
MANY = 20
PASSES = {"sagemaker:create": "sagemaker.amazonaws.com", "lambda:": "lambda.amazonaws.com", "ec2:": "ec2.amazonaws.com"}
PASSED_TO = "iam:passedtoservice"
NUMBERED = re.compile(r"^(training-job|hyper-parameter-tuning-job|processing-job|transform-job|model|endpoint-config)/")
"""Of SageMaker's resources, those of which every run makes new ones."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a subject besides its statements. calls: those of its own that were allowed; project: what its
    names begin with, "" where that is not known."""

    subject: Subject
    calls: Sequence[Call] = ()
    project: str = ""
    region: str = "REGION"
    partition: str = "aws"
    services: tuple[str, ...] = field(default=())

    @property
    def account(self) -> str:
        return self.subject.account or "ACCOUNT"


def called(known: Known, statement: Statement) -> list[Call]:
    """The calls that the statement allows."""
    return [each for each in known.calls if _allows(statement, each)]


def instead(known: Known, statement: Statement, actions: Iterable[str] = ()) -> tuple[Mapping[str, Any], ...]:
    """Narrower statements for one; actions: those of its patterns that are concerned, all if none are named."""
    chosen = tuple(actions) or statement.actions or ("*",)
    used = [each for each in called(known, statement) if _of(chosen, each.action)]
    if used:
        return recorded(known, used, statement.sid)
    return usual(known, [each for pattern in chosen for each in needed(known, pattern)], statement)


def needed(known: Known, pattern: str) -> tuple[str, ...]:
    """The actions that a pattern is probably there for."""
    if pattern in ("*", "*:*"):
        usual_ones = [each for service in known.services for each in USUAL.get(service, ())]
        return tuple(dict.fromkeys(usual_ones)) or ("sts:AssumeRole",)
    if not is_wild(pattern):
        return knowledge.expand(pattern)
    found = knowledge.expand(pattern)
    for some in (*(USUAL.get(each, ()) for each in known.services), FEW.get(pattern.partition(":")[0].lower(), ())):
        if both := [each for each in some if each in found]:
            return tuple(both)
    if len(found) <= MANY:
        return found
    return tuple(each for each in found if knowledge.level(each) in ("Read", "List"))[:MANY]


def usual(known: Known, actions: Iterable[str], statement: Statement) -> tuple[Mapping[str, Any], ...]:
    """Statements of these actions, each on the kind of resource that it knows, conditions as they were."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action in dict.fromkeys(actions):
        if action == "iam:PassRole":
            groups[("",)] = []
            continue
        own = tuple(each for each in statement.resources if _narrow(each, action))
        found = own or knowledge.examples(action, known.partition, known.region, known.account) or ("*",)
        groups[found].append(action)
    made = [
        _allow(f"{statement.sid}", each, list(resources), _condition(each, statement))
        for resources, each in groups.items()
        if each
    ]
    return _numbered([*made, *([pass_role(known, statement)] if ("",) in groups else [])])


def pass_role(known: Known, statement: Statement) -> Mapping[str, Any]:
    """iam:PassRole of named roles, to the service that is meant."""
    passed = [each for each in called(known, statement) if each.action == "iam:PassRole"]
    roles = sorted({each.resource for each in passed}) or [each for each in statement.resources if not is_wild(each)]
    services = {each for call in passed for each in call.context.get(PASSED_TO, ())} or {_meant(known)}
    return _allow(
        statement.sid,
        ["iam:PassRole"],
        roles or [f"arn:{known.partition}:iam::{known.account}:role/ROLE-NAME"],
        _passed_to(services),
    )


def recorded(known: Known, calls: Iterable[Call], sid: str) -> tuple[Mapping[str, Any], ...]:
    """Statements of exactly what was called, on what it was called on, made general by `general`."""
    on: dict[str, set[str]] = defaultdict(set)
    passed: dict[str, set[str]] = defaultdict(set)
    for each in calls:
        on[each.action].add(general(each.resource, known.project))
        if each.action == "iam:PassRole":
            passed[each.action].update(each.context.get(PASSED_TO, ()))
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, resources in sorted(on.items()):
        groups[(action if action == "iam:PassRole" else "", *sorted(resources))].append(action)
    made = []
    for (_, *names), actions in groups.items():
        services = passed.get(actions[0], set())
        made.append(_allow(sid, actions, names, _passed_to(services) if services else {}))
    return _numbered(made)


def general(resource: str, project: str = "") -> str:
    """A resource as the next run will need it: the same place, another name.

    An object stands for what lies two folders deep (`bucket/kennel/data/*`), a log stream for its group's, a job or
    a model of the project for all of the project's. Everything else is itself.
    """
    parts = resource.split(":", 5)
    if len(parts) != 6:
        return resource
    head, name = ":".join(parts[:5]), parts[5]
    if parts[2] == "s3" and "/" in name:
        bucket, *folders = name.split("/")
        return f"{head}:{'/'.join([bucket, *folders[:-1][:2]])}/*"
    if parts[2] == "logs" and ":log-stream:" in name:
        return f"{head}:{name.partition(':log-stream:')[0]}:*"
    kind, _, own = name.partition("/")
    if parts[2] == "sagemaker" and NUMBERED.match(name) and project and own.startswith(f"{project}-"):
        return f"{head}:{kind}/{project}-*"
    return resource


def _allows(statement: Statement, call: Call) -> bool:
    """Whether its action and resource match; conditions held, or the call would not have been allowed."""
    by_name = _of(statement.actions, call.action) if statement.actions else not _of(statement.not_actions, call.action)
    if statement.not_resources:
        return by_name and not any(matches(each, call.resource) for each in statement.not_resources)
    return by_name and any(matches(each, call.resource) for each in statement.resources)


def _of(patterns: Iterable[str], action: str) -> bool:
    return any(matches(each.lower(), action.lower()) for each in patterns)


def _narrow(resource: str, action: str) -> bool:
    """Whether one of the statement's own resources may stay: it is a kind that the action knows, and not all of it."""
    from kennel.iam.audit.wild import covers_kind, meets

    return not covers_kind(resource) and any(meets(resource, each) for each in knowledge.formats(action))


def _condition(actions: Sequence[str], statement: Statement) -> Mapping[str, Any]:
    own: Mapping[str, Any] = statement.raw.get("Condition") or {}
    if "cloudwatch:PutMetricData" in actions and not own:
        return {"StringEquals": {"cloudwatch:namespace": "NAMESPACE"}}
    return own


def _passed_to(services: Iterable[str]) -> Mapping[str, Any]:
    listed = sorted(services)
    return {"StringEquals": {"iam:PassedToService": listed if len(listed) > 1 else listed[0]}}


def _meant(known: Known) -> str:
    """The service to which the subject's roles are passed, by what else it may do."""
    from kennel.iam.audit.statements import Malformed, statements

    for document in known.subject.documents:
        try:
            actions = [each.lower() for found in statements(document) for each in found.actions]
        except Malformed:
            continue
        for start, service in PASSES.items():
            if any(each.startswith(start) for each in actions):
                return service
    return "sagemaker.amazonaws.com"


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any]) -> dict[str, Any]:
    words = re.sub(r"[^0-9A-Za-z]", "", sid)
    statement = {"Sid": words, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def _numbered(made: list[dict[str, Any]] | list[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Sids are unique in a policy."""
    if len(made) < 2:
        return tuple(made)
    return tuple({**each, "Sid": f"{each['Sid']}{number}"} for number, each in enumerate(made, 1))
