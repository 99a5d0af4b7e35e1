"""Requests as values: each is what AWS accepts, patterns and lengths included, and is the golden one."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kennel import metrics
from kennel.aws.shapes import problems
from kennel.cloud import endpoint, function_requests, names, scaling_requests, training, tuning
from kennel.cloud.debugger import Debugging, rules_image
from kennel.cloud.endpoint import EndpointPlan
from kennel.cloud.function_requests import FunctionPlan
from kennel.cloud.registry import registry, repository_of
from kennel.cloud.scaling_target import deregister_request
from kennel.cloud.session import Cloud
from kennel.cloud.training import Channel, TrainingPlan
from kennel.cloud.tuning import TuningPlan
from kennel.errors import KennelError, SettingError
from kennel.settings import Debugger, Settings, Training, Tuning, parse

GOLDEN = Path(__file__).parent / "golden/requests"
ACCOUNT = "123456789012"
S3 = f"s3://kennel-us-east-1-{ACCOUNT}/kennel"
TAGS = tuple(Settings().tags())
ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-training"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kennel-training@sha256:{'0a' * 32}"

TRAIN = TrainingPlan(
    name="kennel-train-1a2b3c4d",
    image=IMAGE,
    role=ROLE,
    channels=(
        *(Channel(split, f"{S3}/data/5e6f7a8b/{split}/") for split in ("train", "valid", "test")),
        Channel("weights", f"{S3}/weights/", "File"),
    ),
    output=f"{S3}/jobs",
    machines=Training(),
    hyperparameters={"epochs": "20", "learning_rate": "0.003", "batch_size": "64"},
    tags=TAGS,
)
FEATURES = replace(TRAIN, name="kennel-features-1a2b3c4d", environment=training.FEATURES_JOB, compression="NONE")
SPOT = replace(
    TRAIN,
    machines=Training(instances=2, spot=True, max_runtime_s=3600, max_wait_s=7200, volume_gb=100),
    checkpoints=f"{S3}/checkpoints/1a2b3c4d",
)
WATCHED = replace(
    TRAIN,
    debugging=Debugging(Debugger(stop_on=("Overtraining",), rules={"Overfit": {"patience": 3}}), "us-east-1", 213),
)
TUNE = TuningPlan(
    replace(
        TRAIN,
        name="kennel-tune-1a2b3c4d",
        channels=(*TRAIN.channels, Channel("features", f"{S3}/jobs/kennel-features-1a2b3c4d/output/model/")),
        hyperparameters={"epochs": "20", "seed": "7"},
    ),
    Tuning(),
)
DEPLOY = EndpointPlan(
    name="kennel",
    model="kennel-model-1a2b3c4d",
    config="kennel-config-1a2b3c4d",
    image=IMAGE.replace("training", "serving"),
    artifact=f"{S3}/jobs/kennel-train-1a2b3c4d/output/model.tar.gz",
    role=ROLE.replace("training", "endpoint"),
    instance_type="ml.m5.large",
    instances=1,
    startup_s=480,
    tags=TAGS,
)


FUNCTION = FunctionPlan(
    name="DogBreedClassifierInference",
    role=ROLE.replace("training", "function"),
    runtime="python3.13",
    code=b"a zip",
    environment={"ENDPOINT_NAME": "kennel", "ALLOWED_ORIGINS": "*", "ALLOW_HTTP": "false"},
    reserved=10,
    tags={"project": "kennel"},
)


def searching(**settings: Any) -> TuningPlan:
    return replace(TUNE, search=Tuning(**settings))


REQUESTS = {
    "training": ("CreateTrainingJob", training.training_request(TRAIN)),
    "training-features": ("CreateTrainingJob", training.training_request(FEATURES)),
    "training-spot": ("CreateTrainingJob", training.training_request(SPOT)),
    "training-profiled": (
        "CreateTrainingJob",
        training.training_request(replace(TRAIN, debugging=Debugging(Debugger(), "us-east-1", 213, tensors=False))),
    ),
    "training-watched": ("CreateTrainingJob", training.training_request(WATCHED)),
    "tuning": ("CreateHyperParameterTuningJob", tuning.tuning_request(TUNE)),
    "tuning-grid": ("CreateHyperParameterTuningJob", tuning.tuning_request(searching(strategy="Grid", jobs=12))),
    "tuning-hyperband": ("CreateHyperParameterTuningJob", tuning.tuning_request(searching(strategy="Hyperband"))),
    "tuning-warm": (
        "CreateHyperParameterTuningJob",
        tuning.tuning_request(
            replace(
                searching(strategy="Random", objective="valid:loss", warm_start=("kennel-tune-0",)),
                warm_start="IdenticalDataAndAlgorithm",
            )
        ),
    ),
    "model": ("CreateModel", endpoint.model_request(replace(DEPLOY, environment={"KENNEL_ENGINE": "float32"}))),
    "endpoint-config": ("CreateEndpointConfig", endpoint.endpoint_config_request(DEPLOY)),
    "endpoint": ("CreateEndpoint", endpoint.endpoint_request(DEPLOY)),
    "endpoint-update": ("UpdateEndpoint", endpoint.update_request(DEPLOY)),
    "endpoint-update-unscaled": ("UpdateEndpoint", endpoint.update_request(replace(DEPLOY, scaled=False))),
}

SCALED = scaling_requests.plan_of(
    parse(
        {
            "scaling": {
                "cpu_target": 70,
                "actions": [
                    {"name": "morning", "schedule": "cron(0 8 ? * MON-FRI *)", "min": 2, "timezone": "Europe/Berlin"},
                    {"name": "fair", "schedule": "at(2027-05-01T09:00:00)", "min": 3, "max": 9},
                ],
            }
        }
    )
)
POLICIES, ACTIONS = scaling_requests.policy_requests(SCALED), scaling_requests.action_requests(SCALED)
SCALING_REQUESTS = {
    "scaling-target": ("RegisterScalableTarget", scaling_requests.target_request(SCALED)),
    "scaling-bounds": ("RegisterScalableTarget", scaling_requests.bounds_request(SCALED, {"MaxCapacity": 5})),
    "scaling-invocations": ("PutScalingPolicy", POLICIES["kennel.invocations"]),
    "scaling-cpu": ("PutScalingPolicy", POLICIES["kennel.cpu"]),
    "scaling-morning": ("PutScheduledAction", ACTIONS["kennel.morning"]),
    "scaling-fair": ("PutScheduledAction", ACTIONS["kennel.fair"]),
    "scaling-deregister": ("DeregisterScalableTarget", deregister_request(SCALED.resource)),
}


FUNCTION_REQUESTS = {
    "function": ("CreateFunction", function_requests.function_request(FUNCTION)),
    "function-code": ("UpdateFunctionCode", function_requests.code_request(FUNCTION)),
    "function-configuration": ("UpdateFunctionConfiguration", function_requests.configuration_request(FUNCTION)),
    "function-version": ("PublishVersion", function_requests.version_request(FUNCTION, "a digest")),
    "function-alias": ("CreateAlias", function_requests.alias_request(FUNCTION.name, "2")),
    "function-alias-update": ("UpdateAlias", function_requests.alias_request(FUNCTION.name, "2", "UpdateAlias")),
    "function-provisioned": ("PutProvisionedConcurrencyConfig", function_requests.provisioned_request(FUNCTION)),
    "function-reserved": ("PutFunctionConcurrency", function_requests.reserved_request(FUNCTION)),
    "function-url": ("CreateFunctionUrlConfig", function_requests.url_request(FUNCTION.name)),
    **{
        f"function-{each}": ("AddPermission", function_requests.permission_request(FUNCTION.name, each))
        for each in function_requests.PERMISSIONS
    },
    "function-invoke": ("Invoke", function_requests.invoke_request(FUNCTION.name, b'{"url": "https://a.example/"}')),
}


def cloud(region: str = "us-east-1", **settings: Any) -> Cloud:
    """One that asks nobody."""
    return Cloud("aws", region, ACCOUNT, Settings(region=region, **settings), lambda service: None)


def golden(name: str, found: Any) -> None:
    """KENNEL_GOLDEN=write takes over what is there; the difference then shows in review."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("KENNEL_GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(path.read_text())


