"""Application Auto Scaling in the local AWS, by plain boto3: instances that really start, on a clock that runs fast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from fixtures_scaling import DIMENSION, Fast

FACTOR = 120
"""A minute of the server's takes half a second."""


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fast]:
    server = Fast(tmp_path_factory.mktemp("fast"), FACTOR)
    yield server
    server.stop()


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**given)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def targets(fast: Fast) -> set[str]:
    found = fast.scaling.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="sagemaker")
    return {each["ResourceId"] for page in found for each in page["ScalableTargets"]}


def of(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


def test_a_spike_starts_instances_that_serve_and_the_quiet_ends_them(fast: Fast) -> None:
    resource = fast.endpoint("spike")
    fast.register(resource)
    policy = fast.track(resource, TargetValue=5.0)
    plan = [2, 2, *[30] * 8, *[1] * 32]
    seen, failed = fast.drive("spike", plan, lambda: fast.count("spike"))
    assert failed == []
    assert seen[:3] == [1, 1, 1]
    assert max(seen) == 3
    assert seen[-1] == 1
    assert [each["Description"] for each in fast.activities(resource)] == [
        "Setting desired instance count to 3.",
        "Setting desired instance count to 2.",
        "Setting desired instance count to 1.",
    ]
    high, low = (each["AlarmName"] for each in policy["Alarms"])
    out, *inward = fast.activities(resource)
    assert out["Cause"] == f"monitor alarm {high} in state ALARM triggered policy traffic"
    assert {each["Cause"] for each in inward} == {f"monitor alarm {low} in state ALARM triggered policy traffic"}
    assert {each["StatusCode"] for each in (out, *inward)} == {"Successful"}
    told = "Successfully set desired instance count to 3. Change successfully fulfilled by sagemaker."
    assert out["StatusMessage"] == told
    assert (inward[1]["StartTime"] - inward[0]["EndTime"]).total_seconds() >= 300
    history = fast.history(high)
    assert history[0] == f'Alarm "{high}" created'
    assert "Alarm updated from OK to ALARM" in history
    assert history[-1] == "Alarm updated from ALARM to OK"
    alarms = fast.alarms(resource)
    assert (alarms["AlarmHigh"]["StateValue"], alarms["AlarmLow"]["StateValue"]) == ("OK", "ALARM")
    assert alarms["AlarmLow"]["StateReason"].startswith("Threshold Crossed: 15 out of the last 15 datapoints [")


def test_the_alarms_are_as_aws_makes_them(fast: Fast) -> None:
    resource = fast.endpoint("alarms")
    fast.register(resource)
    policy = fast.track(resource)
    found = fast.alarms(resource)
    for name, comparison, periods, threshold in (
        ("AlarmHigh", "GreaterThanThreshold", 3, 25.0),
        ("AlarmLow", "LessThanThreshold", 15, 22.5),
    ):
        alarm = found[name]
        assert (alarm["ComparisonOperator"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (
            comparison,
            periods,
            threshold,
        )
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SageMaker", "InvocationsPerInstance")
        assert (alarm["Statistic"], alarm["Period"]) == ("Sum", 60)
        assert alarm["AlarmActions"] == [policy["PolicyARN"]]
        assert alarm["AlarmDescription"] == (
            f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}."
        )
    fast.scaling.delete_scaling_policy(**of(resource), PolicyName="traffic")
    assert fast.alarms(resource) == {}
    assert fast.history(policy["Alarms"][0]["AlarmName"])[-1].endswith("deleted")


def test_a_policy_without_scale_in_has_no_second_alarm(fast: Fast) -> None:
    resource = fast.endpoint("outward")
    fast.register(resource)
    assert len(fast.track(resource, DisableScaleIn=True)["Alarms"]) == 1
    assert list(fast.alarms(resource)) == ["AlarmHigh"]


class TestWhatIsRefused:
    def test_an_endpoint_or_a_variant_that_is_not_there(self, fast: Fast) -> None:
        call, bounds = fast.scaling.register_scalable_target, {"MinCapacity": 1, "MaxCapacity": 2}
        code, message = refusal(call, **of("endpoint/nobody/variant/all"), **bounds)
        assert code == "ValidationException"
        assert "Could not find endpoint" in message
        fast.endpoint("there")
        code, message = refusal(call, **of("endpoint/there/variant/other"), **bounds)
        assert (code, "other" in message) == ("ValidationException", True)

    @pytest.mark.parametrize(
        "given",
        [
            {"MinCapacity": 3, "MaxCapacity": 2},
            {"MinCapacity": 0, "MaxCapacity": 2},
            {"MinCapacity": 1},
            {"ServiceNamespace": "ecs", "MinCapacity": 1, "MaxCapacity": 2},
            {"ResourceId": "endpoint/../variant/all", "MinCapacity": 1, "MaxCapacity": 2},
            {"ScalableDimension": "sagemaker:variant:Something", "MinCapacity": 1, "MaxCapacity": 2},
        ],
    )
    def test_a_target_that_makes_no_sense(self, fast: Fast, given: dict[str, Any]) -> None:
        request = {**of("endpoint/refused/variant/all"), **given}
        code, _ = refusal(fast.scaling.register_scalable_target, **request)
        assert code in ("ValidationException", "AccessDeniedException")  # what is no variant has no ARN for policies

    def test_a_policy_without_a_target(self, fast: Fast) -> None:
        with pytest.raises(ClientError, match="No scalable target registered for service namespace: sagemaker") as it:
            fast.track("endpoint/nobody/variant/all")
        assert it.value.response["Error"]["Code"] == "ObjectNotFoundException"

    def test_a_second_policy_on_the_same_metric(self, fast: Fast) -> None:
        resource = fast.endpoint("twice")
        fast.register(resource)
        fast.track(resource)
        with pytest.raises(ClientError, match="Only one TargetTrackingScaling policy for a given metric"):
            fast.track(resource, "another")
        custom = {"MetricName": "CPUUtilization", "Namespace": "/aws/sagemaker/Endpoints", "Statistic": "Average"}
        fast.track(resource, "another", CustomizedMetricSpecification=custom, TargetValue=50.0)
        found = fast.scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)
        assert [each["PolicyName"] for each in found["ScalingPolicies"]] == ["traffic", "another"]

    def test_a_schedule_that_is_none(self, fast: Fast) -> None:
        resource = fast.endpoint("never")
        fast.register(resource)
        given = {
            "ScheduledActionName": "x",
            "ScalableTargetAction": {"MinCapacity": 2},
            "Schedule": "cron(0 25 * * ? *)",
        }
        code, message = refusal(fast.scaling.put_scheduled_action, **of(resource), **given)
        assert (code, message.startswith("Invalid schedule: ")) == ("ValidationException", True)

    def test_a_token_of_another_list(self, fast: Fast) -> None:
        call = fast.scaling.describe_scalable_targets
        assert refusal(call, ServiceNamespace="sagemaker", NextToken="x")[0] == "InvalidNextTokenException"
        assert refusal(fast.cloudwatch.describe_alarm_history, NextToken="x")[0] == "InvalidNextToken"

    def test_a_target_value_that_aws_does_not_take(self, fast: Fast) -> None:
        resource = fast.endpoint("valued")
        fast.register(resource)
        for value in (5e-324, 8e-109, 1.2e108, 0.0, -1.0):
            with pytest.raises(ClientError, match=r"TargetValue must be from 8\.51592e-109 to ") as it:
                fast.track(resource, TargetValue=value)
            assert it.value.response["Error"]["Code"] == "ValidationException"

    def test_an_endpoint_that_is_being_deleted(self, fast: Fast) -> None:
        resource = fast.endpoint("leaving")
        fast.register(resource)
        fast.sagemaker.delete_endpoint(EndpointName="leaving")
        bounds = {"MinCapacity": 1, "MaxCapacity": 2}
        code, message = refusal(fast.scaling.register_scalable_target, **of(resource), **bounds)
        assert code == "ValidationException"  # its instance may have been quick to go
        assert message == "The endpoint leaving is being deleted." or "Could not find endpoint" in message
        assert resource not in targets(fast)


def test_what_was_registered_is_described_again(fast: Fast) -> None:
    resource = fast.endpoint("described")
    arn = fast.register(resource, 1, 4, Tags={"project": "kennel"})["ScalableTargetARN"]
    fast.scaling.register_scalable_target(**of(resource), MaxCapacity=5)
    [found] = fast.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    assert (found["MinCapacity"], found["MaxCapacity"], found["ScalableTargetARN"]) == (1, 5, arn)
    assert not any(found["SuspendedState"].values())
    assert fast.scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"project": "kennel"}
    fast.scaling.tag_resource(ResourceARN=arn, Tags={"more": "1"})
    fast.scaling.untag_resource(ResourceARN=arn, TagKeys=["project"])
    assert fast.scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"more": "1"}


