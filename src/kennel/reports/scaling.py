"""The page of a simulation: what came, what scaling made of it, how long answers took, what failed, what it costs.

And of a sweep: which settings meet the goal at what price, with the mission's own among them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from kennel.capacity.outcome import Goal, Outcome
from kennel.capacity.scaled import World
from kennel.capacity.sweep import Case, best, frontier
from kennel.capacity.traffic import Trace
from kennel.reports import scaling_plots as plots
from kennel.reports.page import render

ROWS = 24
"""Of a sweep's table and of the activities, at most."""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown. bounds: instances; price: `0.115 USD an hour (ml.m5.large, 2026-11-24)`; about: how capacity was
    come by. others: always so many instances, to compare with; cases: of a sweep, the one that is shown not among
    them."""

    trace: Trace
    world: World
    goal: Goal
    bounds: tuple[int, int]
    case: Case
    price: str
    about: str
    others: tuple[tuple[str, Case], ...] = ()
    cases: tuple[Case, ...] = ()


def page(view: View) -> str:
    """The page as HTML."""
    found = best(view.cases, view.goal)
    return render(
        "scaling.html",
        view=view,
        said=sentences(view),
        plots=course_plots(view),
        sweeps=sweep_plots(view) if view.cases else [],
        rows=table(view),
        swept=swept(view, found) if view.cases else "",
        changes=changes(view),
        assumptions=assumptions(view),
        outcome=view.case.outcome,
        ms=ms,
        usd=usd,
    )


def sentences(view: View) -> str:
    """The outcome in a few sentences."""
    outcome, goal = view.case.outcome, view.goal
    most = int(outcome.course.serving.max(initial=0))
    many = f"{view.trace.counts.sum():,} requests in {view.trace.minutes / 60:.1f} hours"
    said = [f"{many}: {view.bounds[0]} to {view.bounds[1]} instances were allowed, {most} were reached."]
    said.append(_held(outcome, goal, view.trace.minutes))
    said.append(f"{_share(outcome.failed_count, float(view.trace.counts.sum()))} fail; {_flapping(outcome)}.")
    said.append(f"Instances cost {usd(view.case.cost)}.")
    return " ".join(said)


def _held(outcome: Outcome, goal: Goal, minutes: int) -> str:
    if math.isnan(outcome.goal_latency):
        return "Nothing came, so nothing was slow."
    return (
        f"The p{goal.share * 100:g} is {ms(outcome.goal_latency)}"
        f" against a goal of {ms(goal.seconds)}, missed in {outcome.missed} of {minutes} minutes"
        + (f" and for {outcome.recovery} on end." if outcome.recovery > 1 else ".")
    )


def swept(view: View, found: Case | None) -> str:
    """What a sweep says, in words: the cheapest that meets the goal, and how far the mission's is from it."""
    own = next((each for each in view.cases if each.setting == view.case.setting), view.case)
    met = [each for each in view.cases if each.meets(view.goal)]
    said = [f"{len(met)} of {len(view.cases)} settings meet the goal."]
    if found is None:
        fastest = min(view.cases, key=lambda each: (each.outcome.missed, each.outcome.goal_latency))
        said.append(f"The closest is {fastest.setting}, which misses it in {fastest.outcome.missed} minutes.")
        return " ".join(said)
    said.append(f"The cheapest of those is {found.setting}: {usd(found.cost)}, {found.outcome.instance_hours:.1f} h.")
    if own.setting == found.setting:
        return " ".join([*said, "That is the one asked about."])
    if not own.meets(view.goal):
        return " ".join([*said, f"{own.setting} misses it in {own.outcome.missed} minutes, at {usd(own.cost)}."])
    more = own.outcome.instance_hours / found.outcome.instance_hours - 1
    told = f"costs {more:.0%} more" if more >= 0.005 else "costs the same"
    return " ".join([*said, f"{own.setting} meets it too and {told} ({usd(own.cost)})."])


