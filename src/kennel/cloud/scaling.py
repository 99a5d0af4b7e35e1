"""The endpoint's scaling: switched on as planned, looked at, switched off. What differs is shown before it is changed.

What this asks of AWS, for whoever writes the deployer's policy. Application Auto Scaling: RegisterScalableTarget (with
tags: TagResource), DescribeScalableTargets, DeregisterScalableTarget, PutScalingPolicy, DescribeScalingPolicies,
DeleteScalingPolicy, PutScheduledAction, DescribeScheduledActions, DeleteScheduledAction, DescribeScalingActivities.
In the caller's name it asks in turn for cloudwatch:PutMetricAlarm, DescribeAlarms and DeleteAlarms (alarms are named
TargetTracking-endpoint/NAME/variant/all-…), sagemaker:DescribeEndpoint, DescribeEndpointConfig and
UpdateEndpointWeightsAndCapacities, and, for the first target of an account, iam:CreateServiceLinkedRole with
iam:AWSServiceName sagemaker.application-autoscaling.amazonaws.com. Watching takes cloudwatch:GetMetricStatistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from kennel.cloud import endpoint
from kennel.cloud.endpoint import VARIANT
from kennel.cloud.scaling_requests import Change, Found, ScalingPlan, changes, removals
from kennel.cloud.scaling_target import SERVICE, about, pages, resource_of
from kennel.cloud.session import Cloud, told
from kennel.errors import KennelError

Tell = Callable[[str], None]
LATEST = 20
"""Activities that are looked at; AWS keeps those of six weeks."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One of the two that each policy has. state: OK, ALARM or INSUFFICIENT_DATA."""

    name: str
    state: str
    policy: str

    @property
    def short(self) -> str:
        """`kennel.invocations high`."""
        return f"{self.policy} {'high' if '-AlarmHigh-' in self.name else 'low'}"


@dataclass(frozen=True, slots=True)
class Activity:
    """status: Pending, InProgress, Successful, Overridden, Unfulfilled or Failed; message: of the status."""

    id: str
    at: datetime
    status: str
    description: str
    cause: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.at.astimezone():%Y-%m-%d %H:%M} {self.description} {self.status}"


@dataclass(frozen=True, slots=True)
class Scaled:
    """How an endpoint is scaled now. suspended: in AWS's words what does not happen at all."""

    endpoint: str
    current: int
    desired: int
    minimum: int
    maximum: int
    targets: Mapping[str, float]
    alarms: tuple[Alarm, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    activities: tuple[Activity, ...] = ()
    suspended: tuple[str, ...] = ()


def difference(cloud: Cloud, plan: ScalingPlan) -> tuple[Change, ...]:
    """What has to be changed for it to be as planned. Raises KennelError, also where the endpoint is not there yet."""
    _deployed(cloud, plan.endpoint)
    with told(f"see how {plan.endpoint} is scaled"):
        return changes(plan, found(cloud, plan.resource))


def leftovers(cloud: Cloud, name: str) -> tuple[Change, ...]:
    """What has to be removed for this project to scale the endpoint no more. Raises KennelError where it is another's.

    An endpoint that is no more may have left its scaling behind.
    """
    now, resource = endpoint.describe(cloud, name), resource_of(name, VARIANT)
    if now is not None:
        endpoint.check_ours(cloud, name, now)
    with told(f"see how {name} is scaled"):
        return removals(cloud.settings.project, resource, found(cloud, resource))


def carry_out(cloud: Cloud, wanted: Sequence[Change], tell: Tell) -> None:
    """Change by change; done again it goes on where it was. Raises KennelError."""
    client = cloud.client(SERVICE)
    for each in wanted:
        with told(f"have the {each.what} {each.name} {each.how}"):
            getattr(client, each.call)(**each.request)
        tell(str(each))


def found(cloud: Cloud, resource: str) -> Found:
    """What Application Auto Scaling has of a variant."""
    one = about(resource)
    target = next(iter(pages(cloud, "scalable_targets", "ScalableTargets", ResourceIds=[resource])), None)
    if target is None:
        return Found(None)
    del one["ServiceNamespace"]
    policies = pages(cloud, "scaling_policies", "ScalingPolicies", **one)
    return Found(target, policies, pages(cloud, "scheduled_actions", "ScheduledActions", **one))


def look(cloud: Cloud, name: str) -> Scaled:
    """How the endpoint is scaled now. Raises KennelError, also where it is not."""
    _deployed(cloud, name)
    with told(f"see how {name} is scaled"):
        return scaled(cloud, name)


def scaled(cloud: Cloud, name: str) -> Scaled:
    """The same, with boto3's own errors, for who has patience with them."""
    resource = resource_of(name, VARIANT)
    now, there = cloud.client("sagemaker").describe_endpoint(EndpointName=name), found(cloud, resource)
    if there.target is None:
        raise KennelError(f"the endpoint {name} is not scaled", "Switch it on: kennel scale apply")
    return _scaled(name, now, there, _alarms(cloud, there.policies), activities(cloud, resource))


def traffic(cloud: Cloud, name: str, metric: str, start: datetime, end: datetime) -> list[Mapping[str, Any]]:
    """CloudWatch's sums of a minute. metric: Invocations, or InvocationsPerInstance."""
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": VARIANT}],
        StartTime=start,
        EndTime=end,
        Period=60,
        Statistics=["Sum"],
    )
    return list(found["Datapoints"])


