"""Lambda in the local AWS as any client sees it: boto3, the AWS command line and plain HTTP against a real server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from fixtures_lambda import FUNCTION, Gate, Lambda, connected, role_in, signed, zipped
from kennel.local.background import start_in_background, stop
from kennel.local.home import state

Gates = Callable[[str], Gate]
LARGE = {"do": "large", "bytes": 6_300_000}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def lives(pid: int) -> bool:
    return bool(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """What it returns, when that is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "never"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def function(lambda_: Lambda) -> str:
    """One that does what it is told."""
    lambda_.create("told")
    return "told"


# --- functions --------------------------------------------------------------------------------------------------


class TestFunctions:
    def test_a_function_from_a_zip_is_pending_then_active_and_answers(self, lambda_: Lambda) -> None:
        made = lambda_.create("first", Description="mine", Tags={"project": "kennel"})
        assert (made["State"], made["StateReasonCode"], made["Version"]) == ("Pending", "Creating", "$LATEST")

        found = lambda_.client.get_function(FunctionName="first")
        assert found["Configuration"]["State"] == "Active"
        assert found["Tags"] == {"project": "kennel"}
        package = httpx.get(found["Code"]["Location"]).content
        assert base64.b64encode(hashlib.sha256(package).digest()).decode() == made["CodeSha256"]
        assert lambda_.invoke("first")["calls"] == 1
        assert "first" in [each["FunctionName"] for each in lambda_.client.list_functions()["Functions"]]

    def test_a_function_from_s3_is_its_object(self, lambda_: Lambda, aws: dict[str, str]) -> None:
        s3 = connected(aws, "s3")
        s3.create_bucket(Bucket="packages")
        s3.put_object(Bucket="packages", Key="a.zip", Body=zipped({"app.py": "def handler(e, c): return 'from s3'"}))
        lambda_.client.create_function(
            FunctionName="from-s3",
            Runtime="python3.11",
            Handler="app.handler",
            Role=lambda_.role,
            Code={"S3Bucket": "packages", "S3Key": "a.zip"},
        )
        lambda_.client.get_waiter("function_active_v2").wait(FunctionName="from-s3", WaiterConfig={"Delay": 0.05})
        assert lambda_.invoke("from-s3") == "from s3"
        with pytest.raises(ClientError, match="NoSuchKey") as missing:
            lambda_.client.update_function_code(FunctionName="from-s3", S3Bucket="packages", S3Key="b.zip")
        assert refusal(missing) == ("InvalidParameterValueException", 400)

    def test_the_aws_command_line_deploys_it(self, aws: dict[str, str], lambda_: Lambda, tmp_path: Path) -> None:
        (tmp_path / "package.zip").write_bytes(zipped())

        def run(*arguments: str) -> str:
            program = Path(sys.executable).with_name("aws")
            command = [str(program), "lambda", *arguments]
            environment = os.environ | aws
            return subprocess.run(
                command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
            ).stdout

        create = ("create-function", "--function-name", "shell", "--runtime", "python3.11", "--handler", "app.handler")
        run(*create, "--role", lambda_.role, "--zip-file", "fileb://package.zip")
        run("wait", "function-active-v2", "--function-name", "shell")
        out = run("invoke", "--function-name", "shell", "--payload", '{"do": "echo"}', "--log-type", "Tail", "out.json")
        assert json.loads(out)["StatusCode"] == 200
        assert json.loads((tmp_path / "out.json").read_text()) == {"do": "echo"}

    def test_new_code_and_new_configuration_take_over(self, lambda_: Lambda) -> None:
        lambda_.create("changing")
        first = lambda_.invoke("changing")
        lambda_.update("changing", Environment={"Variables": {"WORD": "second"}}, MemorySize=300)
        second = lambda_.invoke("changing")
        assert (first["version"], second["version"]) == ("$LATEST", "second")
        assert second["pid"] != first["pid"]
        until(lambda: not lives(first["pid"]))
        client, code = lambda_.client, zipped({"app.py": "def handler(e, c): return 3"})
        tried = client.update_function_code(FunctionName="changing", ZipFile=code, DryRun=True)
        assert lambda_.invoke("changing")["version"] == "second"
        made = client.update_function_code(FunctionName="changing", ZipFile=code, Publish=True)
        assert (made["Version"], made["CodeSha256"]) == ("1", tried["CodeSha256"])
        client.get_waiter("function_updated_v2").wait(FunctionName="changing", WaiterConfig={"Delay": 0.05})
        assert lambda_.invoke("changing") == 3
        with pytest.raises(ClientError) as stale:
            client.update_function_code(FunctionName="changing", ZipFile=code, RevisionId=made["RevisionId"] + "0")
        assert refusal(stale) == ("PreconditionFailedException", 412)

    def test_a_function_that_is_deleted_is_gone_with_its_instances(self, lambda_: Lambda) -> None:
        lambda_.create("short")
        pid = lambda_.invoke("short")["pid"]
        lambda_.client.delete_function(FunctionName="short")
        assert not lives(pid)
        for call in (lambda_.client.get_function, lambda_.client.invoke, lambda_.client.delete_function):
            with pytest.raises(ClientError, match="Function not found: arn:aws:lambda:us-east-1:") as gone:
                call(FunctionName="short")
            assert refusal(gone) == ("ResourceNotFoundException", 404)

    def test_a_second_function_of_the_same_name_is_refused(self, lambda_: Lambda, function: str) -> None:
        with pytest.raises(ClientError, match=f"Function already exist: {function}") as taken:
            lambda_.create(function)
        assert refusal(taken) == ("ResourceConflictException", 409)

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"Role": "arn:aws:iam::123456789012:role/nobody"}, "cannot be assumed by Lambda"),
            ({"Runtime": "nodejs22.x"}, "runs Python functions"),
            ({"Environment": {"Variables": {"AWS_REGION": "eu-west-1"}}}, "reserved keys.*AWS_REGION"),
            ({"Environment": {"Variables": {"LARGE": "x" * 5000}}}, "4KB limit"),
            ({"Code": {"ZipFile": b"no zip"}}, "Could not unzip"),
            ({"Code": {"S3Bucket": "nowhere-at-all", "S3Key": "a"}}, "NoSuchBucket"),
            ({"Code": {}}, "provide a source"),
            ({"Timeout": 1000}, "900"),
            ({"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:a:1"]}, "does not have Layers"),
        ],
    )
    def test_what_aws_would_refuse_is_refused(self, lambda_: Lambda, more: dict[str, Any], message: str) -> None:
        with pytest.raises(ClientError, match=message) as refused:
            lambda_.create("refused", **{"Code": {"ZipFile": zipped()}, **more})
        assert refusal(refused) == ("InvalidParameterValueException", 400)
        assert not list(lambda_.home.parent.glob("up.py"))

    def test_names_come_in_every_form(self, lambda_: Lambda, function: str) -> None:
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
        for name in (function, f"123456789012:function:{function}", arn, f"{arn}:$LATEST"):
            assert lambda_.client.get_function_configuration(FunctionName=name)["FunctionArn"] == arn
        with pytest.raises(ClientError, match="names no function"):
            lambda_.client.get_function(FunctionName=f"{arn}:1", Qualifier="2")

    def test_tags_are_kept(self, lambda_: Lambda, function: str) -> None:
        arn = lambda_.client.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        lambda_.client.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
        lambda_.client.untag_resource(Resource=arn, TagKeys=["a"])
        assert lambda_.client.list_tags(Resource=arn)["Tags"] == {"b": "2"}


