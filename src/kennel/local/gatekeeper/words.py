"""How AWS refuses: codes and wording, which differ by service and by its protocol."""

from __future__ import annotations

from kennel.iam.values import Access, Caller, Decision
from kennel.local.errors import Refused
from kennel.local.gatekeeper.signatures import Flaw, Flawed

QUERY = ("iam", "sts")
SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
S3_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
EC2_KEY = "AWS was not able to validate the provided access credentials"
OLD = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."


def denied(service: str, caller: Caller, access: Access, decision: Decision) -> Refused:
    """An access that the policies do not allow."""
    return _denied(service, sentence(service, caller, access, decision))


def sentence(service: str, caller: Caller, access: Access, decision: Decision) -> str:
    resource = f'"{access.resource}"' if service == "s3" else access.resource
    return (
        f"User: {caller.arn} is not authorized to perform: {access.action} on resource: {resource} "
        f"{_because(access, decision)}"
    )


def unknown(service: str, caller: Caller, operation: str, why: str) -> Refused:
    """An operation of which nobody has said what has to be allowed for it: not even to the administrator."""
    return _denied(
        service,
        f"User: {caller.arn} is not authorized to perform: {service}:{operation} because the gatekeeper of the local "
        f"AWS does not know what it needs ({why[:200]}); see docs/iam.md",
    )


def unknown_key(service: str) -> Refused:
    """An access key that nobody has, or a session's without its token."""
    if service == "s3":
        return Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403)
    if service == "ec2":
        return Refused("AuthFailure", EC2_KEY, 401)
    code = "InvalidClientTokenId" if service in (*QUERY, "monitoring") else "UnrecognizedClientException"
    return Refused(code, "The security token included in the request is invalid.", 403)


def wrong_token(service: str) -> Refused:
    if service == "s3":
        return Refused("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
    return unknown_key(service)


def expired_token(service: str) -> Refused:
    if service == "s3":
        return Refused("ExpiredToken", "The provided token has expired.", 400)
    if service == "ec2":
        return Refused("RequestExpired", "Request has expired.", 400)
    code = "ExpiredToken" if service in (*QUERY, "monitoring") else "ExpiredTokenException"
    return Refused(code, "The security token included in the request is expired", 403)


def flawed(service: str, error: Flawed) -> Refused:
    """A signature that does not hold."""
    if error.flaw == "unsigned" and service != "ec2":
        return Refused("AccessDenied", error.told, 403)
    if service == "s3":
        return Refused(*_S3[error.flaw]) if error.flaw != "incomplete" else Refused("InvalidRequest", error.told)
    if service == "ec2":
        return Refused("AuthFailure", EC2_KEY, 401)
    if error.flaw == "incomplete":
        return Refused("IncompleteSignature", error.told, 403)
    code = "SignatureDoesNotMatch" if service in (*QUERY, "monitoring") else "InvalidSignatureException"
    told = SIGNATURE if error.flaw in ("mismatch", "body") else f"Signature expired: {error.told or 'it is too old'}"
    return Refused(code, told, 403)


_S3: dict[Flaw, tuple[str, str, int]] = {
    "skewed": (
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        403,
    ),
    "expired": ("AccessDenied", "Request has expired", 403),
    "early": ("AccessDenied", "Request is not valid yet", 403),
    "mismatch": ("SignatureDoesNotMatch", S3_SIGNATURE, 403),
    "body": (
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        400,
    ),
}  # fmt: skip


def _because(access: Access, decision: Decision) -> str:
    if access.action == "sts:AssumeRole" and decision.reason == "no resource-based policy allows":
        return "because no role trust policy allows the sts:AssumeRole action"
    if access.action == "sts:AssumeRole" and decision.reason == "explicit deny in a resource-based policy":
        return "with an explicit deny in the role trust policy"
    if decision.reason.startswith("explicit"):
        return f"with an {decision.reason}"
    return f"because {decision.reason} the {access.action} action"


def _denied(service: str, told: str) -> Refused:
    if service == "ec2":
        return Refused("UnauthorizedOperation", f"You are not authorized to perform this operation. {told}", 403)
    code = "AccessDenied" if service in ("s3", "monitoring", *QUERY) else "AccessDeniedException"
    return Refused(code, told, 403 if service in ("s3", "lambda", "monitoring", *QUERY) else 400)
