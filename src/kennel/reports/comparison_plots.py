"""The comparison's plots: phases as bars on one time axis, and how busy both machines were, one axis a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kennel.comparison.recorded import PHASES, PhaseName, Recorded, Utilisation, Way
from kennel.reports.page import BLUE, INK, ORANGE, svg

COLOURS: dict[PhaseName, str] = {
    "provision": "#94a3b8", "pull": "#7c3aed", "data": "#d97706", "train": "#2563eb", "upload": "#059669",
    "other": "#cbd5e1",
}  # fmt: skip
LINES: dict[Way, tuple[str, str, str]] = {"sagemaker": ("SageMaker", BLUE, "-"), "ec2": ("by hand", ORANGE, "--")}
"""Name, colour, and a stroke, for whoever does not tell the colours apart."""
WIDE = 10.4
"""Inches, as wide as the page."""
NARROW, ROOMY = 0.035, 0.12
"""Parts of the axis; a bar that is shorter has no room for its seconds, or for its name too."""


def bars(runs: Sequence[Recorded]) -> Markup | None:
    """A bar a run, phases in their order; None where nothing is told."""
    longest = max((run.phases.total for run in runs), default=0.0)
    if longest <= 0:
        return None
    figure, plot = _figure(0.72 * len(runs) + 1.05)
    for row, run in enumerate(reversed(runs)):
        _bar(plot, row, run, longest)
    plot.set_yticks(range(len(runs)), [LINES[run.way][0] for run in reversed(runs)], fontsize=10.5, color=INK)
    plot.set_xlim(0, longest * 1.02)
    plot.set_xlabel("seconds since the request, or the launch (phases one after the other)", fontsize=9, color=INK)
    _legend(plot, runs)
    return svg(figure)


def use(runs: Sequence[Recorded]) -> Markup | None:
    """CPU, GPU and memory over time, both runs on one axis each; None where nothing was sampled."""
    there = [(run.way, run.utilisation) for run in runs if run.utilisation and len(run.utilisation.series) > 1]
    rows = [name for name in ("cpu", "gpu", "memory") if any(_column(found, name) for _, found in there)]
    if not rows:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, 1.5 * len(rows) + 0.5))
    plots = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for plot, name in zip(plots, rows, strict=True):
        for way, found in there:
            points = _column(found, name)
            if points:
                label, colour, stroke = LINES[way]
                plot.plot(*zip(*points, strict=True), color=colour, linestyle=stroke, linewidth=1.3, label=label)
        _calm(plot)
        plot.set_ylabel({"cpu": "CPU, %", "gpu": "GPU, %", "memory": "memory, %"}[name], fontsize=9, color=INK)
    plots[0].legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    plots[-1].set_xlabel("seconds since the first sample", fontsize=9, color=INK)
    return svg(figure)


def _bar(plot: Any, row: int, run: Recorded, longest: float) -> None:
    left = 0.0
    for name in PHASES:
        width = run.phases.of(name) or 0.0
        if width <= 0:
            continue
        plot.barh(row, width, left=left, height=0.55, color=COLOURS[name], edgecolor="white", linewidth=0.8)
        if width > NARROW * longest:
            colour = INK if name in ("other", "provision") else "white"
            text = f"{name} {width:.0f} s" if width > ROOMY * longest else f"{width:.0f}"
            plot.text(left + width / 2, row, text, ha="center", va="center", fontsize=9.5, color=colour)
        left += width


def _legend(plot: Any, runs: Sequence[Recorded]) -> None:
    """Every phase that some run tells, above the bars."""
    from matplotlib.patches import Patch

    told = [name for name in PHASES if any(run.phases.of(name) for run in runs)]
    handles = [Patch(facecolor=COLOURS[name], label=name) for name in told]
    plot.legend(
        handles=handles, fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=6,
        handlelength=1.1, columnspacing=1.3, borderaxespad=0.2,
    )  # fmt: skip


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, height))
    plot = figure.add_subplot()
    plot.spines[["top", "right", "left"]].set_visible(False)
    plot.grid(axis="x", color="#e5e7eb", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.tick_params(labelsize=9, colors=INK, left=False)
    return figure, plot


def _column(found: Utilisation, name: str) -> list[tuple[float, float]]:
    values = [(each.at, getattr(each, name)) for each in found.series]
    return [(when, value) for when, value in values if value is not None]


def _calm(plot: Any) -> None:
    plot.set_ylim(0, 105)
    plot.set_xlim(left=0)
    plot.set_yticks([0, 50, 100])
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    plot.tick_params(labelsize=9, colors=INK)
