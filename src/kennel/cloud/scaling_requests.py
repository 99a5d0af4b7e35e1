"""Requests about the endpoint's scaling, as values, and what has to be changed for it to be as planned. Pure.

Application Auto Scaling changes the variant's number of instances: between bounds (the scalable target), so that a
metric stays near a value (policies, each with two alarms that AWS makes), with other bounds at certain times (scheduled
actions). Ours are named PROJECT.…, a dot being in no project's name: whatever is named otherwise is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kennel.aws.shapes import check
from kennel.cloud.endpoint import VARIANT
from kennel.cloud.scaling_target import SERVICE, about, deregister_request, resource_of
from kennel.settings import ScheduledAction, Settings

Request = dict[str, Any]
Description = Mapping[str, Any]
INVOCATIONS, CPU = "invocations", "cpu"


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """Of one variant. target: invocations per instance and minute; cpu: percent of one CPU, 0.0 for no such policy."""

    project: str
    endpoint: str
    minimum: int
    maximum: int
    target: float
    scale_out_cooldown_s: int
    scale_in_cooldown_s: int
    disable_scale_in: bool = False
    cpu: float = 0.0
    actions: tuple[ScheduledAction, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """As Application Auto Scaling names the variant."""
        return resource_of(self.endpoint, VARIANT)


@dataclass(frozen=True, slots=True)
class Found:
    """What Application Auto Scaling describes of one variant; target: None where none is registered."""

    target: Description | None
    policies: Sequence[Description] = ()
    actions: Sequence[Description] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One request. what: of what kind the thing is; detail: in what it differs; call: the client's method."""

    what: Literal["scalable target", "policy", "scheduled action"]
    name: str
    how: Literal["created", "updated", "removed"]
    detail: str
    call: str
    request: Request

    def __str__(self) -> str:
        return f"{self.how}: {self.what} {self.name}" + (f" ({self.detail})" if self.detail else "")


def plan_of(settings: Settings) -> ScalingPlan:
    """From kennel.toml."""
    asked = settings.scaling
    return ScalingPlan(
        project=settings.project,
        endpoint=settings.endpoint_name,
        minimum=asked.min,
        maximum=asked.max,
        target=asked.target,
        scale_out_cooldown_s=asked.scale_out_cooldown_s,
        scale_in_cooldown_s=asked.scale_in_cooldown_s,
        disable_scale_in=asked.disable_scale_in,
        cpu=asked.cpu_target,
        actions=asked.actions,
        tags={tag["Key"]: tag["Value"] for tag in settings.tags()},
    )


def target_request(plan: ScalingPlan) -> Request:
    """RegisterScalableTarget's request where none is registered: only then it may carry tags. No role: AWS makes its
    own, AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint, with the first one of an account. Raises
    SettingError where AWS would refuse it, as all here do."""
    bounds = {"MinCapacity": plan.minimum, "MaxCapacity": plan.maximum}
    return _checked("RegisterScalableTarget", {**about(plan.resource), **bounds, "Tags": dict(plan.tags)})


def bounds_request(plan: ScalingPlan, bounds: Mapping[str, int]) -> Request:
    """RegisterScalableTarget's request where one is registered: what it does not name stays."""
    return _checked("RegisterScalableTarget", {**about(plan.resource), **bounds})


def policy_requests(plan: ScalingPlan) -> dict[str, Request]:
    """PutScalingPolicy's requests by the policy's name."""
    metrics: dict[str, Request] = {INVOCATIONS: {"TargetValue": plan.target, "PredefinedMetricSpecification": _INVOKED}}
    if plan.cpu:
        metrics[CPU] = {"TargetValue": plan.cpu, "CustomizedMetricSpecification": _cpu(plan)}
    return dict(_policy(plan, *each) for each in metrics.items())


def action_requests(plan: ScalingPlan) -> dict[str, Request]:
    """PutScheduledAction's requests by the action's name."""
    return dict(_action(plan, each) for each in plan.actions)


def changes(plan: ScalingPlan, found: Found) -> tuple[Change, ...]:
    """What makes it as planned, in order; empty where it is so. Raises SettingError."""
    return (*_target_change(plan, found), *_policy_changes(plan, found), *_action_changes(plan, found))


def removals(project: str, resource: str, found: Found) -> tuple[Change, ...]:
    """What takes our scaling away. Where policies or actions of others hang on the target, it stays for them."""
    if found.target is None:
        return ()
    ours = (*_removed_policies(project, resource, found, ()), *_removed_actions(project, resource, found, ()))
    if len(ours) < len(found.policies) + len(found.actions):
        return ours
    request = deregister_request(resource)
    return (Change("scalable target", resource, "removed", "", "deregister_scalable_target", request),)


def is_ours(project: str, name: str) -> bool:
    """Whether a policy or a scheduled action is this project's."""
    return name.startswith(f"{project}.")


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """`TargetValue 25 → 50, …`; "" where nothing differs. What is false or not there is the same."""
    bare, other = _flat(wanted), _flat(found)
    names = [name for name in {**bare, **other} if bare.get(name) != other.get(name)]
    return ", ".join(f"{name} {_said(other.get(name))} → {_said(bare.get(name))}" for name in names)


