"""S3: its operations by the names of its own model, and the actions that they are.

Covers what moto answers and no more: an operation that moto does not know it takes for another (a bucket's listing, its
making, its deletion), so a mapping of one would let through what nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kennel.local.gatekeeper.mapping.table import EVERY, Keys, Place, Request, Rule, Table, arns, each

BUCKET = "arn:{.partition}:s3:::{Bucket}"
OBJECT = f"{BUCKET}/{{Key}}"
SOURCE = "arn:{.partition}:s3:::{Source.Bucket}/{Source.Key}"

_VERSION = {"s3:versionid": "VersionId"}
_GRANTS = {
    "s3:x-amz-acl": "ACL",
    "s3:x-amz-grant-full-control": "GrantFullControl",
    "s3:x-amz-grant-read": "GrantRead",
    "s3:x-amz-grant-read-acp": "GrantReadACP",
    "s3:x-amz-grant-write": "GrantWrite",
    "s3:x-amz-grant-write-acp": "GrantWriteACP",
}
_PUT = _GRANTS | {
    "s3:x-amz-server-side-encryption": "ServerSideEncryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "s3:x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    "s3:x-amz-storage-class": "StorageClass",
    "s3:x-amz-website-redirect-location": "WebsiteRedirectLocation",
    "s3:object-lock-mode": "ObjectLockMode",
    "s3:object-lock-retain-until-date": "ObjectLockRetainUntilDate",
    "s3:object-lock-legal-hold": "ObjectLockLegalHoldStatus",
    "s3:if-match": "IfMatch",
    "s3:if-none-match": "IfNoneMatch",
    "s3:x-amz-copy-source": "CopySource",
    "s3:x-amz-metadata-directive": "MetadataDirective",
}
_LIST = {"s3:prefix": "Prefix", "s3:delimiter": "Delimiter", "s3:max-keys": "MaxKeys"}
_LOCK = {"s3:object-lock-mode": "ObjectLockMode", "s3:object-lock-retain-until-date": "ObjectLockRetainUntilDate"}
_HOLD = {"s3:object-lock-legal-hold": "ObjectLockLegalHoldStatus"}


def _versions(plain: str, of_version: str, keys: Keys | None = None, tags: str = "") -> tuple[Rule, Rule]:
    """Another action where the request names a version."""
    held = dict(keys or {})
    return (
        Rule(OBJECT, f"s3:{plain}", keys=held, tags=tags, unless="VersionId"),
        Rule(OBJECT, f"s3:{of_version}", keys=held | _VERSION, tags=tags, when="VersionId"),
    )


def _put(*, creates: bool) -> tuple[Rule, ...]:
    """To put an object, and what headers ask for besides. creates: whether the object is there then."""
    made = {"s3:objectcreationoperation": str(creates).lower()}
    return (
        Rule(OBJECT, "s3:PutObject", keys=_PUT, fixed=made, tags="Tags"),
        Rule(OBJECT, "s3:PutObjectTagging", tags="Tags", when="Tags"),
        Rule(OBJECT, "s3:PutObjectAcl", keys=_GRANTS, when="Granted"),
        Rule(OBJECT, "s3:PutObjectRetention", keys=_LOCK, when="ObjectLockMode"),
        Rule(OBJECT, "s3:PutObjectLegalHold", keys=_HOLD, when="ObjectLockLegalHoldStatus"),
    )


def _copied(resource: str) -> Callable[[Request, Place], Sequence[str]]:
    """Where an object's tags are copied with it: only where it has some, and no others are given."""

    def found(request: Request, place: Place) -> Sequence[str]:
        replaced = request.get("TaggingDirective") == "REPLACE"
        source = arns(SOURCE, "s3", request, place)
        tagged = not replaced and any(place.tags(each) for each in source)
        return arns(resource, "s3", request, place) if tagged else ()

    return found


def _deleted(*, versions: bool) -> Callable[[Request, Place], Sequence[str]]:
    """The objects that DeleteObjects names without a version, or with one."""

    def found(request: Request, place: Place) -> Sequence[str]:
        listed = [each for each in request["Objects"] if bool(each.get("VersionId")) == versions]
        return tuple(arn for each in listed for arn in arns(OBJECT, "s3", each, place))

    return found


_READ_SOURCE = (
    Rule(SOURCE, "s3:GetObject", unless="Source.VersionId"),
    Rule(SOURCE, "s3:GetObjectVersion", keys={"s3:versionid": "Source.VersionId"}, when="Source.VersionId"),
)
_BYPASS = Rule(OBJECT, "s3:BypassGovernanceRetention", when="BypassGovernanceRetention")

