"""The plots of a simulation and of a sweep. Long traces are shown in at most `POINTS` groups of minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from kennel.capacity.outcome import Goal, Outcome
from kennel.capacity.service import Floats
from kennel.capacity.sweep import Case
from kennel.capacity.traffic import Trace
from kennel.reports.page import BLUE, INK, MUTED, ORANGE, axes, svg

POINTS = 1500
WIDE, LEFT, RIGHT, LOW = 10.4, 0.6, 2.0, 2.2
"""Inches; what is right of a plot is for its legend."""
BAD, PALE = "#b42318", "#cbd5e1"
Across = Literal["in_cooldown_s", "out_cooldown_s"]
NAMES = {"in_cooldown_s": "scale-in cooldown, s", "out_cooldown_s": "scale-out cooldown, s"}


def traffic(trace: Trace, outcome: Outcome, target: float) -> Markup:
    figure, plot = _wide(LOW, "requests a minute")
    at = _hours(trace.minutes)
    plot.step(*_grouped(at, trace.counts.astype(np.float64)), where="post", color=INK, linewidth=1, label="all")
    metric = _grouped(at, outcome.course.metric)
    plot.step(*metric, where="post", color=BLUE, linewidth=1, label="per instance: the metric")
    plot.axhline(target, color=ORANGE, linewidth=1, linestyle="--", label=f"target {target:g}")
    plot.set_ylim(bottom=0)
    return _done(figure, plot, trace.minutes)


def instances(outcome: Outcome, bounds: tuple[int, int]) -> Markup:
    figure, plot = _wide(LOW * 0.8, "instances")
    course = outcome.course
    at = _hours(len(course.serving))
    paid, serving = _grouped(at, course.wanted), _grouped(at, course.serving.astype(np.float64))
    plot.fill_between(*paid, step="post", color="#dbeafe", linewidth=0, label="paid for")
    plot.step(*serving, where="post", color=BLUE, linewidth=1.3, label="serving")
    plot.set_ylim(0, max(bounds[1], 1) + 0.4)
    plot.yaxis.get_major_locator().set_params(integer=True)
    return _done(figure, plot, len(course.serving))


def latencies(outcome: Outcome, goal: Goal) -> Markup:
    figure, plot = _wide(LOW * 1.15, "seconds until the answer, minute by minute (log scale)")
    at = _hours(len(outcome.goal_s))
    for place, (label, colour) in enumerate((("p50", MUTED), ("p95", BLUE), ("p99", ORANGE))):
        plot.step(*_grouped(at, outcome.minute_s[:, place]), where="post", color=colour, linewidth=1, label=label)
    plot.axhline(goal.seconds, color=BAD, linewidth=1, linestyle="--", label=f"goal, p{goal.share * 100:g}")
    _logarithmic(plot)
    return _done(figure, plot, len(outcome.goal_s))


def failures(outcome: Outcome, front: bool) -> Markup:
    figure, plot = _wide(LOW, "requests a minute that fail, or that no provisioned instance was free for")
    at = _hours(len(outcome.failed))
    others = outcome.failed - outcome.refused
    plot.step(*_grouped(at, others), where="post", color=BAD, linewidth=1.2, label="no answer in time")
    if front:
        plot.step(*_grouped(at, outcome.refused), where="post", color=ORANGE, linewidth=1.2, label="429: refused")
        plot.step(*_grouped(at, outcome.on_demand), where="post", color=MUTED, linewidth=1, label="on demand")
    plot.set_ylim(0, max(1.0, plot.get_ylim()[1]))
    return _done(figure, plot, len(outcome.failed))


def pareto(cases: Sequence[Case], own: Case, goal: Goal, found: Case | None, frontier: Sequence[Case]) -> Markup:
    """Every setting by what it costs and by how long the goal's percentile takes."""
    figure, plot = axes(5.6, 3.6, f"p{goal.share * 100:g} by cost, every setting")
    for meets, colour, label in ((False, PALE, "misses the goal"), (True, BLUE, "meets it")):
        points = [_place(each) for each in cases if each.meets(goal) == meets and _shown(each)]
        if points:
            plot.scatter(*zip(*points, strict=True), s=18, color=colour, linewidths=0, label=label, zorder=2)
    edge = [_place(each) for each in frontier if _shown(each)]
    if edge:
        plot.step(*zip(*edge, strict=True), where="post", color=MUTED, linewidth=1, zorder=1)
    for each, marker, label in ((own, "D", f"asked about: {own.setting}"), (found, "*", "cheapest that meets it")):
        if each is not None and _shown(each):
            look = {"edgecolors": INK, "facecolors": "none", "linewidths": 1.3, "zorder": 3}
            plot.scatter(*_place(each), marker=marker, s=90, label=label, **look)
    plot.axhline(goal.seconds, color=BAD, linewidth=1, linestyle="--")
    _logarithmic(plot)
    plot.set_xlabel("USD" if own.cost is not None else "instance hours", fontsize=9)
    plot.set_ylabel("seconds (log scale)", fontsize=9)
    if plot.get_legend_handles_labels()[0]:
        plot.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return svg(figure)


