"""What the deployer needs to have an endpoint scaled. Pure."""

from __future__ import annotations

from kennel.cloud.iam.place import Place
from kennel.cloud.iam.values import Condition, Statement

SCALING = "application-autoscaling"
SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
LINKED = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
ENDPOINTS: Condition = {
    "StringEquals": {
        f"{SCALING}:service-namespace": "sagemaker",
        f"{SCALING}:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
    }
}


def scaling(place: Place) -> tuple[Statement, ...]:
    """The ARN of a scalable target holds an id that AWS makes, so its kind is what can be asked for."""
    targets = (place.arn(SCALING, "scalable-target/*"),)
    alarms = place.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{place.settings.endpoint_name}/variant/*")
    linked = place.arn("iam", f"role/aws-service-role/{SERVICE}/{LINKED}", region="")
    return (
        Statement(
            "Scale", "Bounds, policies and scheduled actions of SageMaker's variants, and of nothing else that scales",
            tuple(f"{SCALING}:{each}" for each in ("RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction")),
            targets, ENDPOINTS,
        ),
        Statement(
            "Unscale", "Only of what carries the project's tag: another endpoint goes on being scaled",
            tuple(
                f"{SCALING}:{each}"
                for each in ("DeregisterScalableTarget", "DeleteScalingPolicy", "DeleteScheduledAction")
            ),
            targets, place.tagged(),
        ),
        Statement(
            "TagTarget", "A scalable target carries the project's tag",
            (f"{SCALING}:TagResource",), targets, place.requested(),
        ),
        Statement(
            "WatchScaling", "What it is set to and what it did: lists know no resource",
            tuple(
                f"{SCALING}:Describe{each}"
                for each in ("ScalableTargets", "ScalingPolicies", "ScheduledActions", "ScalingActivities")
            ),
            ("*",),
        ),
        Statement(
            "Alarms", "A policy's alarms are made and removed in the name of whoever puts it",
            ("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"), (alarms,),
        ),
        Statement(
            "SeeAlarms", "A policy is put, and watched, with a look at the alarms that there are",
            ("cloudwatch:DescribeAlarms",), (place.arn("cloudwatch", "alarm:*"),),
        ),
        Statement(
            "FirstTarget", "With the first scalable target of an account AWS makes its own role",
            ("iam:CreateServiceLinkedRole",), (linked,), {"StringEquals": {"iam:AWSServiceName": SERVICE}},
        ),
    )  # fmt: skip