def test_an_invocation_is_what_aws_accepts() -> None:
    request = endpoint.invoke_request("kennel", b"a picture", "image/jpeg", "top_k=3")
    assert problems("sagemaker-runtime", "InvokeEndpoint", request) == []
    golden("invoke", request | {"Body": request["Body"].decode()})


@pytest.mark.parametrize("name", REQUESTS)
def test_aws_accepts_it_and_it_is_the_golden_one(name: str) -> None:
    operation, request = REQUESTS[name]
    assert problems("sagemaker", operation, request) == []
    golden(name, request)


@pytest.mark.parametrize("name", FUNCTION_REQUESTS)
def test_lambda_accepts_it_and_it_is_the_golden_one(name: str) -> None:
    operation, request = FUNCTION_REQUESTS[name]
    assert problems("lambda", operation, request) == []
    golden(name, json.loads(json.dumps(request, default=bytes.decode)))


@pytest.mark.parametrize("name", SCALING_REQUESTS)
def test_application_auto_scaling_accepts_it_and_it_is_the_golden_one(name: str) -> None:
    operation, request = SCALING_REQUESTS[name]
    assert problems("application-autoscaling", operation, request) == []
    golden(name, request)


def test_the_functions_log_is_kept_as_long_as_asked() -> None:
    request = function_requests.retention_request(FUNCTION)
    assert request == {"logGroupName": "/aws/lambda/DogBreedClassifierInference", "retentionInDays": 30}


