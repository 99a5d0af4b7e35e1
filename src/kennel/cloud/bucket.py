"""The project's bucket: made, and kept as it is meant: private, encrypted, versioned, by TLS only, tidied by itself.

To make and to mend it is the administrator's; whoever deploys only sees that it is there. A bucket that the user named
and had is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kennel.aws.arns import partition_of
from kennel.cloud import names
from kennel.cloud.session import DENIED, Cloud, code_of, told
from kennel.errors import KennelError
from kennel.settings import Settings

ABANDONED_DAYS = 3
OLD_DAYS = 30
CHECKPOINT_DAYS = 14
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
MISSING = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchTagSet",
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that is said of a bucket. get, put: names of boto3's methods; member: of the answer, and of the request
    where `wrap` says nothing else; plain: what of an answer is compared."""

    name: str
    get: str
    put: str
    member: str
    plain: Callable[[Any], Any] = lambda value: value
    wrap: Callable[[Any], Mapping[str, Any]] | None = None


ASPECTS = (
    Aspect("public access", "get_public_access_block", "put_public_access_block", "PublicAccessBlockConfiguration"),
    Aspect(
        "ownership", "get_bucket_ownership_controls", "put_bucket_ownership_controls", "OwnershipControls",
        lambda value: {"Rules": [{"ObjectOwnership": each["ObjectOwnership"]} for each in value["Rules"]]},
    ),
    Aspect(
        "encryption", "get_bucket_encryption", "put_bucket_encryption", "ServerSideEncryptionConfiguration",
        lambda value: {
            "Rules": [
                {"ApplyServerSideEncryptionByDefault": dict(each["ApplyServerSideEncryptionByDefault"])}
                for each in value["Rules"]
            ]
        },
    ),
    Aspect(
        "versioning", "get_bucket_versioning", "put_bucket_versioning", "Status",
        wrap=lambda value: {"VersioningConfiguration": {"Status": value}},
    ),
    Aspect(
        "lifecycle", "get_bucket_lifecycle_configuration", "put_bucket_lifecycle_configuration", "Rules",
        lambda value: sorted(value, key=lambda rule: str(rule["ID"])),
        wrap=lambda value: {"LifecycleConfiguration": {"Rules": value}},
    ),
    Aspect(
        "policy", "get_bucket_policy", "put_bucket_policy", "Policy",
        json.loads, lambda value: {"Policy": json.dumps(value, separators=(",", ":"))},
    ),
    Aspect(
        "tags", "get_bucket_tagging", "put_bucket_tagging", "TagSet",
        lambda value: sorted(value, key=lambda tag: str(tag["Key"])), lambda value: {"Tagging": {"TagSet": value}},
    ),
)  # fmt: skip
"""The tags come last: they say that the rest is there."""


def wanted(settings: Settings, bucket: str, region: str) -> dict[str, Any]:
    """What is said of the bucket, by the aspects' names. Pure."""
    return {
        "public access": dict.fromkeys(BLOCKS, True),
        "ownership": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "encryption": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
        "versioning": "Enabled",
        "lifecycle": _leftovers(settings),
        "policy": _only_by_tls(bucket, region),
        "tags": settings.tags(),
    }


def ensure_bucket(cloud: Cloud) -> str:
    """The project's bucket, made or mended where that is needed; its name. Raises KennelError where the name is
    somebody else's, or it is not there and whoever asks may not make it."""
    bucket, deployer = cloud.bucket, cloud.is_session_of(cloud.settings.deployer_role)
    with told(f"use the bucket {bucket}"):
        tags = _tags(cloud)
        if tags is None and deployer:
            raise KennelError(f"there is no bucket {bucket}", "Ask whoever administers the account: kennel iam apply")
        if tags is None:
            _create(cloud, bucket)
        if not deployer and (tags is None or _is_ours(cloud, tags)):
            for aspect, _, value in _differences(cloud):
                _say(cloud, aspect, value)
    return bucket


def exists(cloud: Cloud) -> bool:
    """Whether there is one. Raises KennelError where its name is somebody else's."""
    with told(f"look at the bucket {cloud.bucket}"):
        return _tags(cloud) is not None


