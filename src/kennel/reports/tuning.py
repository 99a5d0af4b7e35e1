"""The page of a tuning job: what was tried, what came of it, which one is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from kennel.reports.page import BLUE, INK, MUTED, ORANGE, axes, render, svg

Direction = Literal["Maximize", "Minimize"]
COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#ca8a04", "#0891b2")
SERIES = "batch_size"
"""The hyperparameter that colours the points; learning_rate is where they stand."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A training job of the tuning job. status: SageMaker's; objective: None where there is none (failed, say)."""

    name: str
    status: str
    hyperparameters: Mapping[str, str]
    objective: float | None
    seconds: float | None

    @property
    def outcome(self) -> str:
        """The status as a person would say it."""
        return {"Completed": "completed", "Stopped": "stopped early", "Failed": "failed"}.get(self.status, self.status)


def page(
    name: str,
    trials: Sequence[Trial],
    best: str | None,
    objective: str,
    direction: Direction,
    seconds: float | None = None,
) -> str:
    """The page as HTML. trials: in the order they were started; best: a trial's name; seconds: of the tuning job."""
    winner = next((each for each in trials if each.name == best), None)
    return render(
        "tuning.html",
        name=name,
        trials=trials,
        best=winner,
        objective=objective,
        summary=summary(trials, winner, objective, direction, seconds),
        counts=_counts(trials),
        names=sorted({key for each in trials for key in each.hyperparameters}),
        plots=_plots(trials, winner, objective, direction),
        duration=duration,
        shown=shown,
    )


def summary(
    trials: Sequence[Trial], best: Trial | None, objective: str, direction: Direction, seconds: float | None
) -> str:
    """The page in a few sentences."""
    took = f" in {duration(seconds)}" if seconds is not None else ""
    said = [f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}{took}."]
    values = [each.objective for each in trials if each.objective is not None]
    if best is None or best.objective is None:
        return " ".join([*said, f"None of them has a value of {objective}, so there is no best one."])
    worst = min(values) if direction == "Maximize" else max(values)
    settings = ", ".join(f"{key} {shown(value)}" for key, value in sorted(best.hyperparameters.items()))
    said.append(f"The best {objective} is {best.objective:.4f}" + (f", with {settings}." if settings else "."))
    if len(values) > 1:
        said.append(f"Values lie between {min(best.objective, worst):.4f} and {max(best.objective, worst):.4f}.")
    return " ".join(said)


def best_so_far(trials: Sequence[Trial], direction: Direction) -> list[float | None]:
    """After each trial, the best objective until then."""
    better = max if direction == "Maximize" else min
    found: float | None = None
    line = []
    for each in trials:
        if each.objective is not None:
            found = each.objective if found is None else better(found, each.objective)
        line.append(found)
    return line


def duration(seconds: float | None) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`; a dash for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def shown(value: str) -> str:
    """A hyperparameter's value; long numbers with four digits that matter."""
    number = _number(value)
    return value if number is None or len(value) <= 6 else f"{number:.4g}"


def _counts(trials: Sequence[Trial]) -> list[tuple[int, str]]:
    """How many ended how, the usual ends first."""
    order = ["completed", "stopped early", "failed"]
    outcomes = sorted({each.outcome for each in trials} - set(order))
    counts = [(sum(each.outcome == outcome for each in trials), outcome) for outcome in [*order, *outcomes]]
    return [each for each in counts if each[0]]


def _plots(trials: Sequence[Trial], best: Trial | None, objective: str, direction: Direction) -> list[Markup]:
    plots = [_over_trials(trials, best, objective, direction)] if any(_has_value(each) for each in trials) else []
    placed = [each for each in trials if _has_value(each) and _rate(each)]
    return [*plots, _by_learning_rate(placed, best, objective)] if placed else plots


def _over_trials(trials: Sequence[Trial], best: Trial | None, objective: str, direction: Direction) -> Markup:
    figure, plot = axes(5.2, 3.1, f"{objective}, trial by trial")
    numbered = list(enumerate(trials, start=1))
    line = [
        (number, value) for (number, _), value in zip(numbered, best_so_far(trials, direction), strict=True) if value
    ]
    plot.step(*zip(*line, strict=True), where="post", color=MUTED, linewidth=1.2, label="best so far", zorder=1)
    for status, marker, colour, label in (
        ("Completed", "o", BLUE, "completed"),
        ("Stopped", "v", ORANGE, "stopped early"),
    ):
        points = [(number, each.objective) for number, each in numbered if each.status == status and _has_value(each)]
        _scatter(plot, points, marker=marker, color=colour, label=label)
    failed = [number for number, each in numbered if not _has_value(each)]
    if failed:
        low, high = plot.get_ylim()
        plot.plot(failed, [low] * len(failed), "x", color="#b42318", markersize=6, label="no value", clip_on=False)
        plot.set_ylim(low, high)
    _mark_best(plot, [(number, each.objective) for number, each in numbered if each is best and _has_value(each)])
    plot.set_xlabel("trial", fontsize=9)
    room = max(0.5, 0.02 * len(trials))
    plot.set_xlim(1 - room, len(trials) + room)
    plot.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    _legend(plot)
    return svg(figure)


def _by_learning_rate(trials: Sequence[Trial], best: Trial | None, objective: str) -> Markup:
    figure, plot = axes(5.2, 3.1, f"{objective} by learning rate")
    sizes = sorted(
        {each.hyperparameters.get(SERIES, "") for each in trials}, key=lambda size: (_number(size) or 0, size)
    )
    for index, size in enumerate(sizes):
        points = [(_rate(each), each.objective) for each in trials if each.hyperparameters.get(SERIES, "") == size]
        _scatter(plot, points, marker="o", color=COLOURS[index % len(COLOURS)], label=f"batch {size}" if size else None)
    _mark_best(plot, [(_rate(each), each.objective) for each in trials if each is best])
    plot.set_xscale("log")
    plot.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    plot.xaxis.set_minor_formatter(lambda value, _: "")
    plot.set_xlabel("learning_rate", fontsize=9)
    _legend(plot)
    return svg(figure)


def _scatter(plot: Any, points: Sequence[tuple[Any, Any]], **look: Any) -> None:
    if points:
        plot.scatter(*zip(*points, strict=True), s=26, linewidths=0, zorder=2, **look)


def _mark_best(plot: Any, points: Sequence[tuple[Any, Any]]) -> None:
    for point in points:
        plot.scatter(*point, s=110, facecolors="none", edgecolors=INK, linewidths=1.4, zorder=3, label="best")


def _legend(plot: Any) -> None:
    """Below the plot: points may be anywhere inside."""
    plot.legend(
        fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=5, columnspacing=1.2,
        handletextpad=0.3,
    )  # fmt: skip


def _has_value(trial: Trial) -> bool:
    return trial.objective is not None


def _rate(trial: Trial) -> float | None:
    """The learning rate, None where there is none that a logarithmic axis can show."""
    found = _number(trial.hyperparameters.get("learning_rate", ""))
    return found if found and found > 0 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
