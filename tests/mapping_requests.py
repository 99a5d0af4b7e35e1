"""A request for every operation, with all its members or those that it must have, made from botocore's models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode

from kennel.aws import shapes
from kennel.local.gatekeeper.mapping import s3_operation

ACCOUNT, REGION = "123456789012", "us-east-1"
IAM, HERE = f"arn:aws:iam::{ACCOUNT}:", f"{REGION}:{ACCOUNT}:"
ROLE, POLICY = f"{IAM}role/kennel/training", f"{IAM}policy/kennel"
VALUES: dict[str, Any] = {
    "ExecutionRoleArn": ROLE,
    "Path": "/kennel/",
    "OpenIDConnectProviderArn": f"{IAM}oidc-provider/example.org",
    "PermissionsBoundary": POLICY,
    "PolicyArn": POLICY,
    "ResourceId": "endpoint/dogs/variant/all",
    "Role": ROLE,
    "RoleARN": ROLE,
    "RoleArn": ROLE,
    "SAMLProviderArn": f"{IAM}saml-provider/example",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "SerialNumber": f"{IAM}mfa/phone",
    "ServiceNamespace": "sagemaker",
    "TrainingPlanArn": f"arn:aws:sagemaker:{HERE}training-plan/plan",
    "registryId": ACCOUNT,
}
"""By the member's name; of all others it does not matter."""
OF_SERVICE: dict[str, dict[str, Any]] = {
    "application-autoscaling": {"ResourceARN": f"arn:aws:application-autoscaling:{HERE}scalable-target/1ab2"},
    "ec2": {"Resources": ["i-0123", "vol-0123", "sg-0123", "ami-0123"], "GroupId": "sg-0123"},
    "ecr": {"resourceArn": f"arn:aws:ecr:{HERE}repository/kennel"},
    "iam": {"AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
    "lambda": {
        "FunctionName": "kennel",
        "Layers": [f"arn:aws:lambda:{HERE}layer:pictures:3"],
        "Resource": f"arn:aws:lambda:{HERE}function:kennel",
    },
    "logs": {"resourceArn": f"arn:aws:logs:{HERE}log-group:kennel"},
    "monitoring": {"ResourceARN": f"arn:aws:cloudwatch:{HERE}alarm:high"},
    "sagemaker": {"ResourceArn": f"arn:aws:sagemaker:{HERE}training-job/kennel"},
}
LEFT_OUT = {
    "ec2": {"LaunchTemplate", "NetworkInterfaces"},
    "logs": {"logGroupIdentifier", "logGroupIdentifiers"},
    "lambda": set[str](),
}
"""Members that refuse the request, or that exclude others."""
AT_LEAST = {
    "DescribeLogStreams": {"logGroupName": "kennel"},
    "DescribeMetricFilters": {"logGroupName": "kennel"},
    "FilterLogEvents": {"logGroupName": "kennel"},
    "GetLogEvents": {"logGroupName": "kennel"},
    "RunInstances": {"ImageId": "ami-0123"},
    "StartQuery": {"logGroupName": "kennel"},
}
"""What the models leave open and the operation has to be told."""
MODELS = {"monitoring": "cloudwatch"}


@cache
def requests_of(service: str, operation: str) -> Sequence[dict[str, Any]]:
    """One with all members, one with the required ones only."""
    return list(_requests(service, operation))


def _requests(service: str, operation: str) -> Iterator[dict[str, Any]]:
    if service == "s3":
        yield from (_of_s3(operation, full=full) for full in (True, False))
        return
    name = "sagemaker-runtime" if operation == "InvokeEndpoint" else MODELS.get(service, service)
    shape = shapes.model(name).operation_model(operation).input_shape
    for full in (True, False):
        yield AT_LEAST.get(operation, {}) | (_structure(shape, service, full, 6) if shape else {})


def _structure(shape: Any, service: str, full: bool, depth: int) -> dict[str, Any]:
    left_out = LEFT_OUT.get(service, set())
    names = [each for each in shape.members if (full and each not in left_out) or each in shape.required_members]
    return {name: _member(name, shape.members[name], service, full, depth - 1) for name in names if depth}


def _member(name: str, shape: Any, service: str, full: bool, depth: int) -> Any:
    known = OF_SERVICE.get(service, {}) | {key: each for key, each in VALUES.items() if key != "Resource"}
    return known[name] if name in known else _value(shape, service, full, depth)


def _value(shape: Any, service: str, full: bool, depth: int) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, service, full, depth)
    if kind == "list":
        return [_value(shape.member, service, full, depth)]
    if kind == "map":
        return {"team": _value(shape.value, service, full, depth)}
    if kind == "string":
        return str(next(iter(getattr(shape, "enum", ()) or ()), "kennel"))
    return {"boolean": True, "blob": b"1", "timestamp": "2026-01-01T00:00:00Z"}.get(kind, 1)


def _of_s3(operation: str, *, full: bool) -> dict[str, Any]:
    """By way of HTTP: what comes back has to be the same operation."""
    found, request = s3_operation(*http_of_s3(operation, full=full))
    assert found == operation
    return request


def http_of_s3(operation: str, *, full: bool) -> tuple[str, str, str, str, dict[str, str], bytes]:
    """Method, bucket, key, query, headers, body."""
    model = shapes.model("s3").operation_model(operation)
    path, _, fixed = model.http["requestUri"].partition("?")
    query, headers = dict(pair.partition("=")[::2] for pair in fixed.split("&") if pair), dict[str, str]()
    for name, shape in model.input_shape.members.items():
        where, wire = shape.serialization.get("location"), shape.serialization.get("name", name)
        if (full and name != "RequestPayer") or name in model.input_shape.required_members:
            {"querystring": query, "header": headers}.get(where, {})[wire.lower() if where == "header" else wire] = (
                S3_VALUES.get(name, "1")
            )
    bucket, key = "kennel-data" if "{Bucket}" in path else "", "jobs/1/model.tar.gz" if "{Key+}" in path else ""
    return model.http["method"], bucket, key, urlencode(query), headers, BODIES.get(operation, "").encode()


S3_VALUES = {"CopySource": "/kennel-data/jobs/a%20b?versionId=7", "Tagging": "team=dogs", "ACL": "public-read"}
BODIES = {
    "CreateBucket": "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>"
    "</CreateBucketConfiguration>",
    "DeleteObjects": "<Delete><Object><Key>a</Key></Object>"
    "<Object><Key>b</Key><VersionId>1</VersionId></Object></Delete>",
    "PutBucketReplication": f"<ReplicationConfiguration><Role>{ROLE}</Role></ReplicationConfiguration>",
    "PutObjectTagging": "<Tagging><TagSet><Tag><Key>team</Key><Value>dogs</Value></Tag></TagSet></Tagging>",
}