def test_the_same_policy_put_again_keeps_its_alarms_and_another_makes_new_ones(fast: Fast) -> None:
    resource = fast.endpoint("again")
    fast.register(resource)
    first, second = fast.track(resource), fast.track(resource)
    assert first["Alarms"] == second["Alarms"]
    third = fast.track(resource, TargetValue=30.0)
    assert third["PolicyARN"] == first["PolicyARN"]
    assert third["Alarms"] != first["Alarms"]
    assert fast.alarms(resource)["AlarmHigh"]["Threshold"] == 30.0


def test_a_new_alarm_is_judged_at_once_by_what_was_there_before_it(fast: Fast) -> None:
    resource = fast.endpoint("history")
    fast.register(resource)
    now = fast.clock.now()
    fast.until(lambda: fast.clock.now() > now + 3 * 60)
    fast.track(resource)
    assert fast.alarms(resource)["AlarmHigh"]["StateValue"] == "OK"


def test_new_bounds_move_the_count_at_once(fast: Fast) -> None:
    resource = fast.endpoint("bounds")
    fast.register(resource, 2, 3)
    fast.until(lambda: fast.count("bounds") == 2)
    fast.until(lambda: fast.activities(resource)[0]["StatusCode"] == "Successful")
    fast.register(resource, 1, 1)
    fast.until(lambda: fast.count("bounds") == 1)
    causes = [each["Cause"] for each in fast.activities(resource)]
    assert causes == ["minimum capacity was set to 2", "maximum capacity was set to 1"]