def _target_change(plan: ScalingPlan, found: Found) -> Iterator[Change]:
    call = "register_scalable_target"
    if found.target is None:
        detail = f"{plan.minimum} to {plan.maximum} instances"
        yield Change("scalable target", plan.resource, "created", detail, call, target_request(plan))
        return
    now = {name: int(found.target[name]) for name in ("MinCapacity", "MaxCapacity")}
    wanted = {"MinCapacity": plan.minimum, "MaxCapacity": plan.maximum}
    differing = {name: value for name, value in wanted.items() if now[name] not in (value, *_scheduled(plan, name))}
    least, most = ({**now, **differing}[name] for name in now)
    if differing and most < least:  # an action's bound beside ours: AWS would refuse that
        differing = wanted
    if differing:
        detail = differences({**now, **differing}, now)
        request = bounds_request(plan, differing)
        yield Change("scalable target", plan.resource, "updated", detail, call, request)


def _scheduled(plan: ScalingPlan, bound: str) -> set[int]:
    """What the plan's own actions may have made of a bound: that is no drift."""
    values = [each.min if bound == "MinCapacity" else each.max for each in plan.actions]
    return {value for value in values if value}


def _policy_changes(plan: ScalingPlan, found: Found) -> Iterator[Change]:
    wanted, member = policy_requests(plan), "TargetTrackingScalingPolicyConfiguration"
    there = {each["PolicyName"]: each for each in found.policies}
    for name, request in wanted.items():
        now = there.get(name)
        differs = (
            differences(request[member], now.get(member, {})) if now else f"target {request[member]['TargetValue']:g}"
        )
        if differs:
            yield Change("policy", name, "updated" if now else "created", differs, "put_scaling_policy", request)
    yield from _removed_policies(plan.project, plan.resource, found, wanted)


def _action_changes(plan: ScalingPlan, found: Found) -> Iterator[Change]:
    wanted, there = action_requests(plan), {each["ScheduledActionName"]: each for each in found.actions}
    members = ("Schedule", "Timezone", "ScalableTargetAction")
    for name, request in wanted.items():
        now = there.get(name)
        asked = {member: request.get(member) for member in members}
        differs = differences(asked, {member: now.get(member) for member in members}) if now else request["Schedule"]
        if differs:
            how: Literal["created", "updated"] = "updated" if now else "created"
            yield Change("scheduled action", name, how, differs, "put_scheduled_action", request)
    yield from _removed_actions(plan.project, plan.resource, found, wanted)


def _removed_policies(
    project: str, resource: str, found: Found, kept: Mapping[str, Any] | tuple[()]
) -> Iterator[Change]:
    for name in (each["PolicyName"] for each in found.policies):
        if is_ours(project, name) and name not in kept:
            request = _checked("DeleteScalingPolicy", {**about(resource), "PolicyName": name})
            yield Change("policy", name, "removed", "", "delete_scaling_policy", request)


def _removed_actions(
    project: str, resource: str, found: Found, kept: Mapping[str, Any] | tuple[()]
) -> Iterator[Change]:
    for name in (each["ScheduledActionName"] for each in found.actions):
        if is_ours(project, name) and name not in kept:
            request = _checked("DeleteScheduledAction", {**about(resource), "ScheduledActionName": name})
            yield Change("scheduled action", name, "removed", "", "delete_scheduled_action", request)


_INVOKED = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


def _policy(plan: ScalingPlan, name: str, metric: Request) -> tuple[str, Request]:
    configuration = {
        **metric,
        "ScaleOutCooldown": plan.scale_out_cooldown_s,
        "ScaleInCooldown": plan.scale_in_cooldown_s,
        "DisableScaleIn": plan.disable_scale_in,
    }
    named = {"PolicyName": f"{plan.project}.{name}", "PolicyType": "TargetTrackingScaling"}
    request = {**about(plan.resource), **named, "TargetTrackingScalingPolicyConfiguration": configuration}
    return named["PolicyName"], _checked("PutScalingPolicy", request)


def _cpu(plan: ScalingPlan) -> Request:
    """What SageMaker publishes of an endpoint's instances: percent of one CPU, so two busy ones are 200."""
    return {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "EndpointName", "Value": plan.endpoint}, {"Name": "VariantName", "Value": VARIANT}],
        "Statistic": "Average",
        "Unit": "Percent",
    }


def _action(plan: ScalingPlan, asked: ScheduledAction) -> tuple[str, Request]:
    bounds = {"MinCapacity": asked.min, "MaxCapacity": asked.max}
    request = {
        **about(plan.resource),
        "ScheduledActionName": f"{plan.project}.{asked.name}",
        "Schedule": asked.schedule,
        "Timezone": asked.timezone,
        "ScalableTargetAction": {name: value for name, value in bounds.items() if value},
    }
    return f"{plan.project}.{asked.name}", _checked("PutScheduledAction", request)


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Names of innermost members → values; what is false or missing is left away."""
    flat: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, Mapping):
            flat |= _flat(each)
        elif each is not None and each is not False:
            flat[name] = each
    return flat


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked(operation: str, request: Request) -> Request:
    check(SERVICE, operation, request)
    return request
