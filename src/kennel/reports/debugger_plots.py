"""The debugger report's plots: losses, magnitudes per layer, utilisation. Each is bounded, however long the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from kennel.debugger.advice import LOW, Examined, utilisation
from kennel.debugger.profile import Floats
from kennel.debugger.profiler_rules import bottlenecks
from kennel.debugger.recorded import Loss, Tensors
from kennel.debugger.utilisation import Flags, Samples, stretches
from kennel.debugger.verdict import Verdict
from kennel.reports.page import BLUE, INK, MUTED, ORANGE, axes, svg

POINTS = 500
"""Of a line; more are averaged, since no screen shows them."""
ROWS = 60
"""Names beside a heat map; of more tensors every second, third … is named."""
BAD, BAND = "#b42318", "#fde2d0"
WIDE = 10.4
SAID: dict[str, Any] = {"fontsize": 8, "color": BAD, "parse_math": False}
"""A rule's name beside its mark. Names are never typeset: they are somebody else's."""


def losses(given: Sequence[Loss], verdicts: Sequence[Verdict]) -> Markup | None:
    """Losses over the training's own steps, with a line where a rule fired; of each validation its mean."""
    numbers = [each for each in given if math.isfinite(each.value)]
    if not numbers:
        return None
    figure, plot = axes(WIDE, 3.0, "loss")
    train = [each for each in numbers if each.phase == "train"]
    valid = _evaluations(train, [each for each in numbers if each.phase == "valid"])
    for label, points, colour in (
        ("train, batch by batch", [(each.own, each.value) for each in train], ORANGE),
        ("valid, each time's mean", valid, BLUE),
    ):
        if points:
            steps, values = np.array(points, np.float64).T
            marker = "o" if len(points) < (40 if colour == BLUE else 4) else None
            plot.plot(*thinned(steps, values), color=colour, label=label, linewidth=1.3, marker=marker, markersize=3)
    broken = [each.own for each in given if not math.isfinite(each.value) and each.phase == "train"]
    if broken:
        plot.plot(broken[:POINTS], [plot.get_ylim()[0]] * len(broken[:POINTS]), "x", color=BAD, label="no number")
    values = np.array([each.value for each in numbers])
    if values.min() > 0 and values.max() > 50 * values.min():
        plot.set_yscale("log")
    _mark(plot, verdicts)
    plot.set_xlabel("training step", fontsize=9)
    plot.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    plot.legend(fontsize=8, frameon=False, loc="upper right")
    return svg(figure)


def _evaluations(train: Sequence[Loss], valid: Sequence[Loss]) -> list[tuple[int, float]]:
    """(training step, mean loss) of each validation: the batches between two steps of training are one."""
    if not train:
        return [(each.own, each.value) for each in valid]
    before = np.searchsorted([each.step for each in train], [each.step for each in valid])
    groups: dict[int, list[float]] = {}
    for number, each in zip(before, valid, strict=True):
        groups.setdefault(train[max(0, int(number) - 1)].own, []).append(each.value)
    return [(own, sum(found) / len(found)) for own, found in groups.items()]


def magnitudes(title: str, given: Tensors, verdicts: Sequence[Verdict]) -> Markup | None:
    """A heat map: a row a tensor, in the network's order; colour is log10 of the mean absolute value."""
    names = [name for name, found in given.items() if found]
    if not names:
        return None
    steps = sorted({each.own for name in names for each in given[name]})
    columns = _columns(steps)
    cells = np.full((len(names), len(columns)), np.nan)
    broken: list[tuple[int, int]] = []
    for row, name in enumerate(names):
        for each in given[name]:
            column = int(np.searchsorted(columns, each.own, side="right")) - 1
            if not each.finite or not math.isfinite(each.mean_abs):
                broken.append((column, row))
            elif each.mean_abs > 0:
                cells[row, column] = math.log10(each.mean_abs)
            else:
                cells[row, column] = -math.inf
    return _heat(title, names, columns, cells, broken, verdicts)


def _heat(
    title: str,
    names: Sequence[str],
    columns: Floats,
    cells: Floats,
    broken: Sequence[tuple[int, int]],
    verdicts: Sequence[Verdict],
) -> Markup:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, plot = axes(WIDE - 1.2, min(7.0, 1.1 + 0.2 * max(2, len(names))), title)
    finite = cells[np.isfinite(cells)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
    look = colormaps["viridis"].with_extremes(bad="#e5e7eb", under="#000000")
    low, high = (low - 0.5, high + 0.5) if high - low < 0.5 else (low, high)
    cells = np.where(np.isneginf(cells), low - 1, cells)
    picture = plot.imshow(cells, aspect="auto", cmap=look, vmin=low, vmax=high, interpolation="nearest")
    if broken:
        plot.plot(*zip(*broken[:POINTS], strict=True), "x", color=BAD, markersize=5, label="not all numbers")
        plot.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    every = -(-len(names) // ROWS)
    plot.set_yticks(
        range(0, len(names), every), [_short(name) for name in names[::every]], fontsize=7, parse_math=False
    )
    ticks = np.unique(np.linspace(0, len(columns) - 1, min(8, len(columns))).round().astype(int))
    plot.set_xticks(ticks, [f"{columns[tick]:g}" for tick in ticks])
    plot.set_xlabel("training step", fontsize=9)
    plot.grid(visible=False)
    for each in verdicts:
        if each.fired and each.evidence and each.evidence.step is not None and each.evidence.subject in names:
            column = int(np.searchsorted(columns, each.evidence.step, side="right")) - 1
            row = names.index(each.evidence.subject)
            plot.plot(max(0, column), row, "o", markerfacecolor="none", markeredgecolor=BAD, markersize=11)
            plot.annotate(each.rule, (max(0, column), row), (8, 5), textcoords="offset points", **SAID)
    bar = figure.colorbar(picture, ax=plot, fraction=0.025, pad=0.015, aspect=60, ticks=MaxNLocator(6))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value:.2g}")
    bar.ax.tick_params(labelsize=8)
    return svg(figure)


def use(found: Examined, start: float) -> Markup | None:
    """A node's GPU, its processors and its training loop over time, one below the other; what is wrong is marked."""
    at = found.at
    if len(at.times) < 2:
        return None
    from matplotlib.figure import Figure

    rows: list[Callable[[Any, Examined, Floats], None]] = [_gpus] if at.gpus else []
    rows += [_processors, *([_loop] if found.did else [])]
    figure = Figure(figsize=(WIDE, 1.55 * len(rows) + 0.4))
    plots = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    minutes = at.times[-1] - start > 600
    seconds = (at.times - start) / (60.0 if minutes else 1.0)
    for plot, row in zip(plots, rows, strict=True):
        _calm(plot)
        row(plot, found, seconds)
        legend = plot.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.05))
        for text in legend.get_texts():
            text.set_parse_math(False)
    plots[-1].set_xlabel(f"{'minutes' if minutes else 'seconds'} since the first sample", fontsize=9)
    plots[-1].set_xlim(0, float(seconds[-1]))
    return svg(figure)