def difference(cloud: Cloud) -> list[tuple[Aspect, Any, Any]]:
    """(aspect, what is said, what should be) of each that differs; nothing of a bucket that the user had. Raises
    KennelError."""
    with told(f"look at the bucket {cloud.bucket}"):
        tags = _tags(cloud)
        if tags is None:
            return [(each, None, value) for each in ASPECTS if (value := _wanted(cloud)[each.name])]
        return _differences(cloud) if _is_ours(cloud, tags) else []


def _differences(cloud: Cloud) -> list[tuple[Aspect, Any, Any]]:
    there, meant = {each.name: _said(cloud, each) for each in ASPECTS}, _wanted(cloud)
    others = [tag for tag in there["tags"] or [] if tag["Key"] not in {each["Key"] for each in meant["tags"]}]
    meant["tags"] = sorted([*others, *meant["tags"]], key=lambda tag: str(tag["Key"]))  # a company's own stay
    return [(each, there[each.name], meant[each.name]) for each in ASPECTS if there[each.name] != meant[each.name]]


def _wanted(cloud: Cloud) -> dict[str, Any]:
    return wanted(cloud.settings, cloud.bucket, cloud.region)


def _is_ours(cloud: Cloud, tags: list[dict[str, str]] | None) -> bool:
    """A bucket by the derived name is ours, also where a run ended between its making and its tags."""
    return not cloud.settings.bucket or all(tag in (tags or []) for tag in cloud.settings.tags())


def _tags(cloud: Cloud) -> list[dict[str, str]] | None:
    """None where there is no such bucket. Raises KennelError where it is somebody else's."""
    from botocore.exceptions import ClientError

    try:
        return list(_ask(cloud, "get_bucket_tagging")["TagSet"])
    except ClientError as error:
        if code_of(error) == "NoSuchTagSet":
            return []
        if code_of(error) == "NoSuchBucket":
            return None
        if code_of(error) in DENIED:
            raise _taken(cloud.bucket) from error
        raise


def _said(cloud: Cloud, aspect: Aspect) -> Any:
    """None where nothing is said."""
    from botocore.exceptions import ClientError

    try:
        found = _ask(cloud, aspect.get).get(aspect.member)
    except ClientError as error:
        if code_of(error) not in MISSING:
            raise
        return None
    return None if found is None else aspect.plain(found)


def _say(cloud: Cloud, aspect: Aspect, value: Any) -> None:
    request = aspect.wrap(value) if aspect.wrap else {aspect.member: value}
    _ask(cloud, aspect.put, **request)


def _ask(cloud: Cloud, method: str, **request: Any) -> dict[str, Any]:
    """Every call names the owner: a name that somebody else took first gets nothing from us."""
    found: dict[str, Any] = getattr(cloud.client("s3"), method)(
        Bucket=cloud.bucket, ExpectedBucketOwner=cloud.account, **request
    )
    return found


def _create(cloud: Cloud, bucket: str) -> None:
    """us-east-1 alone must not be named as a location."""
    s3 = cloud.client("s3")
    place = {} if cloud.region == "us-east-1" else {"LocationConstraint": cloud.region}
    options: dict[str, Any] = {"CreateBucketConfiguration": place} if place else {}
    try:
        s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced", **options)
    except s3.exceptions.BucketAlreadyExists as error:
        raise _taken(bucket) from error
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass  # another process of ours was faster
    s3.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def _leftovers(settings: Settings) -> list[dict[str, Any]]:
    """What nobody needs any more and is paid for all the same. In the order of their names, as they are compared.

    Parts of an upload that was killed; versions that were replaced or removed, and the marks of removed ones;
    checkpoints, which serve a job only as long as it may go on.
    """
    everything = {"Prefix": ""}
    return [
        {
            "ID": "abandoned-uploads",
            "Status": "Enabled",
            "Filter": everything,
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_DAYS},
        },
        {
            "ID": "old-checkpoints",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{names.prefix(settings, names.CHECKPOINTS)}/"},
            "Expiration": {"Days": CHECKPOINT_DAYS},
        },
        {
            "ID": "old-versions",
            "Status": "Enabled",
            "Filter": everything,
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_DAYS},
        },
    ]


def _only_by_tls(bucket: str, region: str) -> dict[str, Any]:
    arn = f"arn:{partition_of(region)}:s3:::{bucket}"
    statement = {
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _taken(bucket: str) -> KennelError:
    remedy = "Set another name as bucket in kennel.toml, or ask for s3:GetBucketTagging if it is yours"
    return KennelError(f"the bucket {bucket} belongs to somebody else, or you may not see it", remedy)
