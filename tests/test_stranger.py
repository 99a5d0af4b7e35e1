"""The local AWS as a stranger's client sees it: boto3 and the AWS command line by AWS_ENDPOINT_URL, nothing of ours.

The stranger knows AWS's documentation only: waiters, paginators, error codes. One story, told once (module fixtures),
looked at from many sides.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from fixtures_shared import Shared

BUCKET = "a-strangers-bucket"
CHECKPOINTS = "checkpoints/features"
TRIALS = 2
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
WORK = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{BUCKET}/*"},
        {
            "Effect": "Allow",
            "Action": ["ecr:Get*", "ecr:Batch*", "logs:*", "cloudwatch:PutMetricData"],
            "Resource": "*",
        },
        {"Effect": "Allow", "Action": ["sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob"], "Resource": "*"},
    ],
}
ACCURACY = {"Name": "valid:accuracy", "Regex": "metric valid:accuracy=([0-9.]+)"}


@pytest.fixture(scope="module")
def session(local_aws: dict[str, str]) -> Iterator[boto3.Session]:
    """A session of a shell in which AWS_ENDPOINT_URL, a region and keys are set, and no more."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_aws.items():
            patch.setenv(name, value)
        yield boto3.Session()


@pytest.fixture(scope="module")
def sagemaker(session: boto3.Session) -> Any:
    return session.client("sagemaker")


@pytest.fixture(scope="module")
def role(session: boto3.Session) -> str:
    iam = session.client("iam")
    made = iam.create_role(RoleName="stranger", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="stranger", PolicyName="work", PolicyDocument=json.dumps(WORK))
    return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def uploaded(session: boto3.Session, few: Path, cache: Path) -> str:
    """The bucket, with the photographs and the pretrained weights in it."""
    s3 = session.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    upload_tree(session, few, "data")
    weights = next((cache / "weights").glob("*.safetensors"))
    s3.upload_file(str(weights), BUCKET, f"weights/{weights.name}")
    return f"s3://{BUCKET}"


def upload_tree(session: boto3.Session, folder: Path, prefix: str) -> None:
    s3 = session.client("s3")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")


def download_tree(session: boto3.Session, prefix: str, folder: Path) -> None:
    s3 = session.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        for each in page["Contents"]:
            path = folder / each["Key"].removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(BUCKET, each["Key"], str(path))


def channel(name: str, uri: str, mode: str = "File") -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def channels(uri: str) -> list[dict[str, Any]]:
    data = [channel(split, f"{uri}/data/{split}/", "FastFile") for split in ("train", "valid", "test")]
    return [*data, channel("weights", f"{uri}/weights/")]


@dataclass(frozen=True)
class Requests:
    """What the stranger asks for. images: training, serving; uri: of the bucket."""

    images: dict[str, str]
    role: str
    uri: str

    def training(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": self.images["training"],
                "TrainingInputMode": "File",
                "MetricDefinitions": [ACCURACY],
            },
            "RoleArn": self.role,
            "InputDataConfig": channels(self.uri),
            "OutputDataConfig": {"S3OutputPath": f"{self.uri}/output"},
            "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "HyperParameters": {"epochs": "5", "batch_size": "8"},
            **more,
        }

    def model(self, name: str, job: dict[str, Any]) -> dict[str, Any]:
        artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
        container = {"Image": self.images["serving"], "ModelDataUrl": artifact}
        return {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": self.role}


@pytest.fixture(scope="module")
def requests(images: dict[str, str], role: str, uploaded: str) -> Requests:
    return Requests(images, role, uploaded)


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def features(session: boto3.Session, sagemaker: Any, requests: Requests, runner: str, shared: Shared) -> str:
    """A job whose output, left uncompressed, is the channel of the jobs to come. In a container it goes on from the
    checkpoints that it left as a process, where that came before: from nothing test_containers has it."""
    if runner == "docker":
        upload_tree(session, shared.once("strangers-checkpoints", lambda folder: None), CHECKPOINTS)
    kept = {"S3Uri": f"{requests.uri}/{CHECKPOINTS}"}
    request = requests.training("features", Environment={"KENNEL_JOB": "features"}, CheckpointConfig=kept)
    request["OutputDataConfig"]["CompressionType"] = "NONE"
    sagemaker.create_training_job(**request)
    wait(sagemaker, "features")
    if runner == "process":
        shared.once("strangers-checkpoints", lambda folder: download_tree(session, CHECKPOINTS, folder))
    return str(sagemaker.describe_training_job(TrainingJobName="features")["ModelArtifacts"]["S3ModelArtifacts"])


def wait(sagemaker: Any, name: str) -> None:
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 240})


