"""What services do under roles: training jobs, endpoints, functions and rules, each with just enough rights, and less.

A server with the real services and the real gatekeeper; in the images' place stand small scripts.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import fixtures_hosting
import test_local_training
from fixtures_lambda import zipped
from kennel.errors import Stopped, stop_on_signals
from kennel.iam.record import Call
from kennel.local.home import State
from kennel.local.home import state as state_of
from kennel.local.work import Runner, Running, Work
from test_gatekeeper import ACCOUNT, Account, allow, policy, refused, trust

REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
RULES = "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
TRAIN = """
import os, pathlib, time
root = pathlib.Path(os.environ["ROOT"])
(root / "model/m").write_text("model")
(root / "checkpoints/c").write_text("checkpoint")
print("loss=0.5;", *sorted(each.name for each in root.glob("input/data/*/*")))
"""
INVOKES = """
import boto3

def handler(event, context):
    print("asked")
    try:
        boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName=event["endpoint"], Body=b"x")
    except Exception as error:
        return str(error)
"""


class Scripts:
    """Implements work.Runners: a script that trains, a server that serves."""

    def __init__(self) -> None:
        self.name, self.interface = "process", "lo"
        self._train, self._serve = test_local_training.Processes(), fixtures_hosting.Processes()

    def choose(self, image: str) -> Runner:
        return self  # type: ignore[return-value]

    def hosts(self, count: int) -> list[str]:
        return self._train.hosts(count)

    def network(self, name: str) -> Any:
        return self._train.network(name)

    def start(self, work: Work) -> Running:
        return (self._train if work.command == "train" else self._serve).start(work)

    def close(self) -> None:
        self._train.close()
        self._serve.close()


def main() -> int:
    """The server process: HOME."""
    from kennel.local.server import assemble, serve

    stop_on_signals()
    scripts = Scripts()
    try:
        return serve(
            Path(sys.argv[1]),
            0,
            "us-east-1",
            "process",
            lambda url: print(url, flush=True),
            lambda house: assemble(replace(house, runners=scripts)),
        )
    except Stopped:
        return 0
    finally:
        scripts.close()


@dataclass(frozen=True)
class World(Account):
    """With what a training needs, and what tells how it ended."""

    def train(self, name: str, role: str, **more: Any) -> dict[str, Any]:
        """The job's description when it is over."""
        sagemaker = self.client("sagemaker")
        channel = {"S3DataType": "S3Prefix", "S3Uri": "s3://pictures/data/"}
        request = {
            "TrainingJobName": name,
            "RoleArn": role,
            "AlgorithmSpecification": {
                "TrainingImage": f"{REGISTRY}/training:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*?);"}],
            },
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": channel}}],
            "OutputDataConfig": {"S3OutputPath": "s3://pictures/jobs"},
            "CheckpointConfig": {"S3Uri": f"s3://pictures/checkpoints/{name}"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "Environment": {"SCRIPT": f"py:{TRAIN}"},
        }
        sagemaker.create_training_job(**request | more)
        return self.over(lambda: sagemaker.describe_training_job(TrainingJobName=name), "TrainingJobStatus")

    def over(
        self, describe: Any, member: str, ends: tuple[str, ...] = ("Completed", "Failed", "InService")
    ) -> dict[str, Any]:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found: dict[str, Any] = describe()
            if found[member] in ends:
                return found
            time.sleep(0.05)
        raise AssertionError(f"it is still {found[member]}")

    def model(self, name: str, role: str) -> None:
        container = {"Image": f"{REGISTRY}/serving:1", "ModelDataUrl": "s3://pictures/model.tar.gz"}
        self.client("sagemaker").create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)

    def deploy(self, name: str) -> dict[str, Any]:
        """An endpoint of a model of that name; its description when it is up, or failed."""
        sagemaker = self.client("sagemaker")
        variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return self.over(lambda: sagemaker.describe_endpoint(EndpointName=name), "EndpointStatus")

    def streams(self, group: str) -> list[str]:
        logs = self.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        return [each["logStreamName"] for each in logs.describe_log_streams(logGroupName=group)["logStreams"]]

    def of(self, resource: str) -> list[Call]:
        """What was decided for a job, an endpoint or a function."""
        return [
            each
            for each in self.calls()
            if each.operation.lower().endswith(resource.lower()) and each.action != "sts:AssumeRole"
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("services")
    process = subprocess.Popen([sys.executable, __file__, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    found: State | None = state_of(home)
    assert found is not None
    made = World(found, home)
    s3 = made.client("s3")
    s3.create_bucket(Bucket="pictures")
    s3.put_object(Bucket="pictures", Key="data/1.jpg", Body=b"1")
    s3.put_object(Bucket="pictures", Key="model.tar.gz", Body=archive())
    yield made
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("weights"), io.BytesIO())
    return buffer.getvalue()


BUCKET = "arn:aws:s3:::pictures"
LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
NEEDED: dict[str, dict[str, Any]] = {
    "s3:ListBucket": allow("s3:ListBucket", resource=BUCKET),
    "s3:GetObject": allow("s3:GetObject", resource=f"{BUCKET}/data/*"),
    "s3:PutObject": allow("s3:PutObject", resource=[f"{BUCKET}/jobs/*", f"{BUCKET}/checkpoints/*"]),
    "ecr:GetAuthorizationToken": allow("ecr:GetAuthorizationToken"),
    **{each: allow(each, resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/training") for each in PULL},
    "logs:CreateLogGroup": allow("logs:CreateLogGroup", resource=f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    "logs:DescribeLogStreams": allow("logs:DescribeLogStreams", resource=f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    "logs:CreateLogStream": allow("logs:CreateLogStream", resource=f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    "logs:PutLogEvents": allow("logs:PutLogEvents", resource=f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    "cloudwatch:PutMetricData": allow(
        "cloudwatch:PutMetricData",
        Condition={"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}},
    ),
}
"""All that a training job does under its role."""
NO_IMAGE = "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are"
FAILS = {
    "s3:ListBucket": "ClientError: Data download failed: Failed to download data. User: ",
    "s3:GetObject": "ClientError: Data download failed: Failed to download data. User: ",
    "s3:PutObject": "User: ",
    "ecr:GetAuthorizationToken": NO_IMAGE,
    **dict.fromkeys(PULL, NO_IMAGE),
}
LOSES = {
    "logs:CreateLogStream": "lines",
    "logs:DescribeLogStreams": "lines",
    "logs:PutLogEvents": "lines",
    "cloudwatch:PutMetricData": "metrics",
}


def test_a_training_job_needs_just_these_rights(world: World) -> None:
    role = world.role("training", trust({"Service": "sagemaker.amazonaws.com"}), *NEEDED.values())
    job = world.train("allowed", role)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    decided = world.of("training-job/allowed")
    assert {each.action for each in decided} == NEEDED.keys()
    assert all(each.allowed for each in decided)
    assert {(each.caller, each.role) for each in decided} == {
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/training/SageMaker", role)
    }
    listed = {each["Key"] for each in world.client("s3").list_objects_v2(Bucket="pictures")["Contents"]}
    assert {"jobs/allowed/output/model.tar.gz", "checkpoints/allowed/c"} <= listed
    assert any(each.startswith("allowed/") for each in world.streams("/aws/sagemaker/TrainingJobs"))
    assert job["FinalMetricDataList"][0]["Value"] == 0.5


@pytest.mark.parametrize("action", sorted(FAILS))
def test_a_training_job_that_lacks_one_fails_as_aws_words_it(world: World, action: str) -> None:
    name = f"lacks-{action.replace(':', '-')}"
    rest = [each for key, each in NEEDED.items() if key != action]
    job = world.train(name, world.role(name, trust({"Service": "sagemaker.amazonaws.com"}), *rest))
    assert job["TrainingJobStatus"] == "Failed"
    assert FAILS[action] in job["FailureReason"]
    assert f"assumed-role/{name}/SageMaker is not authorized to perform: {action} on resource: " in job["FailureReason"]
    assert next(each.action for each in world.of(f"training-job/{name}") if not each.allowed) == action


@pytest.mark.parametrize("action", sorted(LOSES))
def test_without_logs_or_metrics_a_job_goes_on_and_they_are_lost(world: World, action: str) -> None:
    name = f"quiet-{action.replace(':', '-')}"
    rest = [each for key, each in NEEDED.items() if key != action]
    job = world.train(name, world.role(name, trust({"Service": "sagemaker.amazonaws.com"}), *rest))
    assert job["TrainingJobStatus"] == "Completed"
    streams = [each for each in world.streams("/aws/sagemaker/TrainingJobs") if each.startswith(f"{name}/")]
    events = [
        each
        for stream in streams
        for each in world.client("logs").get_log_events(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream
        )["events"]
    ]
    dimension = [{"Name": "TrainingJobName", "Value": name}]
    metrics = world.client("cloudwatch").list_metrics(Dimensions=dimension)["Metrics"]
    assert (bool(events), bool(metrics)) == (LOSES[action] != "lines", LOSES[action] != "metrics")
    assert {each.action for each in world.of(f"training-job/{name}") if not each.allowed} == {action}


def test_rights_that_are_taken_away_meanwhile_are_missed_at_once(world: World) -> None:
    role = world.role("taken", trust({"Service": "sagemaker.amazonaws.com"}), *NEEDED.values())
    go = world.home / "go"
    waiting = TRAIN + f"\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
    sagemaker = world.client("sagemaker")

    def training() -> dict[str, Any]:
        return dict(sagemaker.describe_training_job(TrainingJobName="taken"))

    thread = threading.Thread(
        target=world.train, args=("taken", role), kwargs={"Environment": {"SCRIPT": f"py:{waiting}"}}
    )
    thread.start()
    while not any(each.action == "s3:GetObject" for each in world.of("training-job/taken")):
        time.sleep(0.02)
    world.client("iam").delete_role_policy(RoleName="taken", PolicyName="own")
    go.touch()
    thread.join()
    assert training()["TrainingJobStatus"] == "Failed"
    assert "s3:PutObject" in training()["FailureReason"]


def test_rules_whose_image_the_jobs_role_may_not_pull_are_in_error(world: World) -> None:
    role = world.role("ruled", trust({"Service": "sagemaker.amazonaws.com"}), *NEEDED.values())
    rule = {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": RULES}
    parameters = {"rule_to_invoke": "LossNotDecreasing"}
    job = world.train(
        "ruled",
        role,
        DebugHookConfig={"S3OutputPath": "s3://pictures/jobs"},
        DebugRuleConfigurations=[{**rule, "RuleParameters": parameters}],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    found = job["DebugRuleEvaluationStatuses"][0]
    assert found["RuleEvaluationStatus"] == "Error"
    assert "arn:aws:ecr:us-east-1:503895931360:repository/sagemaker-debugger-rules" in found["StatusDetails"]
    denied = [each.action for each in world.of("training-job/ruled") if not each.allowed]
    assert denied == ["ecr:BatchCheckLayerAvailability"]


HOSTS = [
    allow("s3:GetObject", resource=f"{BUCKET}/model.tar.gz"),
    allow("ecr:GetAuthorizationToken"),
    allow(*PULL, resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/serving"),
    allow("logs:*", resource=f"{LOGS}/aws/sagemaker/Endpoints/*"),
]


def test_an_endpoint_reads_its_model_and_pulls_its_image_as_its_role(world: World) -> None:
    role = world.role("hosting", trust({"Service": "sagemaker.amazonaws.com"}), *HOSTS)
    world.model("hosted", role)
    assert world.deploy("hosted")["EndpointStatus"] == "InService"
    assert {each.action for each in world.of("endpoint/hosted")} >= {"s3:GetObject", *PULL}
    assert world.client("sagemaker-runtime").invoke_endpoint(EndpointName="hosted", Body=b"x")


def test_a_model_whose_role_may_not_read_it_is_refused(world: World) -> None:
    role = world.role("blind-host", trust({"Service": "sagemaker.amazonaws.com"}), *HOSTS[1:])
    code, told, _ = refused(world.model, name="unread", role=role)
    assert code == "ValidationException"
    assert told.startswith("Could not access model data at s3://pictures/model.tar.gz. Please ensure that the role")


def test_an_endpoint_whose_role_may_not_pull_fails(world: World) -> None:
    role = world.role("no-image", trust({"Service": "sagemaker.amazonaws.com"}), HOSTS[0], HOSTS[3])
    world.model("unpulled", role)
    found = world.deploy("unpulled")
    assert found["EndpointStatus"] == "Failed"
    told = f"The role '{role}' does not have BatchGetImage permission for the image: '{REGISTRY}/serving:1'."
    assert found["FailureReason"] == told


def test_an_endpoint_whose_artifact_its_role_may_no_more_read_fails(world: World) -> None:
    role = world.role("forgetful", trust({"Service": "sagemaker.amazonaws.com"}), *HOSTS)
    world.model("forgotten", role)
    world.client("iam").put_role_policy(RoleName="forgetful", PolicyName="own", PolicyDocument=policy(*HOSTS[1:]))
    found = world.deploy("forgotten")
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"].startswith("Failed to download model data")


def test_a_function_invokes_and_logs_as_its_own_role(world: World) -> None:
    endpoint = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/"
    lambda_, trusted = world.client("lambda"), trust({"Service": "lambda.amazonaws.com"})
    logs = allow("logs:*", resource=f"{LOGS}/aws/lambda/*")
    asks = allow("sagemaker:InvokeEndpoint", resource=f"{endpoint}one")
    for name, statements in (("asks", [asks, logs]), ("silent", [asks])):
        made = {"Runtime": "python3.11", "Handler": "app.handler", "Timeout": 30}
        code = {"ZipFile": zipped({"app.py": INVOKES})}
        lambda_.create_function(FunctionName=name, Role=world.role(name, trusted, *statements), Code=code, **made)
        lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})

    def ask(name: str, of: str) -> str:
        answer = lambda_.invoke(FunctionName=name, Payload=json.dumps({"endpoint": of}))
        return str(json.loads(answer["Payload"].read()))

    assert "Endpoint one of account" in ask("asks", "one")  # allowed, and not there
    told = ask("asks", "another")
    assert (
        f"assumed-role/asks/asks is not authorized to perform: sagemaker:InvokeEndpoint on resource: {endpoint}" in told
    )
    assert "Endpoint one of account" in ask("silent", "one")
    until = time.monotonic() + 20
    while not world.streams("/aws/lambda/asks") and time.monotonic() < until:
        time.sleep(0.05)
    assert world.streams("/aws/lambda/asks")
    assert not world.streams("/aws/lambda/silent")
    assert {each.action for each in world.of("function:silent") if not each.allowed} == {"logs:CreateLogGroup"}


def test_a_function_is_invoked_by_whom_its_policy_or_theirs_lets(world: World) -> None:
    lambda_ = world.client("lambda")
    code = {"ZipFile": zipped({"app.py": "def handler(event, context):\n    return 'hi'\n"})}
    role = world.role("open", trust({"Service": "lambda.amazonaws.com"}))
    lambda_.create_function(FunctionName="open", Role=role, Code=code, Runtime="python3.11", Handler="app.handler")
    lambda_.get_waiter("function_active_v2").wait(FunctionName="open", WaiterConfig={"Delay": 0.05})
    guest = world.client("lambda", world.user("guest"))
    code_, told, status = refused(guest.invoke, FunctionName="open")
    assert (code_, status) == ("AccessDeniedException", 403)
    assert "lambda:InvokeFunction on resource: arn:aws:lambda:" in told
    principal = f"arn:aws:iam::{ACCOUNT}:user/guest"
    lambda_.add_permission(FunctionName="open", StatementId="s", Action="lambda:InvokeFunction", Principal=principal)
    assert guest.invoke(FunctionName="open")["StatusCode"] == 200
    assert refused(guest.get_function, FunctionName="open")[0] == "AccessDeniedException"


if __name__ == "__main__":
    sys.exit(main())
