"""Findings as SARIF 2.1.0 (OASIS), which CI shows beside the lines that they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kennel.iam.audit.values import Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Mapping[Severity, str] = {"high": "error", "medium": "warning", "low": "note", "note": "none"}
SECURITY: Mapping[Severity, str] = {"high": "8.0", "medium": "5.0", "low": "3.0", "note": "0.0"}
"""GitHub's scale: above 7 high, above 4 medium."""
RULES: Mapping[str, str] = {
    "access-key": "A user has a key that never expires",
    "action-wildcard": "A wildcard in an action",
    "any-resource": "An action is allowed on any resource, though AWS lets it be named",
    "confused-deputy": "A service is trusted whoever makes it come",
    "escalation": "Permissions that give more permissions",
    "every-action": "Every action is allowed",
    "foreign-account": "A whole other account is trusted",
    "full-access-policy": "A full-access policy of AWS's is attached",
    "malformed": "A policy that IAM would refuse",
    "no-tls": "A bucket answers without TLS",
    "not-action": "Allow with NotAction",
    "not-resource": "Allow with NotResource",
    "open-federation": "Whoever has a token of an identity provider is trusted",
    "open-trust": "Anybody is trusted",
    "pass-role": "Roles may be passed to any service, or any role may be",
    "public-access": "Public access to a bucket is not blocked",
    "public-bucket": "A bucket is open to anybody",
    "public-function": "A function is open to anybody",
    "service-wildcard": "Every action of a service is allowed",
    "too-big": "A policy is larger than IAM takes",
    "unknown-action": "An action that AWS does not have",
    "unknown-resource": "A resource that none of the actions knows",
    "unused": "A permission that no recorded call needed",
}


def sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """One run's log."""
    rules = sorted(RULES)
    driver = {
        "name": "kennel iam audit",
        "semanticVersion": version,
        "rules": [{"id": each, "name": _camel(each), "shortDescription": {"text": RULES[each]}} for each in rules],
    }
    results = [_result(each, rules.index(each.rule)) for each in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    level = LEVELS[finding.severity]
    text = f"{finding.subject}: {finding.risk}. {finding.remedy}."
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "kind": "review" if level == "none" else "fail",
        "level": level,
        "message": {"text": f"{text}{_proposed(finding)}"},
        "locations": [_location(finding)],
        "partialFingerprints": {"finding/v1": _fingerprint(finding)},
        "properties": {
            "severity": finding.severity,
            "security-severity": SECURITY[finding.severity],
            "evidence": finding.evidence,
            "instead": [dict(each) for each in finding.instead],
        },
    }


def _location(finding: Finding) -> dict[str, Any]:
    subject = finding.subject
    full = "/".join(each for each in (subject.arn or str(subject), finding.document, finding.sid) if each)
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": full, "kind": "resource"}]}
    if finding.file:
        physical: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file)}}
        if finding.line:
            physical["region"] = {"startLine": finding.line}
        location["physicalLocation"] = physical
    return location


def _proposed(finding: Finding) -> str:
    return f" Use instead: {json.dumps(list(finding.instead))}" if finding.instead else ""


def _fingerprint(finding: Finding) -> str:
    """The same finding in the next run, though lines have moved."""
    parts = (finding.rule, str(finding.subject), finding.document, finding.sid, finding.evidence)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _camel(rule: str) -> str:
    return "".join(each.capitalize() for each in rule.split("-"))