def _gpus(plot: Any, found: Examined, seconds: Floats) -> None:
    _bands(plot, found.at, seconds, utilisation(found.at)[1] < LOW, f"GPU below {LOW} %")
    for number, name in enumerate(found.at.gpus[:8]):
        plot.plot(*thinned(seconds, found.at.gpu[:, number]), linewidth=1.1, label=name)
    plot.set_ylabel("GPU, %", fontsize=9)


def _processors(plot: Any, found: Examined, seconds: Floats) -> None:
    """The mean over the cores, and the busiest core of each moment."""
    cpu = found.at.cpu
    busy, starved = bottlenecks(found.at)
    label = "a core above 90 %,\na GPU below 10 %" if found.at.gpus else "a core above 90 %"
    _bands(plot, found.at, seconds, busy & starved if found.at.gpus else busy, label)
    there = np.isfinite(cpu)
    counts = there.sum(1)
    mean = np.where(counts > 0, np.where(there, cpu, 0).sum(1) / np.maximum(counts, 1), np.nan)
    busiest = np.where(counts > 0, np.where(there, cpu, -1.0).max(1, initial=-1.0), np.nan)
    if cpu.shape[1] > 1:
        plot.plot(*thinned(seconds, busiest), color=MUTED, linewidth=0.9, label="busiest core")
    plot.plot(*thinned(seconds, mean), color=BLUE, linewidth=1.3, label=f"mean of {cpu.shape[1]}")
    plot.set_ylabel("CPU, %", fontsize=9)


def _loop(plot: Any, found: Examined, seconds: Floats) -> None:
    """What the training loop did, in the colours of the bars."""
    if (did := found.did) is not None:
        shares = [thinned(seconds, 100 * each) for each in (did.waiting, did.training, did.validating)]
        names = ("waiting for data", "training", "validating")
        plot.stackplot(
            shares[0][0], *(share for _, share in shares), labels=names, colors=("#f59e0b", BLUE, "#93c5fd"),
            linewidth=0,
        )  # fmt: skip
        plot.set_ylabel("loop, %", fontsize=9)


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


def _columns(steps: Sequence[int]) -> Floats:
    """The first step of each column."""
    every = -(-len(steps) // POINTS)
    return np.array(steps[::every], np.float64)


def _mark(plot: Any, verdicts: Sequence[Verdict]) -> None:
    """A line where a rule fired; rules that fired at one step share theirs."""
    fired: dict[int, list[str]] = {}
    for each in verdicts:
        if each.fired and each.evidence and each.evidence.step is not None:
            fired.setdefault(each.evidence.step, []).append(each.rule)
    for number, (step, rules) in enumerate(sorted(fired.items())):
        plot.axvline(step, color=BAD, linewidth=1, linestyle="--")
        plot.annotate(
            f" {', '.join(rules)}", (step, 0.97 - 0.09 * (number % 4)), xycoords=("data", "axes fraction"), va="top",
            **SAID,
        )  # fmt: skip


def _bands(plot: Any, at: Samples, seconds: Floats, mask: Flags, label: str) -> None:
    """Where the mask holds; gaps too narrow to be seen are closed."""
    scale = (seconds[-1] - seconds[0]) / max(at.times[-1] - at.times[0], 1e-9)
    offset = seconds[0] - at.times[0] * scale
    spans: list[list[float]] = []
    for begun, ended in stretches(at, mask):
        if spans and begun - spans[-1][1] < (at.times[-1] - at.times[0]) / POINTS:
            spans[-1][1] = ended
        else:
            spans.append([begun, ended])
    if spans:
        widths = [(begun * scale + offset, (ended - begun) * scale) for begun, ended in spans]
        plot.broken_barh(widths, (0, 105), color=BAND, label=label, zorder=0)


def _calm(plot: Any) -> None:
    plot.set_ylim(0, 105)
    plot.set_yticks([0, 50, 100])
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    plot.tick_params(labelsize=9, colors=INK)


def _short(name: str) -> str:
    """The end of a long name says which layer it is."""
    return name if len(name) <= 34 else f"…{name[-33:]}"