def test_every_golden_file_is_some_requests() -> None:
    others = {"invoke", *(path.stem for path in GOLDEN.glob("ec2-*.json"))}  # test_ec2.py has those
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*REQUESTS, *FUNCTION_REQUESTS, *SCALING_REQUESTS, *others}


class TestTraining:
    def test_the_log_is_read_by_the_regexes_that_training_prints_by(self) -> None:
        read = training.training_request(TRAIN)["AlgorithmSpecification"]["MetricDefinitions"]
        assert [(each["Name"], each["Regex"]) for each in read] == [(each.name, each.regex) for each in metrics.ALL]

    def test_a_job_without_spot_has_no_waiting_time(self) -> None:
        assert training.training_request(TRAIN)["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}

    def test_no_job_has_a_way_out(self) -> None:
        for _, request in REQUESTS.values():
            isolated = request.get("EnableNetworkIsolation", request.get("TrainingJobDefinition", {}))
            assert isolated is True or not isolated or isolated["EnableNetworkIsolation"] is True

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"name": "kennel_train"}, "trainingJobName"),
            ({"name": "k" * 64}, "trainingJobName"),
            ({"role": "kennel-training"}, "roleArn"),
            ({"channels": ()}, "inputDataConfig"),
            ({"channels": (Channel("bad name", S3),)}, "channelName"),
            ({"machines": Training(instance_type="ml.g9.xlarge")}, "instanceType"),
            ({"hyperparameters": {"epochs": "2" * 2501}}, "hyperParameters"),
            ({"environment": {"1BAD": "x"}}, "environment"),
        ],
    )
    def test_what_aws_would_refuse_is_refused_before_it_is_sent(self, change: dict[str, Any], told: str) -> None:
        with pytest.raises(SettingError, match=f"AWS would refuse CreateTrainingJob: .*{told}"):
            training.training_request(replace(TRAIN, **change))