# --- invocations ------------------------------------------------------------------------------------------------


class TestInvocations:
    def test_the_first_is_a_cold_start_and_the_next_find_it_warm(self, lambda_: Lambda) -> None:
        lambda_.create("cold")
        logs = []
        for _ in range(2):
            answer = lambda_.client.invoke(FunctionName="cold", Payload=b'{"word": "w"}', LogType="Tail")
            logs.append(base64.b64decode(answer["LogResult"]).decode())
        assert answer["ExecutedVersion"] == "$LATEST"
        assert json.loads(answer["Payload"].read())["calls"] == 2
        start, said, end, report, _ = logs[1].split("\n")
        assert start.startswith("START RequestId: ")
        assert (said, end.split(":")[0]) == ("told w", "END RequestId")
        assert ["Init Duration" in log for log in logs] == [True, False]
        assert "Max Memory Used" in report

    def test_what_it_prints_is_in_its_log_group(self, lambda_: Lambda, function: str, aws: dict[str, str]) -> None:
        lambda_.invoke(function, {"word": "to be found"})
        logs = connected(aws, "logs")

        def found() -> list[str]:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
            return [each["message"] for each in events]

        lines = until(lambda: (lines := found()) and any(each.startswith("REPORT") for each in lines) and lines)
        assert lines[0].startswith("INIT_START")
        assert lines[1] == "initialised"
        assert "told to be found" in lines
        streams = logs.describe_log_streams(logGroupName=f"/aws/lambda/{function}")["logStreams"]
        assert all("/[$LATEST]" in each["logStreamName"] for each in streams)

    def test_an_exception_is_an_unhandled_error_with_its_trace(self, lambda_: Lambda, function: str) -> None:
        answer = lambda_.client.invoke(FunctionName=function, Payload=b'{"do": "fail"}')
        told = json.loads(answer["Payload"].read())
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert (told["errorType"], told["errorMessage"]) == ("ValueError", "on purpose")
        assert "on purpose" in told["stackTrace"][-1]

    @pytest.mark.parametrize(
        ("leave", "words"), [(0, "without providing a reason"), (3, "exit status 3"), (-1, "exit status 255")]
    )
    def test_a_crash_is_told_and_the_next_invocation_gets_another_instance(
        self, lambda_: Lambda, function: str, leave: int, words: str
    ) -> None:
        before = lambda_.invoke(function)["pid"]
        told = lambda_.invoke(function, {"do": "leave", "code": leave})
        assert told["errorType"] == "Runtime.ExitError"
        assert told["errorMessage"].endswith(words)
        after = lambda_.invoke(function)
        assert (after["pid"] != before, after["calls"]) == (True, 1)

    def test_a_timeout_ends_the_instance_and_is_told(self, lambda_: Lambda, gate: Gates) -> None:
        lambda_.create("slow", Timeout=1)
        pid, stuck = lambda_.invoke("slow")["pid"], gate("stuck")
        with ThreadPoolExecutor() as pool:
            event = json.dumps(stuck.event())
            asked = pool.submit(lambda_.client.invoke, FunctionName="slow", Payload=event, LogType="Tail")
            stuck.arrived()
            answer = asked.result()
        told, log = json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()
        assert told["errorType"] == "Sandbox.Timedout"
        assert told["errorMessage"].endswith("Task timed out after 1.00 seconds")
        assert "Status: timeout" in log
        assert not lives(pid)

    def test_more_memory_than_was_set_ends_the_instance(self, lambda_: Lambda, gate: Gates) -> None:
        lambda_.create("hungry", MemorySize=128)
        told = lambda_.invoke("hungry", gate("never").event(do="eat", mb=300))
        assert told["errorType"] == "Runtime.OutOfMemory"
        assert told["errorMessage"].endswith("signal: killed")
        assert lambda_.invoke("hungry")["calls"] == 1

    def test_code_that_cannot_start_is_told(self, lambda_: Lambda) -> None:
        lambda_.create("broken", Environment={"Variables": {"FAIL": "1"}})
        assert lambda_.invoke("broken")["errorMessage"] == "no start"
        lambda_.create("nameless", Handler="nothing.handler")
        assert lambda_.invoke("nameless")["errorType"] == "Runtime.ImportModuleError"

    def test_payloads_go_up_to_six_megabytes_each_way(self, lambda_: Lambda, function: str) -> None:
        fits = json.dumps({"do": "echo", "x": "x" * 6_200_000})
        answer = lambda_.client.invoke(FunctionName=function, Payload=fits)
        assert len(answer["Payload"].read()) > 6_200_000
        with pytest.raises(ClientError, match="smaller than 6291556 bytes for the InvokeFunction") as large:
            lambda_.client.invoke(FunctionName=function, Payload=json.dumps({"x": "x" * 6_300_000}))
        assert refusal(large) == ("RequestTooLargeException", 413)
        told = lambda_.invoke(function, {"do": "large", "bytes": 6_300_000})
        assert told["errorType"] == "Function.ResponseSizeTooLarge"
        with pytest.raises(ClientError) as later:
            lambda_.client.invoke(FunctionName=function, Payload=fits, InvocationType="Event")
        assert refusal(later) == ("RequestTooLargeException", 413)

    def test_a_payload_is_json_and_none_is_an_empty_one(self, lambda_: Lambda, function: str) -> None:
        with pytest.raises(ClientError, match="Could not parse request body into json") as refused:
            lambda_.client.invoke(FunctionName=function, Payload=b"{no")
        assert refusal(refused) == ("InvalidRequestContentException", 400)
        assert json.loads(lambda_.client.invoke(FunctionName=function)["Payload"].read())["calls"] > 0

    def test_a_dry_run_runs_nothing(self, lambda_: Lambda, function: str, tmp_path: Path) -> None:
        event = json.dumps({"do": "note", "file": str(tmp_path / "note")})
        assert lambda_.client.invoke(FunctionName=function, Payload=event, InvocationType="DryRun")["StatusCode"] == 204
        assert not (tmp_path / "note").exists()

    def test_an_event_is_taken_at_once_and_done_later(self, lambda_: Lambda, function: str, tmp_path: Path) -> None:
        note = tmp_path / "note"
        event = json.dumps({"do": "note", "file": str(note)})
        answer = lambda_.client.invoke(FunctionName=function, Payload=event, InvocationType="Event")
        assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
        assert until(note.exists)
        until(lambda: not list((lambda_.home / "function-events").glob("*.json")))

    def test_an_instance_sees_what_aws_gives_it_and_nothing_of_the_servers(self, lambda_: Lambda) -> None:
        lambda_.create("looking", Environment={"Variables": {"MINE": "yes", "PATH": "/mine"}}, Timeout=7)
        found = lambda_.invoke("looking", {"do": "environment"})
        assert (found["MINE"], found["PATH"], found["AWS_REGION"]) == ("yes", "/mine", "us-east-1")
        assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11"
        assert (found["AWS_LAMBDA_FUNCTION_NAME"], found["_HANDLER"]) == ("looking", "app.handler")
        assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA")
        assert Path(found["LAMBDA_TASK_ROOT"], "app.py").read_text() == FUNCTION
        assert not {"KENNEL_CACHE", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "PIP_CERT"} & found.keys()
        assert lambda_.invoke("looking")["left"] > 6000
        assert lambda_.invoke("looking", {"do": "identity"}).endswith(":assumed-role/functions/looking")

    def test_a_function_can_import_what_it_could_on_aws(self, lambda_: Lambda, function: str) -> None:
        names = ["boto3", "json", "sqlite3", "urllib3", "numpy", "PIL", "kennel", "torch", "httpx", "pip"]
        found = lambda_.invoke(function, {"do": "imports", "names": names})
        assert [name for name in names if found[name]] == ["boto3", "json", "sqlite3", "urllib3"]


