"""What is wrong with one statement of an identity's policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kennel.iam.audit import knowledge
from kennel.iam.audit.narrower import FEW, PASSED_TO, USUAL, Known, instead, pass_role
from kennel.iam.audit.statements import Malformed, Statement, statements
from kennel.iam.audit.values import SEVERITIES, Document, Finding, Severity
from kennel.iam.audit.wild import covers_all, covers_kind, is_wild, matches, meets

EVERYTHING = ("*", "*:*")
FULL = re.compile(
    r"^arn:[\w-]+:iam::aws:policy/(?:.*/)?(AdministratorAccess.*|PowerUserAccess|IAMFullAccess|\w+-?\w*FullAccess\w*)$"
)
NARROWING = re.compile(
    r"^[a-z0-9-]+:(resourcetag/|buckettag/|existingobjecttag/|(service-)?namespace$|sourceinstancearn$)"
)
"""Condition keys that do what a resource would, and all that can be asked where AWS makes up the id (an instance's)."""
MADE = re.compile(r":(instance|volume|network-interface|security-group|spot-instances-request)/")
MAKING = ("ec2:runinstances", "ec2:createsecuritygroup")
"""These make such resources, whose ids AWS makes up: the tags of the request are all that can be asked."""


def full_access(known: Known, document: Document) -> Iterator[Finding]:
    """An attached policy of AWS's that allows everything of a service, or of all."""
    name = document.arn.rsplit("/", 1)[-1]
    of_all = name.startswith(("AdministratorAccess", "PowerUser", "IAMFull"))
    what = "everything in the account" if of_all else "everything that its service has, and of others too"
    whole = Statement(document, 0, name, True, {}, actions=_probable(known, document), resources=("*",))
    who = f"gets hold of this {known.subject.kind}" if known.subject.kind != "policy" else "has it"
    yield Finding(
        "full-access-policy",
        "high",
        known.subject,
        name,
        "",
        document.arn,
        f"Whoever {who} may do {what}, to resources of others as well",
        f"Detach {name}, and put an inline policy of what is needed in its place",
        instead(known, whole),
        document.file,
    )


def statement_findings(known: Known, statement: Statement) -> Iterator[Finding]:
    """Of one Allow."""
    yield from _negated(known, statement)
    yield from _unknown(known, statement)
    yield from _wildcards(known, statement)
    yield from _any_resource(known, statement)
    yield from _pass_role(known, statement)


def _negated(known: Known, statement: Statement) -> Iterator[Finding]:
    if statement.not_actions:
        risk = "It allows everything that is not named, all that AWS will yet invent included"
        yield _found(known, statement, "not-action", "high", "NotAction", risk, "Name what is needed in Action")
    if statement.not_resources:
        risk = "It allows this on everything that is not named, what others will yet make included"
        yield _found(known, statement, "not-resource", "high", "NotResource", risk, "Name what is needed in Resource")


def _unknown(known: Known, statement: Statement) -> Iterator[Finding]:
    """Misspelt actions, and resources that none of the actions knows: the statement does not do what it seems to."""
    named = [each for each in (*statement.actions, *statement.not_actions) if each not in EVERYTHING]
    for action in named:
        if not knowledge.known(action):
            risk = f"AWS knows no action {action}: it does nothing, or means another one"
            yield _found(
                known, statement, "unknown-action", "low", "Action", risk, "See the service authorization reference"
            )
    types = [format_ for each in named for action in knowledge.expand(each) for format_ in knowledge.formats(action)]
    for resource in statement.resources:
        if types and resource != "*" and not any(meets(_plain(resource), each) for each in types):
            risk = f"None of its actions knows a resource like {resource}, so there it allows nothing"
            yield _found(
                known,
                statement,
                "unknown-resource",
                "low",
                "Resource",
                risk,
                "Name a resource of the actions' own kind",
            )


def _wildcards(known: Known, statement: Statement) -> Iterator[Finding]:
    for action in statement.actions:
        if action in EVERYTHING:
            risk = "It allows everything that AWS has" + ("" if statement.bound else ", with nothing asked in return")
            yield _found(
                known,
                statement,
                "every-action",
                "high",
                "Action",
                risk,
                "Name the actions",
                (action,),
                statement.bound,
            )
        elif is_wild(action) and knowledge.known(action):
            yield from _wildcard(known, statement, action)


def _wildcard(known: Known, statement: Statement, action: str) -> Iterator[Finding]:
    found, broad = knowledge.expand(action), _covers(statement)
    whole = action.endswith(":*")
    exposing = any(each.lower() in knowledge.exposing() or _manages(each) for each in found)
    severity: Severity = ("high" if exposing or whole else "medium") if broad else ("medium" if exposing else "low")
    where = "on any resource" if broad else "on what it names"
    risk = f"{action} is {len(found)} actions {where}" + (", permissions or data among them" if exposing else "")
    rule, bound = "service-wildcard" if whole else "action-wildcard", statement.bound if broad else ()
    yield _found(known, statement, rule, severity, "Action", risk, "Name the actions", (action,), bound)


def _any_resource(known: Known, statement: Statement) -> Iterator[Finding]:
    """Actions that know resources and are allowed on all of them; of wildcards, their own rule speaks."""
    if not _covers(statement) or any(NARROWING.match(key) for key in statement.bound):
        return
    everywhere = any(covers_all(each) for each in statement.resources)
    groups: dict[Severity, list[str]] = {}
    for action in statement.actions:
        for each in () if is_wild(action) or action.lower() == "iam:passrole" else knowledge.expand(action):
            if any(":requesttag/" in key for key in statement.bound) and _makes(each, statement):
                continue
            if any(any(meets(_plain(one), form) for form in knowledge.formats(each)) for one in _broad(statement)):
                groups.setdefault(_weight(each, everywhere), []).append(each)
    for severity, actions in groups.items():
        names = ", ".join(actions)
        risk = f"{names}: AWS lets resources be named for this, and here it is any of them"
        yield _found(
            known, statement, "any-resource", severity, "Resource", risk, "Name the resources", tuple(actions),
            statement.bound,
        )  # fmt: skip


def _makes(action: str, statement: Statement) -> bool:
    """Whether it is about what is being made or tagged, and about nothing that is there already."""
    made = all(MADE.search(each) for each in statement.resources)
    return knowledge.level(action) == "Tagging" or (action.lower() in MAKING and made)


def _pass_role(known: Known, statement: Statement) -> Iterator[Finding]:
    """`*` is a finding by itself; `iam:*` passes roles besides all else that it does."""
    patterns = [each for each in statement.actions if each not in EVERYTHING and matches(each.lower(), "iam:passrole")]
    if not patterns:
        return
    anybody = not (statement.bound & {PASSED_TO, "iam:associatedresourcearn"})
    broad = any(covers_kind(each) for each in statement.resources) or bool(statement.not_resources)
    if not anybody and not broad:
        return
    what = "any role of the account" if broad else "these roles"
    to = "any service" if anybody else "the service"
    evidence = statement.shown("Action", "Resource", "NotResource", "Condition")
    yield Finding(
        "pass-role",
        "high" if broad else "medium",
        known.subject,
        statement.document.name,
        statement.sid,
        evidence,
        f"It may pass {what} to {to}, and so work with that role's permissions",
        "Name the roles, and the service in iam:PassedToService",
        (pass_role(known, statement),),
        statement.document.file,
        statement.line,
    )


def _found(
    known: Known,
    statement: Statement,
    rule: str,
    severity: Severity,
    element: str,
    risk: str,
    remedy: str,
    actions: tuple[str, ...] = (),
    keys: object = (),
) -> Finding:
    """keys: conditions that narrow the statement somewhat; each finding is less bad for them."""
    if keys:
        severity = SEVERITIES[min(SEVERITIES.index(severity) + 1, SEVERITIES.index("low"))]
    return Finding(
        rule,
        severity,
        known.subject,
        statement.document.name,
        statement.sid,
        statement.shown(*dict.fromkeys((element, "Action", "NotAction", "Resource", "NotResource", "Condition"))),
        risk,
        remedy,
        _instead(known, statement, rule, actions),
        statement.document.file,
        statement.line,
    )


def _instead(known: Known, statement: Statement, rule: str, actions: tuple[str, ...]) -> tuple[dict[str, object], ...]:
    if rule == "unknown-action":
        actions = tuple(each for each in statement.actions if knowledge.known(each))
        if not actions:
            return ()
    return tuple(dict(each) for each in instead(known, statement, actions))


def _weight(action: str, everywhere: bool) -> Severity:
    if action.lower() in knowledge.exposing() or _manages(action):
        return "high" if everywhere else "medium"
    changes = knowledge.level(action) in knowledge.CHANGES
    return "medium" if changes and everywhere else "low"


def _manages(action: str) -> bool:
    return knowledge.level(action) == "Permissions management"


def _covers(statement: Statement) -> bool:
    return bool(_broad(statement)) or bool(statement.not_resources)


def _broad(statement: Statement) -> list[str]:
    return [each for each in statement.resources if covers_kind(each)]


def _plain(resource: str) -> str:
    """With a variable of IAM as a wildcard."""
    return re.sub(r"\$\{[^}]*\}", "*", resource)


def _probable(known: Known, document: Document) -> tuple[str, ...]:
    """What of a full-access policy is probably there to be used: all that it allows, where a record tells what was;
    else the usual of the services that take on the role, or a few of the service that it is named for."""
    try:
        allowed = tuple(action for each in statements(document) if each.allows for action in each.actions)
    except Malformed:  # its text is not at hand
        name = re.sub(r"^(Amazon|AWS)", "", document.arn.rsplit("/", 1)[-1]).lower()
        allowed = tuple(f"{each}:*" for each in FEW if name.startswith(each)) or ("*",)
    if known.calls:
        return allowed
    usual = [each for service in known.services for each in USUAL.get(service, ())]
    of_one = FEW.get(next((each.partition(":")[0] for each in allowed if each.endswith(":*")), ""), ())
    return tuple(each for each in usual or of_one if any(matches(one.lower(), each.lower()) for one in allowed)) or (
        "*",
    )
