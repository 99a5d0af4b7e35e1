"""The page of a training that was watched: verdicts first, then what they rest on, where time goes, what to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from kennel.debugger.advice import ENOUGH, Budget, Cause, Examined, Facts, examine, loader
from kennel.debugger.profile import Profile
from kennel.debugger.recorded import Recorded
from kennel.debugger.verdict import Evidence, Verdict
from kennel.reports import debugger_plots as plots
from kennel.reports.debugger_use import use
from kennel.reports.debugger_words import about, headline, outcome, outside, steps_of, summary
from kennel.reports.page import render
from kennel.reports.tuning import duration

RULES = (
    "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LowGPUUtilization", "CPUBottleneck",
)  # fmt: skip
MOST_NODES = 8
"""Hosts shown; a job has hardly more, and each takes half a screen."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar. share: of 1; kind: its colour's name in the template."""

    name: str
    share: float
    kind: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One host's part of the page."""

    found: Examined
    use: Markup | None
    time: tuple[Part, ...]
    low: tuple[Part, ...]
    steps: str
    enough: bool
    loader: str
    outside: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something to change, and why."""

    what: str
    why: str


def page(
    name: str,
    verdicts: Sequence[Verdict],
    recorded: Recorded | None = None,
    profile: Profile | None = None,
    facts: Facts | None = None,
) -> str:
    """The page as HTML. Whatever is missing (no tensors, no profile, neither) is said in its place."""
    recorded, profile = recorded or Recorded(), profile or Profile()
    ordered = sorted(verdicts, key=lambda each: (not each.fired, RULES.index(each.rule) if each.rule in RULES else 99))
    nodes = [_node(profile, node, facts) for node in profile.nodes[:MOST_NODES]]
    steps, at = steps_of(recorded, [each.found.budget for each in nodes]), plots.frame(recorded)
    return render(
        "debugger.html",
        name=name,
        about=about(recorded, steps, profile, facts),
        lead=[summary(ordered), headline(recorded, steps), _loader(nodes)],
        found=[each for each in ordered if each.fired or each.status == "Error"],
        passed=[each for each in ordered if not each.fired and each.status != "Error"],
        changes=_changes(ordered, nodes),
        missing=[rule for rule in RULES if rule not in {each.rule for each in verdicts}],
        outcome=outcome,
        decided=lambda evidence: _decided(evidence, _start(profile)),
        losses=plots.losses(recorded, ordered, at),
        heat=_heat(recorded, ordered, at),
        nodes=nodes,
        more_nodes=max(0, len(profile.nodes) - MOST_NODES),
        notes=profile.notes,
        duration=duration,
    )


def _decided(evidence: Evidence, start: float | None) -> list[tuple[str, str]]:
    """What decided, as names and values. start: when the profile begins, in epoch seconds."""
    where = [("step", str(evidence.step))] if evidence.step is not None else []
    if evidence.time is not None and start is not None:
        where += [("after", duration(max(0.0, evidence.time - start)))]
    figures = [("value", f"{evidence.value:.4g}"), ("limit", f"{evidence.threshold:.4g}")]
    return [*where, ("where", evidence.subject), *figures]


def _start(profile: Profile) -> float | None:
    return min((float(each.times[0]) for each in profile.series if len(each.times)), default=None)


def _heat(recorded: Recorded, verdicts: Sequence[Verdict], at: plots.Frame) -> list[Markup]:
    found = [
        plots.magnitudes("gradients", recorded.gradients, verdicts, at),
        plots.magnitudes("weights", recorded.weights, [], at),
    ]
    return [each for each in found if each is not None]


def _loader(nodes: Sequence[Node]) -> str:
    """Of the host that waited longest for its data."""
    starved = [each for each in nodes if each.found.budget]
    most = max(starved, key=lambda each: each.found.budget.starved if each.found.budget else 0.0, default=None)
    return most.loader if most else loader(None)


def _changes(verdicts: Sequence[Verdict], nodes: Sequence[Node]) -> list[Change]:
    """Remedies of what was found, then the advice on machines."""
    changes = [Change(each.remedy, f"{each.rule}: {each.words}") for each in verdicts if each.fired and each.remedy]
    for node in nodes:
        host = f"{node.found.at.node}: " if len(nodes) > 1 else ""
        changes += [Change(each.what, f"{host}{each.why}") for each in node.found.advice]
    return changes


def _node(profile: Profile, node: str, facts: Facts | None) -> Node:
    found = examine(profile, node, facts)
    start = float(found.at.times[0]) if len(found.at.times) else 0.0
    return Node(
        found, use(found, start), _time(found.budget), _low(found.cause), _steps(profile, node),
        len(found.at.times) >= ENOUGH, loader(found.budget), outside(found.budget),
    )  # fmt: skip


def _time(budget: Budget | None) -> tuple[Part, ...]:
    if budget is None:
        return ()
    seconds = (budget.waiting, budget.training, budget.validating, budget.outside)
    return _parts([each / max(sum(seconds), 1e-9) for each in seconds], seconds)


def _low(cause: Cause | None) -> tuple[Part, ...]:
    if cause is None or cause.low < 0.05:
        return ()
    return _parts([cause.waiting, cause.training, cause.validating, cause.outside])


def _parts(shares: Sequence[float], seconds: Sequence[float] | None = None) -> tuple[Part, ...]:
    names = ("waiting for data", "training", "validating", "outside of the loop")
    kinds = ("wait", "train", "valid", "outside")
    told = seconds or (None,) * len(names)
    return tuple(Part(*each) for each in zip(names, shares, kinds, told, strict=True))


def _steps(profile: Profile, node: str) -> str:
    """Step times in words; "" where there are none."""
    mine = [each for each in profile.steps if each.node == node and each.phase == "train"]
    if not mine:
        return ""
    counts, seconds, waiting = (
        np.concatenate([getattr(each, what) for each in mine]) for what in ("counts", "seconds", "waiting")
    )
    each, waits = seconds / counts, waiting / counts
    half, most = _weighted(each, counts, 0.5), _weighted(each, counts, 0.95)
    return (
        f"{int(counts.sum()):,} training steps: half of them took at most {_ms(half)}, 95 % at most {_ms(most)}; "
        f"on average {_ms(float((waits * counts).sum() / counts.sum()))} of a step was waiting for its batch."
    )


def _weighted(values: np.ndarray, weights: np.ndarray, share: float) -> float:  # type: ignore[type-arg]
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weights[order]), share * weights.sum())
    return float(values[order][min(int(reached), len(values) - 1)])


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
