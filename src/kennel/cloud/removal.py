"""What a thing on AWS is to be removed as, and how each kind is removed. What is gone already is no error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kennel.cloud.function_requests import ALIAS
from kennel.cloud.iam.profile import remove_profile, roles_of_profile
from kennel.cloud.machines import described, state_of_machine
from kennel.cloud.scaling_target import SERVICE, deregister_request
from kennel.cloud.session import Cloud, code_of
from kennel.cloud.status import CONFIG, ENDPOINT, FUNCTION, MACHINE, MODEL, TRAINING, TUNING, Kind
from kennel.errors import KennelError

TARGET, STREAMS, GROUP = "scalable target", "log streams", "log group"
PROVISIONED, URL, ALIASES = "provisioned concurrency", "function URL", "alias"
OBJECTS, BUCKET, ROLE, IMAGES = "objects", "bucket", "role", "image repository"
FIREWALL = "security group"
ORDER = (
    PROVISIONED, URL, ALIASES, FUNCTION, TARGET, TUNING.word, TRAINING.word, ENDPOINT.word, CONFIG.word, MODEL.word,
    MACHINE, FIREWALL, STREAMS, GROUP, OBJECTS, BUCKET, ROLE, IMAGES,
)  # fmt: skip
"""What is on the left must be gone before what is on the right is touched: a function asks an endpoint, scaling holds
one, an endpoint its configuration; jobs and machines write logs and objects, and work under roles."""

MOST_OBJECTS = 1000
"""In one request to S3."""
UNDER_WAY = ("InProgress", "Stopping")
GONE = frozenset(
    {
        "InvalidGroup.NotFound",
        "InvalidInstanceID.NotFound",
        "NoSuchEntity",
        "NoSuchBucket",
        "NoSuchUpload",
        "ObjectNotFoundException",
        "ProvisionedConcurrencyConfigNotFoundException",
        "RepositoryNotFoundException",
        "ResourceNotFound",
        "ResourceNotFoundException",
    }
)


@dataclass(frozen=True, slots=True)
class Removal:
    """kind: one of ORDER; name: as its service knows it; below: of objects and log streams, the prefix."""

    kind: str
    name: str
    below: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" below {self.below}" if self.below else "")


def begin(cloud: Cloud, removal: Removal) -> bool:
    """Remove it, or ask for it. False where AWS wants to be asked again later: an endpoint that is being made, say."""
    from botocore.exceptions import ClientError

    try:
        WAYS[removal.kind](cloud, removal)
    except ClientError as error:
        if removal.kind == ENDPOINT.word and "in-progress" in str(error):
            return False
        if not _is_gone(error):
            raise
    return True


def is_over(cloud: Cloud, removal: Removal) -> bool:
    """Whether what was asked for has come true; all but jobs, machines and endpoints go at once."""
    if removal.kind == MACHINE:
        found = described(cloud, [{"Name": "instance-id", "Values": [removal.name]}])
        return all(state_of_machine(each) in ("terminated", "") for each in found)
    if removal.kind == ENDPOINT.word:
        return state_of(cloud, ENDPOINT, removal.name) is None
    for kind in (TUNING, TRAINING):
        if removal.kind == kind.word:
            return state_of(cloud, kind, removal.name) not in UNDER_WAY
    return True


def state_of(cloud: Cloud, kind: Kind, name: str) -> str | None:
    """Status of a job or an endpoint, None where there is none of this name."""
    from botocore.exceptions import ClientError

    call = getattr(cloud.client("sagemaker"), f"describe_{kind.noun}")
    try:
        return str(call(**{f"{kind.stem}Name": name})[f"{kind.stem}Status"])
    except ClientError as error:
        if _is_gone(error):
            return None
        raise


def stored(cloud: Cloud, removal: Removal) -> Iterator[dict[str, str]]:
    """Every version of every object, and what marks deleted ones."""
    request = {"Bucket": removal.name, "Prefix": removal.below, "ExpectedBucketOwner": cloud.account}
    for page in cloud.client("s3").get_paginator("list_object_versions").paginate(**request):
        for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}


def uploads(cloud: Cloud, removal: Removal) -> Iterator[dict[str, str]]:
    """Uploads in parts that were never finished: no listing of objects shows them, and they are billed."""
    request = {"Bucket": removal.name, "Prefix": removal.below, "ExpectedBucketOwner": cloud.account}
    for page in cloud.client("s3").get_paginator("list_multipart_uploads").paginate(**request):
        yield from ({"Key": each["Key"], "UploadId": each["UploadId"]} for each in page.get("Uploads", []))


def pages(client: Any, operation: str, member: str, **request: str) -> Iterator[Any]:
    """All pages of a list; nothing where what it is a list of does not exist."""
    from botocore.exceptions import ClientError

    try:
        for page in client.get_paginator(operation).paginate(**request):
            yield from page[member]
    except ClientError as error:
        if code_of(error) not in GONE:
            raise


def _is_gone(error: Any) -> bool:
    """SageMaker says it as a ValidationException, in several wordings."""
    message = error.response["Error"].get("Message", "").lower()
    missing = ("could not find", "not found", "does not exist", "cannot find", "no scalable target")
    return code_of(error) in GONE or (
        code_of(error).startswith("Validation") and any(each in message for each in missing)
    )


def _deregister(cloud: Cloud, removal: Removal) -> None:
    """The policies go with it, and the alarms with them."""
    cloud.client(SERVICE).deregister_scalable_target(**deregister_request(removal.name))


def _stop(cloud: Cloud, kind: Kind, removal: Removal) -> None:
    """A job may end by itself between the look and the call, which AWS then refuses."""
    from botocore.exceptions import ClientError

    if state_of(cloud, kind, removal.name) != "InProgress":
        return
    call = getattr(cloud.client("sagemaker"), f"stop_{kind.noun}")
    try:
        call(**{f"{kind.stem}Name": removal.name})
    except ClientError:
        if state_of(cloud, kind, removal.name) == "InProgress":
            raise


def _delete(cloud: Cloud, kind: Kind, removal: Removal) -> None:
    getattr(cloud.client("sagemaker"), f"delete_{kind.noun}")(**{f"{kind.stem}Name": removal.name})


def _unprovision(cloud: Cloud, removal: Removal) -> None:
    cloud.client("lambda").delete_provisioned_concurrency_config(FunctionName=removal.name, Qualifier=ALIAS)


def _close(cloud: Cloud, removal: Removal) -> None:
    cloud.client("lambda").delete_function_url_config(FunctionName=removal.name, Qualifier=ALIAS)


def _delete_alias(cloud: Cloud, removal: Removal) -> None:
    cloud.client("lambda").delete_alias(FunctionName=removal.name, Name=ALIAS)


def _delete_function(cloud: Cloud, removal: Removal) -> None:
    """All of its versions."""
    cloud.client("lambda").delete_function(FunctionName=removal.name)


def _terminate(cloud: Cloud, removal: Removal) -> None:
    """It stops its training first, which leaves checkpoints."""
    cloud.client("ec2").terminate_instances(InstanceIds=[removal.name])


def _delete_firewall(cloud: Cloud, removal: Removal) -> None:
    cloud.client("ec2").delete_security_group(GroupId=removal.name)


def _delete_group(cloud: Cloud, removal: Removal) -> None:
    cloud.client("logs").delete_log_group(logGroupName=removal.name)


def _delete_streams(cloud: Cloud, removal: Removal) -> None:
    logs = cloud.client("logs")
    request = {"logGroupName": removal.name, "logStreamNamePrefix": removal.below}
    for each in list(pages(logs, "describe_log_streams", "logStreams", **request)):
        logs.delete_log_stream(logGroupName=removal.name, logStreamName=each["logStreamName"])


def _empty(cloud: Cloud, removal: Removal) -> None:
    s3, mine = cloud.client("s3"), {"Bucket": removal.name, "ExpectedBucketOwner": cloud.account}
    for upload in list(uploads(cloud, removal)):
        s3.abort_multipart_upload(**mine, **upload)
    while some := list(islice(stored(cloud, removal), MOST_OBJECTS)):
        _delete_objects(s3, mine, some)


def _delete_objects(s3: Any, mine: Mapping[str, str], some: list[dict[str, str]]) -> None:
    done = s3.delete_objects(**mine, Delete={"Objects": some, "Quiet": True})
    for error in done.get("Errors", []):
        what = f"{mine['Bucket']}/{error.get('Key')} cannot be removed ({error.get('Code')})"
        raise KennelError(what, "Ask for s3:DeleteObject and s3:DeleteObjectVersion on the bucket")


def _delete_bucket(cloud: Cloud, removal: Removal) -> None:
    cloud.client("s3").delete_bucket(Bucket=removal.name, ExpectedBucketOwner=cloud.account)


def _delete_role(cloud: Cloud, removal: Removal) -> None:
    """IAM lets no role go that still has policies, or is in an instance profile."""
    iam, name = cloud.client("iam"), removal.name
    if name == cloud.settings.instance_role and roles_of_profile(cloud, name) is not None:
        remove_profile(cloud, name)
    for policy in [*pages(iam, "list_role_policies", "PolicyNames", RoleName=name)]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for attached in [*pages(iam, "list_attached_role_policies", "AttachedPolicies", RoleName=name)]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=name)


def _delete_repository(cloud: Cloud, removal: Removal) -> None:
    cloud.client("ecr").delete_repository(repositoryName=removal.name, force=True)


WAYS: Mapping[str, Callable[[Cloud, Removal], None]] = {
    PROVISIONED: _unprovision,
    URL: _close,
    ALIASES: _delete_alias,
    FUNCTION: _delete_function,
    TARGET: _deregister,
    TUNING.word: lambda cloud, removal: _stop(cloud, TUNING, removal),
    TRAINING.word: lambda cloud, removal: _stop(cloud, TRAINING, removal),
    ENDPOINT.word: lambda cloud, removal: _delete(cloud, ENDPOINT, removal),
    CONFIG.word: lambda cloud, removal: _delete(cloud, CONFIG, removal),
    MODEL.word: lambda cloud, removal: _delete(cloud, MODEL, removal),
    MACHINE: _terminate,
    FIREWALL: _delete_firewall,
    STREAMS: _delete_streams,
    GROUP: _delete_group,
    OBJECTS: _empty,
    BUCKET: _delete_bucket,
    ROLE: _delete_role,
    IMAGES: _delete_repository,
}
