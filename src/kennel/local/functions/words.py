"""What Lambda says, in its own words."""

from __future__ import annotations

from kennel.local.errors import Refused

USER = {"Type": "User"}
UPDATING = "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
IN_STATE = "The operation cannot be performed at this time. The function is currently in the following state: {state}"
NO_ROLE = "The role defined for the function cannot be assumed by Lambda."
BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE_UNZIPPED = "Unzipped size must be smaller than {most} bytes"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve "
    "the latest Revision Id"
)
UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


def invalid(message: str) -> Refused:
    return Refused("InvalidParameterValueException", message, 400, USER)


def conflict(message: str) -> Refused:
    return Refused("ResourceConflictException", message, 409, USER)


def not_found(arn: str, kind: str = "Function") -> Refused:
    return Refused("ResourceNotFoundException", f"{kind} not found: {arn}", 404, USER)


def missing(message: str) -> Refused:
    return Refused("ResourceNotFoundException", message, 404, USER)


def stale() -> Refused:
    return Refused("PreconditionFailedException", STALE, 412, USER)


def too_large(most: int, operation: str) -> Refused:
    told = f"Request must be smaller than {most} bytes for the {operation} operation"
    return Refused("RequestTooLargeException", told, 413, USER)


def throttled(reserved: bool) -> Refused:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded" if reserved else "ConcurrentInvocationLimitExceeded"
    return Refused("TooManyRequestsException", "Rate Exceeded.", 429, {**USER, "Reason": reason})
