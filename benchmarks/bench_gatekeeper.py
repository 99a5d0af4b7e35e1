"""What a decision about an access costs: the evaluator alone, by the size of the policies, beside moto's own; and what
a request to the local AWS costs more by the gatekeeper.

A policy of n statements has one that allows what is asked, somewhere in the middle, with two conditions and a variable;
the others are about other services. moto's (`IAMPolicy.is_action_permitted`) knows no condition of the request, so it
is asked without them.

    python benchmarks/bench_gatekeeper.py [--seconds 1]
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.iam.access_control import IAMPolicy
from rich.console import Console
from rich.table import Table

from kennel.iam.documents import parse
from kennel.iam.evaluation import evaluate
from kennel.iam.values import Access, Caller, Policies, Written
from kennel.local.gatekeeper import CallLog, Gatekeeper, Things
from kennel.local.moto_side import Moto
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
    """The best of five, of the process's own time: what it costs, and not what else the machine did meanwhile."""
    timer = timeit.Timer(call, timer=time.process_time)
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


def requests(seconds: float, home: Path) -> Table:
    """Of a user with one policy of five statements, on a home that is thrown away."""
    moto = Moto(home)
    moto.start()
    calls = CallLog(home / "gatekeeper")
    gate = Gatekeeper(moto, ("administrator", "secret"), "us-east-1", calls, Things(moto, "us-east-1", NoTags()))
    keys = user(moto)
    table = Table(title=f"A request at the door, µs (one of {cores()} cores)")
    for name in ("request", "signature, who, context", "what it needs, decision, record", "both"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for name, service, operation, request, size in REQUESTS:
        environ = signed(keys, service, bytes(size))
        asker = gate.asker(environ, service)
        who = microseconds(lambda environ=environ, service=service: gate.asker(environ, service), seconds)  # type: ignore[misc]
        may = microseconds(lambda: asker.admit(operation, request), seconds)  # noqa: B023
        table.add_row(name, f"{who:,.0f}", f"{may:,.0f}", f"{who + may:,.0f}")
    calls.close()
    return table


PASSED = "arn:aws:iam::123456789012:role/r"
REQUESTS: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("ListModels", "sagemaker", "ListModels", {}, 2),
    ("InvokeEndpoint, 100 kB", "sagemaker", "InvokeEndpoint", {"EndpointName": "dogs"}, 100_000),
    ("GetObject", "s3", "GetObject", {"Bucket": "b", "Key": "k"}, 0),
    ("PutObject, 8 MB", "s3", "PutObject", {"Bucket": "b", "Key": "k"}, 8_000_000),
    ("CreateFunction, a role passed", "lambda", "CreateFunction", {"FunctionName": "f", "Role": PASSED}, 1000),
]  # fmt: skip


def user(moto: Moto) -> Credentials:
    """Who may all of it."""
    from moto.iam.models import iam_backends

    with moto.lock:
        iam = iam_backends["123456789012"]["aws"]
        made = iam.create_user(region_name="us-east-1", user_name="bench")
        made.put_policy("all", json.dumps({**policy(4), "Statement": [*policy(4)["Statement"], EVERYTHING]}))
        key = iam.create_access_key("bench", "AKIA")
    return Credentials(key.access_key_id, key.secret_access_key)


EVERYTHING = {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}


def signed(keys: Credentials, service: str, body: bytes) -> dict[str, Any]:
    """As waitress hands a request on."""
    request = AWSRequest("POST", "http://127.0.0.1:4566/b/k", headers={"X-Amz-Target": "SageMaker.X"}, data=body)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, "us-east-1").add_auth(request)
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
    place = {"REQUEST_METHOD": "POST", "REQUEST_URI": "/b/k", "PATH_INFO": "/b/k", "QUERY_STRING": ""}
    return {**place, "HTTP_HOST": "127.0.0.1:4566", **headers, "wsgi.input": io.BytesIO(body)}


class NoTags:
    """Implements within.Tags."""

    def add(self, arn: str, tags: object) -> None: ...

    def of(self, arn: str) -> list[dict[str, str]]:
        return []

    def remove(self, arn: str) -> None: ...


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=1.0, help="for each number")
    given = arguments.parse_args()
    Console().print(evaluator(given.seconds))
    with tempfile.TemporaryDirectory() as home:
        Console().print(requests(given.seconds, Path(home)))


if __name__ == "__main__":
    main()
