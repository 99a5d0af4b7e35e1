"""What is allowed and was never used, by a record of calls: of what one run needed, not of what another will."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from kennel.iam.audit.narrower import Known, called
from kennel.iam.audit.statements import Statement
from kennel.iam.audit.values import Finding
from kennel.iam.audit.wild import matches
from kennel.iam.record import Call


def unused_findings(known: Known, found: Sequence[Statement]) -> Iterator[Finding]:
    """One a statement that has actions or resources which no call of the subject needed."""
    for each in found:
        if each.allows and each.document.of == "identity" and each.actions and not each.document.arn:
            yield from _of(known, each)


def _of(known: Known, statement: Statement) -> Iterator[Finding]:
    calls = called(known, statement)
    actions = [each for each in statement.actions if not any(_is(each, call.action) for call in calls)]
    resources = [each for each in statement.resources if not any(matches(each, call.resource) for call in calls)]
    if not actions and not resources:
        return
    evidence = json.dumps({"Action": actions, "Resource": resources if calls else list(statement.resources)})
    what = ", ".join(actions or resources)
    yield Finding(
        "unused",
        "low",
        known.subject,
        statement.document.name,
        statement.sid,
        evidence,
        f"None of the {len(known.calls)} recorded calls needed {what}: it serves only whoever takes this over",
        "Leave it away, if what was recorded is all that there is to do" if calls else "Remove the statement",
        _instead(statement, calls, actions, resources),
        statement.document.file,
        statement.line,
    )


def _instead(
    statement: Statement, calls: Sequence[Call], actions: Sequence[str], resources: Sequence[str]
) -> tuple[dict[str, object], ...]:
    """The statement less what was not used; the wildcards that were are another rule's."""
    left = [each for each in statement.actions if each not in actions]
    if not calls or not left:
        return ()
    kept = [each for each in statement.resources if each not in resources]
    return ({**statement.raw, "Action": left, "Resource": kept},)


def _is(pattern: str, action: str) -> bool:
    return matches(pattern.lower(), action.lower())
