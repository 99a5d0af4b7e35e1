"""What an audit looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["high", "medium", "low", "note"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "note")
"""The worst first."""
Of = Literal["identity", "trust", "bucket", "function", "resource"]
Kind = Literal["role", "user", "group", "policy", "bucket", "function"]
Instead = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A policy, as somebody wrote it, and where it is from. of: what it is the policy of; resource: of something else
    than a bucket or a function. arn: of a managed policy. inline: what the size limit of IAM is counted by.

    file, lines: for documents of a folder, the line on which each statement begins. policy: None where an attached
    policy of AWS's is known by its name only.
    """

    of: Of
    name: str
    policy: Any
    arn: str = ""
    inline: bool = True
    file: str = ""
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what the documents are of. policy: a document by itself, of which nobody says whose it is.

    account: "" where it is not known. access_keys: ids of a user's that are active. blocks_public: of a bucket, None
    where nobody asked.
    """

    kind: Kind
    name: str
    documents: tuple[Document, ...] = ()
    arn: str = ""
    account: str = ""
    access_keys: tuple[str, ...] = ()
    blocks_public: bool | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def trusts(self) -> tuple[Document, ...]:
        return tuple(each for each in self.documents if each.of == "trust")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wider than it should be.

    document: the policy's name, "" where it is none's; sid: of the statement, or its number; evidence: what of it
    decided, as JSON; risk: one sentence; remedy: what to do; instead: the narrower statement (or a configuration) to
    put in its place, None where the remedy is to take it away.
    """

    rule: str
    severity: Severity
    subject: Subject
    document: str
    sid: str
    evidence: str
    risk: str
    remedy: str
    instead: tuple[Instead, ...] = ()
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """`policy Read`, or `roles/x.json:12`."""
        if self.file:
            return f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.document} {self.sid}".strip()


def at_least(findings: tuple[Finding, ...], severity: Severity) -> tuple[Finding, ...]:
    """Those that are as bad as that, or worse."""
    return tuple(each for each in findings if SEVERITIES.index(each.severity) <= SEVERITIES.index(severity))
