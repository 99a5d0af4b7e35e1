"""The debugger report's plots over training steps: losses, magnitudes layer by layer. Each is bounded, however long the
run, and all share one linear axis, so that a step stands below itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from kennel.debugger.profile import Floats
from kennel.debugger.recorded import Loss, Recorded, Statistics, Tensors
from kennel.debugger.rules import Evaluation, evaluations
from kennel.debugger.verdict import Verdict
from kennel.reports.page import BLUE, INK, ORANGE, axes, svg

POINTS = 500
"""Of a line; more are averaged, since no screen shows them."""
ROWS = 60
"""Names beside a heat map; of more tensors every second, third … is named."""
LINES = 3
"""So many tensors are lines; more are a heat map."""
BAD, BAND, PALE = "#b42318", "#fde2d0", "#fdba8c"
COLOURS = (BLUE, ORANGE, "#059669")
WIDE, RIGHT = 10.4, 2.0
"""Inches: a plot's width, and what of it is for legends and colour bars, where they hide nothing."""
BOX = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
SAID: dict[str, Any] = {"fontsize": 8, "color": BAD, "parse_math": False, "bbox": BOX, "zorder": 5}
"""A rule's name beside its mark. Names are never typeset: they are somebody else's."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the plots share. end: the first step that is no more; left: inches before the axis, for names."""

    end: int
    left: float


def frame(recorded: Recorded) -> Frame:
    """Wide enough for all that is recorded."""
    losses = [each for each in recorded.losses if each.phase == "train"] or recorded.losses
    tensors = [_there(recorded.gradients), _there(recorded.weights)]
    own = [each.own for each in losses]
    own += [found[-1].own for given in tensors for found in given.values()]
    named = [_short(name) for given in tensors if len(given) > LINES for name in given]
    return Frame(max(own, default=0) + 1, max(0.7, 0.35 + 0.058 * max(map(len, named), default=0)))


def best(points: Sequence[Evaluation]) -> Evaluation | None:
    """The one with the lowest validation loss, the first of several."""
    return min(points, key=lambda each: each.valid, default=None)


def losses(recorded: Recorded, verdicts: Sequence[Verdict], at: Frame) -> Markup | None:
    """Batch by batch, and of each evaluation the two means that Overfit compares; the best, and where a rule fired."""
    numbers = [each for each in recorded.losses if math.isfinite(each.value)]
    if not numbers:
        return None
    points = evaluations(recorded)
    values = np.array([each.value for each in numbers])
    logarithmic = bool(values.min() > 0 and values.max() > 50 * values.min())
    figure, plot = _axes(at, 3.3, f"loss ({'log' if logarithmic else 'linear'} scale)")
    if logarithmic:
        _logarithmic(plot, values)
    _batches(plot, numbers, bare=not points)
    for label, means, colour in (
        ("train, mean since the\nevaluation before", [each.train for each in points], ORANGE),
        ("valid, mean of each\nevaluation", [each.valid for each in points], BLUE),
    ):
        if points:
            steps = np.array([each.own for each in points], np.float64)
            marker = "o" if len(points) < 40 else None
            line = thinned(steps, np.array(means))
            plot.plot(*line, color=colour, label=label, linewidth=1.4, marker=marker, markersize=3.5)
    broken = [each.own for each in recorded.losses if not math.isfinite(each.value) and each.phase == "train"]
    _edge(plot, broken, "x", BAD, "no number")
    _mark(plot, verdicts, at)
    _best(plot, points, at)
    return _done(figure, plot)


def _batches(plot: Any, numbers: Sequence[Loss], bare: bool) -> None:
    """Training's losses one by one; validation's too, where there is no evaluation to average them."""
    for phase, colour in (("train", PALE), *((("valid", BLUE),) if bare else ())):
        chosen = [(each.own, each.value) for each in numbers if each.phase == phase]
        if chosen:
            marker = "o" if len(chosen) < 4 else None
            line = thinned(*np.array(chosen, np.float64).T)
            plot.plot(*line, color=colour, label=f"{phase}, batch by batch", linewidth=1, marker=marker, markersize=3)


def _best(plot: Any, points: Sequence[Evaluation], at: Frame) -> None:
    if (found := best(points)) is None:
        return
    plot.plot(found.own, found.valid, "o", markerfacecolor="white", markeredgecolor=BLUE, markersize=8, zorder=4)
    look = SAID | {"color": BLUE}
    _label(plot, f"best {found.valid:.4g}", (found.own, found.valid), at, 12, look)