# --- versions and aliases ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(lambda_: Lambda) -> str:
    """A function of two versions, whose answers tell which."""
    lambda_.create("versioned", Environment={"Variables": {"WORD": "one"}}, Publish=True)
    lambda_.update("versioned", Environment={"Variables": {"WORD": "two"}})
    lambda_.client.publish_version(FunctionName="versioned", Description="second")
    return "versioned"


class TestVersions:
    def test_a_version_stays_what_it_was(self, lambda_: Lambda, versions: str) -> None:
        lambda_.update(versions, Environment={"Variables": {"WORD": "three"}})
        found = [lambda_.invoke(versions, Qualifier=each)["version"] for each in ("1", "2", "$LATEST")]
        assert found == ["one", "two", "three"]
        listed = lambda_.client.list_versions_by_function(FunctionName=versions)["Versions"]
        assert [each["Version"] for each in listed] == ["$LATEST", "1", "2"]
        assert [each["Description"] for each in listed] == ["", "", "second"]
        lambda_.update(versions, Environment={"Variables": {"WORD": "two"}})

    def test_the_same_code_and_configuration_is_the_same_version(self, lambda_: Lambda, versions: str) -> None:
        digest = lambda_.client.get_function(FunctionName=versions)["Configuration"]["CodeSha256"]
        assert lambda_.client.publish_version(FunctionName=versions, CodeSha256=digest)["Version"] == "2"
        with pytest.raises(ClientError, match="is different from current CodeSHA256"):
            lambda_.client.publish_version(FunctionName=versions, CodeSha256="other")

    def test_an_alias_shifts_and_goes_back(self, lambda_: Lambda, versions: str) -> None:
        client = lambda_.client
        made = client.create_alias(FunctionName=versions, Name="live", FunctionVersion="1")
        assert made["AliasArn"].endswith(":function:versioned:live")
        assert lambda_.invoke(versions, Qualifier="live")["version"] == "one"
        shifted = client.update_alias(FunctionName=versions, Name="live", FunctionVersion="2")
        assert lambda_.invoke(versions, Qualifier="live")["version"] == "two"
        with pytest.raises(ClientError) as stale:
            client.update_alias(FunctionName=versions, Name="live", FunctionVersion="1", RevisionId=made["RevisionId"])
        assert refusal(stale) == ("PreconditionFailedException", 412)
        client.update_alias(FunctionName=versions, Name="live", FunctionVersion="1", RevisionId=shifted["RevisionId"])
        assert lambda_.invoke(versions, Qualifier="live")["version"] == "one"
        with pytest.raises(ClientError, match="referenced by alias") as used:
            client.delete_function(FunctionName=versions, Qualifier="1")
        assert refusal(used) == ("ResourceConflictException", 409)
        client.delete_alias(FunctionName=versions, Name="live")
        with pytest.raises(ClientError, match="Cannot find alias"):
            client.get_alias(FunctionName=versions, Name="live")

    def test_an_alias_can_lead_to_two_versions_by_weight(self, lambda_: Lambda, versions: str) -> None:
        client = lambda_.client
        routing: dict[str, Any] = {"AdditionalVersionWeights": {"2": 0.5}}
        client.create_alias(FunctionName=versions, Name="canary", FunctionVersion="1", RoutingConfig=routing)
        found = [lambda_.invoke(versions, Qualifier="canary")["version"] for _ in range(40)]
        assert set(found) == {"one", "two"}  # one alone: once in 2^39
        client.update_alias(FunctionName=versions, Name="canary", RoutingConfig={"AdditionalVersionWeights": {}})
        assert "RoutingConfig" not in client.get_alias(FunctionName=versions, Name="canary")
        for weights, code in (
            ({"$LATEST": 0.1}, "ValidationException"),
            ({"1": 0.1}, "InvalidParameterValueException"),
        ):
            routing = {"AdditionalVersionWeights": weights}
            with pytest.raises(ClientError) as refused:
                client.update_alias(FunctionName=versions, Name="canary", RoutingConfig=routing)
            assert refusal(refused)[0] == code
        with pytest.raises(ClientError, match=r"Function not found: .*:99"):
            client.create_alias(FunctionName=versions, Name="nowhere", FunctionVersion="99")


