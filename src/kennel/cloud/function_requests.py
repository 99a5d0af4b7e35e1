"""Requests about the function, as values: each is held against botocore's own model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kennel.aws.shapes import check
from kennel.settings import Settings

Request = dict[str, Any]
ALIAS = "live"
HANDLER = "function.handler"
GROUP = "/aws/lambda/"
PERMISSIONS: Mapping[str, Request] = {
    "public-url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    "public-url-invoke": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
}
"""A public function URL needs both since October 2025; the second lets nobody in by another way."""


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """What answers the public. code: the package; provisioned: instances that are always there, on the alias; reserved:
    how many there may be at all, None for the account's limit."""

    name: str
    role: str
    runtime: str
    code: bytes = field(repr=False)
    environment: Mapping[str, str]
    memory_mb: int = 512
    timeout_s: int = 29
    provisioned: int = 3
    reserved: int | None = None
    retention_days: int = 30
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Of its log."""
        return f"{GROUP}{self.name}"


def plan_of(settings: Settings, role: str, code: bytes) -> FunctionPlan:
    """From kennel.toml. role: its ARN."""
    asked = settings.function
    environment = {
        "ENDPOINT_NAME": settings.endpoint_name,
        "ALLOWED_ORIGINS": ",".join(asked.allowed_origins),
        "ALLOW_HTTP": str(asked.allow_http).lower(),
    }
    if asked.s3_bucket:
        environment["S3_BUCKET"] = asked.s3_bucket
    return FunctionPlan(
        name=asked.name,
        role=role,
        runtime=asked.runtime,
        code=code,
        environment=environment,
        memory_mb=asked.memory_mb,
        timeout_s=asked.timeout_s,
        provisioned=asked.provisioned,
        reserved=asked.reserved or None,
        retention_days=asked.log_retention_days,
        tags={tag["Key"]: tag["Value"] for tag in settings.tags()},
    )


def settings_of(plan: FunctionPlan) -> Request:
    """What is configured, as requests name it and descriptions tell it."""
    return {
        "Runtime": plan.runtime,
        "Role": plan.role,
        "Handler": HANDLER,
        "Timeout": plan.timeout_s,
        "MemorySize": plan.memory_mb,
        "Environment": {"Variables": dict(plan.environment)},
    }


def function_request(plan: FunctionPlan) -> Request:
    """CreateFunction's request. Raises SettingError where AWS would refuse it, as all here do."""
    more = {"Code": {"ZipFile": plan.code}, "PackageType": "Zip", "Publish": False, "Tags": dict(plan.tags)}
    return _checked("CreateFunction", {"FunctionName": plan.name, **settings_of(plan), **more})


def code_request(plan: FunctionPlan) -> Request:
    """UpdateFunctionCode's request."""
    return _checked("UpdateFunctionCode", {"FunctionName": plan.name, "ZipFile": plan.code, "Publish": False})


def configuration_request(plan: FunctionPlan) -> Request:
    """UpdateFunctionConfiguration's request."""
    return _checked("UpdateFunctionConfiguration", {"FunctionName": plan.name, **settings_of(plan)})


def version_request(plan: FunctionPlan, code: str) -> Request:
    """PublishVersion's request. code: its digest, so that nobody else's update between is published."""
    return _checked("PublishVersion", {"FunctionName": plan.name, "CodeSha256": code})


def alias_request(name: str, version: str, operation: str = "CreateAlias") -> Request:
    """CreateAlias's or UpdateAlias's request."""
    request: Request = {"FunctionName": name, "Name": ALIAS, "FunctionVersion": version}
    return _checked(operation, request)


def provisioned_request(plan: FunctionPlan) -> Request:
    """PutProvisionedConcurrencyConfig's request."""
    count = {"ProvisionedConcurrentExecutions": plan.provisioned}
    return _checked("PutProvisionedConcurrencyConfig", {"FunctionName": plan.name, "Qualifier": ALIAS, **count})


def reserved_request(plan: FunctionPlan) -> Request:
    """PutFunctionConcurrency's request."""
    count = {"ReservedConcurrentExecutions": plan.reserved}
    return _checked("PutFunctionConcurrency", {"FunctionName": plan.name, **count})


def url_request(name: str) -> Request:
    """CreateFunctionUrlConfig's request: for everybody. No CORS: the function answers that itself, for all its events
    alike, and with both AWS would send the headers twice."""
    more = {"AuthType": "NONE", "InvokeMode": "BUFFERED"}
    return _checked("CreateFunctionUrlConfig", {"FunctionName": name, "Qualifier": ALIAS, **more})


def permission_request(name: str, statement: str) -> Request:
    """AddPermission's request. statement: one of PERMISSIONS."""
    more = {"StatementId": statement, "Principal": "*", **PERMISSIONS[statement]}
    return _checked("AddPermission", {"FunctionName": name, "Qualifier": ALIAS, **more})


def retention_request(plan: FunctionPlan) -> Request:
    """PutRetentionPolicy's request, of CloudWatch Logs."""
    request: Request = {"logGroupName": plan.group, "retentionInDays": plan.retention_days}
    check("logs", "PutRetentionPolicy", request)
    return request


def invoke_request(name: str, payload: bytes) -> Request:
    """Invoke's request: of the alias, and its answer is waited for."""
    request: Request = {"FunctionName": name, "Qualifier": ALIAS, "InvocationType": "RequestResponse"}
    return _checked("Invoke", {**request, "Payload": payload})


def _checked(operation: str, request: Request) -> Request:
    check("lambda", operation, request)
    return request
