"""What a decision about an access costs: the evaluator alone, by the size of the policies, beside moto's own.

A policy of n statements has one that allows what is asked, somewhere in the middle, with two conditions and a variable;
the others are about other services. moto's (`IAMPolicy.is_action_permitted`) knows no condition of the request, so it
is asked without them.

    python benchmarks/bench_gatekeeper.py [--seconds 1]
"""

from __future__ import annotations

import argparse
import itertools
import json
import timeit
from collections.abc import Callable
from typing import Any

from moto.iam.access_control import IAMPolicy
from rich.console import Console
from rich.table import Table

from kennel.iam.documents import parse
from kennel.iam.evaluation import evaluate
from kennel.iam.values import Access, Caller, Policies, Written
from kennel.machine import cores

ACCOUNT = "111122223333"
CALLER = Caller(f"arn:aws:sts::{ACCOUNT}:assumed-role/kennel-training/job", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:role/r")
ACCESS = Access(
    "s3:GetObject",
    "arn:aws:s3:::kennel-bucket/kennel/data/train/016.Beagle/a.jpg",
    {"aws:securetransport": ("true",), "aws:principaltag/project": ("kennel",), "aws:resourceaccount": (ACCOUNT,)},
)
CONDITION = {"Bool": {"aws:SecureTransport": "true"}, "StringEquals": {"aws:ResourceAccount": ACCOUNT}}


def policy(statements: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        {
            "Sid": f"Other{number}",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:Put*", "ecr:BatchGetImage"],
            "Resource": [f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/{number}:*", "arn:aws:ecr:eu-west-1:*"],
        }
        for number in range(statements - 1)
    ]
    found.insert(
        statements // 2,
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::kennel-bucket", "arn:aws:s3:::kennel-bucket/${aws:PrincipalTag/project}/data/*"],
            "Condition": CONDITION,
        },
    )
    return {"Version": "2012-10-17", "Statement": found}


def microseconds(call: Callable[[], object], seconds: float) -> float:
    """The best of five: what it costs, and not what else the machine did meanwhile."""
    timer = timeit.Timer(call)
    number = max(1, int(seconds / 5 / max(timer.timeit(5) / 5, 1e-7)))
    return min(timer.repeat(5, number)) / number * 1e6


def evaluator(seconds: float) -> Table:
    table = Table(title=f"A decision, µs (one of {cores()} cores)")
    for name in ("statements", "read before", "as values", "as text", "to read it", "moto's"):
        table.add_column(name, justify="right")
    for count in (1, 5, 20, 100):
        values = policy(count)
        calls = (
            deciding(parse(values, "identity")),
            deciding(values),
            deciding(json.dumps(values)),
            reading(values),
            motos(values),
        )
        table.add_row(str(count), *(f"{microseconds(each, seconds):,.1f}" for each in calls))
    return table


def deciding(given: Written) -> Callable[[], object]:
    policies = Policies((given,))
    if not evaluate(ACCESS, CALLER, policies).allowed:
        raise SystemExit("the benchmark's policy does not allow what it should")
    return lambda: evaluate(ACCESS, CALLER, policies)


def reading(values: dict[str, Any]) -> Callable[[], object]:
    """Another document each time, so that none was read before."""
    numbers = itertools.count()
    return lambda: parse(
        {**values, "Statement": [*values["Statement"][:-1], {**values["Statement"][-1], "Sid": f"S{next(numbers)}"}]},
        "identity",
    )


def motos(values: dict[str, Any]) -> Callable[[], object]:
    plain = [{key: each[key] for key in each if key != "Condition"} for each in values["Statement"]]
    theirs = IAMPolicy(json.dumps({**values, "Statement": plain}).replace("${aws:PrincipalTag/project}", "kennel"))
    return lambda: theirs.is_action_permitted(ACCESS.action, ACCESS.resource)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=1.0, help="for each number")
    given = arguments.parse_args()
    Console().print(evaluator(given.seconds))


if __name__ == "__main__":
    main()