# --- concurrency ------------------------------------------------------------------------------------------------


class TestConcurrency:
    def test_one_instance_answers_one_request_at_a_time(self, lambda_: Lambda, gate: Gates) -> None:
        lambda_.create("several", Timeout=30)
        first, second = gate("first"), gate("second")
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(lambda_.invoke, "several", each.event()) for each in (first, second)]
            first.arrived()
            second.arrived()
            pid = lambda_.invoke("several")["pid"]
            first.open("1")
            second.open("2")
            assert [each.result() for each in asked] == ["1", "2"]
        assert lambda_.invoke("several")["calls"] >= 2
        assert lives(pid)

    def test_reserved_concurrency_is_a_limit_and_429_says_so(self, lambda_: Lambda, gate: Gates) -> None:
        lambda_.create("limited", Timeout=30)
        client = lambda_.client
        client.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=1)
        assert client.get_function(FunctionName="limited")["Concurrency"] == {"ReservedConcurrentExecutions": 1}
        busy = gate("busy")
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(lambda_.invoke, "limited", busy.event())
            busy.arrived()
            with pytest.raises(ClientError, match="Rate Exceeded") as throttled:
                lambda_.invoke("limited")
            busy.open()
            assert asked.result() == "done"
        assert refusal(throttled) == ("TooManyRequestsException", 429)
        assert throttled.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert lambda_.invoke("limited")["calls"] == 2
        client.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=0)
        with pytest.raises(ClientError) as off:
            lambda_.invoke("limited")
        assert refusal(off) == ("TooManyRequestsException", 429)
        client.delete_function_concurrency(FunctionName="limited")
        assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="limited")

    def test_the_account_has_a_limit_and_not_all_of_it_can_be_reserved(self, lambda_: Lambda, function: str) -> None:
        limit = lambda_.client.get_account_settings()["AccountLimit"]
        assert (limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]) == (10, 10)
        with pytest.raises(ClientError, match=r"below its minimum value of \[1\]") as refused:
            lambda_.client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=10)
        assert refusal(refused) == ("InvalidParameterValueException", 400)

    def test_provisioned_instances_are_ready_before_anybody_asks(self, lambda_: Lambda, gate: Gates) -> None:
        lambda_.create("ready", Publish=True, Timeout=30)
        client = lambda_.client
        client.create_alias(FunctionName="ready", Name="live", FunctionVersion="1")
        found = lambda_.provision("ready", "live", 2)
        assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
        answers = [client.invoke(FunctionName="ready", Qualifier="live", LogType="Tail") for _ in range(2)]
        assert not any("Init Duration" in base64.b64decode(each["LogResult"]).decode() for each in answers)
        assert json.loads(answers[0]["Payload"].read())["kind"] == "provisioned-concurrency"
        held = [gate("a"), gate("b")]
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(lambda_.invoke, "ready", each.event(), Qualifier="live") for each in held]
            for each in held:
                each.arrived()
            assert lambda_.invoke("ready", Qualifier="live")["kind"] == "on-demand"  # what is more spills over
            for each in held:
                each.open()
            assert [each.result() for each in asked] == ["done", "done"]
        listed = client.list_provisioned_concurrency_configs(FunctionName="ready")["ProvisionedConcurrencyConfigs"]
        assert [each["FunctionArn"].rsplit(":", 1)[-1] for each in listed] == ["live"]

    def test_a_provisioned_instance_that_dies_is_replaced(self, lambda_: Lambda) -> None:

        lambda_.invoke("ready", {"do": "leave", "code": 1}, Qualifier="live")
        assert lambda_.provisioned("ready", "live")["AvailableProvisionedConcurrentExecutions"] == 2
        assert lambda_.invoke("ready", Qualifier="live")["kind"] == "provisioned-concurrency"

    def test_provisioned_concurrency_follows_its_alias_and_goes_with_it(self, lambda_: Lambda) -> None:
        lambda_.update("ready", Environment={"Variables": {"WORD": "new"}})
        number = lambda_.client.publish_version(FunctionName="ready")["Version"]
        lambda_.client.update_alias(FunctionName="ready", Name="live", FunctionVersion=number)
        assert lambda_.provisioned("ready", "live")["Status"] == "READY"
        found = lambda_.invoke("ready", Qualifier="live")
        assert (found["version"], found["kind"]) == ("new", "provisioned-concurrency")
        lambda_.client.delete_provisioned_concurrency_config(FunctionName="ready", Qualifier="live")
        with pytest.raises(ClientError) as none:
            lambda_.client.get_provisioned_concurrency_config(FunctionName="ready", Qualifier="live")
        assert refusal(none) == ("ProvisionedConcurrencyConfigNotFoundException", 404)
        until(lambda: not lives(found["pid"]))

    def test_code_that_cannot_start_fails_with_a_reason(self, lambda_: Lambda) -> None:
        lambda_.create("failing", Environment={"Variables": {"FAIL": "1"}}, Publish=True)
        found = lambda_.provision("failing", "1", 1)
        assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("FAILED", 0)
        assert found["StatusReason"].startswith("FUNCTION_ERROR_INIT_FAILURE")
        lambda_.client.delete_provisioned_concurrency_config(FunctionName="failing", Qualifier="1")

    def test_it_is_refused_for_the_newest_code_and_above_the_limits(self, lambda_: Lambda, versions: str) -> None:
        def asked(qualifier: str, count: int) -> tuple[str, int]:
            with pytest.raises(ClientError) as refused:
                lambda_.client.put_provisioned_concurrency_config(
                    FunctionName=versions, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
                )
            return refusal(refused)

        assert asked("$LATEST", 1) == ("InvalidParameterValueException", 400)
        assert asked("1", 10) == ("InvalidParameterValueException", 400)
        assert asked("nowhere", 1) == ("ResourceNotFoundException", 404)


