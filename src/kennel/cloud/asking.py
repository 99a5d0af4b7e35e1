"""Asking an endpoint many times over, as a load test does: every answer is right, or wrong in one word, none is tried
again unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kennel.cloud.endpoint import invoke_request
from kennel.cloud.failures import from_client_error
from kennel.cloud.session import Cloud, code_of, told
from kennel.cloud.storage import S3Uri
from kennel.errors import KennelError, ServerError


@dataclass(frozen=True, slots=True)
class Asked:
    """What answers. revision: the ETag of the artifact's archive, "" where it may not be read."""

    name: str
    config: str
    instance_type: str
    revision: str


def single(cloud: Cloud, name: str) -> Asked:
    """The endpoint's only instance. Raises KennelError where it has another number of them, or serves nobody."""
    sagemaker = cloud.client("sagemaker")
    with told(f"look at the endpoint {name}"):
        found = sagemaker.describe_endpoint(EndpointName=name)
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    if found["EndpointStatus"] != "InService":
        raise ServerError(f"the endpoint {name} is {found['EndpointStatus']}", "Wait until it is InService")
    variants = found["ProductionVariants"]
    counts = [each.get("CurrentInstanceCount", 0) for each in variants]
    if counts != [1]:
        several = f"{sum(counts)} instances of {len(counts)} variants"
        raise KennelError(
            f"the endpoint {name} has {several}", "Measure one: set [scaling] max = 1, kennel scale apply"
        )
    variant = config["ProductionVariants"][0]
    kind = variant.get("InstanceType", "serverless")
    return Asked(name, found["EndpointConfigName"], kind, _revision(cloud, variant["ModelName"]))


def still_single(cloud: Cloud, name: str) -> bool:
    """Whether scaling has left it alone."""
    with told(f"look at the endpoint {name}"):
        found = cloud.client("sagemaker").describe_endpoint(EndpointName=name)
    variants = found["ProductionVariants"]
    return [(each.get("CurrentInstanceCount"), each.get("DesiredInstanceCount")) for each in variants] == [(1, 1)]


def asker(cloud: Cloud, name: str, body: bytes) -> Callable[[], str]:
    """For `kennel.capacity.load`: InvokeEndpoint, "" or what went wrong. May be called from many threads."""
    from botocore.exceptions import BotoCoreError, ClientError

    runtime, request = cloud.client("sagemaker-runtime"), invoke_request(name, body, "application/octet-stream")

    def ask() -> str:
        try:
            found = runtime.invoke_endpoint(**request)
            found["Body"].read()
        except ClientError as error:
            return f"{code_of(error)}: {from_client_error(error).message}"
        except BotoCoreError as error:
            return type(error).__name__
        retries = found["ResponseMetadata"].get("RetryAttempts", 0)
        return f"answered at attempt {retries + 1}" if retries else ""

    return ask


def _revision(cloud: Cloud, model: str) -> str:
    from botocore.exceptions import ClientError

    try:
        container = cloud.client("sagemaker").describe_model(ModelName=model).get("PrimaryContainer", {})
        uri = S3Uri.parse(container.get("ModelDataUrl", ""))
        return str(cloud.client("s3").head_object(Bucket=uri.bucket, Key=uri.key)["ETag"]).strip('"')
    except (ClientError, KennelError):
        return ""
