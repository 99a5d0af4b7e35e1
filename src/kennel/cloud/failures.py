"""What AWS's texts mean: known texts → likely cause and remedy. Pure; the texts are AWS's own, as real jobs got them.

Not here: what a job's own code says. Kennel's training writes "what is wrong. What to do" itself, shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kennel.errors import KennelError

SHOWN = 20
"""Lines of a log that a failure carries."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Both one line without a full stop at the end, like a KennelError's."""

    cause: str
    remedy: str


class JobFailed(KennelError):
    """A job or an endpoint that did not end well. log: its last lines; cause: None where nothing is known."""

    exit_code = 1

    def __init__(self, what: str, reason: str, log: Sequence[str] = (), said: str = "failed") -> None:
        """what: `training job NAME`; said: `failed`, `was stopped`."""
        self.reason, self.log = reason, tuple(log[-SHOWN:])
        self.cause = explain(reason, self.log)
        told = _one_line(reason)
        if self.cause and self.cause == _own_words(reason):
            super().__init__(f"{what} {said}: {self.cause.cause}", self.cause.remedy)
        elif self.cause:
            remedy = f"{self.cause.cause[0].upper()}{self.cause.cause[1:]}. {self.cause.remedy}"
            super().__init__(f"{what} {said}: {told}" if told else f"{what} {said}", remedy)
        else:
            super().__init__(f"{what} {said}: {told}" if told else f"{what} {said}", "Its log tells more")


def explain(text: str, log: Sequence[str] = ()) -> Cause | None:
    """The likely cause of a FailureReason or an error's message; what that leaves open, the last log lines may tell.

    First what the text says clearly, then the job's own words, then the log, then texts that say only how it ended.
    """
    return (
        _first(CLEAR + NEVER_IN_LOGS, [text])
        or _own_words(text)
        or _first(CLEAR, list(reversed(log[-SHOWN:])))
        or _first(VAGUE, [text])
    )