# --- function URLs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(lambda_: Lambda) -> str:
    """Answers with its event, or with what its body says."""
    lambda_.create("page", Handler="app.web", Timeout=2)
    return lambda_.open_url("page")


class TestUrls:
    def test_a_request_reaches_the_function_as_an_event(self, url: str) -> None:
        headers = {"Cookie": "a=1", "X-Word": "w"}
        found = httpx.post(f"{url}some/path?x=1&x=2", content=b"\xff\xd8", headers=headers).json()
        assert (found["version"], found["rawPath"], found["rawQueryString"]) == ("2.0", "/some/path", "x=1&x=2")
        assert (found["body"], found["isBase64Encoded"]) == (base64.b64encode(b"\xff\xd8").decode(), True)
        assert (found["cookies"], found["headers"]["x-word"]) == (["a=1"], "w")
        assert found["requestContext"]["http"]["method"] == "POST"
        assert found["requestContext"]["domainName"] == httpx.URL(url).netloc.decode()

    def test_curl_opens_the_address_as_it_is(self, url: str) -> None:
        done = subprocess.run(["curl", "-sS", "-i", url], capture_output=True, text=True, check=True)
        head, _, body = done.stdout.partition("\n\n" if "\n\n" in done.stdout else "\r\n\r\n")
        assert head.startswith("HTTP/1.1 200")
        assert json.loads(body)["rawPath"] == "/"

    @pytest.mark.parametrize(
        ("options", "encoded"),
        [
            (["--data", "a=1"], True),
            (["--json", '{"a": 1}'], False),
            (["--form", "picture=@-;filename=a.jpg"], True),
            (["--data-binary", "@-", "-H", "Content-Type: image/jpeg"], True),
            (["--request", "DELETE"], None),
            (["--request", "PUT", "--data", '{"a": 1}', "-H", "Content-Type: text/plain"], False),
        ],
    )
    def test_curls_bodies_arrive_by_their_type(self, url: str, options: list[str], encoded: bool | None) -> None:
        done = subprocess.run(["curl", "-sS", *options, url], input=b"\xff\xd8\xff", capture_output=True, check=True)
        found = json.loads(done.stdout)
        assert ("body" in found, found["isBase64Encoded"]) == (encoded is not None, bool(encoded))

    def test_an_answer_has_status_headers_cookies_and_bytes(self, url: str) -> None:
        headers = {"Content-Type": "image/png", "X-A": "b"}
        answer = {"statusCode": 418, "headers": headers, "cookies": ["a=1", "b=2; Secure"]}
        body = {"body": base64.b64encode(b"\x89PNG").decode(), "isBase64Encoded": True}
        found = httpx.post(url, json={"answer": answer | body})
        assert (found.status_code, found.headers["content-type"], found.headers["x-a"]) == (418, "image/png", "b")
        assert found.headers.get_list("set-cookie") == ["a=1", "b=2; Secure"]
        assert found.content == b"\x89PNG"

    def test_a_plain_answer_is_json_and_head_has_no_body(self, url: str) -> None:
        found = httpx.post(url, json={"answer": "Hello"})
        assert (found.status_code, found.text, found.headers["content-type"]) == (200, '"Hello"', "application/json")
        place = httpx.URL(url)
        with socket.create_connection((place.host, place.port or 0)) as wire:
            wire.sendall(
                f"HEAD {place.path} HTTP/1.1\r\nHost: {place.netloc.decode()}\r\nConnection: close\r\n\r\n".encode()
            )
            head, _, body = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")
        assert (head.split()[1], body) == (b"200", b"")

    @pytest.mark.parametrize(
        "body",
        [{"do": "fail"}, {"do": "leave", "code": 1}, {"answer": {"statusCode": "x"}}, LARGE],
    )
    def test_a_function_that_fails_is_502(self, url: str, body: dict[str, Any]) -> None:
        found = httpx.post(url, json=body)
        assert (found.status_code, found.text) == (502, "Internal Server Error")

    def test_a_timeout_is_502_too(self, url: str, gate: Gates) -> None:
        assert httpx.post(url, json=gate("never").event(), timeout=30).status_code == 502

    def test_a_body_that_is_too_large_as_an_event_is_413(self, url: str) -> None:
        octets = {"Content-Type": "image/jpeg"}
        assert httpx.post(url, content=bytes(4_600_000), headers=octets, timeout=30).status_code == 200
        for size in (4_800_000, 7_000_000):
            found = httpx.post(url, content=bytes(size), headers=octets, timeout=30)
            assert found.status_code == 413

    def test_above_the_limit_it_is_429(self, lambda_: Lambda, url: str) -> None:
        lambda_.client.put_function_concurrency(FunctionName="page", ReservedConcurrentExecutions=0)
        found = httpx.get(url)
        lambda_.client.delete_function_concurrency(FunctionName="page")
        assert (found.status_code, found.json()["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")

    def test_without_both_permissions_it_is_forbidden(self, lambda_: Lambda, url: str) -> None:
        policy = json.loads(lambda_.client.get_policy(FunctionName="page")["Policy"])
        assert [each["Sid"] for each in policy["Statement"]] == ["url", "invoke"]
        lambda_.client.remove_permission(FunctionName="page", StatementId="invoke")
        found = httpx.get(url)
        again = {"StatementId": "invoke", "Principal": "*", "Action": "lambda:InvokeFunction"}
        lambda_.client.add_permission(FunctionName="page", InvokedViaFunctionUrl=True, **again)
        assert (found.status_code, found.json()["Message"].split(".")[0]) == (403, "Forbidden")
        assert httpx.get(url).status_code == 200

    def test_a_url_for_those_who_sign_wants_a_signature(self, lambda_: Lambda, aws: dict[str, str]) -> None:
        lambda_.create("signed", Handler="app.web")
        made = lambda_.client.create_function_url_config(FunctionName="signed", AuthType="AWS_IAM")["FunctionUrl"]
        assert httpx.get(made).status_code == 403
        found = httpx.get(made, headers=signed("GET", made, "lambda", aws))
        told = found.json()["requestContext"]["authorizer"]["iam"]
        assert (told["accessKey"], told["userArn"].split("/")[-1]) == (aws["AWS_ACCESS_KEY_ID"], "administrator")
        stranger = connected(aws, "iam")
        stranger.create_user(UserName="stranger")
        key = stranger.create_access_key(UserName="stranger")["AccessKey"]
        theirs = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        assert httpx.get(made, headers=signed("GET", made, "lambda", aws | theirs)).status_code == 403

    def test_a_second_url_is_refused_and_a_deleted_one_is_gone(self, lambda_: Lambda, function: str) -> None:
        client = lambda_.client
        made = client.create_function_url_config(FunctionName=function, AuthType="NONE")["FunctionUrl"]
        with pytest.raises(ClientError, match="FunctionUrlConfig exists") as second:
            client.create_function_url_config(FunctionName=function, AuthType="NONE")
        assert refusal(second) == ("ResourceConflictException", 409)
        assert client.get_function_url_config(FunctionName=function)["FunctionUrl"] == made
        client.delete_function_url_config(FunctionName=function)
        assert httpx.get(made).status_code == 404
        with pytest.raises(ClientError) as gone:
            client.get_function_url_config(FunctionName=function)
        assert refusal(gone) == ("ResourceNotFoundException", 404)

    def test_cors_is_answered_as_it_is_configured(self, lambda_: Lambda, url: str) -> None:
        cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["POST"]}
        lambda_.client.update_function_url_config(FunctionName="page", Cors=cors)
        found = httpx.options(url, headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"})
        answered = httpx.get(url, headers={"Origin": "https://a.example"})
        lambda_.client.update_function_url_config(FunctionName="page", Cors={})
        assert found.headers["access-control-allow-methods"] == "POST"
        assert answered.headers["access-control-allow-origin"] == "https://a.example"
        assert "access-control-allow-origin" not in httpx.get(url, headers={"Origin": "https://a.example"}).headers

    def test_its_page_may_ask_its_own_address_and_not_the_api(self, url: str, aws: dict[str, str]) -> None:
        own = {"Origin": aws["AWS_ENDPOINT_URL"], "Sec-Fetch-Site": "same-origin"}
        assert httpx.post(url, headers=own, json={"answer": 1}).json() == 1
        api, target = aws["AWS_ENDPOINT_URL"], {"X-Amz-Target": "SageMaker.ListEndpoints"}
        headers = signed("POST", f"{api}/", "sagemaker", aws, b"{}", target)
        assert httpx.post(api, headers={**own, **headers}, content=b"{}").status_code == 403
        assert httpx.post(api, headers=headers, content=b"{}").status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403

    def test_without_its_slash_it_leads_there(self, url: str) -> None:
        found = httpx.get(f"{url[:-1]}?a=1")
        assert (found.status_code, found.headers["location"]) == (308, f"{httpx.URL(url).path}?a=1")


# --- what is left, and what is told -----------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """A home for a server that the test starts and ends itself."""
    yield tmp_path / "home"
    stop(tmp_path / "home")


def started(home: Path) -> Lambda:
    environment = start_in_background(home, 0, "us-east-1", "process").environment()
    client = connected(environment, "lambda")
    known = client.list_functions()["Functions"]
    return Lambda(client, known[0]["Role"] if known else role_in(environment), home)


class TestRestart:
    def test_a_restart_keeps_all_and_counts_are_in_cloudwatch(self, alone: Path) -> None:
        before = started(alone)
        before.create("kept", Publish=True, Environment={"Variables": {"WORD": "one"}})
        before.client.create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
        before.client.put_function_concurrency(FunctionName="kept", ReservedConcurrentExecutions=3)
        before.provision("kept", "live", 1)
        identity = before.open_url("kept", Qualifier="live").split("/")[-2]
        pid = before.invoke("kept", Qualifier="live")["pid"]
        before.invoke("kept", {"do": "fail"})
        before.invoke("kept", {"do": "measure"})
        stop(alone)
        assert not lives(pid)
        after = started(alone)
        assert after.provisioned("kept", "live")["Status"] == "READY"
        found = after.invoke("kept", Qualifier="live")
        assert (found["version"], found["kind"]) == ("one", "provisioned-concurrency")
        assert after.client.get_function_concurrency(FunctionName="kept")["ReservedConcurrentExecutions"] == 3
        address = after.client.get_function_url_config(FunctionName="kept", Qualifier="live")["FunctionUrl"]
        assert address.split("/")[-2] == identity
        assert httpx.get(address).status_code == 200
        counts = self.counted(alone)
        assert counts["AWS/Lambda", "Invocations"] == 3
        assert counts["AWS/Lambda", "Errors"] == 1
        assert counts["AWS/Lambda", "ProvisionedConcurrencyInvocations"] == 1
        assert counts["Tests", "Seen"] == 7

    def test_kill_9_leaves_no_instance_and_loses_no_event(self, alone: Path, tmp_path: Path) -> None:
        server, note, held = started(alone), tmp_path / "note", Gate.make(tmp_path, "held")
        server.create("left", Publish=True, Timeout=60)
        server.provision("left", "1", 1)
        pids = [server.invoke("left")["pid"], server.invoke("left", Qualifier="1")["pid"]]
        server.client.put_function_concurrency(FunctionName="left", ReservedConcurrentExecutions=2)
        running = state(alone)
        assert running is not None
        with ThreadPoolExecutor() as pool:
            pool.submit(server.invoke, "left", held.event())
            held.arrived()
            event = json.dumps({"do": "note", "file": str(note)})
            server.client.invoke(FunctionName="left", Payload=event, InvocationType="Event")  # waits: the limit is 2
            os.kill(running.pid, signal.SIGKILL)
        until(lambda: not any(lives(pid) for pid in pids))
        assert not note.exists()
        started(alone)
        assert until(note.exists)

    def counted(self, home: Path) -> dict[tuple[str, str], float]:
        """Sums of the metrics of the function `kept`, and of what it told itself."""
        found: dict[tuple[str, str], float] = {}
        for line in (home / "moto/metrics.jsonl").read_text().splitlines():
            each = json.loads(line)
            if [one["Name"] for one in each["dimensions"]] in (["FunctionName"], ["Name"]):
                key = (each["namespace"], each["name"])
                found[key] = found.get(key, 0.0) + each["value"]
        return found
