"""What scaling makes of traffic, minute by minute: the course, what it means, and a sweep of settings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kennel.capacity.outcome import Goal, Latencies, Outcome, recovery
from kennel.capacity.scaled import Course, Front, World, course
from kennel.capacity.service import Service
from kennel.capacity.sweep import MISSION, Setting, best, frontier, grid, simulate, sweep
from kennel.capacity.traffic import Trace, Wanted, drawn
from kennel.cli import scale_simulate
from kennel.errors import SettingError
from kennel.scaling.tracking import Policy, Target

SERVICE = Service.lognormal(0.06, 0.2, 2)
AT_ONCE = World(SERVICE, start_s=0, stop_s=0, metric_delay_s=0)
GOAL = Goal(0.5)


def of(counts: list[int]) -> Trace:
    return Trace("test", np.array(counts, np.int64))


def outcome(trace: Trace, setting: Setting, bounds: tuple[int, int], world: World = AT_ONCE) -> Outcome:
    return simulate(trace, setting, bounds, Latencies(trace, world, GOAL), 0.115).outcome


def decided(found: Course) -> list[tuple[float, int, int]]:
    """(minute, from, to)."""
    return [(each.began / 60, each.decision.have, each.decision.to) for each in found.changes]


def test_three_minutes_above_the_target_scale_out_and_fifteen_below_ninety_percent_scale_in() -> None:
    trace = of([10] * 5 + [70] * 10 + [5] * 40)
    found = course(trace, MISSION.bounded(1, 3), AT_ONCE)
    assert decided(found) == [(8, 1, 3), (30, 3, 2), (35, 2, 1)]
    assert found.serving[[7, 8, 29, 30, 34, 35]].tolist() == [1, 3, 3, 2, 2, 1]


def test_an_instance_serves_only_when_it_has_started_and_is_paid_for_before() -> None:
    trace = of([70] * 20)
    found = course(trace, MISSION.bounded(1, 3), replace(AT_ONCE, start_s=300))
    assert decided(found) == [(3, 1, 3)]
    assert found.serving[:9].tolist() == [1] * 8 + [3]
    assert found.wanted[:4].tolist() == [1, 1, 1, 3]


def test_a_metric_that_comes_late_is_decided_on_late() -> None:
    trace = of([70] * 20)
    assert decided(course(trace, MISSION.bounded(1, 3), replace(AT_ONCE, metric_delay_s=120)))[0] == (5, 1, 3)


def test_a_minute_in_which_instances_come_has_a_metric_in_between() -> None:
    found = course(of([60] * 6), MISSION.bounded(1, 3), replace(AT_ONCE, start_s=30))
    assert found.metric.tolist() == [60, 60, 60, 40, 20, 20]


def test_exactly_at_the_target_nothing_happens() -> None:
    assert course(of([25] * 60), MISSION.bounded(1, 3), AT_ONCE).changes == ()


def test_minimum_and_maximum_alike_never_scale() -> None:
    found = course(of([500] * 30 + [0] * 60), MISSION.bounded(2, 2), AT_ONCE)
    assert found.changes == ()
    assert set(found.serving.tolist()) == {2}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=120),
    st.floats(1, 300),
    st.sampled_from([0, 60, 180, 600]),
    st.sampled_from([0, 300, 1800]),
    st.integers(1, 3),
    st.integers(0, 4),
    st.floats(0, 600),
)
def test_counts_stay_within_their_bounds_and_requests_are_never_lost(
    counts: list[int], target: float, out: int, into: int, least: int, more: int, start_s: float
) -> None:
    world = replace(AT_ONCE, start_s=start_s, front=Front(concurrency=20))
    found = course(of(counts), Setting(target, out, into).bounded(least, least + more), world)
    assert least <= found.serving.min() <= found.serving.max() <= least + more
    assert (found.wanted >= found.serving).all()
    assert np.allclose(found.admitted + found.refused, counts)
    assert all(later.began >= earlier.ended for earlier, later in zip(found.changes, found.changes[1:], strict=False))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=5, max_size=40), st.integers(1, 3))
def test_more_instances_are_never_worse(counts: list[int], instances: int) -> None:
    fewer, more = (outcome(of(counts), MISSION, (n, n)) for n in (instances, instances + 1))
    assert more.failed_count <= fewer.failed_count + 1e-6
    assert not more.goal_latency > fewer.goal_latency * 1.001  # NaN where nothing came
    assert more.missed <= fewer.missed


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 6000), min_size=1, max_size=40), st.sampled_from([None, 10, 50, 900, 1000]))
@example([10] * 3 + [5000] * 30, 1000)
def test_never_more_fail_than_came(counts: list[int], executions: int | None) -> None:
    world = replace(AT_ONCE, front=Front(concurrency=executions) if executions else None)
    found = outcome(of(counts), MISSION, (1, 3), world)
    assert (found.failed >= -1e-9).all()
    assert (found.failed <= np.array(counts) + 1e-6).all()
    assert (found.refused <= found.failed + 1e-6).all()
    assert found.missed <= len(counts)


def test_a_backlog_is_worked_off_and_delays_what_comes_behind_it() -> None:
    found = outcome(of([1000] * 5 + [3000] + [1000] * 10), MISSION, (1, 1))
    p50 = found.minute_s[:, 0]
    assert p50[4] < 0.1 < p50[5] < 30
    assert p50[6] > 0.5
    assert p50[8] < 0.1
    assert found.recovery in (2, 3)


def test_quiet_minutes_have_no_latency_and_cost_as_much() -> None:
    found = outcome(of([0] * 60), MISSION, (1, 3))
    assert np.isnan(found.minute_s).all()
    assert found.missed == 0
    assert found.instance_hours == pytest.approx(1)
    assert found.failed_count == 0


def test_a_functions_concurrency_refuses_instead_of_letting_the_queue_grow() -> None:
    trace = of([1000] * 5 + [3000] * 10 + [1000] * 10)
    alone = outcome(trace, MISSION, (1, 1))
    behind = outcome(trace, MISSION, (1, 1), replace(AT_ONCE, front=Front(concurrency=10, own_s=0.02)))
    assert behind.refused.sum() > 0.25 * 20_000
    assert alone.refused.sum() == 0
    assert behind.latency[2] < 1 < alone.latency[2]
    assert behind.failed_count == pytest.approx(float(behind.refused.sum()))


def test_a_function_that_waits_too_long_fails_although_the_endpoint_answers() -> None:
    trace = of([1900] * 3 + [2700] * 2 + [1500] * 10)
    world = replace(AT_ONCE, front=Front(concurrency=100_000, timeout_s=10))
    assert outcome(trace, MISSION, (1, 1), world).failed_count > 1000
    assert outcome(trace, MISSION, (1, 1), replace(world, front=None)).failed_count < 10


def test_what_no_provisioned_instance_is_free_for_is_on_demand() -> None:
    trace = of([600] * 10)
    few, many = (
        outcome(trace, MISSION, (1, 1), replace(AT_ONCE, front=Front(provisioned=n))).on_demand.sum() for n in (1, 30)
    )
    assert few > 0.3 * 6000
    assert many < 1


def test_turning_around_soon_is_flapping_and_later_is_not() -> None:
    quick = outcome(of(([70] * 10 + [5] * 20) * 4), Setting(25, 0, 0), (1, 3))
    slow = outcome(of([70] * 60 + [5] * 60), Setting(25, 0, 0), (1, 3))
    assert quick.flaps >= 6
    assert slow.flaps == 0


def test_recovery_is_the_longest_time_until_five_minutes_are_good() -> None:
    over = np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0], bool)
    assert recovery(over) == 5
    assert recovery(np.zeros(4, bool)) == 0


def test_the_same_seed_is_the_same_simulation() -> None:
    wanted = Wanted("on-off", 5, 300, length=20, period=45, minutes=300)
    first, second = (outcome(drawn(wanted, 7), MISSION, (1, 3)) for _ in range(2))
    assert first.latency == second.latency
    assert (first.failed == second.failed).all()
    assert first.course.changes == second.course.changes


def test_a_sweep_tells_the_cheapest_that_meets_the_goal() -> None:
    trace = drawn(Wanted("spike", 600, 3500, start=60, length=60, minutes=240), 1)
    world = replace(AT_ONCE, start_s=120)
    several = grid([25, 400, 1000, 5000], [180], [300])
    assert several[-1] == MISSION or MISSION in several
    cases = sweep(trace, several, (1, 3), Latencies(trace, world, GOAL), 0.115)
    found = best(cases, GOAL)
    assert [each.setting for each in cases] == several
    assert found is not None
    assert all(found.outcome.instance_hours <= each.outcome.instance_hours for each in cases if each.meets(GOAL))
    edge = frontier(cases)
    assert [each.cost for each in edge] == sorted(each.cost or 0 for each in edge)
    assert not next(each for each in cases if each.setting.target == 5000).meets(GOAL)
    assert all(each.cost == pytest.approx(each.outcome.instance_hours * 0.115) for each in cases)


def test_where_no_setting_meets_the_goal_none_is_best() -> None:
    trace = of([6000] * 30)
    cases = sweep(trace, [MISSION], (1, 1), Latencies(trace, AT_ONCE, GOAL), None)
    assert best(cases, GOAL) is None
    assert cases[0].cost is None
    assert math.isinf(cases[0].outcome.goal_latency)


def test_several_policies_are_simulated_as_one_target() -> None:
    two = Target(1, 5, (Policy(25, 180, 300), Policy(50, 0, 0)))
    assert course(of([100] * 10), two, AT_ONCE).serving[-1] == 4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Setting(target=0),
        lambda: Setting(in_cooldown_s=-1),
        lambda: Front(concurrency=0),
        lambda: Front(provisioned=2000),
        lambda: Front(own_s=30),
        lambda: World(SERVICE, start_s=1e9),
        lambda: World(SERVICE, metric_delay_s=-1),
        lambda: Goal(share=1.0),
        lambda: Goal(seconds=0),
        lambda: Service.lognormal(0, 0.1, 1),
        lambda: Service.lognormal(0.1, 0.1, 0),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(SettingError):
        wrong()


def test_the_command_says_the_same_defaults_without_numpy() -> None:
    world = World(SERVICE)
    told = scale_simulate.START_S, scale_simulate.STOP_S, scale_simulate.METRIC_DELAY_S
    assert told == (world.start_s, world.stop_s, world.metric_delay_s)
