"""The debugger report's plots over time: GPU, processors and the training loop, one below the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from markupsafe import Markup

from kennel.debugger.advice import LOW, Examined, utilisation
from kennel.debugger.profile import Floats
from kennel.debugger.profiler_rules import bottlenecks
from kennel.debugger.utilisation import Flags, Samples, stretches
from kennel.reports.debugger_plots import BAND, POINTS, WIDE, thinned
from kennel.reports.page import BLUE, INK, MUTED, svg


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
