"""`kennel scale`: what differs and what is left alone, on values; then on a local AWS whose endpoint has real instances
(of a small model server), through deployments and to the end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fixtures_hosting import Processes
from kennel.cloud import endpoint, scaling, teardown, watch
from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.endpoint import EndpointPlan
from kennel.cloud.iam.acting import as_deployer, prepared
from kennel.cloud.iam.apply import ensure
from kennel.cloud.prices import load
from kennel.cloud.scaling import Activity, Alarm, Scaled
from kennel.cloud.scaling_events import AlarmChanged, CountChanged, Look, MinuteTold, minutes, news
from kennel.cloud.scaling_requests import Change, Found, ScalingPlan, changes, plan_of, removals
from kennel.cloud.scaling_target import SERVICE, about, deregister, resource_of, targets
from kennel.cloud.session import Cloud, connect
from kennel.cloud.status import ENDPOINT, status
from kennel.errors import KennelError, SettingError, stop_on_signals
from kennel.local.home import state
from kennel.settings import Settings, parse

PROGRAM = Path(sys.executable).parent / "kennel"
RESOURCE = "endpoint/kennel/variant/all"
MORNING = {"name": "morning", "schedule": "cron(0 8 ? * MON-FRI *)", "min": 2, "timezone": "Europe/Berlin"}
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def planned(**asked: Any) -> ScalingPlan:
    return plan_of(parse({"scaling": asked}))


def found_after(wanted: Sequence[Change], before: Found | None = None) -> Found:
    """What AWS describes when these requests were taken."""
    there = before or Found(None)
    target, policies = dict(there.target or {}), {each["PolicyName"]: each for each in there.policies}
    actions = {each["ScheduledActionName"]: each for each in there.actions}
    for each in wanted:
        if each.call == "register_scalable_target":
            target |= each.request
        elif each.call == "put_scaling_policy":
            policies[each.name] = {**each.request, "Alarms": [], "CreationTime": NOON}
        elif each.call == "put_scheduled_action":
            actions[each.name] = {**each.request, "CreationTime": NOON}
        elif each.call == "delete_scaling_policy":
            del policies[each.name]
        elif each.call == "delete_scheduled_action":
            del actions[each.name]
    return Found(target, list(policies.values()), list(actions.values()))


def said(several: Sequence[Change]) -> list[str]:
    return [str(each) for each in several]


class TestDifferences:
    def test_where_nothing_is_everything_is_made_in_order(self) -> None:
        assert said(changes(planned(cpu_target=70, actions=[MORNING]), Found(None))) == [
            f"created: scalable target {RESOURCE} (1 to 3 instances)",
            "created: policy kennel.invocations (target 25)",
            "created: policy kennel.cpu (target 70)",
            "created: scheduled action kennel.morning (cron(0 8 ? * MON-FRI *))",
        ]

    @pytest.mark.parametrize("asked", [{}, {"cpu_target": 70, "actions": [MORNING]}, {"disable_scale_in": True}])
    def test_done_again_nothing_is_done(self, asked: dict[str, Any]) -> None:
        plan = planned(**asked)
        assert changes(plan, found_after(changes(plan, Found(None)))) == ()

    def test_what_differs_is_named_and_only_that_is_sent(self) -> None:
        there = found_after(changes(planned(), Found(None)))
        wanted = changes(planned(max=5, target=50, scale_in_cooldown_s=600), there)
        assert said(wanted) == [
            f"updated: scalable target {RESOURCE} (MaxCapacity 3 → 5)",
            "updated: policy kennel.invocations (TargetValue 25 → 50, ScaleInCooldown 300 → 600)",
        ]
        assert wanted[0].request == {**about(RESOURCE), "MaxCapacity": 5}

    def test_what_somebody_changed_by_hand_is_put_back(self) -> None:
        there = found_after(changes(planned(), Found(None)))
        policy = dict(there.policies[0])
        policy["TargetTrackingScalingPolicyConfiguration"] = {
            **policy["TargetTrackingScalingPolicyConfiguration"], "DisableScaleIn": True
        }  # fmt: skip
        wanted = changes(planned(), replace(there, policies=[policy]))
        assert said(wanted) == ["updated: policy kennel.invocations (DisableScaleIn True → none)"]

    def test_a_policy_that_is_wanted_no_more_goes_and_those_of_others_stay(self) -> None:
        there = found_after(changes(planned(cpu_target=70, actions=[MORNING]), Found(None)))
        others = [*there.policies, {"PolicyName": "kennel-two.invocations"}, {"PolicyName": "by-hand"}]
        actions = [*there.actions, {"ScheduledActionName": "kennel"}]
        assert said(changes(planned(), replace(there, policies=others, actions=actions))) == [
            "removed: policy kennel.cpu",
            "removed: scheduled action kennel.morning",
        ]

    def test_a_bound_that_a_scheduled_action_has_set_is_no_drift(self) -> None:
        plan = planned(actions=[MORNING])
        there = found_after(changes(plan, Found(None)))
        eight = replace(there, target={**(there.target or {}), "MinCapacity": 2})
        assert changes(plan, eight) == ()
        assert said(changes(planned(), eight))[0] == f"updated: scalable target {RESOURCE} (MinCapacity 2 → 1)"

    def test_bounds_that_would_cross_are_sent_together(self) -> None:
        plan = planned(actions=[MORNING, {**MORNING, "name": "noon", "min": 3}])
        eight = {"MinCapacity": 3, "MaxCapacity": 5}
        wanted = changes(replace(plan, maximum=2), Found(eight, [], []))
        assert wanted[0].request == {**about(RESOURCE), "MinCapacity": 1, "MaxCapacity": 2}

    def test_switched_off_all_of_it_goes_with_the_target(self) -> None:
        there = found_after(changes(planned(actions=[MORNING]), Found(None)))
        assert said(removals("kennel", RESOURCE, there)) == [f"removed: scalable target {RESOURCE}"]
        assert removals("kennel", RESOURCE, Found(None)) == ()

    def test_switched_off_the_target_stays_for_who_else_scales_by_it(self) -> None:
        there = found_after(changes(planned(actions=[MORNING]), Found(None)))
        others = replace(there, policies=[*there.policies, {"PolicyName": "by-hand"}])
        assert said(removals("kennel", RESOURCE, others)) == [
            "removed: policy kennel.invocations",
            "removed: scheduled action kennel.morning",
        ]


class TestSettings:
    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"scaling": {"min": 4}}, "setting scaling: max is less than min"),
            ({"scaling": {"min": 2}}, "endpoint.instances is not within scaling.min 2 and max 3"),
            ({"endpoint": {"instances": 4}}, "endpoint.instances is not within scaling.min 1 and max 3"),
            ({"endpoint": {"instance_type": "ml.t2.medium"}}, "ml.t2.medium bursts"),
            ({"scaling": {"target": 0}}, "setting scaling.target: Input should be greater than 0"),
            ({"scaling": {"actions": [{"name": "a", "schedule": "daily", "min": 1}]}}, "setting scaling.actions.0.sch"),
            (
                {"scaling": {"actions": [{"name": "a:b", "schedule": "rate(1 day)", "min": 1}]}},
                "scaling.actions.0.name",
            ),
            ({"scaling": {"actions": [{"name": "a", "schedule": "rate(1 day)"}]}}, "it sets neither min nor max"),
            ({"scaling": {"actions": [MORNING, MORNING]}}, "two of its actions have the same name"),
            ({"scaling": {"actions": [{**MORNING, "min": 4}]}}, "after its action morning, max is less than min"),
            ({"scaling": {"actions": [{**MORNING, "timezone": "Europe/Nowhere"}]}}, "no time zone Europe/Nowhere"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, asked: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingError) as caught:
            parse(asked)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("schedule", ["at(2027-05-01T09:00:00)", "rate(10 minutes)", "cron(0/15 * * * ? *)"])
    def test_aws_forms_of_schedules_are_taken(self, schedule: str) -> None:
        assert planned(actions=[{**MORNING, "schedule": schedule}]).actions[0].schedule == schedule

    def test_where_nothing_is_scaled_burstable_machines_and_any_number_are_fine(self) -> None:
        alone = {"endpoint": {"instance_type": "ml.t2.medium", "instances": 9}, "scaling": {"enabled": False}}
        assert parse(alone).endpoint.instances == 9


def seen(at: int = 3, current: int = 1, desired: int = 1, state: str = "OK", *activities: Activity) -> Look:
    """Minutes 0 to `at` are over."""
    alarm = Alarm("TargetTracking-endpoint/kennel/variant/all-AlarmHigh-1", state, "kennel.invocations")
    scaled = Scaled("kennel", current, desired, 1, 3, {"kennel.invocations": 25}, (alarm,), {}, activities)
    return Look(scaled, tuple(minute(each) for each in range(at)))


def minute(number: int) -> MinuteTold:
    return MinuteTold(NOON + timedelta(minutes=number), 30.0, 30.0)


class TestNews:
    ACTIVITY = Activity(
        "1", NOON, "InProgress", "Setting desired instance count to 2.", "monitor alarm … in state ALARM"
    )

    def test_at_first_the_last_minutes_what_is_under_way_and_the_count(self) -> None:
        over = replace(self.ACTIVITY, id="0", status="Successful")
        found = news(None, seen(9, 1, 2, "OK", self.ACTIVITY, over))
        assert found == [*(minute(each) for each in range(4, 9)), self.ACTIVITY, CountChanged(1, 2, 1, 3)]

    def test_nothing_new_is_nothing(self) -> None:
        assert news(seen(), seen()) == []

    def test_what_follows_from_what_is_told_in_that_order(self) -> None:
        assert news(seen(), seen(4, 1, 2, "ALARM", self.ACTIVITY)) == [
            minute(3),
            AlarmChanged("kennel.invocations high", "OK", "ALARM"),
            self.ACTIVITY,
            CountChanged(1, 2, 1, 3),
        ]

    def test_an_activity_is_told_again_when_it_ends(self) -> None:
        done = replace(self.ACTIVITY, status="Successful")
        assert news(seen(3, 1, 1, "OK", self.ACTIVITY), seen(3, 1, 1, "OK", done)) == [done]

    def test_a_minute_is_told_when_it_is_over_and_what_is_not_measured_is_unknown(self) -> None:
        data = [{"Timestamp": NOON + timedelta(minutes=each), "Sum": 10.0} for each in (1, 0)]
        found = minutes(data, data[:1], NOON + timedelta(minutes=2))
        assert [(each.invocations, each.per_instance) for each in found] == [(10.0, None), (10.0, 10.0)]
        assert len(minutes(data, [], NOON + timedelta(seconds=119))) == 1


# ── on a local AWS ──────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    """The server process of these tests: all that a local AWS has, but a small model server in the images' place."""
    from kennel.local.server import assemble, serve

    stop_on_signals()
    runners = Processes()
    ready = lambda url: print(url, flush=True)  # noqa: E731
    try:
        return serve(
            Path(sys.argv[1]), 0, "us-east-1", "process", ready, lambda house: assemble(replace(house, runners=runners))
        )
    finally:
        runners.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("local")
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://")
    yield folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.fixture(scope="module")
