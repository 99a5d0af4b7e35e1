"""What a change asks for, as the deployment that follows: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence

from kennel.local.errors import invalid
from kennel.local.hosting.plan import Deployment
from kennel.local.parts import Document


def check_rollout(request: Document) -> None:
    """Here the traffic always moves at once. Raises Refused for anything else."""
    config = request.get("DeploymentConfig", {})
    kind = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {}).get("Type", "ALL_AT_ONCE")
    if kind != "ALL_AT_ONCE" or "RollingUpdatePolicy" in config or "AutoRollbackConfiguration" in config:
        raise invalid("The local AWS moves the traffic at once: no CANARY, LINEAR, rolling update or alarms here.")


def retained(fresh: Deployment, deployed: Deployment, request: Document) -> Deployment:
    """UpdateEndpoint's new deployment; with RetainAllVariantProperties counts and weights stay as they are, by name."""
    if not request.get("RetainAllVariantProperties"):
        return fresh
    excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])}
    counts = {each.name: each.instances for each in deployed.variants}
    weights = {each.name: each.weight for each in deployed.variants}
    return fresh.changed(
        {} if "DesiredInstanceCount" in excluded else counts, {} if "DesiredWeight" in excluded else weights
    )


def scaled(deployed: Deployment, changes: Sequence[Document]) -> Deployment:
    """UpdateEndpointWeightsAndCapacities. Raises Refused."""
    for each in changes:
        if deployed.named(each["VariantName"]) is None:
            raise invalid(f"Could not find production variant {each['VariantName']} of the endpoint.")
        if each.get("DesiredInstanceCount", 1) < 1:
            raise invalid(f"DesiredInstanceCount of production variant {each['VariantName']} must be at least 1.")
        if "ServerlessUpdateConfig" in each:
            raise invalid("The local AWS does not have serverless endpoints.")
    counts = {each["VariantName"]: each["DesiredInstanceCount"] for each in changes if "DesiredInstanceCount" in each}
    weights = {each["VariantName"]: each["DesiredWeight"] for each in changes if "DesiredWeight" in each}
    return deployed.changed(counts, weights)
