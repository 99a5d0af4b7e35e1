"""Ways by which some permissions give others: the published list, against all that a subject may do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from kennel.iam.audit import knowledge
from kennel.iam.audit.narrower import Known, pass_role
from kennel.iam.audit.statements import Statement
from kennel.iam.audit.values import Finding
from kennel.iam.audit.wild import covers_kind, matches

PASSING = "iam:passrole"


def escalation_findings(known: Known, found: Sequence[Statement]) -> Iterator[Finding]:
    """One finding a subject, with the ways in it. found: the statements of all its policies.

    Whoever may do everything needs none of these ways: another rule speaks of that.
    """
    if any(each.allows and {"*", "*:*"} & set(each.actions) and not each.conditions and _any(each) for each in found):
        return
    ways = {
        name: (actions, link)
        for name, (actions, link) in knowledge.escalations().items()
        if _open(known, found, actions)
    }
    if not ways:
        return
    used = sorted({action for actions, _ in ways.values() for action in actions})
    first = next(iter(ways))
    deciding = next(each for each in found if each.allows and _allows(each, used[0]))
    evidence = json.dumps({name: {"Action": list(actions), "see": link} for name, (actions, link) in ways.items()})
    more = f" and {len(ways) - 1} more ways" if len(ways) > 1 else ""
    yield Finding(
        "escalation",
        "high",
        known.subject,
        "",
        "",
        evidence,
        f"It can give itself more permissions: {first}{more}",
        "Take these permissions away, or name the roles and resources that they are for; until then deny them",
        _instead(known, ways, deciding),
        deciding.document.file,
        deciding.line,
    )


def _open(known: Known, found: Sequence[Statement], actions: Sequence[str]) -> bool:
    """Whether all that a way takes is allowed. What is passed or changed has to be of the attacker's choice: any role,
    say. What is made (a function, a job) may have any name."""
    passes = PASSING in actions
    return all(_may(known, found, each, chosen=not passes or each == PASSING) for each in actions)


def _may(known: Known, found: Sequence[Statement], action: str, chosen: bool) -> bool:
    if any(not each.allows and not each.conditions and _allows(each, action) and _any(each) for each in found):
        return False
    return any(
        each.allows and _allows(each, action) and (not chosen or _any(each) or _itself(known, each)) for each in found
    )


def _allows(statement: Statement, action: str) -> bool:
    if statement.actions:
        return any(matches(each.lower(), action) for each in statement.actions)
    return not any(matches(each.lower(), action) for each in statement.not_actions)


def _any(statement: Statement) -> bool:
    return bool(statement.not_resources) or any(covers_kind(each) for each in statement.resources)


def _itself(known: Known, statement: Statement) -> bool:
    """Whether it is allowed on the subject itself, which may then rewrite its own policies."""
    return bool(known.subject.arn) and any(matches(each, known.subject.arn) for each in statement.resources)


def _instead(
    known: Known, ways: dict[str, tuple[tuple[str, ...], str]], deciding: Statement
) -> tuple[dict[str, object], ...]:
    own = sorted({each for actions, _ in ways.values() if PASSING not in actions for each in actions})
    spelt = [name for each in own for name in knowledge.expand(each)]
    made: list[dict[str, object]] = []
    if any(PASSING in actions for actions, _ in ways.values()):
        made.append({**pass_role(known, deciding), "Sid": "PassOnlyThese"})
    if spelt:
        made.append({"Sid": "NoMorePermissions", "Effect": "Deny", "Action": spelt, "Resource": "*"})
    return tuple(made)