def cloud(home: Path) -> Cloud:
    made = there(home)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model.json"))
    made.client("s3").put_object(
        Bucket=ensure_bucket(made), Key="kennel/jobs/j/output/model.tar.gz", Body=archive.getvalue()
    )
    return made


def there(home: Path, settings: Settings | None = None) -> Cloud:
    found = state(home)
    assert found is not None
    return connect("local", settings or Settings(), found.url, (found.access_key_id, found.secret_access_key))


@pytest.fixture(scope="module")
def deployed(cloud: Cloud) -> EndpointPlan:
    plan = EndpointPlan(
        name="kennel",
        model="kennel-model-1",
        config="kennel-config-1",
        image=f"{cloud.account}.dkr.ecr.us-east-1.amazonaws.com/kennel-serving:latest",
        artifact=f"s3://{cloud.bucket}/kennel/jobs/j/output/model.tar.gz",
        role=ensure(cloud, "endpoint"),
        instance_type="ml.m5.large",
        instances=1,
        startup_s=60,
        tags=tuple(cloud.settings.tags()),
    )
    deploy(cloud, plan)
    return plan


@pytest.fixture
def scaled(cloud: Cloud, deployed: EndpointPlan) -> Iterator[EndpointPlan]:
    """Scaled as kennel.toml says by default, whatever a test leaves."""
    apply(cloud)
    yield deployed
    apply(cloud)