@pytest.fixture(scope="module")
def trained(sagemaker: Any, requests: Requests, features: str) -> dict[str, Any]:
    request = requests.training("first", Tags=[{"Key": "team", "Value": "dogs"}])
    request["InputDataConfig"].append(channel("features", features))
    sagemaker.create_training_job(**request)
    wait(sagemaker, "first")
    return dict(sagemaker.describe_training_job(TrainingJobName="first"))


@pytest.fixture(scope="module")
def tuned(sagemaker: Any, requests: Requests, features: str) -> dict[str, Any]:
    definition = requests.training("")
    definition = {key: value for key, value in definition.items() if key not in ("TrainingJobName", "HyperParameters")}
    definition["InputDataConfig"].append(channel("features", features))
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="search",
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "valid:accuracy"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": TRIALS, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {"Name": "learning_rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
                ],
                "CategoricalParameterRanges": [{"Name": "batch_size", "Values": ["4", "8"]}],
            },
        },
        TrainingJobDefinition={**definition, "StaticHyperParameters": {"epochs": "5"}},
    )
    for _ in range(240):
        found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
        if found["HyperParameterTuningJobStatus"] != "InProgress":
            break
        time.sleep(1)  # boto3 has no waiter for tuning jobs
    return dict(found)


@pytest.fixture(scope="module")
def endpoint(sagemaker: Any, requests: Requests, trained: dict[str, Any]) -> Iterator[str]:
    sagemaker.create_model(**requests.model("dogs", trained))
    sagemaker.create_endpoint_config(EndpointConfigName="dogs-1", ProductionVariants=[variant("dogs")])
    sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName="dogs-1")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="dogs", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    yield "dogs"
    sagemaker.delete_endpoint(EndpointName="dogs")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="dogs", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def variant(model: str, instances: int = 1) -> dict[str, Any]:
    return {
        "VariantName": "all",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": instances,
    }


@pytest.fixture(scope="module")
def photo(few: Path) -> Path:
    return sorted(path for path in (few / "test").rglob("*") if path.is_file())[0]


def test_a_training_job_ends_with_states_times_and_metrics(trained: dict[str, Any]) -> None:
    assert trained["TrainingJobStatus"] == trained["SecondaryStatus"] == "Completed"
    assert [each["Status"] for each in trained["SecondaryStatusTransitions"]][-1] == "Completed"
    assert trained["TrainingStartTime"] < trained["TrainingEndTime"]
    metrics = {each["MetricName"]: each["Value"] for each in trained["FinalMetricDataList"]}
    assert 0.25 < metrics["valid:accuracy"] <= 1


def test_its_artifact_is_an_archive_in_s3(session: boto3.Session, trained: dict[str, Any]) -> None:
    bucket, key = trained["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    assert key == "output/first/output/model.tar.gz"
    body = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert "model.json" in {name.removeprefix("./") for name in tar.getnames()}


def test_its_log_is_in_cloudwatch(session: boto3.Session, trained: dict[str, Any]) -> None:
    logs = session.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="first/")["logStreams"]
    assert [each["logStreamName"].split("/")[0] for each in streams] == ["first"]
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)
    assert any("metric valid:accuracy=" in each["message"] for each in events["events"])