def heat(cases: Sequence[Case], own: Case, goal: Goal, across: Across) -> list[Markup]:
    """Target against a cooldown, the other one as asked about (or the nearest): minutes above the goal, and cost."""
    other: Across = "out_cooldown_s" if across == "in_cooldown_s" else "in_cooldown_s"
    near = min((getattr(each.setting, other) for each in cases), key=lambda it: abs(it - getattr(own.setting, other)))
    chosen = [each for each in cases if getattr(each.setting, other) == near]
    targets = sorted({each.setting.target for each in chosen})
    cooldowns = sorted({getattr(each.setting, across) for each in chosen})
    if len(targets) < 2 or len(cooldowns) < 2:
        return []
    by_place = {(each.setting.target, getattr(each.setting, across)): each for each in chosen}
    found = []
    for title, value in (("minutes above the goal", _missed), ("cost", _cost)):
        cells = np.full((len(targets), len(cooldowns)), math.nan)
        for (target, cooldown), each in by_place.items():
            cells[targets.index(target), cooldowns.index(cooldown)] = value(each)
        found.append(
            _heat(f"{title} ({NAMES[other].removesuffix(', s')} {near:g} s)", cells, targets, cooldowns, NAMES[across])
        )
    return found


def _heat(title: str, cells: Floats, targets: Sequence[float], cooldowns: Sequence[float], across: str) -> Markup:
    figure, plot = axes(5.2, 0.9 + 0.26 * max(4, len(targets)), title)
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    plot.imshow(cells, aspect="auto", cmap="Blues", vmin=low - 0.05 * (high - low), vmax=high + 0.6 * (high - low or 1))
    for (row, column), value in np.ndenumerate(cells):
        if not math.isnan(value):
            text = f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
            plot.text(column, row, text, ha="center", va="center", fontsize=8, color=INK)
    plot.set_xticks(range(len(cooldowns)), [f"{each:g}" for each in cooldowns], fontsize=8)
    plot.set_yticks(range(len(targets)), [f"{each:g}" for each in targets], fontsize=8)
    plot.set_xlabel(across, fontsize=9)
    plot.set_ylabel("target", fontsize=9)
    plot.grid(visible=False)
    return svg(figure)


def _missed(case: Case) -> float:
    return float(case.outcome.missed)


def _cost(case: Case) -> float:
    return case.outcome.instance_hours if case.cost is None else case.cost


def _place(case: Case) -> tuple[float, float]:
    return _cost(case), case.outcome.goal_latency


def _shown(case: Case) -> bool:
    return math.isfinite(case.outcome.goal_latency)


def _hours(minutes: int) -> Floats:
    return np.arange(minutes + 1, dtype=np.float64) / 60


def _grouped(at: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Steps: a value holds until the next. Of each group the largest; a group without any stays a gap."""
    values = np.where(np.isinf(values), math.nan, values)
    size = max(1, math.ceil(len(values) / POINTS))
    padded: NDArray[np.float64] = np.full(math.ceil(len(values) / size) * size, -math.inf)
    padded[: len(values)] = np.nan_to_num(values, nan=-math.inf)
    found = padded.reshape(-1, size).max(1)
    found[np.isneginf(found)] = math.nan
    starts = at[:-1:size]
    return np.append(starts, at[-1]), np.append(found, found[-1])


def _logarithmic(plot: Any) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    plot.set_yscale("log")
    low, high = plot.get_ylim()
    plot.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 2.0, 5.0), numticks=12))
    plot.yaxis.set_minor_locator(NullLocator())
    plot.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _wide(height: float, title: str) -> tuple[Any, Any]:
    """Axes at the same place in each, so that a minute stands below itself; legends are beside them."""
    figure, plot = axes(WIDE, height, title)
    plot.set_position((LEFT / WIDE, 0.5 / height, (WIDE - LEFT - RIGHT) / WIDE, (height - 0.8) / height))
    return figure, plot


def _done(figure: Any, plot: Any, minutes: int) -> Markup:
    plot.set_xlim(0, minutes / 60)
    plot.set_xlabel("hours", fontsize=9)
    plot.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return svg(figure, tight=False)
