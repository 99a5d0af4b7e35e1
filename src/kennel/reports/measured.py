"""The page of a measurement: latency by rate, the knee, and the target that follows from it."""

from __future__ import annotations

from markupsafe import Markup

from kennel.capacity.measured import SAFETY, Measured
from kennel.reports.page import BLUE, INK, MUTED, ORANGE, axes, render, svg

BAD = "#b42318"


def page(measured: Measured, safety: float = SAFETY) -> str:
    """The page as HTML."""
    return render(
        "measured.html",
        measured=measured,
        service=measured.service,
        safety=safety,
        target=measured.target(safety),
        said=sentences(measured, safety),
        plot=plot(measured) if measured.steps else None,
        ms=ms,
    )


def sentences(measured: Measured, safety: float = SAFETY) -> str:
    """The measurement in a few sentences."""
    service, target = measured.service, measured.target(safety)
    goal = f"p99 within {measured.goal_ms:g} ms"
    alone = sum(measured.alone_ms[4:6]) / 2
    said = [
        f"An instance answers {measured.most_per_s:.1f} a second at most; alone, one takes {alone:.1f} ms (median)."
    ]
    if measured.knee_per_s is None or target is None:
        said.append(f"No rate that was tried meets the goal ({goal}).")
    else:
        said.append(f"The knee is at {measured.knee_per_s:.1f} a second: the highest rate with {goal}.")
        said.append(f"AWS's rule makes that a target of {target:.0f} a minute (× {safety:g} × 60).")
    if measured.steps and not measured.found:
        said.append("No higher rate was tried that misses it, so the knee may lie higher.")
    if not measured.complete:
        said.append("The measurement was ended before its time.")
    said.append(
        f"It is as if {service.at_a_time} requests were worked on at a time, {service.mean_s * 1000:.1f} ms each."
    )
    return " ".join(said)


def plot(measured: Measured) -> Markup:
    figure, found = axes(8.6, 3.6, "milliseconds until the answer, by rate (log scale)")
    shown = [each for each in measured.steps if each.p99_ms is not None]
    for name, colour in (("p50_ms", MUTED), ("p95_ms", BLUE), ("p99_ms", ORANGE)):
        points = [(each.rate, getattr(each, name)) for each in shown]
        found.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=name.removesuffix("_ms"))
    missed = [(each.rate, each.p99_ms) for each in shown if not each.meets]
    if missed:
        found.plot(*zip(*missed, strict=True), "x", color=BAD, markersize=8, label="misses the goal")
    found.axhline(measured.goal_ms, color=BAD, linewidth=1, linestyle="--", label="goal")
    for at, label, colour in ((measured.knee_per_s, "knee", INK), (measured.most_per_s, "at most", MUTED)):
        if at is not None:
            found.axvline(at, color=colour, linewidth=1, linestyle=":", label=f"{label}: {at:.1f}")
    found.set_yscale("log")
    found.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    found.yaxis.set_minor_formatter(lambda *_: "")
    found.set_xlim(left=0)
    found.set_xlabel("requests a second", fontsize=9)
    found.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return svg(figure)


def ms(value: float | None) -> str:
    """`63.2`, `1204`; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"
