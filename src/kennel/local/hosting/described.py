"""An endpoint as DescribeEndpoint shows it: a pure function of what is kept."""

from __future__ import annotations

from typing import Any

from kennel.local.hosting.plan import Deployment, Variant
from kennel.local.parts import Document

SHOWN = (
    "EndpointName",
    "EndpointArn",
    "EndpointStatus",
    "CreationTime",
    "LastModifiedTime",
    "FailureReason",
    "LastDeploymentConfig",
)


def described(endpoint: Document) -> Document:
    """endpoint: its document, with Deployed and Pending."""
    deployed, pending = deployment_in(endpoint, "Deployed"), deployment_in(endpoint, "Pending")
    answer = {key: endpoint[key] for key in SHOWN if key in endpoint}
    shown = deployed or pending
    if shown is None:
        return {**answer, "EndpointConfigName": endpoint["EndpointConfigName"]}
    answer["EndpointConfigName"] = shown.config
    answer["ProductionVariants"] = [_summary(each, deployed, pending) for each in shown.variants]
    if pending is not None and (deployed is None or deployed.identity != pending.identity):
        answer["PendingDeploymentSummary"] = {
            "EndpointConfigName": pending.config,
            "ProductionVariants": [_pending(each) for each in pending.variants],
            "StartTime": pending.began,
        }
    return answer


def deployment_in(endpoint: Document, key: str) -> Deployment | None:
    return Deployment.load(endpoint[key]) if endpoint.get(key) else None


def _summary(variant: Variant, deployed: Deployment | None, pending: Deployment | None) -> dict[str, Any]:
    wanted = (pending.named(variant.name) if pending else None) or variant
    at = deployed.began if deployed else None
    return {
        "VariantName": variant.name,
        "DeployedImages": [_image(variant, at)] if at is not None else [],
        "CurrentWeight": variant.weight if deployed else 0.0,
        "DesiredWeight": wanted.weight,
        "CurrentInstanceCount": variant.instances if deployed else 0,
        "DesiredInstanceCount": wanted.instances,
    }


def _pending(variant: Variant) -> dict[str, Any]:
    return {
        "VariantName": variant.name,
        "DeployedImages": [],
        "DesiredWeight": variant.weight,
        "DesiredInstanceCount": variant.instances,
        "InstanceType": variant.instance_type,
        "VariantStatus": [{"Status": "Creating"}],
    }


def _image(variant: Variant, at: float) -> Document:
    return {"SpecifiedImage": variant.image, "ResolvedImage": variant.image, "ResolutionTime": at}
