"""What a request for a function may hold, beyond what the model says, and what comes to be of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kennel.local.functions import words
from kennel.local.functions.limits import ENVIRONMENT
from kennel.local.parts import Document

SET = ("Role", "Handler", "Description", "Timeout", "MemorySize", "Environment", "Runtime", "EphemeralStorage")
"""What a request sets as it is."""
NOT_HERE = (
    "Layers", "FileSystemConfigs", "ImageConfig", "CodeSigningConfigArn", "CapacityProviderConfig", "DurableConfig",
    "TenancyConfig", "AcceleratorConfig", "PublishTo",
)  # fmt: skip
RESERVED = frozenset(
    (
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    )
)  # fmt: skip
"""Variables that Lambda sets."""


def new_document(name: str, configuration: Document, tags: Mapping[str, Any]) -> Document:
    """Runs: what the newest code is while an update is under way."""
    return {
        "Name": name,
        "Configuration": configuration,
        "Runs": configuration,
        "Versions": {},
        "NextVersion": 1,
        "Aliases": {},
        "Concurrency": None,
        "Provisioned": {},
        "Urls": {},
        "Policies": {},
        "Tags": dict(tags),
    }


def logging_of(name: str, given: Document) -> Document:
    found: Document = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}", **given}
    if found["LogFormat"] == "JSON":
        found = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **found}
    return found


def stateless(configuration: Document) -> Document:
    """As ListFunctions tells it."""
    hidden = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus")
    return {member: value for member, value in configuration.items() if member not in hidden}


def check_supported(request: Document) -> None:
    for member in NOT_HERE:
        if request.get(member):
            raise words.invalid(f"The local AWS does not have {member}; leave it away here.")
    if request.get("PackageType", "Zip") != "Zip":
        raise words.invalid("The local AWS runs functions from zip packages.")
    if request.get("VpcConfig", {}).get("SubnetIds") or request.get("SnapStart", {}).get("ApplyOn", "None") != "None":
        raise words.invalid("The local AWS has neither VpcConfig nor SnapStart for functions; leave them away here.")


def check_values(request: Document) -> None:
    """Raises Refused."""
    if not str(request.get("Runtime", "python3")).startswith("python3"):
        raise words.invalid(f"The local AWS runs Python functions, and {request['Runtime']} is none.")
    if request.get("Timeout", 1) > 900:
        raise words.invalid("Timeout can be at most 900 seconds.")
    if request.get("MemorySize", 128) > 10240:
        raise words.invalid("MemorySize can be at most 10240 MB.")
    if request.get("Architectures", ["x86_64"]) not in (["x86_64"], ["arm64"]):
        raise words.invalid("Architectures has to be x86_64 or arm64.")
    _check_variables(request.get("Environment", {}).get("Variables", {}))


def _check_variables(variables: Mapping[str, str]) -> None:
    taken = sorted(RESERVED & variables.keys())
    if taken:
        raise words.invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(taken)}"
        )
    if len(json.dumps(dict(variables), separators=(",", ":")).encode()) > ENVIRONMENT:
        raise words.invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided exceeded the 4KB limit."
        )
