"""Endpoints: requests as values; going live, and going live again without a gap; asking one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kennel.aws.shapes import check
from kennel.cloud import scaling_target
from kennel.cloud.session import Cloud, or_none, told
from kennel.errors import KennelError, ServerError

Request = dict[str, Any]
VARIANT = "all"
"""There is one, so it gets all of the traffic."""
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """What answers. model and config are names that follow from the rest: an artifact, an image or a type of machine
    that changes makes new ones. artifact: S3 address of model.tar.gz; startup_s: for an instance's first answer;
    scaled: whether scaling has a say in how many instances there are, which an update then leaves as they are."""

    name: str
    model: str
    config: str
    image: str
    artifact: str
    role: str
    instance_type: str
    instances: int
    startup_s: int
    scaled: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was set off. Ended: the endpoint is InService with this configuration; `unchanged` is so already, or is on
    its way there since an earlier call. unscaled: variants that are scaled no more, which AWS demanded."""

    endpoint: str
    config: str
    action: Literal["created", "updated", "unchanged"]
    unscaled: tuple[str, ...] = ()


def model_request(plan: EndpointPlan) -> Request:
    """CreateModel's request. Raises SettingError where AWS would refuse it."""
    container: Request = {"Image": plan.image, "Mode": "SingleModel", "ModelDataUrl": plan.artifact}
    if plan.environment:
        container["Environment"] = dict(plan.environment)
    return _checked(
        "CreateModel",
        {
            "ModelName": plan.model,
            "PrimaryContainer": container,
            "ExecutionRoleArn": plan.role,
            "EnableNetworkIsolation": True,
            "Tags": _tags(plan),
        },
    )


def endpoint_config_request(plan: EndpointPlan) -> Request:
    """CreateEndpointConfig's request. Raises SettingError where AWS would refuse it."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": plan.model,
        "InstanceType": plan.instance_type,
        "InitialInstanceCount": plan.instances,
        "InitialVariantWeight": 1.0,
        "ContainerStartupHealthCheckTimeoutInSeconds": plan.startup_s,
    }
    request = {"EndpointConfigName": plan.config, "ProductionVariants": [variant], "Tags": _tags(plan)}
    return _checked("CreateEndpointConfig", request)


def endpoint_request(plan: EndpointPlan) -> Request:
    """CreateEndpoint's request. Raises SettingError where AWS would refuse it."""
    request = {"EndpointName": plan.name, "EndpointConfigName": plan.config, "Tags": _tags(plan)}
    return _checked("CreateEndpoint", request)


def update_request(plan: EndpointPlan) -> Request:
    """UpdateEndpoint's request: the number of instances stays what scaling has made of it. Raises SettingError."""
    request: Request = {
        "EndpointName": plan.name,
        "EndpointConfigName": plan.config,
        "RetainAllVariantProperties": True,
    }
    if not plan.scaled:
        request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DesiredInstanceCount"}]
    return _checked("UpdateEndpoint", request)


def deploy(cloud: Cloud, plan: EndpointPlan) -> Deployment:
    """Set off whatever makes the endpoint answer as planned: what is there already is used. Does not wait for it.

    Raises KennelError, also where the endpoint is busy with something else.
    """
    found = describe(cloud, plan.name)
    if found is not None:
        check_ours(cloud, plan.name, found)
    action = decide(plan, found)
    if action == "unchanged":
        return Deployment(plan.name, plan.config, action)
    if found is not None and action == "created":
        _clear(cloud, plan.name)
    sagemaker = cloud.client("sagemaker")
    _ensure_model(cloud, plan)
    _ensure_config(cloud, plan)
    unscaled = _unscale(cloud, plan, found) if action == "updated" else ()
    with told(f"deploy the endpoint {plan.name}"):
        if action == "created":
            sagemaker.create_endpoint(**endpoint_request(plan))
        else:
            sagemaker.update_endpoint(**update_request(plan))
    return Deployment(plan.name, plan.config, action, unscaled)


def decide(plan: EndpointPlan, found: Mapping[str, Any] | None) -> Literal["created", "updated", "unchanged"]:
    """What must be done, given SageMaker's description (None: there is none). An endpoint that failed must be made
    anew: it can only be deleted. Raises KennelError for one that is busy with something else."""
    if found is None or found["EndpointStatus"] in ("Failed", "OutOfService"):
        return "created"
    status, coming = found["EndpointStatus"], found.get("PendingDeploymentSummary") or found
    if coming.get("EndpointConfigName") == plan.config and status in ("InService", "Creating", "Updating"):
        return "unchanged"
    if status in BUSY:
        raise KennelError(f"the endpoint {plan.name} is {status}", "Wait until that is over, then deploy again")
    return "updated"