def activities(cloud: Cloud, resource: str, most: int = LATEST) -> tuple[Activity, ...]:
    """The latest, the newest first."""
    found = cloud.client(SERVICE).get_paginator("describe_scaling_activities").paginate(**about(resource))
    several = islice((each for page in found for each in page["ScalingActivities"]), most)
    return tuple(
        Activity(
            each["ActivityId"],
            each["StartTime"],
            each["StatusCode"],
            each["Description"],
            each["Cause"],
            each.get("StatusMessage", ""),
        )
        for each in several
    )


def _scaled(
    name: str, now: Mapping[str, Any], there: Found, alarms: tuple[Alarm, ...], latest: tuple[Activity, ...]
) -> Scaled:
    target = there.target or {}
    member = "TargetTrackingScalingPolicyConfiguration"
    variants = now.get("ProductionVariants") or [{}]
    return Scaled(
        endpoint=name,
        current=variants[0].get("CurrentInstanceCount", 0),
        desired=variants[0].get("DesiredInstanceCount", 0),
        minimum=target["MinCapacity"],
        maximum=target["MaxCapacity"],
        targets={each["PolicyName"]: each[member]["TargetValue"] for each in there.policies if member in each},
        alarms=alarms,
        actions={each["ScheduledActionName"]: each["Schedule"] for each in there.actions},
        activities=latest,
        suspended=tuple(what for what, is_so in target.get("SuspendedState", {}).items() if is_so),
    )


def _alarms(cloud: Cloud, policies: Sequence[Mapping[str, Any]]) -> tuple[Alarm, ...]:
    names = {each["AlarmName"]: policy["PolicyName"] for policy in policies for each in policy.get("Alarms", [])}
    if not names:
        return ()
    there = cloud.client("cloudwatch").describe_alarms(AlarmNames=sorted(names))["MetricAlarms"]
    return tuple(Alarm(each["AlarmName"], each["StateValue"], names[each["AlarmName"]]) for each in there)


def _deployed(cloud: Cloud, name: str) -> dict[str, Any]:
    """SageMaker's description of the endpoint. Raises KennelError where there is none, or it is another's."""
    now = endpoint.describe(cloud, name)
    if now is None:
        raise KennelError(f"there is no endpoint {name} to scale", "Deploy it: kennel run")
    endpoint.check_ours(cloud, name, now)
    return now
