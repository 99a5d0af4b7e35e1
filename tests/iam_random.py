"""Random questions to the evaluator: few words, so that policies and accesses meet often.

One generator for the properties (with seeds of hypothesis's) and for the comparison with another evaluator (with one
seed). Only what AWS's own data knows: actions, resources and global condition keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from iam_cases import ROLE, ROOT, SESSION_ARN, USER_ARN, A, B
from kennel.iam.values import Access, Caller, Policies, Policy

QUEUE = f"arn:aws:sqs:eu-west-1:{A}:queue"
ASKED = (
    ("s3:GetObject", "arn:aws:s3:::bucket/Ana/file"),
    ("s3:PutObject", "arn:aws:s3:::bucket/Ana/file"),
    ("s3:ListBucket", "arn:aws:s3:::bucket"),
    ("sqs:SendMessage", QUEUE),
    ("sts:AssumeRole", ROLE),
)
ACTIONS = ("*", "s3:*", "s3:Get*", "S3:getobject", "s3:?utObject", "s3:ListBucket", "sqs:*", "sqs:SendMessage", "sts:*")
RESOURCES = (
    "*", "arn:aws:s3:::*", "arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/${aws:username}/*",
    "arn:aws:s3:::bucket/${aws:username, 'Bob'}/*", "arn:aws:s3:::b*/?na/f*", "arn:aws:s3:::bucket/ana/*", QUEUE,
    f"arn:aws:sqs:*:{A}:*", ROLE, f"arn:aws:iam::{A}:role/*",
)  # fmt: skip
USER = Caller(USER_ARN, A)
SESSION = Caller(SESSION_ARN, A, ROLE)
STRANGER = Caller(f"arn:aws:iam::{B}:user/Eve", B)
CALLERS = (*[USER] * 6, *[SESSION] * 6, *[STRANGER] * 3, Caller(ROOT, A))
PRINCIPALS: tuple[object, ...] = (
    "*", {"AWS": "*"}, {"AWS": A}, {"AWS": ROOT}, {"AWS": USER_ARN}, {"AWS": ROLE}, {"AWS": SESSION_ARN}, {"AWS": B},
    {"AWS": [STRANGER.arn, f"arn:aws:iam::{A}:user/Bob"]}, {"Service": "sagemaker.amazonaws.com"},
)  # fmt: skip
KEYS = {
    "aws:username": ("Ana", "Bob", "*", ""),
    "aws:PrincipalTag/team": ("red", "Red", "blue", ""),
    "aws:MultiFactorAuthAge": ("0", "10", "10.0", "300"),
    "aws:CurrentTime": ("2026-06-01T12:00:00Z", "2026-06-01T12:00:01Z", "2020-01-01T00:00:00Z"),
    "aws:SecureTransport": ("true", "false"),
    "aws:SourceIp": ("203.0.113.7", "203.0.114.7", "2001:db8::1"),
    "aws:SourceArn": (QUEUE, f"arn:aws:sns:eu-west-1:{A}:topic"),
}
WANTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "aws:username": (
        ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase"),
        ("Ana", "A*", "ana", "?ob", "${aws:PrincipalTag/team}"),
    ),
    "aws:PrincipalTag/team": (
        ("StringEquals", "StringNotEquals", "StringLike", "StringNotEqualsIgnoreCase"),
        ("red", "r?d", "blue", "${aws:username}", "${aws:username, 'red'}"),
    ),
    "aws:MultiFactorAuthAge": (
        ("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan"),
        ("10", "0", "300.5"),
    ),
    "aws:CurrentTime": (
        ("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThanEquals"),
        ("2026-06-01T12:00:00Z", "2026-06-01T14:00:01+02:00"),
    ),
    "aws:SecureTransport": (("Bool",), ("true", "false")),
    "aws:SourceIp": (("IpAddress", "NotIpAddress"), ("203.0.113.0/24", "2001:db8::/32", "203.0.114.7")),
    "aws:SourceArn": (
        ("ArnEquals", "ArnLike", "ArnNotLike", "ArnNotEquals"),
        (QUEUE, "arn:aws:sns:*:*:*", f"arn:aws:*:eu-west-?:{A}:q*"),
    ),
    "aws:TagKeys": (
        tuple(
            f"{each}:{name}" for each in ("ForAllValues", "ForAnyValue") for name in ("StringEquals", "StringNotLike")
        ),
        ("a", "b", "?"),
    ),
}


@dataclass(frozen=True)
class Question:
    access: Access
    caller: Caller
    policies: Policies


def question(random: Random) -> Question:
    action, resource = random.choice(ASKED)
    caller = random.choice(CALLERS)
    context: dict[str, tuple[str, ...]] = {}
    context |= {key.lower(): (random.choice(values),) for key, values in KEYS.items() if random.random() < 0.6}
    if random.random() < 0.6:
        context["aws:tagkeys"] = tuple(random.sample(["a", "b", "cc"], random.randint(1, 3)))
    trust = action == "sts:AssumeRole"
    policies = Policies(
        tuple(document(random) for _ in range(random.choice([0, 1, 1, 1, 2]))),
        document(random, attached=True, trust=trust) if random.random() < (0.8 if trust else 0.45) else None,
        (document(random),) if random.random() < 0.25 else None,
        (document(random),) if caller.role and random.random() < 0.3 else None,
    )
    return Question(Access(action, resource, {**context, "aws:resourceaccount": (A,)}), caller, policies)


def document(random: Random, *, attached: bool = False, trust: bool = False) -> Policy:
    """attached: on a resource."""
    return {
        "Version": "2012-10-17",
        "Statement": [statement(random, attached, trust) for _ in range(random.choice([1, 1, 2, 3]))],
    }


def statement(random: Random, attached: bool = False, trust: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"Effect": random.choice(["Allow"] * 5 + ["Deny"])}
    if attached:
        found["Principal"] = random.choice(PRINCIPALS)
    if trust:
        found["Action"] = random.choice(["sts:AssumeRole", "sts:*", ["sts:TagSession", "sts:assumerole"]])
    else:
        found[_maybe_not(random, "Action")] = ["*"] if random.random() < 0.3 else _some(random, ACTIONS)
        found[_maybe_not(random, "Resource")] = ["*"] if random.random() < 0.4 else _some(random, RESOURCES)
    condition = dict(_condition(random) for _ in range(random.choice([0, 0, 0, 1, 1, 2])))
    return {**found, "Condition": condition} if condition else found


def _condition(random: Random) -> tuple[str, dict[str, Any]]:
    if random.random() < 0.1:
        return "Null", {random.choice([*KEYS, "aws:TagKeys"]): random.choice(["true", "false"])}
    key = random.choice([*WANTED, "aws:username", "aws:PrincipalTag/team"])
    operators, values = WANTED[key]
    exists = "IfExists" if random.random() < 0.2 else ""
    return random.choice(operators) + exists, {key: _some(random, values)}


def _maybe_not(random: Random, name: str) -> str:
    return f"Not{name}" if random.random() < 0.1 else name


def _some(random: Random, values: tuple[str, ...]) -> list[str]:
    return random.sample(values, random.choice([1, 1, 2]))
