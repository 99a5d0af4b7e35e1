"""What an account says of its own permissions, with few calls: one list of roles, users, groups and policies, then one
or two a bucket, a function and a user."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from kennel.cloud.session import Cloud, code_of, told
from kennel.errors import KennelError
from kennel.iam.audit import Document, Subject
from kennel.iam.audit.account import decoded, subjects_of

NONE = (
    "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "NoSuchBucket", "ResourceNotFoundException",
    "NoSuchEntity",
)  # fmt: skip
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def subjects(cloud: Cloud, roles: Sequence[str] = ()) -> list[Subject]:
    """All of the account in its region, or some roles by name. Raises KennelError where it may not be read, or there is
    no such role."""
    with told("read this account's roles and policies"):
        found = [each for each in subjects_of(_details(cloud, roles)) if not roles or each.name in roles]
        if missing := set(roles) - {each.name for each in found if each.kind == "role"}:
            raise KennelError(f"there is no role {', '.join(sorted(missing))}", "See: aws iam list-roles")
        if roles:
            return [each for each in found if each.kind == "role"]
        people = [_with_keys(cloud, each) if each.kind == "user" else each for each in found]
        return [*people, *_buckets(cloud), *_functions(cloud)]


def _details(cloud: Cloud, roles: Sequence[str]) -> dict[str, list[Any]]:
    """AWS's managed policies are among them where they are attached."""
    kinds = ["Role"] if roles else ["Role", "User", "Group"]
    found: dict[str, list[Any]] = defaultdict(list)
    pages = cloud.client("iam").get_paginator("get_account_authorization_details")
    for page in pages.paginate(Filter=[*kinds, "LocalManagedPolicy", "AWSManagedPolicy"]):
        for member, each in page.items():
            if isinstance(each, list):
                found[member] += each
    return found


def _with_keys(cloud: Cloud, user: Subject) -> Subject:
    answer = cloud.client("iam").list_access_keys(UserName=user.name)
    keys = tuple(each["AccessKeyId"] for each in answer["AccessKeyMetadata"] if each["Status"] == "Active")
    return Subject(user.kind, user.name, user.documents, user.arn, user.account, keys)


def _buckets(cloud: Cloud) -> Iterator[Subject]:
    s3 = cloud.client("s3")
    for bucket in s3.list_buckets().get("Buckets", []):
        name = bucket["Name"]
        policy = _or_none(partial(s3.get_bucket_policy, Bucket=name)).get("Policy")
        block = _or_none(partial(s3.get_public_access_block, Bucket=name)).get("PublicAccessBlockConfiguration", {})
        documents = (Document("bucket", "bucket policy", decoded(policy)),) if policy else ()
        blocked = all(block.get(each) for each in BLOCKS)
        yield Subject("bucket", name, documents, f"arn:aws:s3:::{name}", cloud.account, blocks_public=blocked)


def _functions(cloud: Cloud) -> Iterator[Subject]:
    """Policies of the function and of its aliases, each of which has its own."""
    functions = cloud.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for each in page["Functions"]:
            name, arn = each["FunctionName"], each["FunctionArn"]
            aliases = functions.list_aliases(FunctionName=name)["Aliases"]
            documents = []
            for qualifier in ("", *(alias["Name"] for alias in aliases)):
                asked = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
                policy = _or_none(partial(functions.get_policy, **asked)).get("Policy")
                if policy:
                    documents.append(Document("function", qualifier or "policy", json.loads(policy)))
            yield Subject("function", name, tuple(documents), arn, cloud.account)


def _or_none(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the call returns, nothing where there is no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if code_of(error) in NONE:
            return {}
        raise
