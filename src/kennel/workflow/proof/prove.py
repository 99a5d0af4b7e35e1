"""`kennel iam prove`: without any one of what is allowed, what is really done fails, by exactly that refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kennel.cloud.iam import ACTORS, Actor
from kennel.cloud.iam.values import Role
from kennel.cloud.names import digest
from kennel.cloud.session import told
from kennel.errors import KennelError
from kennel.files import write_atomically
from kennel.iam.record import Call
from kennel.progress import Progress
from kennel.settings import Settings
from kennel.workflow.proof import ground as grounds
from kennel.workflow.proof.ground import Ground
from kennel.workflow.proof.items import Item, denied, items, needing, without
from kennel.workflow.proof.machines import MACHINES
from kennel.workflow.proof.serving import SERVING
from kennel.workflow.proof.steps import STEPS, Step
from kennel.workflow.proof.stolen import tried
from kennel.workflow.proof.table import Outcome, Proof

ALL = (*STEPS, *SERVING, *MACHINES)
TRIES = 3
"""Steps that may show it: what a role does goes on beside a step now and then, and is counted with it."""
PEOPLE: tuple[Actor, ...] = ("deployer", "builder", "launcher")
"""As whom steps are done: what they may not do, the step itself sees."""
UNREACHED: dict[tuple[Actor, str], str] = {
    ("training", "LogRules"): "rules have no log of their own on the local AWS",
    ("training", "LogRulesGroup"): "rules have no log of their own on the local AWS",
    ("training", "FindOnIssue"): "no rule finds an issue in so short a training",
    ("training", "StopOnIssue"): "no rule finds an issue in so short a training",
    ("endpoint", "Metrics"): "the local AWS measures no machine of an endpoint",
    ("function", "Pictures"): "the bucket of pictures is somebody else's",
    ("builder", "Push"): "the local AWS takes no layers",
    ("instance", "Pull"): "a registry on loopback knows no policies",
    ("instance", "Register"): "Session Manager's agent is the machine image's",
    ("instance", "Shell"): "Session Manager's agent is the machine image's",
    ("launcher", "Open"): "SSH is not opened by the proof",
    ("launcher", "Bid"): "spot is not asked for by the proof",
}  # fmt: skip
"""(actor, statement) → why it cannot be exercised on the local AWS."""
NO_ENGINE: dict[tuple[Actor, str], str] = {
    ("instance", sid): "there is no Docker engine here with the training image" for sid in ("List", "Read", "Write")
}
NO_REGISTRY: dict[tuple[Actor, str], str] = {
    ("instance", "Login"): "[local] names no registry, which would want a login"
}
"""The same, where this machine has no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """quick: replay the record instead of doing it again; kept: a file of outcomes, to go on after an end."""

    actors: tuple[Actor, ...] = ACTORS
    statement: str = ""
    quick: bool = False
    kept: Path | None = None
    steps: tuple[Step, ...] = ALL


