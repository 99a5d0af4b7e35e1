"""The local AWS's front door and what stands behind it, as boto3 sees it: a real server with a small service."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from kennel.errors import KennelError, ServerError, stop_on_signals
from kennel.iam.record import Call
from kennel.local.background import start_in_background, stop
from kennel.local.clock import FastClock
from kennel.local.errors import Refused
from kennel.local.home import State, alone, credentials, home_folder, state
from kennel.local.parts import Document, House, Operation, Reply

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ROLE = "arn:aws:iam::123456789012:role/"


class Small:
    """A service that takes no job: enough of SageMaker's API to see the door by."""

    def __init__(self, house: House) -> None:
        self.house, self.go = house, threading.Event()

    def operations(self) -> Mapping[str, Operation]:
        return {"CreateModel": self._create, "DescribeModel": self._describe, "ListModels": self._broken}

    def resume(self) -> None:
        self.house.logs.write("/resumed", "server", [(self.house.clock.now(), "resumed")])

    def close(self) -> None:
        (self.house.home / "closed").write_text("in order")

    def interrupt(self, name: str) -> None:
        if name != "spot":
            raise Refused("ValidationException", "Requested resource not found.")

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if name == "slow":
            (self.house.home / f"slow-{token_hex(8)}").touch()
            if not self.go.wait(30):
                return Reply(503, {}, b"nobody said go")
        said = {"name": name, "variant": headers.get("x-amzn-sagemaker-target-variant"), "bytes": len(body)}
        return Reply(200, {"Content-Type": headers["content-type"]}, json.dumps(said).encode())

    def _create(self, request: Document) -> Document:
        self.house.roles.check_assumable(request["ExecutionRoleArn"], "sagemaker.amazonaws.com")
        if request["ModelName"] == "go":
            self.go.set()
        arn = self.house.arn(f"model/{request['ModelName']}")
        self.house.tags.add(arn, request.get("Tags", []))
        at = self.house.clock.now()
        self.house.logs.write("/models", request["ModelName"], [(at, "made"), (at + 1, "ready")])
        self.house.cloudwatch.put("Models", "Made", 1.0, {"Name": request["ModelName"]}, "Count", at)
        return {"ModelArn": arn}

    def _describe(self, request: Document) -> Document:
        if request["ModelName"] != "there":
            raise Refused("ValidationException", f"Could not find model {request['ModelName']}.")
        return {"ModelName": "there", "CreationTime": 1_700_000_000.5, "ModelArn": self.house.arn("model/there")}

    def _broken(self, request: Document) -> Document:
        raise ZeroDivisionError("a defect")


def main() -> int:
    """The server process of these tests: HOME PORT."""
    from kennel.local.server import serve

    stop_on_signals()
    try:
        ready = lambda url: print(url, flush=True)  # noqa: E731
        return serve(Path(sys.argv[1]), int(sys.argv[2]), "us-east-1", "process", ready, lambda house: [Small(house)])
    except KennelError as error:
        print(error, file=sys.stderr)
        return error.exit_code


