"""All the rules, on all the subjects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kennel.iam.audit.escalation import escalation_findings
from kennel.iam.audit.narrower import Known
from kennel.iam.audit.rules import FULL, full_access, statement_findings
from kennel.iam.audit.statements import Malformed, Statement, statements
from kennel.iam.audit.trusting import bucket_findings, trust_findings
from kennel.iam.audit.unused import unused_findings
from kennel.iam.audit.values import SEVERITIES, Document, Finding, Subject
from kennel.iam.record import Call
from kennel.iam.sizes import LIMITS, Place, size

INLINE: dict[str, Place] = {"role": "role", "user": "user", "group": "group"}
WHOLE: dict[str, Place] = {"identity": "managed", "trust": "trust"}
"""How long the inline policies of a subject may be together, and a document by what it is; all others as a bucket's."""
PLACE = re.compile(r"arn:(aws[\w-]*):[\w-]+:([a-z]{2}(?:-[a-z]+)+-\d)?:(?:\d{12})?:")


def audit(subjects: Iterable[Subject], calls: Sequence[Call] | None = None, project: str = "") -> tuple[Finding, ...]:
    """Findings, the worst first, a subject's together. calls: a record; None looks for nothing that is unused."""
    found = [each for subject in subjects for each in examine(subject, calls, project)]
    return tuple(sorted(found, key=lambda each: (SEVERITIES.index(each.severity), str(each.subject), each.rule)))


def examine(subject: Subject, calls: Sequence[Call] | None = None, project: str = "") -> Iterator[Finding]:
    """Of one."""
    found, broken = _read(subject)
    known = _known(subject, found, calls or (), project)
    yield from (_malformed(known, document, why) for document, why in broken)
    full = [each for each in subject.documents if each.of == "identity" and FULL.match(each.arn)]
    for document in full:
        yield from full_access(known, document)
    identity = [each for each in found if each.document.of == "identity"]
    for statement in identity:
        if statement.allows and statement.document not in full:
            yield from statement_findings(known, statement)
    for statement in found:
        if statement.document.of != "identity":
            yield from trust_findings(known, statement)
    yield from escalation_findings(known, identity)
    yield from _sizes(known)
    yield from _keys(known)
    if subject.kind == "bucket":
        yield from bucket_findings(known, found)
    if calls is not None and subject.arn and subject.kind in ("role", "user"):
        yield from unused_findings(known, [each for each in identity if each.document not in full])


def calls_of(subject: Subject, calls: Iterable[Call]) -> list[Call]:
    """What a role's sessions, or a user, were allowed to do."""
    return [each for each in calls if each.allowed and subject.arn in (each.role, each.caller)]


def _read(subject: Subject) -> tuple[list[Statement], list[tuple[Document, str]]]:
    found: list[Statement] = []
    broken = []
    for document in subject.documents:
        if document.policy is None:
            continue
        try:
            found += statements(document)
        except Malformed as error:
            broken.append((document, str(error)))
    return found, broken


def _known(subject: Subject, found: Sequence[Statement], calls: Sequence[Call], project: str) -> Known:
    texts = [each for statement in found for each in statement.resources]
    places = [match for each in [subject.arn, *texts] if (match := PLACE.match(each))]
    services = tuple(who for each in found for kind, who in each.principals if kind == "Service")
    return Known(
        subject,
        calls_of(subject, calls),
        project,
        next((each[2] for each in places if each[2]), "REGION"),
        places[0][1] if places else "aws",
        services,
    )


def _malformed(known: Known, document: Document, why: str) -> Finding:
    risk = f"IAM would refuse it, or do something else than it seems to say: {why}"
    remedy = "See the grammar of policies in IAM's guide"
    return Finding("malformed", "medium", known.subject, document.name, "", why, risk, remedy, file=document.file)


def _sizes(known: Known) -> Iterator[Finding]:
    subject, own = known.subject, [each for each in known.subject.documents if each.policy is not None]
    inline = sum(_size(each) for each in own if each.of == "identity" and each.inline and not each.arn)
    if (most := LIMITS[INLINE.get(subject.kind, "managed")]) < inline:
        yield _too_big(known, "all inline policies", inline, most)
    for each in own:
        place = WHOLE.get(each.of, "bucket")
        ours = (each.arn or each.of != "identity") and ":iam::aws:" not in each.arn
        if ours and _size(each, place) > LIMITS[place]:
            yield _too_big(known, each.name, _size(each, place), LIMITS[place])


def _too_big(known: Known, what: str, size: int, most: int) -> Finding:
    risk = f"{what}: {size} characters, of which IAM takes {most}, so it cannot be applied as it is"
    remedy = "Say less, or split it into managed policies"
    return Finding("too-big", "low", known.subject, what, "", str(size), risk, remedy)


def _size(document: Document, place: Place = "managed") -> int:
    return size(document.policy or {}, place)


def _keys(known: Known) -> Iterator[Finding]:
    for key in known.subject.access_keys:
        role = f"arn:{known.partition}:iam::{known.account}:role/ROLE-NAME"
        assume = {"Sid": "WorkAsARole", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
        risk = "A key that never expires works for whoever finds it, until somebody notices"
        remedy = (
            "Let the user sign in (IAM Identity Center), or take on a role with it and do nothing else; then delete it"
        )
        yield Finding("access-key", "low", known.subject, "", "", key, risk, remedy, (assume,))