def test_its_tags_are_listed(sagemaker: Any, trained: dict[str, Any]) -> None:
    assert sagemaker.list_tags(ResourceArn=trained["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "dogs"}]


def test_a_second_job_with_the_same_name_is_refused(
    sagemaker: Any, requests: Requests, trained: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**requests.training("first"))
    assert code_of(error)[0] == "ResourceInUse"


def test_what_is_not_there_is_told_as_a_validation_error(sagemaker: Any) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.describe_training_job(TrainingJobName="nobody")
    assert code_of(error)[0] == "ValidationException"
    with pytest.raises(ClientError) as error:
        sagemaker.describe_endpoint(EndpointName="nobody")
    assert code_of(error)[0] == "ValidationException"
    assert "Could not find endpoint" in code_of(error)[1]


def test_a_request_out_of_the_apis_bounds_is_refused(sagemaker: Any, requests: Requests) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**requests.training("a_name_with_underscores"))
    code, message = code_of(error)
    assert code == "ValidationException"
    assert "1 validation error detected" in message
    assert "trainingJobName" in message
    with pytest.raises(ParamValidationError):
        sagemaker.create_training_job(TrainingJobName="x")


def test_a_role_that_is_missing_is_refused(sagemaker: Any, requests: Requests) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**requests.training("no-role", RoleArn="arn:aws:iam::123456789012:role/nobody"))
    assert "assume role" in code_of(error)[1]


def test_a_job_that_fails_says_why(sagemaker: Any, requests: Requests) -> None:
    sagemaker.create_training_job(**requests.training("fails", HyperParameters={"batch_size": "many"}))
    wait_failed(sagemaker, "fails")
    found = sagemaker.describe_training_job(TrainingJobName="fails")
    assert found["TrainingJobStatus"] == "Failed"
    assert "batch_size" in found["FailureReason"]


def wait_failed(sagemaker: Any, name: str) -> None:
    for _ in range(120):
        if sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Failed":
            return
        time.sleep(0.5)
    raise AssertionError(f"{name} did not fail")


def test_a_job_can_be_stopped(session: boto3.Session, sagemaker: Any, requests: Requests) -> None:
    long = {"epochs": "1000", "trainable": "all"}
    sagemaker.create_training_job(**requests.training("stopped", HyperParameters=long))
    while "read the data set" not in log_of(session, "stopped"):
        time.sleep(0.2)
    sagemaker.stop_training_job(TrainingJobName="stopped")
    wait(sagemaker, "stopped")
    found = sagemaker.describe_training_job(TrainingJobName="stopped")
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError) as error:
        sagemaker.stop_training_job(TrainingJobName="stopped")
    assert code_of(error)[0] == "ValidationException"


def log_of(session: boto3.Session, job: str) -> str:
    """A job's lines so far."""
    logs, group = session.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    found = [logs.get_log_events(logGroupName=group, logStreamName=each["logStreamName"]) for each in streams]
    return "\n".join(event["message"] for each in found for event in each["events"])


def test_a_tuning_job_finds_its_best(sagemaker: Any, tuned: dict[str, Any]) -> None:
    assert tuned["HyperParameterTuningJobStatus"] == "Completed"
    counters = tuned["TrainingJobStatusCounters"]
    assert counters["Completed"] + counters["Stopped"] == TRIALS
    best = tuned["BestTrainingJob"]
    assert best["TrainingJobName"].startswith("search-00")
    assert 0.001 <= float(best["TunedHyperParameters"]["learning_rate"].strip('"')) <= 0.1
    found = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert found["TuningJobArn"] == tuned["HyperParameterTuningJobArn"]


def test_a_tuning_jobs_training_jobs_are_sorted_by_objective(sagemaker: Any, tuned: dict[str, Any]) -> None:
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName="search",
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 1},
    )
    found = [each for page in pages for each in page["TrainingJobSummaries"]]
    values = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in found]
    assert len(values) == TRIALS
    assert values == sorted(values, reverse=True)
    best = tuned["BestTrainingJob"]
    assert values[0] == best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert best["TrainingJobName"] in [each["TrainingJobName"] for each in found]


def test_training_jobs_are_listed_page_by_page(sagemaker: Any, trained: dict[str, Any], tuned: dict[str, Any]) -> None:
    pages = list(sagemaker.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2}))
    names = [each["TrainingJobName"] for page in pages for each in page["TrainingJobSummaries"]]
    assert len(pages) > 2
    assert len(names) == len(set(names))
    assert {"features", "first"} <= set(names)
    only = sagemaker.list_training_jobs(NameContains="firs", StatusEquals="Completed")["TrainingJobSummaries"]
    assert [each["TrainingJobName"] for each in only] == ["first"]


