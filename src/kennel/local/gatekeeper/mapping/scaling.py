"""Application Auto Scaling, of SageMaker's variants.

Who registers a variant or puts a policy has to be allowed what will be done for it: "Application Auto Scaling validates
permissions for requests associated with both the target service and CloudWatch before proceeding with the request"
(its guide, permissions validation). The first time a role is made that the service works under from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from kennel.local.gatekeeper.mapping.iam import linked_role
from kennel.local.gatekeeper.mapping.table import EVERY, Place, Request, Resources, Rule, Table, Unknown, each, texts

LINKED = "sagemaker.application-autoscaling.amazonaws.com"
_KEYS = {
    "application-autoscaling:service-namespace": "ServiceNamespace",
    "application-autoscaling:scalable-dimension": "ScalableDimension",
}


def _target(request: Request, place: Place) -> Sequence[str]:
    """A target's id is nobody's choice: before there is one, it is any."""
    members = ("ServiceNamespace", "ScalableDimension", "ResourceId")
    name = "/".join("".join(texts(request, member)) for member in members)
    beginning = f"arn:{place.partition}:application-autoscaling:{place.region}:{place.account}:scalable-target"
    return (place.found("scalable-target", name) or f"{beginning}/*",)


def _endpoint(kind: str) -> Resources:
    """The endpoint whose variant is scaled, or its configuration."""

    def found(request: Request, place: Place) -> Sequence[str]:
        namespace, resource = ("".join(texts(request, each)) for each in ("ServiceNamespace", "ResourceId"))
        steps = resource.split("/")
        if namespace != "sagemaker" or len(steps) != 4 or (steps[0], steps[2]) != ("endpoint", "variant"):
            raise Unknown(f"{namespace} {resource} is no variant of an endpoint")
        here = f"arn:{place.partition}:sagemaker:{place.region}:{place.account}:"
        if kind == "endpoint":
            return (f"{here}endpoint/{steps[1]}".lower(),)
        return (place.found("endpoint-config", steps[1]) or f"{here}endpoint-config/*",)

    return found


def _role(request: Request, place: Place) -> Sequence[str]:
    arn = linked_role(LINKED, place)
    return () if place.found("role", arn.rpartition("/")[2]) else (arn,)


ENDPOINT, CONFIG = _endpoint("endpoint"), _endpoint("endpoint-config")
TARGET = Rule(_target, keys=_KEYS)
_SCALED = (
    Rule(ENDPOINT, "sagemaker:DescribeEndpoint"),
    Rule(CONFIG, "sagemaker:DescribeEndpointConfig"),
    Rule(ENDPOINT, "sagemaker:UpdateEndpointWeightsAndCapacities"),
)
_ALARMS = (
    Rule("alarm:TargetTracking-{ResourceId}-*", "cloudwatch:PutMetricAlarm"),
    Rule("alarm:*", "cloudwatch:DescribeAlarms"),
    Rule("alarm:TargetTracking-{ResourceId}-*", "cloudwatch:DeleteAlarms"),
)

TABLE: Table = {
    "RegisterScalableTarget": (
        Rule(_target, keys=_KEYS, tags="Tags"),
        Rule(_target, "application-autoscaling:TagResource", tags="Tags", when="Tags"),
        *_SCALED,
        Rule(_role, "iam:CreateServiceLinkedRole", fixed={"iam:awsservicename": LINKED}),
    ),
    "PutScalingPolicy": (TARGET, *_SCALED, *_ALARMS),
    "PutScheduledAction": (TARGET, *_SCALED),
    "TagResource": (Rule("{ResourceARN}", tags="Tags"),),
    "UntagResource": (Rule("{ResourceARN}", untags="TagKeys[]"),),
    "ListTagsForResource": (Rule("{ResourceARN}"),),
    **each("DeleteScalingPolicy DeleteScheduledAction DeregisterScalableTarget", TARGET),
    **each(
        "DescribeScalableTargets DescribeScalingActivities DescribeScalingPolicies DescribeScheduledActions",
        Rule(EVERY),
    ),
}