def magnitudes(what: str, given: Tensors, verdicts: Sequence[Verdict], at: Frame) -> Markup | None:
    """Mean absolute values: a few tensors as lines, more as a heat map."""
    there = _there(given)
    if not there:
        return None
    return (_lines if len(there) <= LINES else _heat)(what, there, verdicts, at)


def _lines(what: str, given: Tensors, verdicts: Sequence[Verdict], at: Frame) -> Markup:
    figure, plot = _axes(at, 2.5, f"{what}: mean absolute value (log scale)")
    there = np.array([each.mean_abs for found in given.values() for each in found if _shown(each)])
    if len(there):
        _logarithmic(plot, there)
    for (name, found), colour in zip(given.items(), COLOURS, strict=False):
        values = np.array([each.mean_abs if _shown(each) else math.nan for each in found])
        line = thinned(np.array([each.own for each in found], np.float64), values)
        marker = "o" if len(found) < 40 else None
        plot.plot(*line, color=colour, label=_short(name, 26), linewidth=1.3, marker=marker, markersize=3)
    every = [each for found in given.values() for each in found]
    _edge(plot, [each.own for each in every if not _number(each)], "x", BAD, "not all numbers")
    _edge(plot, [each.own for each in every if each.mean_abs == 0], "v", INK, "exactly zero")
    for each in _fired_on(given, verdicts):
        plot.plot(each[0], each[2], "o", **_ring())
        _label(plot, each[3], (each[0], each[2]), at, 8, SAID)
    return _done(figure, plot)


