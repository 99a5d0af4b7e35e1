"""What is wrong with a policy that says who may come: a role's trust, a bucket's, a function's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kennel.iam.audit.narrower import Known
from kennel.iam.audit.statements import Statement
from kennel.iam.audit.values import Document, Finding, Severity

SOURCES = ("aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths")
PEOPLE = (
    "aws:principalorgid", "aws:principalorgpaths", "aws:principalarn", "aws:principalaccount", "aws:sourcearn",
    "aws:sourceaccount", "aws:sourcevpce", "aws:sourcevpc", "s3:dataaccesspointaccount", "lambda:principal",
    "kms:calleraccount", "aws:userid",
)  # fmt: skip
"""Condition keys that say who it is."""
NO_SOURCE = ("ec2.amazonaws.com",)
"""Services that send neither aws:SourceAccount nor aws:SourceArn when they take on a role: an instance is given its
role by iam:PassRole, in the same account."""
ACCOUNT = re.compile(r"(?:arn:[\w-]+:iam::)?(\d{12})(?::root)?")
URL_KEYS = ("lambda:functionurlauthtype", "lambda:invokedviafunctionurl")


def trust_findings(known: Known, statement: Statement) -> Iterator[Finding]:
    """Of one statement of whatever resource's policy."""
    if not statement.allows:
        return
    if statement.not_principals:
        yield _found(known, statement, "open-trust", "high", "everybody who is not named may come", _account(known))
    for kind, who in statement.principals:
        if who == "*" or (kind == "AWS" and re.fullmatch(r"arn:aws:iam::\*:.*", who)):
            yield from _anybody(known, statement)
        elif kind == "Service":
            yield from _service(known, statement, who)
        elif kind == "AWS":
            yield from _foreign(known, statement, who)
        elif kind == "Federated":
            yield from _federated(known, statement, who)


def bucket_findings(known: Known, statements: Sequence[Statement]) -> Iterator[Finding]:
    """Of a bucket as a whole: plain HTTP, and what the account would let become public."""
    subject, bucket = known.subject, f"arn:{known.partition}:s3:::{known.subject.name}"
    document = next((each for each in subject.documents if each.of == "bucket"), Document("bucket", "", None))
    if not any(_denies_plain(each) for each in statements):
        deny = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, f"{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        risk = "Requests without TLS are answered, and whoever is on the way reads what they carry"
        remedy = "Deny what does not come over TLS"
        yield Finding(
            "no-tls", "medium", subject, document.name, "", bucket, risk, remedy, (deny,), document.file
        )  # fmt: skip
    if subject.blocks_public is False:
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        block = {"PublicAccessBlockConfiguration": dict.fromkeys(names, True)}
        risk = "One more policy or ACL makes it public: nothing in this bucket's settings stands against it"
        yield Finding(
            "public-access", "high", subject, "", "", bucket, risk, "Put the whole block on it", (block,), document.file
        )


def _anybody(known: Known, statement: Statement) -> Iterator[Finding]:
    of = statement.document.of
    if of == "function" and statement.bound & set(URL_KEYS):
        risk = "anybody may call its address (AuthType NONE): meant for the public, bounded by its concurrency only"
        yield _found(known, statement, "public-function", "note", risk, (), "See that this is meant")
        return
    bound = statement.bound & set(PEOPLE)
    rule = {"bucket": "public-bucket", "function": "public-function"}.get(of, "open-trust")
    if bound:
        if not (bound - {"aws:sourcevpc", "aws:sourcevpce", "aws:principalorgid", "aws:principalorgpaths"}):
            risk = "everybody in the organisation or the network may come, whoever they are"
            yield _found(known, statement, rule, "low", risk, _account(known))
        return
    asked = " who satisfies a condition that says nothing of who it is" if statement.conditions else ""
    yield _found(known, statement, rule, "high", f"anybody in the world{asked} may come", _account(known))


def _service(known: Known, statement: Statement, who: str) -> Iterator[Finding]:
    if who in NO_SOURCE or statement.bound & set(SOURCES):
        return
    risk = f"the service {who} may be made to do this by somebody else's account (a confused deputy)"
    narrower = (_asking(statement, {"aws:SourceAccount": known.account}),)
    remedy = "Say for which account, in aws:SourceAccount; better still for what, in aws:SourceArn"
    yield _found(known, statement, "confused-deputy", "medium", risk, narrower, remedy)


def _foreign(known: Known, statement: Statement, who: str) -> Iterator[Finding]:
    """A whole account that is not this one."""
    found = ACCOUNT.fullmatch(who)
    if found is None or found[1] == known.subject.account or "sts:externalid" in statement.bound:
        return
    if statement.document.of == "trust":
        narrower = _asking(statement, {"sts:ExternalId": "A-SECRET-OF-THE-TWO"})
    else:
        narrower = {**statement.raw, "Principal": {"AWS": f"arn:aws:iam::{found[1]}:role/ROLE-NAME"}}
    if "aws:principalarn" in statement.bound:
        return
    severity: Severity = "medium" if known.subject.account else "low"
    risk = f"whoever account {found[1]} allows may come, also for somebody else of whom it is the deputy"
    remedy = "Name one role of it, and ask for sts:ExternalId"
    yield _found(known, statement, "foreign-account", severity, risk, (narrower,), remedy)


def _federated(known: Known, statement: Statement, who: str) -> Iterator[Finding]:
    """An identity provider that many use (GitHub's, say): whose token it is stands in its subject and audience."""
    provider = who.partition("oidc-provider/")[2] or who
    asked = {key.rpartition(":")[2] for key in statement.bound}
    if "sub" in asked or (":saml-provider/" in who and "aud" in asked):
        return
    narrower = (_asking(statement, {f"{provider}:aud": "sts.amazonaws.com", f"{provider}:sub": "WHO-EXACTLY"}),)
    risk = f"whoever has a token of {provider} may come, whatever repository or person it is of"
    yield _found(known, statement, "open-federation", "high", risk, narrower, "Ask for the token's subject")


def _denies_plain(statement: Statement) -> bool:
    plain = any(
        operator.startswith("bool") and key == "aws:securetransport" and "false" in values
        for operator, key, values in statement.conditions
    )
    everybody = any(who == "*" for _, who in statement.principals)
    return plain and everybody and not statement.allows and bool({"*", "s3:*"} & set(statement.actions))


def _account(known: Known) -> tuple[Mapping[str, Any], ...]:
    """Filled in by `_found`: the same statement, for this account's roles."""
    return ({"Principal": {"AWS": f"arn:{known.partition}:iam::{known.account}:role/ROLE-NAME"}},)


def _asking(statement: Statement, keys: Mapping[str, str]) -> Mapping[str, Any]:
    """The same statement, which asks for these besides."""
    condition = statement.raw.get("Condition") or {}
    return {**statement.raw, "Condition": {**condition, "StringEquals": {**condition.get("StringEquals", {}), **keys}}}


def _found(
    known: Known,
    statement: Statement,
    rule: str,
    severity: Severity,
    risk: str,
    narrower: Sequence[Mapping[str, Any]] = (),
    remedy: str = "Name who may come",
) -> Finding:
    left = {key: each for key, each in statement.raw.items() if key not in ("Principal", "NotPrincipal")}
    return Finding(
        rule,
        severity,
        known.subject,
        statement.document.name,
        statement.sid,
        json.dumps({key: each for key, each in statement.raw.items() if key not in ("Sid", "Effect")}),
        risk[0].upper() + risk[1:],
        remedy,
        tuple({**left, **each} for each in narrower),
        statement.document.file,
        statement.line,
    )