def test_an_endpoint_answers(session: boto3.Session, endpoint: str, photo: Path) -> None:
    runtime = session.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=photo.read_bytes(), ContentType="image/jpeg", CustomAttributes="top_k=2"
    )
    assert answer["InvokedProductionVariant"] == "all"
    predictions = json.loads(answer["Body"].read())["predictions"]
    assert len(predictions) == 2
    assert predictions[0]["probability"] > 0.25


def test_what_the_container_refuses_is_a_model_error(session: boto3.Session, endpoint: str) -> None:
    runtime = session.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"no picture", ContentType="image/jpeg")
    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 400
    assert "picture" in response["OriginalMessage"]
    assert response["LogStreamArn"].startswith(
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/"
    )


def test_an_endpoint_that_is_not_there_is_a_validation_error(session: boto3.Session) -> None:
    runtime = session.client("sagemaker-runtime")
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint(EndpointName="nobody", Body=b"x")
    assert code_of(error) == ("ValidationError", "Endpoint nobody of account 123456789012 not found.")


def test_two_hundred_concurrent_invocations_are_all_answered(
    session: boto3.Session, endpoint: str, photo: Path
) -> None:
    from botocore.config import Config

    runtime = session.client(
        "sagemaker-runtime", config=Config(max_pool_connections=200, retries={"total_max_attempts": 1})
    )
    body = photo.read_bytes()

    def ask(_: int) -> int:
        answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="image/jpeg")
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    with ThreadPoolExecutor(200) as pool:
        assert list(pool.map(ask, range(200))) == [200] * 200


def test_a_new_artifact_goes_live_under_load_without_a_failed_request(
    session: boto3.Session, sagemaker: Any, endpoint: str, photo: Path, tuned: dict[str, Any], requests: Requests
) -> None:
    best = sagemaker.describe_training_job(TrainingJobName=tuned["BestTrainingJob"]["TrainingJobName"])
    sagemaker.create_model(**requests.model("dogs-2", dict(best)))
    sagemaker.create_endpoint_config(EndpointConfigName="dogs-2", ProductionVariants=[variant("dogs-2")])
    statuses, done = [], False

    def load() -> None:
        runtime = session.client("sagemaker-runtime")
        while not done:
            answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=photo.read_bytes(), ContentType="image/jpeg")
            statuses.append(answer["ResponseMetadata"]["HTTPStatusCode"])
            time.sleep(0.05)  # a load, but one that leaves the new instance something of two cores

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load) for _ in range(2)]
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName="dogs-2", RetainAllVariantProperties=True)
        waiter = sagemaker.get_waiter("endpoint_in_service")
        try:
            waiter.wait(EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        finally:
            done = True
        for each in loads:
            each.result()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == "dogs-2"


def test_the_aws_command_line_works_against_it(
    local_aws: dict[str, str], trained: dict[str, Any], tmp_path: Path
) -> None:
    def aws(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("aws")), *arguments]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **local_aws}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    described = json.loads(
        aws("sagemaker", "describe-training-job", "--training-job-name", "first", "--output", "json")
    )
    assert described["TrainingJobStatus"] == "Completed"
    assert "model.tar.gz" in aws("s3", "ls", f"s3://{BUCKET}/output/first/output/")
    (tmp_path / "file name.txt").write_text("x" * 100)
    aws("s3", "cp", str(tmp_path / "file name.txt"), f"s3://{BUCKET}/from the command line/")
    assert aws("s3", "cp", f"s3://{BUCKET}/from the command line/file name.txt", "-") == "x" * 100


RULE_IMAGE = "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
ACTION = '{\\"name\\": \\"stoptraining\\", \\"training_job_prefix\\": \\"%s\\"}'
"""As SageMaker's SDK writes it."""


def rule(name: str, **parameters: str) -> dict[str, Any]:
    given = {"rule_to_invoke": name, **parameters}
    return {"RuleConfigurationName": name, "RuleEvaluatorImage": RULE_IMAGE, "RuleParameters": given}