def test_a_scheduled_action_changes_the_bounds_and_then_the_count(fast: Fast) -> None:
    resource = fast.endpoint("scheduled")
    fast.register(resource, 1, 3)
    fast.scaling.put_scheduled_action(
        **of(resource),
        ScheduledActionName="open",
        Schedule="rate(2 minutes)",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 4},
    )
    fast.until(lambda: fast.count("scheduled") == 2)
    fast.scaling.delete_scheduled_action(**of(resource), ScheduledActionName="open")
    causes = [each["Cause"] for each in fast.activities(resource)]
    assert causes[0] == "scheduled action name open was triggered"
    assert "minimum capacity was set to 2" in causes
    [found] = fast.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (2, 4)


def test_a_deploy_keeps_the_count_that_scaling_has_reached(fast: Fast) -> None:
    resource = fast.endpoint("deployed")
    fast.register(resource, 1, 3)
    fast.track(resource)
    fast.feed(resource, 70, minutes=300)
    fast.until(lambda: fast.count("deployed") == 3)
    fast.config("deployed-2", 1, model="deployed")
    fast.sagemaker.update_endpoint(
        EndpointName="deployed", EndpointConfigName="deployed-2", RetainAllVariantProperties=True
    )
    fast.until(lambda: fast.described("deployed")["EndpointStatus"] == "InService")
    assert fast.described("deployed")["EndpointConfigName"] == "deployed-2"
    assert fast.count("deployed") == 3


def test_a_variant_that_is_scaled_keeps_its_type_of_instance(fast: Fast) -> None:
    resource = fast.endpoint("typed")
    fast.register(resource)
    fast.config("typed-2", 1, model="typed", instance_type="ml.m5.xlarge")
    given = {"EndpointName": "typed", "EndpointConfigName": "typed-2"}
    code, message = refusal(fast.sagemaker.update_endpoint, **given)
    assert code == "ValidationException"
    assert "must be deregistered as scalable targets" in message
    fast.scaling.deregister_scalable_target(**of(resource))
    fast.sagemaker.update_endpoint(**given)
    fast.until(lambda: fast.described("typed")["EndpointStatus"] == "InService")


def test_an_instance_that_never_becomes_healthy_fails_the_activity_and_is_tried_again(fast: Fast) -> None:
    resource = fast.endpoint("sick", MODE="once")
    fast.register(resource, 1, 2)
    fast.track(resource)
    fast.feed(resource, 70, minutes=300)
    fast.until(lambda: len(fast.activities(resource)) > 1)
    first, second, *_ = fast.activities(resource)
    assert first["StatusCode"] == "Failed"
    assert first["StatusMessage"].startswith("Failed to set desired instance count to 2. Reason: ")
    assert "ping health check" in first["StatusMessage"]
    assert (second["StartTime"] - first["EndTime"]).total_seconds() >= 180
    assert fast.count("sick") == 1


