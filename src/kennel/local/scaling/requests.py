"""What Application Auto Scaling refuses, in its words. Pure: what exists is handed in."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kennel.local.errors import Refused, invalid
from kennel.local.parts import Document
from kennel.local.scaling.book import DIMENSION
from kennel.scaling.schedule import parsed

RESOURCE = re.compile(r"endpoint/([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})/variant/([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})")
METRIC = "SageMakerVariantInvocationsPerInstance"
BURSTABLE = "ml.t2."
LEAST_VALUE, MOST_VALUE = 8.515920e-109, 1.174271e108
"""AWS's own bounds of a TargetValue."""
MOST_POLICIES, MOST_ACTIONS = 50, 200


def check_identity(request: Document) -> None:
    """Raises Refused for what is no variant of an endpoint."""
    namespace, dimension = request["ServiceNamespace"], request.get("ScalableDimension", DIMENSION)
    if namespace != "sagemaker" or dimension != DIMENSION:
        raise invalid(
            f"The local AWS scales endpoints only: ServiceNamespace sagemaker and ScalableDimension {DIMENSION}, "
            f"not {namespace} and {dimension}"
        )
    if "ResourceId" in request and not RESOURCE.fullmatch(request["ResourceId"]):
        raise invalid("Unsupported service namespace, resource type or scalable dimension")


def check_bounds(request: Document, before: Document | None, instance_type: str) -> None:
    """Of RegisterScalableTarget. Raises Refused."""
    known = before or {}
    least, most = (request.get(name, known.get(name)) for name in ("MinCapacity", "MaxCapacity"))
    if least is None or most is None:
        raise invalid("MinCapacity and MaxCapacity must be specified for a new scalable target")
    if least < 1:
        raise invalid("MinCapacity must be at least 1: an endpoint without inference components keeps an instance")
    if most < least:
        raise invalid("Maximum capacity cannot be less than minimum capacity")
    if instance_type.startswith(BURSTABLE):
        raise invalid(f"Automatic scaling is not supported for burstable instance types such as {instance_type}")


def check_policy(request: Document, others: Iterable[Document]) -> None:
    """Of PutScalingPolicy. others: the target's other policies. Raises Refused."""
    kind = request.get("PolicyType", "StepScaling")
    config = request.get("TargetTrackingScalingPolicyConfiguration")
    if kind != "TargetTrackingScaling":
        raise invalid(f"The local AWS does not have {kind}; use PolicyType TargetTrackingScaling")
    if config is None:
        raise invalid("TargetTrackingScalingPolicyConfiguration must be specified for TargetTrackingScaling")
    if not LEAST_VALUE <= config["TargetValue"] <= MOST_VALUE:  # nor where it is no number
        raise invalid(f"TargetValue must be from {LEAST_VALUE} to {MOST_VALUE}, not {config['TargetValue']}")
    if any(config.get(name, 0) < 0 for name in ("ScaleInCooldown", "ScaleOutCooldown")):
        raise invalid("Cooldown must be greater than or equal to 0")
    _check_metric(config)
    others = list(others)
    if any(_metric(each["Config"]) == _metric(config) for each in others):
        raise invalid("Only one TargetTrackingScaling policy for a given metric specification is allowed.")
    if len(others) >= MOST_POLICIES:
        raise Refused("LimitExceededException", f"A scalable target has at most {MOST_POLICIES} scaling policies")


def check_action(request: Document, before: Document | None, others: int) -> None:
    """Of PutScheduledAction. Raises Refused."""
    known = before or {}
    schedule, zone = request.get("Schedule", known.get("Schedule")), request.get("Timezone", known.get("Timezone"))
    bounds = request.get("ScalableTargetAction", known.get("ScalableTargetAction"))
    if schedule is None or not bounds:
        raise invalid("Schedule and ScalableTargetAction must be specified for a new scheduled action")
    try:
        parsed(schedule, zone or "UTC")
    except ValueError as error:
        raise invalid(f"Invalid schedule: {error}") from error
    least, most = bounds.get("MinCapacity"), bounds.get("MaxCapacity")
    if least is not None and least < 1:
        raise invalid("MinCapacity must be at least 1: an endpoint without inference components keeps an instance")
    if least is not None and most is not None and most < least:
        raise invalid("Maximum capacity cannot be less than minimum capacity")
    if others >= MOST_ACTIONS:
        raise Refused("LimitExceededException", f"A scalable target has at most {MOST_ACTIONS} scheduled actions")


def no_target(request: Document) -> Refused:
    return Refused("ObjectNotFoundException", f"No scalable target registered for {_identity(request)}")


def no_policy(request: Document) -> Refused:
    told = f"No scaling policy found for {_identity(request)}, policy name: {request['PolicyName']}"
    return Refused("ObjectNotFoundException", told)


def no_action(request: Document) -> Refused:
    told = (
        f"No scheduled action found for {_identity(request)}, scheduled action name: {request['ScheduledActionName']}"
    )
    return Refused("ObjectNotFoundException", told)


def _check_metric(config: Document) -> None:
    predefined, custom = config.get("PredefinedMetricSpecification"), config.get("CustomizedMetricSpecification")
    if (predefined is None) == (custom is None):
        raise invalid(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified"
        )
    if predefined is not None:
        if predefined["PredefinedMetricType"] != METRIC:
            raise invalid(f"The local AWS has the predefined metric {METRIC} only")
        if "ResourceLabel" in predefined:
            raise invalid(f"ResourceLabel must not be specified for {METRIC}")
    elif custom is not None:
        if "Metrics" in custom:
            raise invalid("The local AWS does not have metric math; name a MetricName, Namespace and Statistic")
        missing = [name for name in ("MetricName", "Namespace", "Statistic") if name not in custom]
        if missing:
            raise invalid(f"CustomizedMetricSpecification needs {', '.join(missing)}")


def _metric(config: Document) -> Document:
    return {name: config[name] for name in config if name.endswith("MetricSpecification")}


def _identity(request: Document) -> str:
    return (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}"
    )
