"""What a decision is made of: an access that is asked for, the policies that bear on it, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from kennel.iam.documents import Document

Policy = Mapping[str, Any]
"""A policy document: JSON values, as IAM has them."""
Written: TypeAlias = "Policy | str | Document"
"""A policy as values or as JSON text, read once for each content; or what `documents.parse` made of it: fastest."""
Reason = Literal[
    "allowed",
    "no identity-based policy allows",
    "no resource-based policy allows",
    "no permissions boundary allows",
    "no session policy allows",
    "explicit deny in an identity-based policy",
    "explicit deny in a resource-based policy",
    "explicit deny in a permissions boundary",
    "explicit deny in a session policy",
]


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that is asked for.

    action: `s3:GetObject`. resource: an ARN, or "*" where the action knows none. context: condition keys, in lower
    case (`aws:securetransport`), → their values; a key that is not there is absent, which conditions tell from "".
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. arn: `arn:aws:iam::ACCOUNT:user/NAME`, `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`,
    `arn:aws:iam::ACCOUNT:root`; of a service its name (`sagemaker.amazonaws.com`), with no account; "" is
    somebody who did not sign.

    role: ARN of the role that an assumed-role session is of, "" for others.
    """

    arn: str
    account: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Policies:
    """All that bear on one access. identity: the caller's own and its groups', inline and managed. resource: the
    policy on what is accessed (of a bucket, or a role's trust policy), None where there is none. boundary, session:
    None where none is set; several documents of one kind are one union."""

    identity: tuple[Written, ...] = ()
    resource: Written | None = None
    boundary: tuple[Written, ...] | None = None
    session: tuple[Written, ...] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, why, and the Sid of the statement that decided ("" where it has none, or none did)."""

    allowed: bool
    reason: Reason
    sid: str = ""
