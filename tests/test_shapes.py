"""What AWS would refuse, found before anything is sent: the texts are those that AWS itself gives."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import botocore
import pytest

from kennel.aws.shapes import answer_problems, check, matches, problems, refusal
from kennel.errors import SettingError

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "iam", "sts", "ecr", "logs", "cloudwatch", "lambda",
            "application-autoscaling", "ec2", "ssm")  # fmt: skip


def training(**more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "dogs",
        "RoleArn": "arn:aws:iam::123456789012:role/kennel-training",
        "OutputDataConfig": {"S3OutputPath": "s3://dogs/jobs"},
        **more,
    }


def only(request: dict[str, Any], operation: str = "CreateTrainingJob") -> str:
    (found,) = problems("sagemaker", operation, request)
    return found


def test_a_good_request_has_no_problems() -> None:
    assert problems("sagemaker", "CreateTrainingJob", training()) == []


@pytest.mark.parametrize("value", [{}, {"RoleArn": None}])
def test_a_required_member_is_missed(value: dict[str, Any]) -> None:
    request = {name: each for name, each in training().items() if name != "RoleArn"} | value
    assert only(request) == "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"


def test_a_required_member_is_missed_below() -> None:
    request = training(InputDataConfig=[{"DataSource": {}}])
    assert only(request) == (
        "Value null at 'inputDataConfig.1.member.channelName' failed to satisfy constraint: Member must not be null"
    )


def test_a_length_is_checked_at_both_ends() -> None:
    long = problems("sagemaker", "CreateTrainingJob", training(TrainingJobName="x" * 64))
    assert any(each.endswith("Member must have length less than or equal to 63") for each in long)
    request = training(InputDataConfig=[])
    assert only(request) == (
        "Value '[]' at 'inputDataConfig' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )


def test_a_pattern_must_match_all_of_a_value() -> None:
    assert only(training(TrainingJobName="dogs_1")) == (
        "Value 'dogs_1' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )
    assert problems("sagemaker", "CreateTrainingJob", training(TrainingJobName="dogs\n"))


def test_an_enum_names_what_is_allowed() -> None:
    config = {"S3OutputPath": "s3://dogs/jobs", "CompressionType": "ZIP"}
    assert only(training(OutputDataConfig=config)) == (
        "Value 'ZIP' at 'outputDataConfig.compressionType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [GZIP, NONE]"
    )


def test_a_number_has_bounds() -> None:
    assert only(training(StoppingCondition={"MaxRuntimeInSeconds": 0})) == (
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("member", "value", "kind"),
    [
        ("EnableNetworkIsolation", "true", "boolean"),
        ("HyperParameters", [], "map"),
        ("Tags", {}, "list"),
        ("StoppingCondition", "1 hour", "structure"),
        ("TrainingJobName", 5, "string"),
    ],
)
def test_a_type_is_told(member: str, value: Any, kind: str) -> None:
    assert only(training(**{member: value})).endswith(f"failed to satisfy constraint: Member must be of type {kind}")


def test_true_is_no_number() -> None:
    assert only(training(StoppingCondition={"MaxRuntimeInSeconds": True})).endswith("Member must be of type integer")


def test_an_unknown_member_is_told_with_those_that_are_known() -> None:
    found = only(training(OutputDataConfig={"S3OutputPath": "s3://dogs/jobs", "S3Path": "s3://dogs"}))
    assert found == (
        'Unknown parameter in outputDataConfig: "S3Path", must be one of: KmsKeyId, S3OutputPath, CompressionType'
    )


def test_what_is_wrong_in_a_map_is_told_of_the_map() -> None:
    found = only(training(HyperParameters={"epochs": "1" * 2501}))
    assert found.startswith("Value '{epochs=111")
    assert found.endswith(
        "}' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: "
        "[Member must have length less than or equal to 2500, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: .*]"
    )
    assert "Map value must satisfy constraint" in only(training(HyperParameters={"epochs": 20}))
    assert "Map keys must satisfy constraint" in only(training(HyperParameters={"e" * 257: "20"}))


def test_what_is_wrong_in_a_list_of_words_is_told_of_the_list() -> None:
    network = {"SecurityGroupIds": ["sg 1"], "Subnets": ["subnet-1"]}
    assert only(training(VpcConfig=network)) == (
        "Value '[sg 1]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must have length less than or equal to 32, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    )


def test_all_problems_are_told_at_once() -> None:
    found = problems("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "_", "Name": "x"})
    assert refusal(found).startswith("2 validation errors detected: Value '_' at 'trainingJobName' failed")
    assert refusal(found[:1]).startswith("1 validation error detected: ")


@pytest.mark.parametrize(
    ("tag", "good"), [("project", True), ("Züchter Ünal_1", True), ("犬", True), ("a\tb", False), ("😀", False)]
)
def test_letters_of_any_language_are_letters(tag: str, good: bool) -> None:
    found = problems("sagemaker", "CreateTrainingJob", training(Tags=[{"Key": tag, "Value": ""}]))
    assert (found == []) == good


@pytest.mark.parametrize(
    ("pattern", "value", "good"),
    [
        (r"\p{ASCII}*", "top_k=3", True),
        (r"\p{ASCII}*", "tőp", False),
        (r"\A\S[\p{Print}]*\z", "a b", True),
        (r"\A\S[\p{Print}]*\z", "a b\n", False),
        (r"[\w-_]*", "a-b_c", True),
        (r"[\w-_]*", "ä", False),  # Java's \w is ASCII's
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "😀 and\ttab", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "bell\a", False),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}", "é", True),
        (r"a++b", "aab", True),
        (r"[\p{Klingon}]*", "anything", True),  # what cannot be read refuses nothing
        (r"(unclosed", "anything", True),
    ],
)
def test_patterns_are_javas(pattern: str, value: str, good: bool) -> None:
    assert matches(pattern, value) is good


@pytest.mark.filterwarnings("error::FutureWarning")  # Python's, of what may mean something else one day
def test_every_pattern_of_every_service_we_use_can_be_read() -> None:
    from kennel.aws.shapes import _compiled

    patterns = {
        shape["pattern"]
        for service in SERVICES
        for shape in newest_model(service)["shapes"].values()
        if "pattern" in shape
    }
    assert len(patterns) > 300
    re.purge()  # or what was compiled before would warn no more
    assert [each for each in patterns if _compiled.__wrapped__(each, True) is None] == []


def newest_model(service: str) -> dict[str, Any]:
    folder = max((Path(botocore.__file__).parent / "data" / service).iterdir())
    model: dict[str, Any] = json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes()))
    return model


def test_a_secret_is_not_repeated() -> None:
    request = {"EndpointName": "_bad_", "Body": b"x", "CustomAttributes": "ü"}
    found = problems("sagemaker-runtime", "InvokeEndpoint", request)
    assert found[0].startswith("Value '_bad_' at 'endpointName'")
    assert found[1].startswith("Value at 'customAttributes' failed to satisfy constraint: Member must satisfy")


def test_an_answer_is_held_against_its_shape() -> None:
    answer = {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/dogs"}
    assert answer_problems("sagemaker", "CreateTrainingJob", {**answer, "ResponseMetadata": {}}) == []
    assert answer_problems("sagemaker", "CreateTrainingJob", {}) == [
        "Value null at 'trainingJobArn' failed to satisfy constraint: Member must not be null"
    ]
    assert answer_problems("sagemaker", "StopTrainingJob", {"Done": 1}) == ['Unknown parameter in input: "Done"']


@pytest.mark.parametrize(("service", "operation"), [("sagemaker", "CreateDog"), ("kennel", "CreateTrainingJob")])
def test_what_botocore_does_not_know_is_told(service: str, operation: str) -> None:
    with pytest.raises(LookupError, match=r"no service kennel|no operation CreateDog"):
        problems(service, operation, {})


def test_our_own_side_is_told_in_one_short_line() -> None:
    check("sagemaker", "CreateTrainingJob", training())
    request = training(
        ResourceConfig={"InstanceType": "ml.m5.larg", "InstanceCount": 1}, HyperParameters={"a": "x" * 5000}
    )
    with pytest.raises(SettingError) as caught:
        check("sagemaker", "CreateTrainingJob", request)
    text = str(caught.value)
    assert text.startswith(
        "AWS would refuse CreateTrainingJob: Value 'ml.m5.larg' at 'resourceConfig.instanceType' failed"
    )
    assert "…' at 'hyperParameters' failed to satisfy constraint: Map value" in text
    assert "\n" not in text
    assert len(text) < 1200
