"""The pages of a simulation and of a measurement: whole for anything, nothing fetched, nothing run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kennel.capacity.measured import Machine, Measured, Row, Subject
from kennel.capacity.outcome import Goal, Latencies
from kennel.capacity.scaled import Front, World
from kennel.capacity.service import Service
from kennel.capacity.sweep import MISSION, grid, simulate, sweep
from kennel.capacity.traffic import Trace, Wanted, drawn
from kennel.reports import measured as measured_page
from kennel.reports import scaling
from kennel.reports.scaling import View
from test_report_tuning import HOSTILE, checked

WORLD = World(Service.lognormal(0.06, 0.2, 2), front=Front())
GOAL = Goal()


def view(trace: Trace, swept: bool = False, world: World = WORLD, hourly: float | None = 0.115) -> View:
    latencies = Latencies(trace, world, GOAL)
    case = simulate(trace, MISSION, (1, 3), latencies, hourly)
    others = tuple((f"always {n}", simulate(trace, MISSION, (n, n), latencies, hourly)) for n in (1, 3))
    settings = grid([10, 25, 800, 2000], [0, 180], [0, 300]) if swept else []
    cases = tuple(sweep(trace, settings, (1, 3), latencies, hourly)) if swept else ()
    return View(trace, world, GOAL, (1, 3), case, "0.115 USD an hour", "given", others, cases)


@pytest.mark.parametrize("shape", ["steady", "spike", "day", "ramp", "on-off"])
def test_every_shape_has_a_whole_page(shape: str) -> None:
    wanted = Wanted(shape, 10, 3000, minutes=300)  # type: ignore[arg-type]
    found = checked(scaling.page(view(drawn(wanted, 1))))
    assert found.tags.count("svg") == 4
    assert "always 1" in found.words
    assert "function in front" in found.words


def test_a_sweep_is_a_table_heat_maps_and_what_it_says() -> None:
    found = checked(scaling.page(view(drawn(Wanted("spike", 500, 3500, minutes=240), 1), swept=True)))
    assert found.tags.count("svg") == 9
    assert "settings meet the goal" in found.words
    assert "25/180/300 (asked about)" in found.words
    assert found.words.count("(asked about)") == 1


def test_a_week_is_shown_in_a_page_of_bounded_size() -> None:
    assert len(scaling.page(view(drawn(Wanted("day", 10, 200, minutes=7 * 1440), 1)))) < 1_500_000


@pytest.mark.parametrize("counts", [[0], [0] * 30, [100_000] * 20])
def test_nothing_and_far_too_much_have_pages_too(counts: list[int]) -> None:
    import numpy as np

    for world in (WORLD, replace(WORLD, front=None)):
        shown = view(Trace("t", np.array(counts, np.int64)), swept=True, world=world, hourly=None)
        words = checked(scaling.page(shown)).words
        assert "unknown price" in words


def test_where_nothing_came_no_latency_is_told() -> None:
    import numpy as np

    shown = view(Trace("t", np.zeros(30, np.int64)), swept=True)
    assert "Nothing came, so nothing was slow." in scaling.sentences(shown)
    assert math.isnan(shown.case.outcome.goal_latency)
    assert shown.case.meets(GOAL)
    assert "– p99" in checked(scaling.page(shown)).words
    assert len(scaling.table(shown)) <= 4  # all settings are alike


def test_what_was_wanted_too_late_was_not_reached_and_without_a_latency_there_is_no_plot_of_it() -> None:
    import numpy as np

    shown = view(Trace("t", np.full(6, 100_000)), swept=True)
    assert shown.case.outcome.course.wanted.max() == 3
    assert "1 to 3 instances were allowed, 1 were reached" in scaling.sentences(shown)
    words = checked(scaling.page(shown)).words
    assert "by cost, every setting" not in words
    assert f"{shown.case.outcome.failed_count:,.0f} failed" in words
    assert shown.case.outcome.failed_count > 100_000


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_traces_cannot_become_markup(name: str) -> None:
    trace = replace(drawn(Wanted("steady", minutes=10), 1), name=name)
    assert name in checked(scaling.page(view(trace))).words


def test_times_are_short_words() -> None:
    told = [scaling.ms(each) for each in (0.0634, 1.44, math.inf, math.nan)]
    assert told == ["63 ms", "1.4 s", "never", "–"]
    assert scaling.clock(3900) == "1:05"


def row(rate: float, p99: float | None, meets: bool = True) -> Row:
    values = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms"), p99)
    return Row(
        rate=rate, seconds=10, sent=100, errors=0, p999_ms=None, late_ms=1.0, grows=not meets, meets=meets, **values
    )


def measurement(name: str = "out", steps: tuple[Row, ...] = (), knee: float | None = None) -> Measured:
    return Measured(
        subject=Subject(kind="artifact", name=name, detail=name, revision=name),
        machine=Machine(cores=2, processor=name),
        when="2026-11-24 19:00 UTC",
        goal_ms=500,
        alone_ms=(20.0,) * 14,
        alone_requests=100,
        most_per_s=95.0,
        steps=steps,
        knee_per_s=knee,
        found=any(not each.meets for each in steps),
    )


def test_a_measurement_has_a_page_with_its_knee_and_its_target() -> None:
    found = checked(measured_page.page(measurement(steps=(row(20, 25), row(80, 90), row(100, 900, False)), knee=80)))
    assert found.tags.count("svg") == 1
    assert "The knee is at 80.0 a second" in found.words
    assert "a target of 2400 a minute" in found.words
    assert "2 requests were worked on at a time" in found.words


def test_a_measurement_without_a_knee_or_steps_has_a_page_too() -> None:
    assert "No rate that was tried" in checked(measured_page.page(measurement())).words
    assert "missed" in checked(measured_page.page(measurement(steps=(row(20, None, False),)))).words


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_what_was_measured_cannot_become_markup(name: str) -> None:
    assert name in checked(measured_page.page(measurement(name, (row(20, 25),), 20))).words