def watched(uri: str, *rules: dict[str, Any]) -> dict[str, Any]:
    """Members of CreateTrainingJob: losses and gradients recorded, these rules, the profiler and its rules."""
    collections = [
        {"CollectionName": "losses", "CollectionParameters": {"save_interval": "1"}},
        {"CollectionName": "gradients", "CollectionParameters": {"save_interval": "2"}},
    ]
    return {
        "DebugHookConfig": {"S3OutputPath": f"{uri}/output", "CollectionConfigurations": collections},
        "DebugRuleConfigurations": list(rules),
        "ProfilerConfig": {"S3OutputPath": f"{uri}/output", "ProfilingIntervalInMilliseconds": 100},
        "ProfilerRuleConfigurations": [rule("CPUBottleneck"), rule("ProfilerReport")],
    }


@pytest.fixture(scope="module")
def judged(sagemaker: Any, requests: Requests, features: str) -> dict[str, Any]:
    """A job with rules: one that is right to find nothing, one that cannot but find something, one that is none."""
    rules = (rule("VanishingGradient"), rule("Overfit", ratio_threshold="0.000001", start_step="2"), rule("Nonsense"))
    request = requests.training("judged", **watched(requests.uri, *rules))
    request["InputDataConfig"].append(channel("features", features))
    request["HyperParameters"] = {"epochs": "12", "batch_size": "16", "learning_rate": "0.01"}
    sagemaker.create_training_job(**request)
    wait(sagemaker, "judged")
    return dict(sagemaker.describe_training_job(TrainingJobName="judged"))


def test_rules_end_with_the_job_and_say_what_they_found(judged: dict[str, Any]) -> None:
    statuses = {each["RuleConfigurationName"]: each for each in judged["DebugRuleEvaluationStatuses"]}
    found = {name: each["RuleEvaluationStatus"] for name, each in statuses.items()}
    assert found == {"VanishingGradient": "NoIssuesFound", "Overfit": "IssuesFound", "Nonsense": "Error"}
    assert statuses["Overfit"]["StatusDetails"].startswith("RuleEvaluationConditionMet: Evaluation of the rule Overfit")
    assert ":processing-job/judged" in statuses["Overfit"]["RuleEvaluationJobArn"]
    profiler = {
        each["RuleConfigurationName"]: each["RuleEvaluationStatus"] for each in judged["ProfilerRuleEvaluationStatuses"]
    }
    assert profiler == {"CPUBottleneck": "NoIssuesFound", "ProfilerReport": "NoIssuesFound"}
    assert (judged["TrainingJobStatus"], judged["ProfilingStatus"]) == ("Completed", "Enabled")


def test_tensors_metrics_and_the_page_are_in_s3(session: boto3.Session, judged: dict[str, Any]) -> None:
    listed = session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="output/judged/")
    keys = [each["Key"].removeprefix("output/judged/") for page in listed for each in page["Contents"]]
    assert any(key.startswith("debug-output/events/") for key in keys)
    assert any(key.startswith("profiler-output/system/incremental/") for key in keys)
    assert any(key.startswith("profiler-output/framework/pevents/") for key in keys)
    assert "rule-output/ProfilerReport/profiler-output/profiler-report.html" in keys
    assert not [key for key in keys if key.endswith(".tmp")]


def test_an_issue_may_stop_the_job(sagemaker: Any, requests: Requests, features: str) -> None:
    stopping = rule("Overfit", ratio_threshold="0.000001", start_step="2", action_json=ACTION % "endless")
    request = requests.training("endless", **watched(requests.uri, stopping))
    request["InputDataConfig"].append(channel("features", features))
    request["HyperParameters"] = {"epochs": "1000", "batch_size": "4", "learning_rate": "0.01"}
    sagemaker.create_training_job(**request)
    wait(sagemaker, "endless")
    job = sagemaker.describe_training_job(TrainingJobName="endless")
    assert job["TrainingJobStatus"] == "Stopped"
    assert [each["RuleEvaluationStatus"] for each in job["DebugRuleEvaluationStatuses"]] == ["IssuesFound"]


def test_rules_that_nothing_is_recorded_for_are_refused(sagemaker: Any, requests: Requests) -> None:
    request = requests.training("refused", DebugRuleConfigurations=[rule("Overfit")])
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**request)
    assert code_of(error)[0] == "ValidationException"
    assert "DebugHookConfig" in code_of(error)[1]