class TestTuning:
    def test_what_is_searched_is_not_fixed_as_well(self) -> None:
        plan = replace(TUNE, training=replace(TUNE.training, hyperparameters={"epochs": "9", "learning_rate": "0.1"}))
        assert tuning.tuning_request(plan)["TrainingJobDefinition"]["StaticHyperParameters"] == {"epochs": "9"}

    def test_a_grid_has_as_many_jobs_as_it_has_points(self) -> None:
        request = tuning.tuning_request(searching(strategy="Grid", jobs=12))["HyperParameterTuningJobConfig"]
        ranges = request["ParameterRanges"]["CategoricalParameterRanges"]
        assert [each["Values"] for each in ranges] == [["0.001", "0.01", "0.1"], ["32", "64", "128", "256"]]
        assert request["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 12

    @pytest.mark.parametrize("jobs", [1, 7, 100, 750])
    @pytest.mark.parametrize("sizes", [(32,), (32, 64, 128), tuple(range(1, 31))])
    def test_every_grid_is_one_that_aws_accepts(self, jobs: int, sizes: tuple[int, ...]) -> None:
        plan = searching(strategy="Grid", jobs=jobs, batch_size=sizes)
        assert tuning.tuning_request(plan)
        rates = tuning.grid_rates(plan.search)
        assert (rates[0], rates[-1]) == (0.001, 0.1)
        assert len(set(rates)) == len(rates)
        assert 2 <= len(rates) <= 30

    @pytest.mark.parametrize(
        ("strategy", "wanted", "found"),
        [("Bayesian", True, "Auto"), ("Random", False, "Off"), ("Hyperband", True, "Off"), ("Grid", True, "Off")],
    )
    def test_early_stopping_is_left_off_where_it_does_not_go(self, strategy: str, wanted: bool, found: str) -> None:
        request = tuning.tuning_request(searching(strategy=strategy, early_stopping=wanted))
        assert request["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] == found

    def test_there_are_never_more_at_a_time_than_at_all(self) -> None:
        limits = tuning.tuning_request(searching(jobs=2, parallel_jobs=8))["HyperParameterTuningJobConfig"]
        assert limits["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2}

    def test_a_loss_is_made_small_and_an_accuracy_large(self) -> None:
        for objective, kind in (("valid:loss", "Minimize"), ("valid:accuracy", "Maximize")):
            config = tuning.tuning_request(searching(objective=objective))["HyperParameterTuningJobConfig"]
            assert config["HyperParameterTuningJobObjective"] == {"Type": kind, "MetricName": objective}


class TestNames:
    def test_the_same_work_has_the_same_name(self) -> None:
        assert names.name("kennel", "train", {"a": 1, "b": 2}) == names.name("kennel", "train", {"b": 2, "a": 1})
        assert names.name("kennel", "train", {"a": 1}) != names.name("kennel", "train", {"a": 2})
        assert names.digest("ab", "c") != names.digest("a", "bc")

    @pytest.mark.parametrize("project", ["kennel", "ab", "a-project-of-16-", "a" * 16])
    def test_they_are_names_for_aws_up_to_the_last_try(self, project: str) -> None:
        tune = names.tries(names.tuning_name(project, 1))
        train = names.tries(names.name(project, "a-kind-of-job-with-a-long-name-that-goes", 1))
        assert len(tune) == len(set(tune)) == names.TRIES
        for name in tune:
            found = problems("sagemaker", "DescribeHyperParameterTuningJob", {"HyperParameterTuningJobName": name})
            assert found == []
        for name in train:
            assert problems("sagemaker", "DescribeTrainingJob", {"TrainingJobName": name}) == []
            assert problems("sagemaker", "DescribeModel", {"ModelName": name}) == []
            assert problems("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": name}) == []

    def test_two_projects_do_not_share_a_folder_of_one_bucket(self) -> None:
        assert names.prefix(Settings(project="dogs"), names.DATA, "train") == "dogs/data/train"


class TestDeciding:
    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (None, "created"),
            ({"EndpointStatus": "Failed", "EndpointConfigName": DEPLOY.config}, "created"),
            ({"EndpointStatus": "InService", "EndpointConfigName": DEPLOY.config}, "unchanged"),
            ({"EndpointStatus": "Creating", "EndpointConfigName": DEPLOY.config}, "unchanged"),
            ({"EndpointStatus": "InService", "EndpointConfigName": "old"}, "updated"),
            (
                {
                    "EndpointStatus": "Updating",
                    "EndpointConfigName": "old",
                    "PendingDeploymentSummary": {"EndpointConfigName": DEPLOY.config},
                },
                "unchanged",
            ),
        ],
    )
    def test_what_is_there_decides(self, found: dict[str, Any] | None, expected: str) -> None:
        assert endpoint.decide(DEPLOY, found) == expected

    @pytest.mark.parametrize("status", ["Creating", "Updating", "Deleting", "RollingBack", "SystemUpdating"])
    def test_one_that_is_busy_with_something_else_is_left_alone(self, status: str) -> None:
        found = {
            "EndpointStatus": status,
            "EndpointConfigName": DEPLOY.config if status == "Updating" else "old",
            "PendingDeploymentSummary": {"EndpointConfigName": "other"},
        }
        with pytest.raises(KennelError, match=f"the endpoint kennel is {status}"):
            endpoint.decide(DEPLOY, found)


