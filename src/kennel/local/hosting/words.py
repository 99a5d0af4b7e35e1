"""What SageMaker says, in its own words."""

from __future__ import annotations

CONSOLE = "https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"


def no_ping(variant: str) -> str:
    return (
        f"The primary container for production variant {variant} did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )


def no_data(url: str) -> str:
    return (
        f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is an '
        "object located at the URL and that the role passed to CreateModel has permissions to download the object."
    )


def no_access(url: str, role: str, region: str) -> str:
    return (
        f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust '
        'relationship policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". '
        f'Also ensure that the role has "s3:GetObject" permissions and that the object is located in {region}.'
    )


def no_image(role: str, image: str) -> str:
    return f"The role '{role}' does not have BatchGetImage permission for the image: '{image}'."


def bad_archive(url: str, why: str) -> str:
    return (
        f'Failed to extract model data archive for container "container_1" from URL "{url}". Please ensure that the '
        f"object located at the URL is a valid tar.gz archive. {why}"
    )


def log_group(endpoint: str) -> str:
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def model_error(status: int, message: str, endpoint: str, account: str, region: str) -> str:
    """status: the container's, 0 where it gave none."""
    kind = "client" if 400 <= status < 500 else "server"
    return (
        f'Received {kind} error ({status}) from primary with message "{message}". '
        f"See {CONSOLE.format(region=region)}#logEventViewer:group={log_group(endpoint)} in account {account} "
        "for more information."
    )


TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