@dataclass(slots=True)
class _Work:
    ground: Ground
    wanted: Wanted
    calls: dict[str, list[Call]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    unreached: dict[tuple[Actor, str], str] = field(default_factory=dict)

    def rehearse(self, step: Step) -> None:
        """Once with everything that is allowed: it has to work, and tells what it needs. Raises KennelError."""
        step.ready(self.ground)
        before, started = len(self.ground.calls()), time.monotonic()
        self.ground.ask_anew()
        try:
            with told(f"do the step {step.name} with all that is allowed"):
                step.do(self.ground)
        finally:
            self.calls[step.name] = self.ground.calls()[before:]
            self.seconds[step.name] = time.monotonic() - started
            step.after(self.ground)

    def prove(self, role: Role, item: Item) -> Outcome:
        shows = {each.name for each in self.wanted.steps if each.waits or item.actor in PEOPLE}
        named = [each for each in needing(role, self.calls, item) if each in shows]
        names = sorted(named, key=self.seconds.__getitem__)
        if not names:
            why = self.unreached.get((item.actor, item.sid))
            return Outcome(item, "not exercised" if why else "too wide", why=why or "nothing that is done needs it")
        if self.wanted.quick:
            return Outcome(item, "would be denied", names[0])
        for name in names[:TRIES]:
            outcome = self._without(role, item, next(each for each in self.wanted.steps if each.name == name))
            if outcome.verdict == "proven":
                break
        return outcome

    def _without(self, role: Role, item: Item, step: Step) -> Outcome:
        policy = without(role, item)
        step.ready(self.ground)
        before, started = len(self.ground.calls()), time.monotonic()
        with self.ground.limited(role, policy):
            failed = _failure(step.do, self.ground)
        seconds = round(time.monotonic() - started, 1)
        step.after(self.ground)
        found = denied(self.ground.calls()[before:], role, item, policy)
        if failed and found:
            return Outcome(item, "proven", step.name, f"{found.action} on {found.resource}", seconds)
        return Outcome(item, "too wide", step.name, _unnoticed(failed, found), seconds)


def prove(settings: Settings, wanted: Wanted, progress: Progress) -> Proof:
    """Tell the story, rehearse the steps, take away each thing; then try what a thief would. Raises KennelError."""
    with grounds.ground(settings, progress) as ground:
        grounds.tell(ground, progress)
        outcomes = work_on(ground, wanted, progress)
        with progress.step("what a thief would try"):
            stolen = tuple(tried(ground, wanted.actors))
    return Proof(tuple(outcomes), stolen)


def work_on(ground: Ground, wanted: Wanted, progress: Progress) -> list[Outcome]:
    """Rehearse the steps, then take away each thing. Raises KennelError."""
    possible = tuple(each for each in wanted.steps if each.possible(ground))
    work = _Work(ground, replace(wanted, steps=possible), unreached=_unreached(ground, possible == wanted.steps))
    wanted = work.wanted
    with progress.step("rehearse", len(wanted.steps)) as advance:
        for step in wanted.steps:
            work.rehearse(step)
            progress.say(f"{step.name}: {work.seconds[step.name]:.1f} s, {len(work.calls[step.name])} calls")
            advance(1)
    return _outcomes(work, progress)


def _unreached(ground: Ground, whole: bool) -> dict[tuple[Actor, str], str]:
    """whole: whether this machine can do every step."""
    less = {} if whole else NO_ENGINE
    return UNREACHED | less | ({} if whole and ground.registry else NO_REGISTRY)


def chosen(roles: Sequence[Role], wanted: Wanted) -> list[tuple[Role, Item]]:
    """Raises KennelError where nothing is."""
    found = [
        (role, item)
        for role in roles
        if role.actor in wanted.actors
        for item in items(role)
        if wanted.statement in ("", item.sid)
    ]
    if not found:
        raise KennelError(f"there is no statement {wanted.statement}", "See which there are: kennel iam show")
    return found


def _outcomes(work: _Work, progress: Progress) -> list[Outcome]:
    roles = [work.ground.role(actor) for actor in ACTORS]
    todo, kept = chosen(roles, work.wanted), _Kept(work.wanted.kept, roles, work.wanted.quick)
    found = []
    with progress.step("take away", len(todo)) as advance:
        for role, item in todo:
            outcome = kept.of(item) or work.prove(role, item)
            kept.add(outcome)
            found.append(outcome)
            progress.say(f"{item}: {outcome.verdict} ({outcome.step or outcome.why})")
            advance(1)
    return found


class _Kept:
    """Outcomes on disk, as long as the policies are the same."""

    def __init__(self, path: Path | None, roles: Sequence[Role], quick: bool) -> None:
        self._path, self._policies = path, digest([each.policy for each in roles], quick)
        self._outcomes: dict[Item, Outcome] = {}
        if path is not None and path.is_file():
            self._read(path)

    def of(self, item: Item) -> Outcome | None:
        """What is too wide is looked at again."""
        found = self._outcomes.get(item)
        return found if found is not None and found.verdict != "too wide" else None

    def add(self, outcome: Outcome) -> None:
        self._outcomes[outcome.item] = outcome
        if self._path is not None:
            document = {"policies": self._policies, "outcomes": [each.document() for each in self._outcomes.values()]}
            write_atomically(self._path, json.dumps(document).encode())

    def _read(self, path: Path) -> None:
        try:
            document = json.loads(path.read_text())
            if document["policies"] == self._policies:
                self._outcomes = {(found := Outcome.parse(each)).item: found for each in document["outcomes"]}
        except (OSError, ValueError, KeyError, TypeError):
            self._outcomes = {}  # of another version: all is proven anew


def _failure(do: Callable[[Ground], None], ground: Ground) -> str:
    """What it failed with, "" where it did not."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        do(ground)
    except (KennelError, ClientError, BotoCoreError) as error:
        return str(error)
    return ""


def _unnoticed(failed: str, found: Call | None) -> str:
    if not failed:
        return "it was refused, and the step did not fail" if found else "nothing was refused"
    return f"the step failed otherwise: {failed[:200]}"
