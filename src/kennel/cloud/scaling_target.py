"""How Application Auto Scaling names an endpoint's variants, and the end of their scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kennel.aws.shapes import check
from kennel.cloud.session import Cloud, code_of, told

Request = dict[str, Any]
SERVICE = "application-autoscaling"
NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def resource_of(endpoint: str, variant: str) -> str:
    """`endpoint/NAME/variant/all`."""
    return f"endpoint/{endpoint}/variant/{variant}"


def about(resource: str) -> Request:
    """What every request about a variant names."""
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}


def deregister_request(resource: str) -> Request:
    """DeregisterScalableTarget's request: the policies go with it, their alarms and the scheduled actions too."""
    request = about(resource)
    check(SERVICE, "DeregisterScalableTarget", request)
    return request


def targets(cloud: Cloud, endpoint: str) -> list[str]:
    """The variants of an endpoint that are scaled, as resources, also of one that is no more."""
    found = pages(cloud, "scalable_targets", "ScalableTargets", ScalableDimension=DIMENSION)
    return [each["ResourceId"] for each in found if each["ResourceId"].startswith(f"endpoint/{endpoint}/")]


def deregister(cloud: Cloud, endpoint: str, resources: Sequence[str]) -> None:
    """No scaling of these any more, nor anything that hangs on it, whoever made it. Raises KennelError."""
    from botocore.exceptions import ClientError

    for each in resources:
        with told(f"end the scaling of {endpoint}"):
            try:
                cloud.client(SERVICE).deregister_scalable_target(**deregister_request(each))
            except ClientError as error:
                if code_of(error) != "ObjectNotFoundException":
                    raise


def pages(cloud: Cloud, noun: str, member: str, **request: Any) -> list[Any]:
    """All that there are, of what is described: `scaling_policies`, say."""
    found = cloud.client(SERVICE).get_paginator(f"describe_{noun}")
    return [each for page in found.paginate(ServiceNamespace=NAMESPACE, **request) for each in page[member]]