def from_client_error(error: Any) -> KennelError:
    """What boto3 raised (ClientError or BotoCoreError) in one line, with the remedy."""
    response = getattr(error, "response", None)
    if not response:
        return _error(_one_line(str(error)), f"{type(error).__name__}: {error}")
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
    operation = getattr(error, "operation_name", "")
    return _error(f"AWS refused {operation}: {_one_line(message) or code} ({code})", f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Known:
    """A text that AWS gives. cause and remedy may use the pattern's groups: `{image}`."""

    pattern: str
    cause: str
    remedy: str

    def match(self, text: str) -> Cause | None:
        found = re.search(self.pattern, text)
        if found is None:
            return None
        groups = {name: (value or "…").rstrip(".") for name, value in found.groupdict().items()}
        return Cause(self.cause.format(**groups), self.remedy.format(**groups))


CLEAR = (
    Known(
        r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w*-]+:[\w*-]+)"
        r"(?: on resource: \"?(?P<resource>[^\s\",]+))?[^\n]*explicit deny",
        "a policy forbids {who} to do {action} on {resource}",
        "An explicit deny beats every allow: ask whoever administers the account",
    ),
    Known(
        r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w*-]+:[\w*-]+)"
        r"(?: on resource: \"?(?P<resource>[^\s\",]+))?",
        "{who} may not do {action} on {resource}",
        "Allow {action} on {resource} in a policy of that role or user",
    ),
    Known(
        r"role '(?P<role>[^']+)' does not have (?P<action>\w+) permission for the image: '(?P<image>[^']+)'",
        "{role} may not do ecr:{action} on {image}",
        "Allow the role to pull the image: ecr:BatchGetImage, GetDownloadUrlForLayer and BatchCheckLayerAvailability",
    ),
    Known(
        r"No S3 objects found under S3 URL \"(?P<url>[^\"]+)\"",
        "nothing lies under {url}, or the role may not list it",
        "Upload the data (kennel data upload), or allow the role s3:ListBucket on that bucket",
    ),
    Known(
        r"(?:Could not find model data at|Could not access model data at) (?P<url>s3://\S+)",
        "the artifact {url} is not there, or the role may not read it",
        "See that the training job has ended, and that the endpoint's role may s3:GetObject it",
    ),
    Known(
        r"(?:Could not assume role|unable to assume the role|sts:AssumeRole on the role)\W*"
        r"(?P<role>arn:\S+?role/[\w+=,.@/-]+)?",
        "SageMaker cannot act as the role {role}",
        "See that it exists and that its trust policy allows sagemaker.amazonaws.com",
    ),
    Known(
        r"[Uu]nsupported manifest media type (?P<type>\S+)(?: for image (?P<image>\S+))?",
        "SageMaker does not take images with a manifest of type {type}",
        "Push it again with scripts/build_push.sh (Docker v2 manifest, one platform, no attestation)",
    ),
    Known(
        r"(?:Requested image ?(?P<image>\S+) not found|image '(?P<image2>[^']+)' does not exist|"
        r"manifest for (?P<image3>\S+) not found|Cannot find the requested image|Cannot pull algorithm container|"
        r"make sure all images included in the model|ECR image \"[^\"]+\" is invalid|Invalid training image|"
        r"RepositoryNotFoundException|No such image)",
        "the image is not there, or the role may not pull it",
        "Push it with scripts/build_push.sh, in the same region; or correct [images] in kennel.toml",
    ),
    Known(
        r"exec format error",
        "the image was built for another processor (arm64, on an Apple machine)",
        "Build it for linux/amd64: scripts/build_push.sh does",
    ),
    Known(
        r"CUDA out of memory|CUDA error: out of memory",
        "the GPU's memory is too small for this batch",
        "Take a smaller batch_size, or an instance type with a larger GPU",
    ),
    Known(
        r"Insufficient disk space|No space left on device",
        "the disk of the instance is full",
        "Raise volume_gb in kennel.toml",
    ),
    Known(
        r"instance type with more memory|OutOfMemoryError: (?!CUDA)|oom-kill",
        "the instance's memory was too small",
        "Take a larger instance_type, or a smaller batch_size",
    ),
    Known(
        r"(?P<said>[^\n:]*(?:is no artifact|the artifact has no|the artifact cannot be read|is no card|"
        r"is not the file that the card|as when the artifact was made|the artifact was made for|"
        r"which no artifact has)[^\n.]*(?:\.(?:json|safetensors|xml|bin|tar\.gz)[^\n.]*)*)",
        "the archive is no artifact of this version of Kennel ({said})",
        "Train again with this version's training image, and deploy what that makes",
    ),
    Known(
        r"NoSuchBucket|specified bucket does not exist|PermanentRedirect",
        "the bucket is not there, or in another region",
        "See bucket and region in kennel.toml; a bucket and its jobs have to be in one region",
    ),
)
NEVER_IN_LOGS = (
    Known(
        r"CapacityError|InsufficientInstanceCapacity|InsufficientCapacity|Unable to provision requested ML compute",
        "AWS has no free instance of this type in this region now",
        "Try again later, or set another instance_type or region in kennel.toml",
    ),
    Known(
        r"service limit '(?P<limit>[^']+)' is (?P<is>\d+)",
        "the account's quota for {limit} is {is}",
        "Ask for more in the console (Service Quotas, Amazon SageMaker), or take another instance_type or fewer jobs",
    ),
    Known(
        r"requested resource (?P<what>\S+) is not available in this region",
        "this region has no {what}",
        "Set another instance_type or region in kennel.toml",
    ),
    Known(
        r"MaxWaitTimeExceeded",
        "the spot job waited too long for capacity",
        "Raise max_wait_s in kennel.toml, or set spot = false; its checkpoints are kept",
    ),
    Known(
        r"MaxRuntimeExceeded",
        "the job ran as long as it may and was stopped",
        "Raise max_runtime_s in kennel.toml, or take fewer epochs",
    ),
    Known(
        r"ExpiredToken|token included in the request is expired|Token has expired|UnauthorizedSSOTokenError|"
        r"RequestExpired|TokenRetrievalError|SSOTokenLoadError",
        "the credentials have expired",
        "Log in again: aws sso login, or new keys; what runs on AWS goes on, then: kennel run --resume",
    ),
    Known(
        r"InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|SignatureDoesNotMatch|"
        r"security token included in the request is invalid",
        "AWS does not know these credentials",
        "See which are used: aws sts get-caller-identity; set AWS_PROFILE, or log in again",
    ),
    Known(
        r"NoCredentialsError|Unable to locate credentials|PartialCredentials|ProfileNotFound",
        "there are no credentials for AWS here",
        "Log in: aws configure or aws sso login, and set AWS_PROFILE; or stay on this machine: --on local",
    ),
    Known(
        r"Throttling|TooManyRequests|Rate exceeded|SlowDown|RequestLimitExceeded",
        "AWS asks for fewer requests",
        "Try again in a minute",
    ),
    Known(
        r"Could not connect to the endpoint URL: \"(?P<url>http://(?:127\.0\.0\.1|localhost)[^\"]*)\"",
        "no local AWS answers at {url}",
        "Start it: kennel local up",
    ),
    Known(
        r"Could not connect to the endpoint URL: \"(?P<url>[^\"]+)\"",
        "nobody answers at {url}",
        "See that region in kennel.toml is one of AWS's, that AWS_ENDPOINT_URL is not set, and that the network works",
    ),
    Known(
        r"NoRegionError|You must specify a region|UnknownEndpointError|Invalid endpoint",
        "the region is not one of AWS's",
        "Set region in kennel.toml, us-east-1 say",
    ),
)
VAGUE = (
    Known(
        r"exit code:? '?(?:137|-9)\b|OutOfMemory|SIGKILL|\bKilled\b",
        "the process was killed, most likely because the instance's memory was too small",
        "Take a larger instance_type, or a smaller batch_size",
    ),
    Known(
        r"did not pass the ping health check",
        "the container did not start, or took too long to",
        "Its log says why; try the same image and artifact with --on local, or raise startup_s in kennel.toml",
    ),
    Known(
        r"InternalServerError|InternalFailure|[Ii]nternal [Ee]rror|ServiceUnavailable",
        "something went wrong on AWS's side",
        "Try again; if it stays so, see the AWS Health Dashboard",
    ),
)


def _first(rows: Sequence[Known], texts: Sequence[str]) -> Cause | None:
    found = (row.match(text) for text in texts for row in rows)
    return next((each for each in found if each), None)


def _own_words(text: str) -> Cause | None:
    """What our own training wrote into the failure file, which SageMaker puts between a prefix and the exit code."""
    found = re.fullmatch(r"AlgorithmError: (.*?)(?:, exit code: \d+)?", text.strip(), re.DOTALL)
    said = found[1].strip() if found else ""
    if not said or "\n" in said or re.match(r"(?i)(framework error|executeuserscript|exit code|traceback)", said):
        return None
    cause, _, remedy = said.partition(". ")
    return Cause(cause.rstrip("."), remedy.rstrip("."))


def _error(message: str, text: str) -> KennelError:
    cause = explain(text)
    if cause is None:
        return KennelError(message.rstrip("."), "See what AWS says, and try again")
    return KennelError(message.rstrip("."), f"{cause.cause[0].upper()}{cause.cause[1:]}. {cause.remedy}")


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