def test_minimum_and_maximum_alike_never_scale_and_say_why_once(fast: Fast) -> None:
    resource = fast.endpoint("fixed")
    fast.register(resource, 1, 1)
    fast.track(resource)
    fast.feed(resource, 70, minutes=10)
    fast.until(lambda: bool(fast.activities(resource, held=True)))
    fast.until(lambda: fast.alarms(resource)["AlarmHigh"]["StateValue"] == "OK")
    assert fast.activities(resource) == []
    [held] = fast.activities(resource, held=True)
    assert held["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 1}]
    assert held["Description"] == "Attempting to scale due to alarm triggered"


def test_what_is_deregistered_is_left_alone(fast: Fast) -> None:
    resource = fast.endpoint("left", 2)
    fast.register(resource)
    fast.track(resource)
    fast.scaling.deregister_scalable_target(**of(resource))
    assert fast.alarms(resource) == {}
    fast.feed(resource, 100, minutes=5)
    now = fast.clock.now()
    fast.until(lambda: fast.clock.now() > now + 6 * 60)
    assert (fast.count("left"), fast.activities(resource)) == (2, [])
    assert refusal(fast.scaling.deregister_scalable_target, **of(resource))[0] == "ObjectNotFoundException"


def test_an_endpoint_that_is_deleted_is_deregistered(fast: Fast) -> None:
    resource = fast.endpoint("gone")
    fast.register(resource)
    fast.track(resource)
    fast.sagemaker.delete_endpoint(EndpointName="gone")
    given = {"ServiceNamespace": "sagemaker", "ResourceIds": [resource]}
    fast.until(lambda: fast.scaling.describe_scalable_targets(**given)["ScalableTargets"] == [])
    assert fast.alarms(resource) == {}


def test_a_server_that_was_killed_goes_on_where_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    fast = Fast(tmp_path_factory.mktemp("killed"), FACTOR)
    try:
        resource = fast.endpoint("killed", START_S="0.5")
        fast.register(resource)
        policy = fast.track(resource)
        fast.feed(resource, 70, minutes=10)
        fast.until(lambda: bool(fast.activities(resource)))
        fast.kill()
        fast.start()
        fast.until(lambda: fast.activities(resource)[0]["StatusCode"] == "Successful")
        assert {each["AlarmName"] for each in fast.alarms(resource).values()} == {
            each["AlarmName"] for each in policy["Alarms"]
        }
        fast.until(lambda: len(fast.activities(resource)) == 3 and fast.count("killed") == 1)
        assert [each["Description"][-2] for each in fast.activities(resource)] == ["3", "2", "1"]
    finally:
        fast.stop()


def test_targets_whose_endpoint_went_with_a_killed_server_go_when_it_starts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fast = Fast(tmp_path_factory.mktemp("orphans"), FACTOR)
    try:
        leaving, gone, stays = (fast.endpoint(each) for each in ("leaving", "gone", "stays"))
        for resource in (leaving, gone, stays):
            fast.register(resource)
            fast.track(resource)
        fast.kill()
        kept = fast.home / "endpoints" / "leaving.json"
        kept.write_text(json.dumps({**json.loads(kept.read_text()), "EndpointStatus": "Deleting"}))
        (fast.home / "endpoints" / "gone.json").unlink()
        fast.start()
        assert targets(fast) == {stays}
        assert (fast.alarms(leaving), fast.alarms(gone)) == ({}, {})
        assert len(fast.alarms(stays)) == 2
    finally:
        fast.stop()


def test_a_datum_of_long_ago_hides_none_that_came_before_it(fast: Fast) -> None:
    resource = fast.endpoint("backdated")
    fast.register(resource, 1, 2)
    fast.track(resource)
    fast.feed(resource, 70, minutes=300)
    old = {"MetricName": "Other", "Value": 1.0, "Timestamp": datetime.now(UTC) - timedelta(days=2)}
    fast.cloudwatch.put_metric_data(Namespace="Other", MetricData=[old])
    fast.until(lambda: fast.count("backdated") == 2)


def test_a_paginator_gets_all_of_an_alarms_history(fast: Fast) -> None:
    resource = fast.endpoint("paged")
    fast.register(resource)
    name = fast.track(resource)["Alarms"][0]["AlarmName"]
    fast.scaling.delete_scaling_policy(**of(resource), PolicyName="traffic")
    for order in ("TimestampAscending", "TimestampDescending"):
        call = fast.cloudwatch.get_paginator("describe_alarm_history").paginate
        pages = [
            [each["HistorySummary"] for each in page["AlarmHistoryItems"]]
            for page in call(AlarmName=name, ScanBy=order, PaginationConfig={"PageSize": 1})
        ]
        assert all(len(page) == 1 for page in pages)
        told = [summary for [summary] in pages]
        assert sorted(told) == sorted(fast.history(name))
        assert len(told) >= 2


def test_the_page_shows_bounds_alarms_and_the_last_activity(fast: Fast) -> None:
    resource = fast.endpoint("shown")
    fast.register(resource, 2, 3)
    fast.track(resource)
    fast.until(lambda: [each["StatusCode"] for each in fast.activities(resource)] == ["Successful"])
    status = httpx.get(f"{fast.environment['AWS_ENDPOINT_URL']}/_kennel/status").json()
    [line] = next(each["scaling"] for each in status["endpoints"] if each["name"] == "shown")
    assert line.startswith("all: 2–3, traffic AlarmHigh ")
    assert line.endswith("Successful: Setting desired instance count to 2.")