def _heat(what: str, given: Tensors, verdicts: Sequence[Verdict], at: Frame) -> Markup:
    """A row a tensor, in the network's order; colour is log10 of the mean absolute value."""
    from matplotlib import colormaps

    names = list(given)
    title = f"{what}: mean absolute value (colour on a log scale)"
    figure, plot = _axes(at, min(7.0, 1.1 + 0.2 * max(4, len(names))), title)
    cells = _cells(given, at)
    finite = cells[np.isfinite(cells)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
    low, high = (low - 0.5, high + 0.5) if high - low < 0.5 else (low, high)
    cells = np.where(np.isneginf(cells), low - 1, cells)
    look = colormaps["viridis"].with_extremes(bad="#e5e7eb", under="#000000")
    picture = plot.imshow(
        cells, aspect="auto", cmap=look, vmin=low, vmax=high, interpolation="nearest",
        extent=(0, at.end, len(names) - 0.5, -0.5),
    )  # fmt: skip
    _bar(figure, picture, at)
    plot.set_xlim(*_limits(at))
    every = -(-len(names) // ROWS)
    rows = range(0, len(names), every)
    plot.set_yticks(rows, [_short(name) for name in names[::every]], fontsize=7, parse_math=False)
    plot.grid(visible=False)
    broken = [(each.own, row) for row, found in enumerate(given.values()) for each in found if not _number(each)]
    if broken:
        plot.plot(*zip(*broken[:POINTS], strict=True), "x", color=BAD, markersize=5, label="not all numbers")
        plot.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    for each in _fired_on(given, verdicts):
        plot.plot(each[0], each[1], "o", **_ring())
        _label(plot, each[3], (each[0], each[1]), at, 6, SAID)
    return svg(figure, tight=False)


def _cells(given: Tensors, at: Frame) -> Floats:
    """[tensors, columns] evenly over the steps: what was recorded holds until the next that was. NaN: not recorded."""
    steps = sorted({each.own for found in given.values() for each in found})
    columns = min(POINTS, at.end)
    middles = (np.arange(columns) + 0.5) * at.end / columns
    chosen = np.searchsorted(steps, middles, side="right") - 1
    cells = np.full((len(given), columns), np.nan)
    for row, found in enumerate(given.values()):
        values = {each.own: _log(each) for each in found}
        cells[row] = [values.get(steps[number], math.nan) if number >= 0 else math.nan for number in chosen]
    return cells


def _bar(figure: Any, picture: Any, at: Frame) -> None:
    from matplotlib.ticker import MaxNLocator

    place = figure.axes[0].get_position()
    beside = figure.add_axes((1 - (RIGHT - 0.15) / WIDE, place.y0, 0.22 / WIDE, place.height))
    bar = figure.colorbar(picture, cax=beside, ticks=MaxNLocator(5))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value:.2g}")
    bar.ax.tick_params(labelsize=8)


def _fired_on(given: Tensors, verdicts: Sequence[Verdict]) -> list[tuple[int, int, float, str]]:
    """(step, row, value, rule) of those that were found in one of these tensors."""
    names, found = list(given), []
    for each in verdicts:
        evidence = each.evidence
        if each.fired and evidence and evidence.step is not None and evidence.subject in given:
            found.append((evidence.step, names.index(evidence.subject), evidence.value, each.rule))
    return found


def _mark(plot: Any, verdicts: Sequence[Verdict], at: Frame) -> None:
    """A line where a rule fired; rules that fired at one step share theirs."""
    fired: dict[int, list[str]] = {}
    for each in verdicts:
        if each.fired and each.evidence and each.evidence.step is not None:
            fired.setdefault(each.evidence.step, []).append(each.rule)
    for number, (step, rules) in enumerate(sorted(fired.items())):
        plot.axvline(step, color=BAD, linewidth=1, linestyle="--")
        height = 0.95 - 0.09 * (number % 4)
        _label(plot, ", ".join(rules), (step, height), at, 0, SAID | {"va": "center"}, ("data", "axes fraction"))


def _label(
    plot: Any, text: str, where: tuple[float, float], at: Frame, up: float, look: dict[str, Any], given: Any = "data"
) -> None:
    """Beside its mark, on the side that has room."""
    right = where[0] < 0.7 * at.end
    place = {"xytext": (7 if right else -7, up), "ha": "left" if right else "right", "textcoords": "offset points"}
    plot.annotate(text, where, xycoords=given, **place, **look)


def _edge(plot: Any, steps: Sequence[int], marker: str, colour: str, label: str) -> None:
    """Marks at the lower edge: of what has no place on the axis."""
    if steps:
        chosen = steps[:POINTS]
        plot.plot(
            chosen, [0.03] * len(chosen), marker, color=colour, label=label, markersize=5, linestyle="none",
            transform=plot.get_xaxis_transform(),
        )  # fmt: skip


def _axes(at: Frame, height: float, title: str) -> tuple[Any, Any]:
    figure, plot = axes(WIDE, height, title)
    plot.set_position((at.left / WIDE, 0.55 / height, (WIDE - at.left - RIGHT) / WIDE, (height - 0.9) / height))
    plot.set_xlim(*_limits(at))
    plot.set_xlabel("training step", fontsize=9)
    plot.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure, plot


def _logarithmic(plot: Any, values: Floats) -> None:
    """Within a factor of ten evenly spaced ticks, since hardly a power of ten is there."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    plot.set_yscale("log")
    narrow = values.max() < 10 * values.min()
    plot.yaxis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(numticks=7))
    plot.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    if narrow:
        plot.yaxis.set_minor_locator(NullLocator())
    plot.yaxis.set_minor_formatter(lambda *_: "")


def _limits(at: Frame) -> tuple[float, float]:
    return -0.01 * at.end, 1.01 * at.end


def _done(figure: Any, plot: Any) -> Markup:
    legend = plot.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return svg(figure, tight=False)


def _ring() -> dict[str, Any]:
    return {"markerfacecolor": "none", "markeredgecolor": BAD, "markersize": 11}


def _there(given: Tensors) -> dict[str, tuple[Statistics, ...]]:
    return {name: found for name, found in given.items() if found}


def _number(each: Statistics) -> bool:
    return each.finite and math.isfinite(each.mean_abs)


def _shown(each: Statistics) -> bool:
    """Whether it has a place on a logarithmic axis."""
    return _number(each) and each.mean_abs > 0


def _log(each: Statistics) -> float:
    if not _number(each):
        return math.nan
    return math.log10(each.mean_abs) if each.mean_abs > 0 else -math.inf


def thinned(at: Floats, values: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """At most so many points: means of neighbours. A group without any value stays a gap."""
    if len(at) <= points:
        return at, values
    groups = np.minimum((np.arange(len(at)) * points) // len(at), points - 1)
    there = np.isfinite(values)
    counts = np.bincount(groups[there], minlength=points)
    sums = np.bincount(groups[there], weights=values[there], minlength=points)
    middles = np.bincount(groups, weights=at, minlength=points) / np.bincount(groups, minlength=points)
    return middles, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _short(name: str, most: int = 34) -> str:
    """The end of a long name says which layer it is."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