def check_ours(cloud: Cloud, name: str, found: Mapping[str, Any]) -> None:
    """Raises KennelError for an endpoint of that name which does not carry this project's tag."""
    with told(f"look at the tags of the endpoint {name}"):
        carried = cloud.client("sagemaker").list_tags(ResourceArn=found["EndpointArn"])["Tags"]
    if not all(tag in carried for tag in cloud.settings.tags()):
        remedy = "Name another one in kennel.toml: [endpoint] name"
        raise KennelError(f"the endpoint {name} is not this project's", remedy)


def describe(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """SageMaker's description, None where there is no such endpoint."""
    sagemaker = cloud.client("sagemaker")
    with told(f"look at the endpoint {name}"):
        return or_none(lambda: sagemaker.describe_endpoint(EndpointName=name))


def invoke_request(name: str, body: bytes, content_type: str, attributes: str = "") -> Request:
    """InvokeEndpoint's request. Raises SettingError where AWS would refuse it."""
    request: Request = {"EndpointName": name, "Body": body, "ContentType": content_type, "Accept": "application/json"}
    if attributes:
        request["CustomAttributes"] = attributes
    check("sagemaker-runtime", "InvokeEndpoint", request)
    return request


def invoke(
    cloud: Cloud, name: str, body: bytes, content_type: str = "application/octet-stream", attributes: str = ""
) -> Any:
    """The endpoint's answer: JSON's values where it is JSON, else bytes. attributes: `top_k=3`.

    Raises ServerError; where the container refused, with its own words.
    """
    runtime = cloud.client("sagemaker-runtime")
    request = invoke_request(name, body, content_type, attributes)
    with told(f"ask the endpoint {name}"):
        try:
            found = runtime.invoke_endpoint(**request)
        except runtime.exceptions.ModelError as error:
            raise _refused(name, error.response) from error
        answer = found["Body"].read()
    return json.loads(answer) if found.get("ContentType", "").startswith("application/json") else answer


def _unscale(cloud: Cloud, plan: EndpointPlan, found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """End the scaling of variants that go, or whose type of machine changes: AWS updates no endpoint with such a one.
    A new model alone is no reason."""
    scaled = scaling_target.targets(cloud, plan.name)
    if not scaled or found is None:
        return ()
    with told(f"look at the configuration of {plan.name}"):
        sagemaker, config = cloud.client("sagemaker"), found["EndpointConfigName"]
        now = or_none(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=config)) or {}
    kinds = {each["VariantName"]: each.get("InstanceType") for each in now.get("ProductionVariants", [])}
    stays = scaling_target.resource_of(plan.name, VARIANT) if kinds.get(VARIANT) == plan.instance_type else ""
    ended = tuple(each for each in scaled if each != stays)
    scaling_target.deregister(cloud, plan.name, ended)
    return ended


def _clear(cloud: Cloud, name: str) -> None:
    """Its scaling goes first."""
    scaling_target.deregister(cloud, name, scaling_target.targets(cloud, name))
    sagemaker = cloud.client("sagemaker")
    with told(f"delete the endpoint {name}"):
        or_none(lambda: sagemaker.delete_endpoint(EndpointName=name))
        pace = {"Delay": 1, "MaxAttempts": 300} if cloud.side == "local" else {"Delay": 10, "MaxAttempts": 90}
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=pace)


def _ensure_model(cloud: Cloud, plan: EndpointPlan) -> None:
    sagemaker = cloud.client("sagemaker")
    with told(f"make the model {plan.model}"):
        if or_none(lambda: sagemaker.describe_model(ModelName=plan.model)) is None:
            sagemaker.create_model(**model_request(plan))


def _ensure_config(cloud: Cloud, plan: EndpointPlan) -> None:
    sagemaker = cloud.client("sagemaker")
    with told(f"make the endpoint configuration {plan.config}"):
        if or_none(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=plan.config)) is None:
            sagemaker.create_endpoint_config(**endpoint_config_request(plan))


def _checked(operation: str, request: Request) -> Request:
    check("sagemaker", operation, request)
    return request


def _tags(plan: EndpointPlan) -> list[dict[str, str]]:
    return [dict(tag) for tag in plan.tags]


def _refused(name: str, response: Mapping[str, Any]) -> ServerError:
    """Our own containers answer with one line of JSON: error and remedy."""
    status, original = response.get("OriginalStatusCode"), str(response.get("OriginalMessage", ""))
    try:
        said = json.loads(original)
        return ServerError(f"{name} refused: {said['error']}", str(said.get("remedy", "")))
    except (ValueError, KeyError, TypeError):
        text = " ".join(original.split())
        return ServerError(f"{name} answered {status}: {text}", f"See its log, /aws/sagemaker/Endpoints/{name}")