_OF_BUCKETS = {
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketInventoryConfiguration": "PutInventoryConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
"""Operations on a bucket's configuration → actions of another name."""

TABLE: Table = {
    "ListBuckets": (Rule(EVERY, "s3:ListAllMyBuckets"),),
    "CreateBucket": (
        Rule(
            BUCKET,
            keys=_GRANTS
            | {"s3:locationconstraint": "LocationConstraint", "s3:x-amz-object-ownership": "ObjectOwnership"},
        ),
        Rule(BUCKET, "s3:PutBucketAcl", keys=_GRANTS, when="Granted"),
        Rule(BUCKET, "s3:PutBucketOwnershipControls", when="ObjectOwnership"),
        Rule(BUCKET, "s3:PutBucketObjectLockConfiguration", when="ObjectLockEnabledForBucket"),
        Rule(BUCKET, "s3:PutBucketVersioning", when="ObjectLockEnabledForBucket"),
    ),
    "ListObjects": (Rule(BUCKET, "s3:ListBucket", keys=_LIST),),
    "ListObjectsV2": (Rule(BUCKET, "s3:ListBucket", keys=_LIST),),
    "ListObjectVersions": (Rule(BUCKET, "s3:ListBucketVersions", keys=_LIST),),
    "ListMultipartUploads": (Rule(BUCKET, "s3:ListBucketMultipartUploads"),),
    "PutBucketAcl": (Rule(BUCKET, keys=_GRANTS),),
    "PutBucketReplication": (
        Rule(BUCKET, "s3:PutReplicationConfiguration"),
        Rule("{Role}", "iam:PassRole", fixed={"iam:passedtoservice": "s3.amazonaws.com"}),
    ),
    "GetObject": _versions("GetObject", "GetObjectVersion"),
    "HeadObject": _versions("GetObject", "GetObjectVersion"),
    "SelectObjectContent": (Rule(OBJECT, "s3:GetObject"),),
    "GetObjectAttributes": (
        *_versions("GetObject", "GetObjectVersion"),
        *_versions("GetObjectAttributes", "GetObjectVersionAttributes"),
    ),
    "GetObjectAcl": _versions("GetObjectAcl", "GetObjectVersionAcl"),
    "PutObjectAcl": _versions("PutObjectAcl", "PutObjectVersionAcl", _GRANTS),
    "GetObjectTagging": _versions("GetObjectTagging", "GetObjectVersionTagging"),
    "PutObjectTagging": _versions("PutObjectTagging", "PutObjectVersionTagging", tags="Tags"),
    "DeleteObjectTagging": _versions("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    "PutObject": _put(creates=True),
    "CopyObject": (
        *_READ_SOURCE,
        *_put(creates=True),
        Rule(_copied(SOURCE), "s3:GetObjectTagging"),
        Rule(_copied(OBJECT), "s3:PutObjectTagging"),
    ),
    "CreateMultipartUpload": _put(creates=False),
    "UploadPart": (Rule(OBJECT, "s3:PutObject", fixed={"s3:objectcreationoperation": "false"}),),
    "UploadPartCopy": (
        *_READ_SOURCE,
        Rule(
            OBJECT,
            "s3:PutObject",
            keys={"s3:x-amz-copy-source": "CopySource"},
            fixed={"s3:objectcreationoperation": "false"},
        ),
    ),
    "CompleteMultipartUpload": (
        Rule(
            OBJECT,
            "s3:PutObject",
            keys={"s3:if-match": "IfMatch", "s3:if-none-match": "IfNoneMatch"},
            fixed={"s3:objectcreationoperation": "true"},
        ),
    ),
    "AbortMultipartUpload": (Rule(OBJECT),),
    "ListParts": (Rule(OBJECT, "s3:ListMultipartUploadParts"),),
    "DeleteObject": (*_versions("DeleteObject", "DeleteObjectVersion"), _BYPASS),
    "DeleteObjects": (
        Rule(_deleted(versions=False), "s3:DeleteObject"),
        Rule(_deleted(versions=True), "s3:DeleteObjectVersion"),
        Rule(f"{BUCKET}/{{Objects[].Key}}", "s3:BypassGovernanceRetention", when="BypassGovernanceRetention"),
    ),
    "RestoreObject": (Rule(OBJECT),),
    "GetObjectLegalHold": (Rule(OBJECT),),
    "PutObjectLegalHold": (Rule(OBJECT),),
    "PutObjectRetention": (Rule(OBJECT), _BYPASS),
    **each(
        "DeleteBucket DeleteBucketPolicy DeleteBucketWebsite GetBucketAcl GetBucketLocation GetBucketLogging "
        "GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketTagging GetBucketVersioning "
        "GetBucketWebsite PutBucketLogging PutBucketOwnershipControls PutBucketPolicy PutBucketTagging "
        "PutBucketVersioning PutBucketWebsite",
        Rule(BUCKET),
    ),
    **{operation: (Rule(BUCKET, f"s3:{action}"),) for operation, action in _OF_BUCKETS.items()},
}