def table(view: View) -> list[tuple[str, Case, str]]:
    """(class, case, setting): those that meet the goal first, the cheapest first, of equals one; always the one that
    was asked about."""
    order = sorted(view.cases or (view.case,), key=lambda each: (not each.meets(view.goal), *_rank(each)))
    seen: set[tuple[object, ...]] = set()
    rows: list[tuple[str, Case, str]] = []
    for each in order:
        own = each.setting == view.case.setting
        if (_rank(each) in seen or len(rows) >= ROWS) and not own:
            continue
        seen.add(_rank(each))
        rows.append(("own" if own else "", each, str(each.setting)))
    return rows + [("fixed", each, name) for name, each in view.others]


def course_plots(view: View) -> list[Markup]:
    outcome = view.case.outcome
    found = [plots.traffic(view.trace, outcome, view.case.setting.target), plots.instances(outcome, view.bounds)]
    found.append(plots.latencies(outcome, view.goal))
    if outcome.failed_count >= 0.5 or view.world.front:
        found.append(plots.failures(outcome, view.world.front is not None))
    return found


def sweep_plots(view: View) -> list[Markup]:
    found = []
    if any(math.isfinite(each.outcome.goal_latency) for each in view.cases):
        found = [plots.pareto(view.cases, view.case, view.goal, best(view.cases, view.goal), frontier(view.cases))]
    for across in ("in_cooldown_s", "out_cooldown_s"):
        found += plots.heat(view.cases, view.case, view.goal, across)
    return found


def changes(view: View) -> list[tuple[str, str, str]]:
    """(when, from → to, until when it was done), in minutes of the trace."""
    return [
        (clock(each.began), f"{each.decision.have} → {each.decision.to}", clock(each.ended))
        for each in view.case.outcome.course.changes[:ROWS]
    ]


def assumptions(view: View) -> list[str]:
    world, service = view.world, view.world.service
    most = f"{service.most_per_s:.1f} a second ({service.most_per_s * 60:.0f} a minute)"
    work = f"{ms(service.mean_s)} of work a request, {service.at_a_time} at a time"
    start = f"an instance serves {world.start_s:g} s after the decision, a scale-in takes {world.stop_s:g} s"
    queue = "one queue for all instances, first come, first served, by Erlang C with Allen and Cunneen's correction"
    found = [
        f"capacity: {view.about}: {work}, so at most {most} an instance",
        f"{start}, a minute's metric is known {world.metric_delay_s:g} s after it ended",
        f"price: {view.price}; instances are paid for from the decision on",
        f"arrivals within a minute are Poisson; {queue}, a fluid beyond saturation (docs/scaling.md)",
    ]
    if front := world.front:
        found.append(
            f"a function in front: {front.concurrency} executions at most, {front.provisioned} provisioned, "
            f"{front.own_s * 1000:g} ms of its own, {front.timeout_s:g} s timeout; beyond its concurrency it is 429"
        )
    return found


def ms(seconds: float) -> str:
    """`63 ms`, `1.4 s`; `never` where there is no answer, a dash where there was no request."""
    if math.isnan(seconds):
        return "–"
    if math.isinf(seconds):
        return "never"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def usd(amount: float | None) -> str:
    return "an unknown price" if amount is None else f"{amount:.2f} USD"


def clock(seconds: float) -> str:
    """`1:05`: hours and minutes of the trace."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _rank(each: Case) -> tuple[float, int, float, int]:
    outcome = each.outcome
    latency = 0.0 if math.isnan(outcome.goal_latency) else round(outcome.goal_latency, 4)
    return round(outcome.instance_hours, 3), outcome.flaps, latency, outcome.missed


def _share(part: float, whole: float) -> str:
    return "None" if part < 0.5 else f"{part:,.0f} requests ({part / max(whole, 1):.2%})"


def _flapping(outcome: Outcome) -> str:
    flaps = outcome.flaps
    return "it does not flap" if not flaps else f"it turns around within 30 minutes {flaps} time{'s' * (flaps > 1)}"