class Server:
    """A server process that can be killed and started again on the same home."""

    def __init__(self, home: Path) -> None:
        self.home, self.url = home, ""
        self.start()

    def start(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.home), str(port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill_and_start(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def client(self, service: str, region: str = "us-east-1", **config: Any) -> Any:
        given = Config(retries={"total_max_attempts": 1}, **config)
        session = boto3.Session(*credentials(self.home))
        return session.client(service, region_name=region, endpoint_url=self.url, config=given)

    def raw(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, service: str = ""
    ) -> http.client.HTTPResponse:
        """service: what it is signed for, by the home's own key; "" for a request without a signature."""
        netloc, given = urlsplit(self.url).netloc, dict(headers or {})
        if service:
            request = AWSRequest(method, f"http://{given.get('Host', netloc)}{path}", headers=given)
            kind = S3SigV4Auth if service == "s3" else SigV4Auth
            kind(Credentials(*credentials(self.home)), service, "us-east-1").add_auth(request)
            given = dict(request.headers.items())
        connection = http.client.HTTPConnection(netloc, timeout=10)
        connection.request(method, path, headers=given)
        return connection.getresponse()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("local") / "home")
    yield made
    made.end()


@pytest.fixture(scope="module")
def role(server: Server) -> str:
    server.client("iam").create_role(RoleName="trusted", AssumeRolePolicyDocument=json.dumps(TRUST))
    return f"{ROLE}trusted"


def create_model(server: Server, name: str, role: str, **more: Any) -> Any:
    return server.client("sagemaker").create_model(ModelName=name, ExecutionRoleArn=role, **more)


def refused(call: Any, *args: Any, **given: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(*args, **given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_an_operation_is_answered_with_times(server: Server) -> None:
    answer = server.client("sagemaker").describe_model(ModelName="there")
    assert answer["CreationTime"] == datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert answer["ResponseMetadata"]["RequestId"]


def test_what_a_service_refuses_has_its_code_and_its_words(server: Server) -> None:
    found = refused(server.client("sagemaker").describe_model, ModelName="x")
    assert found == ("ValidationException", "Could not find model x.", 400)


def test_a_request_that_aws_would_refuse_is_refused_in_its_words(server: Server) -> None:
    client = server.client("sagemaker", parameter_validation=False)
    code, message, status = refused(client.describe_model, ModelName="not a name")
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("1 validation error detected: Value 'not a name' at 'modelName' failed")


def test_an_operation_that_is_not_there_is_named(server: Server) -> None:
    code, message, _ = refused(server.client("sagemaker").list_notebook_instances)
    assert code == "UnknownOperationException"
    assert "ListNotebookInstances" in message
    assert "CreateModel" in message


@pytest.mark.parametrize(("service", "operation"), [("lambda", "list_functions"), ("sqs", "list_queues")])
def test_a_service_that_is_not_there_is_named(server: Server, service: str, operation: str) -> None:
    code, message, _ = refused(getattr(server.client(service), operation))
    assert code == "UnknownOperationException"
    assert f"service {service}" in message


def test_a_defect_is_told_without_a_traceback(server: Server) -> None:
    code, message, status = refused(server.client("sagemaker").list_models)
    assert (code, status) == ("InternalFailure", 500)
    assert "ZeroDivision" not in message


def test_another_region_is_told_which_one_is_here(server: Server) -> None:
    _, message, _ = refused(server.client("sagemaker", "eu-west-1").describe_model, ModelName="there")
    assert "us-east-1" in message
    assert "eu-west-1" in message


def test_an_invocation_gets_the_body_and_the_headers(server: Server) -> None:
    answer = server.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="e", Body=b"12345", ContentType="image/jpeg", TargetVariant="blue"
    )
    assert json.loads(answer["Body"].read()) == {"name": "e", "variant": "blue", "bytes": 5}
    assert answer["ContentType"] == "image/jpeg"


def test_a_body_beyond_all_bounds_is_refused(server: Server) -> None:
    runtime = server.client("sagemaker-runtime")
    assert refused(runtime.invoke_endpoint, EndpointName="e", Body=bytes(31 << 20))[2] == 413


def test_the_control_plane_answers_while_200_invocations_wait(server: Server, role: str) -> None:
    """For it: they are answered after a request to the control plane was."""
    runtime = server.client("sagemaker-runtime", max_pool_connections=200)
    with ThreadPoolExecutor(200) as pool:
        waiting = [
            pool.submit(runtime.invoke_endpoint, EndpointName="slow", Body=b"", ContentType="x") for _ in range(200)
        ]
        while len(list(server.home.glob("slow-*"))) < 200:
            assert not any(each.done() for each in waiting)
            time.sleep(0.05)
        create_model(server, "go", role)
        assert {each.result()["ResponseMetadata"]["HTTPStatusCode"] for each in waiting} == {200}


def test_a_role_has_to_exist_and_to_trust(server: Server, role: str) -> None:
    iam = server.client("iam")
    other = {
        "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    }
    iam.create_role(RoleName="ec2", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **other}))
    for name in ("ec2", "nobody"):
        code, message, _ = refused(create_model, server, "m", ROLE + name)
        assert code == "ValidationException"
        assert message == (
            f"Could not assume role {ROLE}{name}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        )
    assert create_model(server, "m", role)["ModelArn"].endswith(":model/m")


def test_tags_are_added_listed_changed_and_taken_away(server: Server, role: str) -> None:
    sagemaker = server.client("sagemaker")
    arn = create_model(server, "tagged", role, Tags=[{"Key": "a", "Value": "1"}])["ModelArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "3"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refused(sagemaker.add_tags, ResourceArn=arn, Tags=many)[0] == "ResourceLimitExceeded"


def test_only_this_machine_by_its_own_name_gets_an_answer(server: Server) -> None:
    assert server.raw("GET", "/", {"Host": "kennel.example.com"}).status == 403
    assert server.raw("GET", "/", {"Host": "127.0.0.1.example.com"}).status == 403
    assert server.raw("GET", "/", {"Host": "localhost"}).status == 200


def test_pages_of_other_sites_get_no_answer(server: Server) -> None:
    assert server.raw("POST", "/", {"Origin": "https://example.com"}).status == 403
    assert server.raw("GET", "/bucket/key", {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert "Access-Control-Allow-Origin" not in server.raw("OPTIONS", "/bucket/key").headers


def test_unsigned_requests_get_the_page_and_nothing_else(server: Server) -> None:
    page = server.raw("GET", "/")
    assert page.status == 200
    assert b"<html" in page.read()
    assert server.raw("GET", "/bucket/key").status == 403
    assert server.raw("POST", "/moto-api/reset").status == 403


def test_a_job_is_interrupted_by_the_owner_of_the_home(server: Server) -> None:
    path = "/_kennel/interrupt?job="
    assert server.raw("POST", f"{path}spot", service="kennel").status == 200
    refused_one = server.raw("POST", f"{path}nobody", service="kennel")
    assert refused_one.status == 400
    assert b"Requested resource not found" in refused_one.read()
    assert server.raw("POST", f"{path}spot").status == 403
    assert server.raw("POST", f"{path}spot", {"Origin": "https://example.com"}, "kennel").status == 403
    assert server.raw("POST", "/_kennel/other", service="kennel").status == 404


def test_what_was_decided_is_told_to_the_owner_of_the_home_only(server: Server) -> None:
    server.client("sagemaker").describe_model(ModelName="there")
    assert server.raw("GET", "/_kennel/calls").status == 403
    told = [Call.parse(each) for each in server.raw("GET", "/_kennel/calls", service="kennel").read().splitlines()]
    assert ("sagemaker:DescribeModel", True) in {(each.action, each.allowed) for each in told}
    assert server.raw("GET", f"/_kennel/calls?after={time.time() + 60}", service="kennel").read() == b""
    assert server.raw("GET", "/_kennel/calls?after=x", service="kennel").status == 400


def test_keys_ids_and_times_come_out_the_same_after_a_kill(server: Server, role: str) -> None:
    iam, sts = server.client("iam"), server.client("sts")
    iam.create_user(UserName="anna")
    key = iam.create_access_key(UserName="anna")["AccessKey"]
    iam.attach_role_policy(RoleName="trusted", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    everybody = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": everybody})
    mine = iam.create_role(RoleName="mine", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    session = sts.assume_role(RoleArn=mine, RoleSessionName="session")["Credentials"]
    server.client("ecr").create_repository(repositoryName="kennel-training")
    before = _small_services(server)
    server.kill_and_start()
    assert _small_services(server) == before
    assert _who(server, session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]).endswith(
        "/session"
    )
    assert _who(server, key["AccessKeyId"], key["SecretAccessKey"]).endswith("/anna")
    assert (
        server.client("iam").list_access_keys(UserName="anna")["AccessKeyMetadata"][0]["AccessKeyId"]
        == (key["AccessKeyId"])
    )
    new = server.client("iam").create_access_key(UserName="anna")["AccessKey"]["AccessKeyId"]
    assert new != key["AccessKeyId"]


def _who(server: Server, *keys: str) -> str:
    sts = boto3.Session(*keys).client("sts", region_name="us-east-1", endpoint_url=server.url)
    return str(sts.get_caller_identity()["Arn"])


def _small_services(server: Server) -> str:
    iam = server.client("iam")
    role = iam.get_role(RoleName="trusted")["Role"]
    role.pop("RoleLastUsed", None)
    return repr(
        [
            role,
            iam.list_attached_role_policies(RoleName="trusted")["AttachedPolicies"],
            iam.list_access_keys(UserName="anna")["AccessKeyMetadata"],
            server.client("ecr").describe_repositories()["repositories"],
        ]
    )


def test_log_events_from_inside_and_outside_outlive_a_kill(server: Server, role: str) -> None:
    logs, now = server.client("logs"), int(time.time() * 1000)
    create_model(server, "logged", role)
    logs.put_retention_policy(logGroupName="/models", retentionInDays=7)
    logs.create_log_stream(logGroupName="/models", logStreamName="outside")
    logs.put_log_events(
        logGroupName="/models", logStreamName="outside", logEvents=[{"timestamp": now, "message": "café"}]
    )
    logs.create_log_stream(logGroupName="/models", logStreamName="forgotten")
    logs.put_log_events(
        logGroupName="/models", logStreamName="forgotten", logEvents=[{"timestamp": now, "message": "x"}]
    )
    logs.delete_log_stream(logGroupName="/models", logStreamName="forgotten")
    before = _log_events(server)
    assert [each["message"] for each in before["logged"]] == ["made", "ready"]
    server.kill_and_start()
    assert _log_events(server) == before
    assert (
        server.client("logs").describe_log_groups(logGroupNamePrefix="/models")["logGroups"][0]["retentionInDays"] == 7
    )
    create_model(server, "logged", role)
    server.kill_and_start()
    assert len(_log_events(server)["logged"]) == 4


def _log_events(server: Server) -> dict[str, Any]:
    logs = server.client("logs")
    names = [each["logStreamName"] for each in logs.describe_log_streams(logGroupName="/models")["logStreams"]]
    assert "forgotten" not in names
    return {name: logs.get_log_events(logGroupName="/models", logStreamName=name)["events"] for name in names}


def test_metrics_from_inside_and_outside_outlive_a_kill(server: Server, role: str) -> None:
    create_model(server, "measured", role)
    server.client("cloudwatch").put_metric_data(
        Namespace="Models",
        MetricData=[{"MetricName": "Made", "Value": 2, "Dimensions": [{"Name": "Name", "Value": "o"}]}],
    )
    before = _sums(server)
    assert before == [1.0, 2.0]
    server.kill_and_start()
    assert _sums(server) == before


def _sums(server: Server) -> list[float]:
    now = datetime.now(UTC)
    return [
        point["Sum"]
        for name in ("measured", "o")
        for point in server.client("cloudwatch").get_metric_statistics(
            Namespace="Models",
            MetricName="Made",
            Dimensions=[{"Name": "Name", "Value": name}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
    ]


def test_a_line_of_the_journal_that_a_kill_cut_short_is_forgotten(server: Server) -> None:
    server.client("ecr").create_repository(repositoryName="before")
    server.end(signal.SIGKILL)
    with (server.home / "moto/journal.jsonl").open("ab") as file:
        file.write(b'{"time": 1, "se')
    server.start()
    server.client("ecr").create_repository(repositoryName="after")
    server.kill_and_start()
    found = server.client("ecr").describe_repositories()["repositories"]
    assert {"before", "after"} <= {each["repositoryName"] for each in found}


def test_a_server_says_where_it_is_while_it_runs(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    found = state(server.home)
    assert found is not None
    assert (found.url, found.pid, found.account) == (server.url, server.process.pid, "123456789012")
    assert (server.home / "server.json").stat().st_mode & 0o777 == 0o600
    assert server.home.stat().st_mode & 0o777 == 0o700
    assert server.end() == 0
    assert not (server.home / "server.json").exists()
    assert (server.home / "closed").read_text() == "in order"
    server.start()
    again = state(server.home)
    assert again is not None
    assert again.access_key_id == found.access_key_id
    server.end(signal.SIGKILL)
    assert state(server.home) is None


def test_a_home_has_one_server_and_a_port_too(server: Server, tmp_path: Path) -> None:
    for home, port in ((server.home, 0), (tmp_path / "home", urlsplit(server.url).port)):
        second = subprocess.run([sys.executable, __file__, str(home), str(port)], capture_output=True, text=True)
        assert second.returncode == 2
        assert len(second.stderr.splitlines()) == 1
        assert str(port or home) in second.stderr


def test_a_home_is_free_again_when_its_server_is_gone(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(ServerError, match="runs already"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_state_file_of_another_process_is_no_server(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        made = State(os.getpid(), url, "us-east-1", "1", "a", "b")
        (tmp_path / "server.json").write_text(json.dumps({name: getattr(made, name) for name in made.__slots__}))
        assert state(tmp_path) is None


def test_the_home_is_named_by_the_environment_then_by_the_settings() -> None:
    assert home_folder("/b", {"KENNEL_LOCAL_HOME": "/a"}) == Path("/a")
    assert home_folder("/b", {}) == Path("/b")
    assert home_folder("", {}).parts[-2:] == ("kennel", "local")


def test_a_fast_clock_runs_fast() -> None:
    clock = FastClock(1000)
    began = clock.now()
    assert not clock.wait(threading.Event(), 20)
    assert 20 <= clock.now() - began < 2000


def test_a_server_is_started_in_the_background_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = start_in_background(home, 0, "us-east-1", "process")
    assert state(home) == made
    with pytest.raises(ServerError, match="runs already"):
        start_in_background(home, 0, "us-east-1", "process")
    assert stop(home)
    assert state(home) is None
    assert not stop(home)


def test_the_aws_command_line_sees_it(server: Server) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": credentials(server.home)[0],
        "AWS_SECRET_ACCESS_KEY": credentials(server.home)[1],
    }
    aws = [str(Path(sys.executable).with_name("aws")), "sts", "get-caller-identity"]
    told = subprocess.run(aws, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["Account"] == "123456789012"


def test_the_journal_holds_no_body_of_an_object(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="journalled")
    s3.put_object(Bucket="journalled", Key="k", Body=b"find me in here")
    bodies = [json.loads(line)["body"] for line in (server.home / "moto/journal.jsonl").read_text().splitlines()]
    assert not any(b"find me" in base64.b64decode(each) for each in bodies)


if __name__ == "__main__":
    sys.exit(main())