def deploy(cloud: Cloud, plan: EndpointPlan) -> endpoint.Deployment:
    done = endpoint.deploy(cloud, plan)
    watch.endpoint(cloud, plan.name, lambda event: None, 0.1, config=done.config)
    return done


def apply(cloud: Cloud, plan: ScalingPlan | None = None) -> list[str]:
    done: list[str] = []
    scaling.carry_out(cloud, scaling.difference(cloud, plan or plan_of(cloud.settings)), done.append)
    return done


def counted(cloud: Cloud) -> tuple[int, int]:
    """Instances that answer, and that shall."""
    (found,) = cloud.client("sagemaker").describe_endpoint(EndpointName="kennel")["ProductionVariants"]
    return found["CurrentInstanceCount"], found["DesiredInstanceCount"]


def grow(cloud: Cloud, count: int) -> None:
    """As scaling does it."""
    wanted: Any = [{"VariantName": "all", "DesiredInstanceCount": count}]
    cloud.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="kennel", DesiredWeightsAndCapacities=wanted
    )
    watch.endpoint(cloud, "kennel", lambda event: None, 0.1)


def kennel(home: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KENNEL_LOCAL_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_an_endpoint_that_is_not_there_is_not_scaled(cloud: Cloud) -> None:
    with pytest.raises(KennelError, match=r"there is no endpoint nobody to scale\. Deploy it: kennel run"):
        scaling.difference(cloud, replace(plan_of(cloud.settings), endpoint="nobody"))


def test_what_scales_a_strangers_endpoint_is_not_removed(home: Path, cloud: Cloud, scaled: EndpointPlan) -> None:
    stranger = there(home, Settings(project="stranger"))
    with pytest.raises(KennelError, match="the endpoint kennel is not this project's"):
        scaling.leftovers(stranger, "kennel")
    assert scaling.leftovers(cloud, "kennel")


def test_it_is_switched_on_once_and_what_drifted_goes(cloud: Cloud, scaled: EndpointPlan) -> None:
    assert apply(cloud) == []
    scheduled = plan_of(parse({"scaling": {"cpu_target": 70, "actions": [MORNING]}}))
    assert [each.split(" (")[0] for each in apply(cloud, scheduled)] == [
        "created: policy kennel.cpu",
        "created: scheduled action kennel.morning",
    ]
    assert apply(cloud, scheduled) == []
    client, configuration = cloud.client(SERVICE), {"TargetValue": 5.0, **METRIC}
    client.put_scaling_policy(
        **about(RESOURCE), PolicyName="by-hand", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=configuration,
    )  # fmt: skip
    assert apply(cloud) == ["removed: policy kennel.cpu", "removed: scheduled action kennel.morning"]
    found = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert {each["PolicyName"] for each in found} == {"kennel.invocations", "by-hand"}
    client.delete_scaling_policy(**about(RESOURCE), PolicyName="by-hand")


METRIC: Mapping[str, Any] = {
    "CustomizedMetricSpecification": {
        "Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Statistic": "Average",
        "Dimensions": [{"Name": "EndpointName", "Value": "kennel"}, {"Name": "VariantName", "Value": "all"}],
    }
}  # fmt: skip


def test_a_deployment_keeps_what_scaling_made_of_the_count(cloud: Cloud, scaled: EndpointPlan) -> None:
    grow(cloud, 2)
    done = deploy(cloud, replace(scaled, model="kennel-model-2", config="kennel-config-2"))
    assert (done.action, done.unscaled) == ("updated", ())
    assert counted(cloud) == (2, 2)
    assert targets(cloud, "kennel") == [RESOURCE]
    assert apply(cloud) == []


def test_where_nothing_scales_a_deployment_brings_the_count_that_was_asked_for(
    cloud: Cloud, scaled: EndpointPlan
) -> None:
    grow(cloud, 2)
    deploy(cloud, replace(scaled, config="kennel-config-3", scaled=False))
    assert counted(cloud) == (1, 1)


def test_another_machine_ends_scaling_first_as_aws_demands_and_keeps_the_count(
    cloud: Cloud, scaled: EndpointPlan
) -> None:
    grow(cloud, 2)
    done = deploy(cloud, replace(scaled, instance_type="ml.m5.xlarge", config="kennel-config-4"))
    assert done.unscaled == (RESOURCE,)
    assert targets(cloud, "kennel") == []
    assert counted(cloud) == (2, 2)
    assert len(apply(cloud)) == 2
    deploy(cloud, replace(scaled, config="kennel-config-5"))


def test_a_look_tells_bounds_alarms_and_counts(cloud: Cloud, scaled: EndpointPlan) -> None:
    found = scaling.look(cloud, "kennel")
    assert (found.minimum, found.maximum, found.targets) == (1, 3, {"kennel.invocations": 25.0})
    assert {each.short for each in found.alarms} == {"kennel.invocations high", "kennel.invocations low"}
    (row,) = [each for each in status(cloud, load()).running if each.kind == ENDPOINT.word]
    assert row.scaling.startswith("1–3")


def test_a_watch_tells_the_count_and_ends_when_it_was_asked_to(cloud: Cloud, scaled: EndpointPlan) -> None:
    told: list[Any] = []
    clock = iter(datetime.now(UTC) + timedelta(seconds=each) for each in range(0, 600, 20))
    watch.scaling(cloud, "kennel", told.append, 1, lambda seconds: None, lambda: next(clock))
    assert next(each for each in told if isinstance(each, CountChanged)).maximum == 3


def test_the_commands_say_what_they_do(home: Path, scaled: EndpointPlan, tmp_path: Path) -> None:
    unchanged = kennel(home, tmp_path, "scale", "apply")
    assert (unchanged.returncode, unchanged.stdout) == (0, ""), unchanged.stderr
    assert "unchanged" in unchanged.stderr

    (tmp_path / "kennel.toml").write_text("[scaling]\nmax = 4\n")
    dry = kennel(home, tmp_path, "scale", "apply", "--dry-run", "--json")
    assert [each["detail"] for each in json.loads(dry.stdout)] == ["MaxCapacity 3 → 4"]
    done = kennel(home, tmp_path, "scale", "apply")
    assert done.stdout == f"updated: scalable target {RESOURCE} (MaxCapacity 3 → 4)\n"
    shown = kennel(home, tmp_path, "scale", "status")
    assert "1 to 4 allowed" in shown.stdout, shown.stderr
    assert json.loads(kennel(home, tmp_path, "scale", "status", "--json").stdout)["maximum"] == 4
    assert "1–4" in kennel(home, tmp_path, "status").stdout

    (tmp_path / "kennel.toml").write_text("[scaling]\nenabled = false\n")
    off = kennel(home, tmp_path, "scale", "apply")
    assert (off.returncode, "kennel scale remove" in off.stderr) == (2, True)
    asked = kennel(home, tmp_path, "scale", "remove")
    assert (asked.returncode, "Say --yes" in asked.stderr) == (2, True)
    assert kennel(home, tmp_path, "scale", "remove", "--yes").returncode == 0
    assert "is not scaled" in kennel(home, tmp_path, "scale", "status").stderr
    assert "is not scaled" in kennel(home, tmp_path, "scale", "watch").stderr
    (tmp_path / "kennel.toml").write_text('[endpoint]\nname = "nobody"\n')
    assert "there is no endpoint nobody" in kennel(home, tmp_path, "scale", "status").stderr


def test_the_deployer_ends_the_scaling_only_of_what_carries_the_projects_tag(
    cloud: Cloud, deployed: EndpointPlan
) -> None:
    prepared(cloud)
    admin, deployer = (each.client(SERVICE) for each in (cloud, as_deployer(cloud)))
    target: Any = about(resource_of(deployed.name, endpoint.VARIANT))
    deregister(cloud, deployed.name, targets(cloud, deployed.name))
    arn = admin.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)["ScalableTargetARN"]
    with pytest.raises(ClientError, match="application-autoscaling:DeregisterScalableTarget on resource"):
        deployer.deregister_scalable_target(**target)
    admin.tag_resource(ResourceARN=arn, Tags={"project": "kennel"})
    deployer.deregister_scalable_target(**target)
    assert targets(cloud, deployed.name) == []


def test_teardown_ends_scaling_before_the_endpoint(cloud: Cloud, deployed: EndpointPlan) -> None:
    apply(cloud)
    plan = teardown.plan(cloud)
    assert [each.kind for each in plan][:2] == ["scalable target", "endpoint"]
    teardown.carry_out(cloud, plan, lambda each, gone: None, lambda seconds: None)
    assert targets(cloud, "kennel") == []


if __name__ == "__main__":
    sys.exit(main())