class TestImages:
    def test_a_registry_is_an_accounts_in_a_region(self) -> None:
        assert registry(cloud("eu-west-1")) == f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
        assert registry(cloud("cn-north-1")).endswith(".cn-north-1.amazonaws.com.cn")

    def test_a_setting_names_a_repository_and_maybe_a_tag(self) -> None:
        assert repository_of("team/kennel-training:1a2b-cpu") == "team/kennel-training"
        assert repository_of("kennel-training") == "kennel-training"

    @pytest.mark.parametrize("image", ["", "Kennel", "kennel:", "kennel:a b", "host:5000/kennel:1", "a@sha256:00"])
    def test_anything_else_is_refused(self, image: str) -> None:
        with pytest.raises(SettingError, match="is not repository"):
            repository_of(image)


def test_a_client_is_made_once_also_by_many_threads() -> None:
    made: list[str] = []

    def make(service: str) -> object:
        made.append(service)
        return object()

    one = Cloud("aws", "us-east-1", ACCOUNT, Settings(), make)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(one.client("s3"))) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert made == ["s3"]
    assert len(set(map(id, found))) == 1


class TestDebugger:
    def test_every_parameter_of_every_rule_is_written_out_as_a_string(self) -> None:
        request = training.training_request(WATCHED)
        rules = request["DebugRuleConfigurations"] + request["ProfilerRuleConfigurations"]
        given = {each["RuleConfigurationName"]: each["RuleParameters"] for each in rules}
        assert set(given) == {
            "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LowGPUUtilization",
            "CPUBottleneck", "ProfilerReport",
        }  # fmt: skip
        assert given["VanishingGradient"]["threshold"] == "0.0000001"
        assert given["Overfit"]["patience"] == "3"
        assert given["Overfit"]["ratio_threshold"] == "0.1"
        assert given["LowGPUUtilization"]["patience"] == "1000"
        assert "action_json" in given["Overtraining"]
        assert "kennel-train-1a2b3c4d" in given["Overtraining"]["action_json"]

    def test_a_second_try_stops_itself_not_the_first(self) -> None:
        request = training.training_request(replace(WATCHED, name="kennel-train-1a2b3c4d-2"))
        parameters = request["DebugRuleConfigurations"][2]["RuleParameters"]
        assert 'training_job_prefix\\": \\"kennel-train-1a2b3c4d-2\\"' in parameters["action_json"]

    def test_the_rule_image_is_the_regions(self) -> None:
        assert rules_image("eu-central-1") == (
            "482524230118.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-debugger-rules:latest"
        )
        assert ".amazonaws.com.cn/" in rules_image("cn-north-1")
        with pytest.raises(SettingError, match=r"no rule image for xx-new-1.*debugger.enabled"):
            rules_image("xx-new-1")

    def test_a_wrong_parameter_is_told_before_anything_is_sent(self) -> None:
        wrong = Debugging(Debugger(rules={"Overfit": {"ratio": 0.2}}), "us-east-1", 10)
        with pytest.raises(SettingError, match="Overfit has no parameter 'ratio'"):
            training.training_request(replace(TRAIN, debugging=wrong))

    def test_a_tuning_jobs_definition_has_none_of_it(self) -> None:
        request = tuning.tuning_request(replace(TUNE, training=WATCHED))
        assert not {"DebugHookConfig", "ProfilerConfig"} & set(request["TrainingJobDefinition"])
