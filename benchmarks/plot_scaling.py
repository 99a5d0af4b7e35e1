"""What is said of scaling, tried: does a longer scale-in cooldown prevent flapping, does a low target scale early?

Makes the plots of docs/scaling.md and prints the figures beside them. Nothing is measured: it is all simulation, the
same on every machine, with an instance that works 60 ms on a request, two at a time, and starts in 5 minutes.

    python benchmarks/plot_scaling.py [--out docs/scaling]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kennel.capacity.outcome import Goal, Latencies
from kennel.capacity.scaled import Front, World
from kennel.capacity.service import Service
from kennel.capacity.sweep import Case, Setting, simulate
from kennel.capacity.traffic import DAY, Trace, Wanted, drawn
from kennel.reports.page import BLUE, INK, MUTED, ORANGE, axes, svg

WORLD = World(Service.lognormal(0.06, 0.2, 2), front=Front())
HOURLY = 0.115
GREEN = "#059669"
COOLDOWNS = (0, 60, 300, 600, 900, 1800, 3600)
ON_OFF = ((30, 10), (45, 15), (60, 10))
"""Minutes: from one busy time to the next, and how long it is."""
USES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5)
TARGETS = (25, 50, 100, 200, 400, 600, 800, 1000, 1200, 1500)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path("docs/scaling"))
    out = arguments.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, plot in (("cooldown", cooldowns()), ("noise", noise()), ("early", early())):
        (out / f"{name}.svg").write_text(plot)


def cooldowns() -> str:
    """Busy and quiet times in turn: what a longer scale-in cooldown changes."""
    show("scale-in cooldown, 25/180/…, 24 h", "on-off", "cooldown", [
        (f"{period} min, {length} busy", f"{each} s", tell(busy(period, length), Setting(25, 180, each)))
        for period, length in ON_OFF for each in COOLDOWNS
    ])  # fmt: skip
    figure, plot = axes(9, 2.8, "instances: 10 of every 30 minutes busy (200 requests a minute, else 5)")
    for each, colour in ((0, MUTED), (300, BLUE), (3600, ORANGE)):
        counts = tell(busy(30, 10), Setting(25, 180, each)).outcome.course.wanted[: 4 * 60]
        shift = {0: -0.04, 300: 0.0, 3600: 0.04}[each]
        plot.step([m / 60 for m in range(len(counts))], counts + shift, where="post", color=colour, label=f"{each} s")
    return done(figure, plot, "hours", "scale-in cooldown")


def noise() -> str:
    """Steady traffic around a target: turns that chance alone makes."""
    figure, plot = axes(9, 3.0, "changes of direction a week, steady traffic (3 instances at most)")
    rows = []
    for target, colour in ((25, ORANGE), (100, BLUE), (900, GREEN)):
        found = [tell(steady(target * use), Setting(target, 180, 300)) for use in USES]
        rows += [(f"{target}", f"{use:.0%}", each) for use, each in zip(USES, found, strict=True)]
        turns = [each.outcome.flaps for each in found]
        plot.plot([100 * each for each in USES], turns, color=colour, marker="o", markersize=4, label=f"{target}")
    show("steady traffic, …/180/300, a week", "target", "traffic", rows)
    return done(figure, plot, "traffic of one instance in percent of the target", "target")


def early() -> str:
    """A jump and a climb to 5000 a minute, from idle: who is ready when it counts, and at what price."""
    figure, plot = axes(9, 3.0, "requests that fail, by target (5 000 a minute at the peak, 3 instances can do 6 000)")
    kinds = {
        "jump": (Wanted("spike", 10, 5000, start=60, length=60, minutes=240), INK),
        "climb in 15 min": (Wanted("ramp", 10, 5000, start=60, length=15, minutes=240), ORANGE),
        "climb in 30 min": (Wanted("ramp", 10, 5000, start=60, length=30, minutes=240), BLUE),
        "climb in 2 h": (Wanted("ramp", 10, 5000, start=60, length=120, minutes=240), GREEN),
    }
    rows = []
    for name, (wanted, colour) in kinds.items():
        trace = drawn(wanted, 1)
        found = [tell(trace, Setting(each, 180, 300)) for each in TARGETS]
        rows += [(name, f"{target}", each) for target, each in zip(TARGETS, found, strict=True)]
        share = [100 * each.outcome.failed_count / trace.counts.sum() for each in found]
        plot.plot(TARGETS, share, color=colour, marker="o", markersize=4, label=name)
    show("from 10 a minute to 5000, …/180/300, 4 h", "traffic", "target", rows)
    plot.set_xscale("log")
    plot.set_xticks(TARGETS, [f"{each}" for each in TARGETS])
    plot.minorticks_off()
    plot.set_ylabel("percent of all", fontsize=9)
    return done(figure, plot, "target (log scale)", "traffic")


def busy(period: int, length: int) -> Trace:
    return drawn(Wanted("on-off", 5, 200, length=length, period=period, minutes=DAY), 1)


def steady(rate: float) -> Trace:
    return drawn(Wanted("steady", rate, minutes=7 * DAY), 1)


def tell(trace: Trace, setting: Setting) -> Case:
    return simulate(trace, setting, (1, 3), Latencies(trace, WORLD, Goal()), HOURLY)


def show(title: str, first: str, second: str, rows: Iterable[tuple[str, str, Case]]) -> None:
    table = Table(first, second, "changes", "turns", "instance h", "USD", "minutes above 500 ms", "failed", title=title)
    for one, two, case in rows:
        found = case.outcome
        figures: Sequence[Any] = (len(found.course.changes), found.flaps, f"{found.instance_hours:.1f}")
        more = f"{case.cost or 0:.2f}", found.missed, f"{found.failed_count:.0f}"
        table.add_row(one, two, *map(str, (*figures, *more)))
    Console(width=120).print(table)


def done(figure: Any, plot: Any, across: str, legend: str) -> str:
    plot.set_xlabel(across, fontsize=9)
    plot.legend(title=legend, title_fontsize=8, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    figure.patch.set_facecolor("white")
    text = str(svg(figure)).replace("<svg ", '<svg style="background: white" ', 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}'


if __name__ == "__main__":
    main()
