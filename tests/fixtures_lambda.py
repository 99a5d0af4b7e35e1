"""Functions of Lambda in the local AWS: a server of their own, a function that does what it is told, helpers."""

from __future__ import annotations

import io
import json
import os
import select
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from kennel.local.background import start_in_background, stop

LONGEST_S = 60.0
"""That a test waits for an invocation."""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
FUNCTION = """
import json, os, sys
print("initialised")
if os.environ.get("FAIL"):
    raise RuntimeError("no start")
calls = 0

def handler(event, context):
    global calls
    calls += 1
    return globals()[event.get("do", "tell")](event, context)

def tell(event, context):
    print("told", event.get("word", ""))
    kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    version = os.environ.get("WORD", context.function_version)
    return {"calls": calls, "kind": kind, "version": version, "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(), "pid": os.getpid()}

def wait(event, context):
    with open(event["ready"], "w") as ready:
        ready.write("x")
    with open(event["go"]) as go:
        return go.read()

def leave(event, context):
    os._exit(event["code"])

def fail(event, context):
    raise ValueError("on purpose")

def eat(event, context):
    held = bytearray(event["mb"] << 20)
    held[::4096] = b"x" * len(held[::4096])
    wait(event, context)

def large(event, context):
    return "x" * event["bytes"]

def echo(event, context):
    return event

def environment(event, context):
    return dict(os.environ)

def imports(event, context):
    found = {}
    for name in event["names"]:
        try:
            __import__(name)
            found[name] = True
        except ImportError:
            found[name] = False
    return found

def identity(event, context):
    import boto3
    return boto3.client("sts").get_caller_identity()["Arn"]

def note(event, context):
    with open(event["file"], "a") as file:
        file.write("called\\n")
    if event.get("fail"):
        raise ValueError("again")

def measure(event, context):
    print(json.dumps({"_aws": {"Timestamp": 0, "CloudWatchMetrics": [{"Namespace": "Tests", "Dimensions": [["Name"]],
        "Metrics": [{"Name": "Seen", "Unit": "Count"}]}]}, "Name": "one", "Seen": 7}))

def web(event, context):
    given = json.loads(event["body"]) if event.get("body") and not event["isBase64Encoded"] else None
    if given and "answer" in given:
        return given["answer"]
    if given and "do" in given:
        return globals()[given["do"]](given, context)
    return event
"""


def zipped(files: Mapping[str, str | bytes] | None = None) -> bytes:
    """A deployment package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (files or {"app.py": FUNCTION}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Lambda:
    """A client, and what nearly every test does with it. client: without repeats, so that a 429 is seen."""

    client: Any
    role: str
    home: Path

    def create(self, name: str, files: Mapping[str, str | bytes] | None = None, **more: Any) -> dict[str, Any]:
        request = {"Runtime": "python3.11", "Handler": "app.handler", "Role": self.role, "MemorySize": 256}
        code = {"ZipFile": zipped(files)}
        made: dict[str, Any] = self.client.create_function(**{"FunctionName": name, "Code": code, **request, **more})
        self.client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        return made

    def update(self, name: str, **configuration: Any) -> None:
        self.client.update_function_configuration(FunctionName=name, **configuration)
        self.client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})

    def invoke(self, name: str, event: Any = None, **more: Any) -> Any:
        """The answer; an error's document as it is."""
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(event or {}), **more)
        return json.loads(answer["Payload"].read() or b"null")

    def provision(self, name: str, qualifier: str, count: int) -> dict[str, Any]:
        """Returns when it is no more IN_PROGRESS."""
        asked = {"FunctionName": name, "Qualifier": qualifier}
        self.client.put_provisioned_concurrency_config(**asked, ProvisionedConcurrentExecutions=count)
        return self.provisioned(name, qualifier)

    def provisioned(self, name: str, qualifier: str) -> dict[str, Any]:
        asked = {"FunctionName": name, "Qualifier": qualifier}
        while True:
            found: dict[str, Any] = self.client.get_provisioned_concurrency_config(**asked)
            if found["Status"] != "IN_PROGRESS":
                return found

    def open_url(self, name: str, **more: Any) -> str:
        """A URL that anybody may open."""
        made = self.client.create_function_url_config(FunctionName=name, AuthType="NONE", **more)
        place = {"FunctionName": name, "Principal": "*"} | {key: more[key] for key in ("Qualifier",) if key in more}
        add = self.client.add_permission
        add(**place, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
        add(**place, StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
        return str(made["FunctionUrl"])


@dataclass(frozen=True)
class Gate:
    """Two pipes by which a test meets an invocation under way."""

    ready: Path
    go: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Gate:
        made = cls(folder / f"{name}-ready", folder / f"{name}-go")
        os.mkfifo(made.ready)
        os.mkfifo(made.go)
        return made

    def event(self, **more: Any) -> dict[str, Any]:
        return {"do": "wait", "ready": str(self.ready), "go": str(self.go), **more}

    def arrived(self) -> None:
        """Returns when the invocation is inside; fails where none comes."""
        handle = os.open(self.ready, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert select.select([handle], [], [], LONGEST_S)[0], "no invocation came"
        finally:
            os.close(handle)

    def open(self, word: str = "done") -> None:
        self.go.write_text(word)


def connected(environment: Mapping[str, str], service: str) -> Any:
    """A client of a local AWS that asks once."""
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=environment["AWS_REGION"]
    )
    config = Config(retries={"total_max_attempts": 1}, read_timeout=60, proxies={}, max_pool_connections=50)
    return session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"], config=config)


def signed(
    method: str,
    url: str,
    service: str,
    environment: Mapping[str, str],
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Headers by which any client of HTTP signs a request. headers: what it says besides."""
    request = AWSRequest(method, url, data=body, headers=dict(headers or {}))
    keys = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, service, environment["AWS_REGION"]).add_auth(request)
    return dict(request.headers.items())


def role_in(environment: Mapping[str, str], name: str = "functions") -> str:
    """A role that functions take on, and that may write their logs."""
    iam = connected(environment, "iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": logs})
    iam.put_role_policy(RoleName=name, PolicyName="logs", PolicyDocument=document)
    return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def functions_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("functions")


@pytest.fixture(scope="module")
def aws(functions_home: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell that talks to a local AWS whose runner is the process."""
    yield start_in_background(functions_home, 0, "us-east-1", "process").environment()
    stop(functions_home)


@pytest.fixture(scope="module")
def lambda_(aws: dict[str, str], functions_home: Path) -> Lambda:
    return Lambda(connected(aws, "lambda"), role_in(aws), functions_home)


@pytest.fixture
def gate(tmp_path: Path) -> Callable[[str], Gate]:
    return lambda name: Gate.make(tmp_path, name)
