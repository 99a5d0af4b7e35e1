"""What the debugger's page says in words: of all rules, of the best evaluation, of a verdict, of what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from kennel.debugger.advice import Budget, Facts
from kennel.debugger.profile import Profile
from kennel.debugger.recorded import Recorded
from kennel.debugger.rules import evaluations
from kennel.debugger.verdict import Verdict
from kennel.reports.debugger_plots import best

OUTCOMES = {
    "IssuesFound": ("issue found", "bad"),
    "NoIssuesFound": ("no issue", "good"),
    "InProgress": ("no issue so far", "open"),
    "Error": ("could not be evaluated", "odd"),
    "Stopping": ("stopped", "odd"),
    "Stopped": ("stopped", "odd"),
}
"""SageMaker's status → what a person would say, and how it looks."""
UPWARD = ("Overfit", "Overtraining")
"""Rules that find something above their limit, whose value says how far it is from there."""
CLOSE = 0.8


def outcome(verdict: Verdict) -> tuple[str, str]:
    """A mark, and its look."""
    if not verdict.applies and verdict.status == "NoIssuesFound":
        return "not applicable", "open"
    if not verdict.applies and verdict.status == "InProgress":
        return "nothing to judge yet", "open"
    return ("close", "odd") if close(verdict) else OUTCOMES[verdict.status]


def close(verdict: Verdict) -> bool:
    """Whether a value that passes lies within a fifth of its limit."""
    evidence = verdict.evidence
    if evidence is None or verdict.rule not in UPWARD or verdict.status not in ("NoIssuesFound", "InProgress"):
        return False
    return evidence.value / evidence.threshold >= CLOSE


def summary(verdicts: Sequence[Verdict]) -> str:
    """All rules in a few sentences."""
    if not verdicts:
        return "No rule was asked for."
    idle = sum(not each.applies for each in verdicts)
    wrong = [each.rule for each in verdicts if each.status == "Error"]
    judged = len(verdicts) - idle - len(wrong)
    fired, near = [each.rule for each in verdicts if each.fired], [each.rule for each in verdicts if close(each)]
    said = [f"{_count(judged, 'rule')} judged this training" + (f", {idle} had nothing to judge." if idle else ".")]
    said += [f"{len(fired)} found an issue: {', '.join(fired)}." if fired else "No issue was found."] if judged else []
    said += [f"Close to the limit: {', '.join(near)}."] if near else []
    said += [f"{', '.join(wrong)} could not be evaluated."] if wrong else []
    running = any(each.status == "InProgress" for each in verdicts)
    return " ".join([*said, *(["The training is not over yet."] if running else [])])


def headline(recorded: Recorded, steps: int) -> str:
    """The best evaluation, and what the steps after it gained; "" where there is none. steps: in all."""
    points = evaluations(recorded)
    if (found := best(points)) is None:
        return ""
    said = f"Validation loss was best ({found.valid:.3g}) after step {found.own:,} of {steps:,}"
    if found == points[-1]:
        return f"{said}, at the last of {_count(len(points), 'evaluation')}."
    gained = "gained nothing" if recorded.over else "have gained nothing so far"
    return f"{said}; the {max(0, steps - 1 - found.own):,} steps after it {gained}."


def steps_of(recorded: Recorded, budgets: Sequence[Budget | None]) -> int:
    """How many training steps there were: the last that was recorded may not be the last."""
    own = [each.own + 1 for each in recorded.losses if each.phase == "train"]
    return max([*own, *(each.steps for each in budgets if each)], default=0)


def about(recorded: Recorded, steps: int, profile: Profile, facts: Facts | None) -> str:
    """What is known of the training and its machine."""
    facts = facts or Facts()
    said = [_count(steps, "training step")] if steps else []
    said += [_count(found, "evaluation")] if (found := len(evaluations(recorded))) else []
    said += [facts.instance] if facts.instance else []
    said += [_machine(profile)] if profile.nodes else []
    named = {"batch_size": facts.batch_size, "workers": facts.workers}
    said += [f"{name} {value}" for name, value in named.items() if value is not None]
    return ", ".join([*said, *([facts.precision] if facts.precision else [])])


def outside(budget: Budget | None) -> str:
    """What lies outside of the loop, and whether that is most of it."""
    if budget is None:
        return ""
    what = "reading the data, computing features, quantising and writing the artifact"
    share = budget.outside / max(budget.loop + budget.outside, 1e-9)
    if share > 0.5:
        return (
            f"Most of the time ({100 * share:.0f} %) went outside of the loop: {what}. A faster loop would save little."
        )
    return f"Outside of the loop is {what}."


def _machine(profile: Profile) -> str:
    node = profile.nodes[0]
    cores, gpus = (len(profile.find(f"{each}Utilization", node=node)) for each in ("CPU", "GPU"))
    hosts = f"{len(profile.nodes)} hosts of " if len(profile.nodes) > 1 else ""
    return f"{hosts}{_count(cores, 'core')} and {_count(gpus, 'GPU') if gpus else 'no GPU'}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
