"""From a request to what must be allowed for it: actions, resources, and the condition keys that the request carries.

Everything that a request needs, dependent actions included: who makes a tagged job under a role has to be allowed to
make the job, to tag it and to pass the role. What has no mapping is Unknown, and Unknown is refused. Tables say it for
every operation that the local AWS answers; a test holds them against what AWS publishes of actions, resources, keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kennel.iam.values import Access
from kennel.local.gatekeeper.mapping import (
    ec2,
    functions,
    iam,
    logs,
    monitoring,
    registry,
    s3,
    sagemaker,
    scaling,
    sts,
    systems,
)
from kennel.local.gatekeeper.mapping.s3_routes import s3_operation
from kennel.local.gatekeeper.mapping.table import Place, Table, Unknown

__all__ = ["TABLES", "Place", "Unknown", "needs", "prefix_of", "s3_operation"]

TABLES: Mapping[str, Table] = {
    "application-autoscaling": scaling.TABLE,
    "ec2": ec2.TABLE,
    "ecr": registry.TABLE,
    "iam": iam.TABLE,
    "lambda": functions.TABLE,
    "logs": logs.TABLE,
    "monitoring": monitoring.TABLE,
    "s3": s3.TABLE,
    "sagemaker": sagemaker.TABLE,
    "ssm": systems.TABLE,
    "sts": sts.TABLE,
}
"""By what requests are signed for."""
_PREFIXES = {"monitoring": "cloudwatch"}


def needs(service: str, operation: str, request: Mapping[str, Any], place: Place) -> tuple[Access, ...]:
    """All that must be allowed; nothing for what everybody may (GetCallerIdentity). Raises Unknown."""
    rules = TABLES.get(service, {}).get(operation)
    if rules is None:
        raise Unknown(f"{service}:{operation} has no mapping to actions and resources")
    prefix = prefix_of(service)
    return tuple(access for rule in rules for access in rule.accesses(prefix, operation, request, place))


def prefix_of(service: str) -> str:
    """Of a service's actions."""
    return _PREFIXES.get(service, service)
