"""Target tracking's arithmetic at its edges: alarms, counts, cooldowns, bounds, schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.scaling import Alarm, Decision, Policy, Rule, Scaler, Target, settled, started, step
from kennel.scaling.alarms import observe
from kennel.scaling.schedule import due, parsed
from kennel.scaling.tracking import proportional
from kennel.scaling.words import reason

MISSION = Policy(25, out_cooldown_s=180, in_cooldown_s=300)
START = 1_800_000_000.0


def judged(rule: Rule, values: Iterable[float | None]) -> str:
    alarm = Alarm()
    for value in values:
        alarm = observe(rule, alarm, value)
    return alarm.state


class TestAlarms:
    @pytest.mark.parametrize(
        ("points", "needed", "state"),
        [
            ("0 - X - X", 3, "OK"),
            ("0 - - - -", 3, "OK"),
            ("- - - - -", 3, "INSUFFICIENT_DATA"),
            ("0 X X - X", 3, "ALARM"),
            ("- - X - -", 3, "ALARM"),
            ("0 - X - X", 2, "ALARM"),
            ("0 0 X 0 X", 2, "ALARM"),
            ("0 - X - -", 2, "OK"),
            ("- - - - 0", 2, "OK"),
            ("- - - X -", 2, "ALARM"),
        ],
    )
    def test_missing_data_are_treated_as_in_cloudwatchs_own_table(self, points: str, needed: int, state: str) -> None:
        values = [{"0": 0.0, "X": 9.0, "-": None}[each] for each in points.split()]
        assert judged(Rule(5, True, needed, 3), values) == state

    @pytest.mark.parametrize("points", [[None, None, None, None, 9.0], [None, None, None, 9.0, None]])
    def test_one_late_point_raises_no_alarm(self, points: list[float | None]) -> None:
        assert judged(Rule(5, True, 3, 3), points) == "INSUFFICIENT_DATA"

    def test_exactly_at_the_target_is_not_above_it(self) -> None:
        assert judged(MISSION.high, [25.0] * 20) == "OK"
        assert judged(MISSION.high, [25.000001] * 3) == "ALARM"

    def test_exactly_90_percent_is_not_below_it(self) -> None:
        assert judged(MISSION.low, [22.5] * 20) == "OK"
        assert judged(MISSION.low, [22.499999] * 15) == "ALARM"

    def test_two_minutes_above_are_not_three_and_fourteen_below_are_not_fifteen(self) -> None:
        assert judged(MISSION.high, [20, 26, 26]) == "OK"
        assert judged(MISSION.high, [20, 26, 26, 26]) == "ALARM"
        assert judged(MISSION.low, [25] + [0] * 14) == "OK"
        assert judged(MISSION.low, [25] + [0] * 15) == "ALARM"

    def test_one_minute_that_does_not_breach_ends_an_alarm(self) -> None:
        assert judged(MISSION.high, [30] * 10 + [25]) == "OK"
        assert judged(MISSION.low, [0] * 30 + [22.5]) == "OK"

    def test_an_alarm_without_data_forgets_only_when_its_whole_range_is_empty(self) -> None:
        assert judged(MISSION.high, [30] * 3 + [None] * 4) == "ALARM"
        assert judged(MISSION.high, [30] * 3 + [None] * 5) == "INSUFFICIENT_DATA"

    @given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60))
    def test_without_gaps_an_alarm_is_what_the_last_n_points_say(self, values: list[float | None]) -> None:
        for rule in (MISSION.high, MISSION.low, Rule(50, True, 2, 3)):
            last = values[-rule.periods :]
            if len(last) == rule.periods and None not in last:
                breaching = sum(rule.breached(each) for each in last if each is not None)
                assert judged(rule, values) == ("ALARM" if breaching >= rule.needed else "OK")

    def test_reasons_read_as_cloudwatch_words_them(self) -> None:
        points = [(START + 120, 33.0), (START + 60, 31.5), (START, 66.0)]
        assert reason(MISSION.high, "OK", "ALARM", points) == (
            "Threshold Crossed: 3 out of the last 3 datapoints [33.0 (15/01/27 08:02:00), 31.5 (15/01/27 08:01:00), "
            "66.0 (15/01/27 08:00:00)] were greater than the threshold (25.0) (minimum 3 datapoints for OK -> ALARM "
            "transition)."
        )
        assert reason(MISSION.high, "ALARM", "OK", [(START, 4.0)]) == (
            "Threshold Crossed: 1 out of the last 3 datapoints [4.0 (15/01/27 08:00:00)] was not greater than the "
            "threshold (25.0) (minimum 1 datapoint for ALARM -> OK transition)."
        )


class Run:
    """Minutes of one variant: load, decisions, changes that take so many minutes."""

    def __init__(self, target: Target, count: int = 1, takes: int = 1, works: bool = True) -> None:
        self.target, self.count, self.takes, self.works = target, count, takes, works
        self.scaler, self.minute = started(target), 0
        self.under_way: tuple[Decision, int] | None = None
        self.done: list[tuple[int, str, int, int]] = []
        self.held: list[tuple[int, str]] = []
        self.counts: list[int] = []

    def load(self, *totals: float | None, minutes: int = 1, busy: bool = False) -> Run:
        """Each total for so many minutes, shared by the instances there are."""
        for total in totals:
            for _ in range(minutes):
                self._minute([None if total is None else total / self.count] * len(self.target.policies), busy)
        return self

    def values(self, *values: float | None, minutes: int = 1) -> Run:
        """Each policy's own metric, as it is."""
        for _ in range(minutes):
            self._minute(list(values), False)
        return self

    def _minute(self, values: Sequence[float | None], busy: bool) -> None:
        self.minute += 1
        now = self.minute * 60.0
        if self.under_way and self.under_way[1] <= self.minute:
            decision, self.under_way = self.under_way[0], None
            self.count = decision.to if self.works else self.count
            self.scaler = settled(self.target, self.scaler, decision, now, self.works)
        self.scaler, decided = step(
            self.target, self.scaler, values, self.count, now, busy or self.under_way is not None
        )
        self.counts.append(self.count)
        if decided is None:
            return
        if decided.kind == "held":
            self.held.append((self.minute, decided.code))
            return
        self.done.append((self.minute, decided.kind, decided.have, decided.to))
        self.under_way = decided, self.minute + self.takes


def mission(**changes: object) -> Run:
    return Run(Target(1, 3, (MISSION,)), **changes)  # type: ignore[arg-type]


class TestScalingOut:
    def test_three_minutes_above_scale_out_in_proportion(self) -> None:
        assert mission().load(10, minutes=5).load(66, minutes=3).done == [(8, "out", 1, 3)]

    def test_two_minutes_above_do_nothing(self) -> None:
        assert mission().load(66, 66, 25, 66, 66, 25).done == []

    def test_just_above_the_target_adds_one(self) -> None:
        assert mission().load(25.1, minutes=3).done == [(3, "out", 1, 2)]

    def test_no_more_than_the_maximum(self) -> None:
        run = mission().load(1000, minutes=10)
        assert run.done == [(3, "out", 1, 3)]
        assert {code for _, code in run.held} == {"AlreadyAtMaxCapacity"}

    def test_within_the_cooldown_the_same_need_adds_nothing(self) -> None:
        run = mission().load(26, minutes=3).values(26, minutes=3)
        assert run.done == [(3, "out", 1, 2)]
        assert (5, "AlreadyAtDesiredCapacity") in run.held

    def test_within_the_cooldown_a_larger_need_adds_what_is_missing(self) -> None:
        run = mission().load(26, minutes=3).values(51, minutes=1)
        assert run.done == [(3, "out", 1, 2), (4, "out", 2, 3)]

    def test_after_the_cooldown_the_same_need_counts_anew(self) -> None:
        run = mission().load(26, minutes=3).values(26, minutes=4)
        assert run.done == [(3, "out", 1, 2), (7, "out", 2, 3)]

    def test_the_cooldown_begins_when_the_instances_are_there(self) -> None:
        run = mission(takes=5).load(26, minutes=3).values(26, minutes=8)
        assert run.done == [(3, "out", 1, 2), (11, "out", 2, 3)]

    def test_a_scale_out_does_not_wait_for_the_cooldown_of_a_scale_in(self) -> None:
        run = mission(count=3).load(0, minutes=16).values(80, minutes=3)
        assert run.done == [(15, "in", 3, 2), (19, "out", 2, 3)]

    def test_a_scale_out_ends_the_cooldown_of_a_scale_in(self) -> None:
        scaler = Scaler(started(Target(1, 3, (MISSION,))).trackers)
        target = Target(1, 3, (MISSION,))
        scaler = settled(target, scaler, Decision("in", 0, 3, 2, ""), 1000)
        assert scaler.trackers[0].in_until == 1300
        scaler = settled(target, scaler, Decision("out", 0, 2, 3, "", base=2), 1060)
        assert (scaler.trackers[0].in_until, scaler.trackers[0].out_until) == (0, 1240)

    def test_an_instance_that_never_becomes_healthy_is_tried_again_after_the_cooldown(self) -> None:
        run = mission(works=False, takes=2).load(66, minutes=14)
        assert run.done == [(3, "out", 1, 3), (8, "out", 1, 3), (13, "out", 1, 3)]
        assert set(run.counts) == {1}

    def test_nothing_is_begun_while_a_deploy_changes_the_endpoint(self) -> None:
        run = mission().load(66, minutes=5, busy=True)
        assert run.done == []
        assert run.load(66).done == [(6, "out", 1, 3)]


class TestScalingIn:
    def test_fifteen_quiet_minutes_take_one_instance_then_the_cooldown_another(self) -> None:
        run = mission(count=3).load(0, minutes=30)
        assert run.done == [(15, "in", 3, 2), (21, "in", 2, 1)]
        assert run.held[-1] == (30, "AlreadyAtMinCapacity")

    def test_a_cooldown_of_no_length_takes_one_at_each_minute(self) -> None:
        run = Run(Target(1, 3, (Policy(25, 0, 0),)), 3).load(0, minutes=20)
        assert run.done == [(15, "in", 3, 2), (16, "in", 2, 1)]

    def test_one_instance_less_may_not_bring_the_metric_above_its_target(self) -> None:
        run = mission(count=2).load(44, minutes=40)
        assert run.done == []
        assert {code for _, code in run.held} == {"AutoScalingAnticipatedFlapping"}

    def test_exactly_the_target_on_one_instance_less_is_enough(self) -> None:
        assert mission(count=3).load(50, minutes=15).done == [(15, "in", 3, 2)]

    def test_no_traffic_is_zeros_and_scales_in_but_missing_data_do_not(self) -> None:
        assert mission(count=2).load(0, minutes=15).done == [(15, "in", 2, 1)]
        assert mission(count=2).load(None, minutes=60).done == []

    def test_a_minute_without_data_decides_nothing(self) -> None:
        run = mission(count=2).load(0, minutes=14).load(None).load(None)
        assert run.done == []
        assert run.load(0).done == [(17, "in", 2, 1)]

    def test_it_can_be_switched_off(self) -> None:
        assert Run(Target(1, 3, (Policy(25, scales_in=False),)), 3).load(0, minutes=60).done == []

    def test_an_older_alarm_does_not_outlive_one_busy_minute(self) -> None:
        run = mission(count=3).load(0, minutes=14).load(75).load(0, minutes=14)
        assert run.done == []
        assert run.load(0).done == [(30, "in", 3, 2)]


class TestBounds:
    def test_minimum_and_maximum_alike_never_scale(self) -> None:
        run = Run(Target(2, 2, (MISSION,)), 2).load(500, minutes=20).load(0, minutes=60)
        assert run.done == []
        assert {code for _, code in run.held} == {"AlreadyAtMaxCapacity", "AlreadyAtMinCapacity"}

    def test_a_change_of_the_bounds_moves_the_count_at_once(self) -> None:
        target = Target(2, 3, (MISSION,))
        scaler, decided = step(target, started(target)._replace(adjust=True), [0.0], 1, START)
        assert decided is not None
        assert (decided.kind, decided.to, decided.cause) == ("bounds", 2, "minimum capacity was set to 2")
        _, down = step(target, scaler, [0.0], 5, START)
        assert down is not None
        assert (down.kind, down.to, down.cause) == ("bounds", 3, "maximum capacity was set to 3")

    def test_it_waits_for_a_change_that_is_under_way_and_is_then_forgotten(self) -> None:
        target = Target(2, 3, (MISSION,))
        scaler, decided = step(target, started(target)._replace(adjust=True), [0.0], 1, START, changing=True)
        assert (scaler.adjust, decided) == (True, None)
        scaler, decided = step(target, scaler, [0.0], 2, START)
        assert (scaler.adjust, decided) == (False, None)

    @pytest.mark.parametrize("suspended", ["out_suspended", "in_suspended"])
    def test_what_is_suspended_does_not_happen(self, suspended: str) -> None:
        target = Target(1, 3, (MISSION,), **{suspended: True})
        kinds = {kind for _, kind, _, _ in Run(target, 2).load(200, minutes=5).load(0, minutes=30).done}
        assert kinds == ({"in"} if suspended == "out_suspended" else {"out"})


class TestSeveralPolicies:
    def run(self) -> Run:
        return Run(Target(1, 10, (Policy(25, name="traffic"), Policy(50, name="busy"))), 2)

    def test_any_one_scales_out_and_the_largest_count_wins(self) -> None:
        assert self.run().values(10, 75, minutes=3).done == [(3, "out", 2, 3)]
        assert self.run().values(100, 75, minutes=3).done == [(3, "out", 2, 8)]

    def test_all_have_to_agree_to_scale_in(self) -> None:
        assert self.run().values(0, 48, minutes=40).done == []
        assert self.run().values(0, None, minutes=40).done == []
        assert self.run().values(0, 10, minutes=15).done == [(15, "in", 2, 1)]

    def test_one_that_does_not_scale_in_is_not_asked(self) -> None:
        target = Target(1, 10, (Policy(25), Policy(50, scales_in=False)))
        assert Run(target, 2).values(0, 48, minutes=15).done == [(15, "in", 2, 1)]

    def test_the_cause_names_the_alarm_and_the_policy(self) -> None:
        target = Target(1, 3, (Policy(25, name="mine", high_name="TargetTracking-x-AlarmHigh-1"),))
        scaler, decided = started(target), None
        for _ in range(3):
            scaler, decided = step(target, scaler, [30.0], 1, START)
        assert decided is not None
        assert decided.cause == "monitor alarm TargetTracking-x-AlarmHigh-1 in state ALARM triggered policy mine"


loads = st.lists(st.one_of(st.none(), st.floats(0, 5000)), min_size=1, max_size=200)
bounds = st.tuples(st.integers(1, 10), st.integers(0, 10))
policies = st.builds(Policy, st.floats(1, 500), st.integers(0, 900), st.integers(0, 900), st.booleans())


@given(loads, bounds, policies, st.integers(1, 6), st.booleans())
def test_the_count_stays_within_its_bounds(
    totals: list[float | None], given_bounds: tuple[int, int], policy: Policy, takes: int, works: bool
) -> None:
    least, more = given_bounds
    run = Run(Target(least, least + more, (policy,)), least, takes, works).load(*totals)
    assert all(least <= each <= least + more for each in run.counts)


@given(st.floats(0, 5000), bounds, policies, st.integers(1, 20), st.integers(1, 6))
def test_on_constant_load_it_moves_one_way_only_and_comes_to_rest(
    total: float, given_bounds: tuple[int, int], policy: Policy, at: int, takes: int
) -> None:
    least, more = given_bounds
    run = Run(Target(least, least + more, (policy,)), min(max(at, least), least + more), takes).load(total, minutes=400)
    assert len({kind for _, kind, _, _ in run.done}) <= 1
    assert len(set(run.counts[-20:])) == 1
    if run.counts[-1] < least + more:
        assert run.count * policy.target >= total * (1 - 1e-9)


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.5, 1000))
def test_a_count_that_fits_exactly_is_not_rounded_up(count: int, wanted: int, target: float) -> None:
    assert proportional(count, wanted * target / count, target) == wanted


@pytest.mark.parametrize(("value", "target"), [(1e308, 5e-324), (-1e308, 5e-324), (float("inf"), 1.0)])
def test_what_no_float_holds_is_still_a_count(value: float, target: float) -> None:
    assert abs(proportional(3, value, target)) == 10**15


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class TestSchedules:
    @pytest.mark.parametrize(
        ("expression", "when", "is_due"),
        [
            ("at(2027-03-01T08:30:00)", "2027-03-01T08:30", True),
            ("at(2027-03-01T08:30:40)", "2027-03-01T08:30", True),
            ("at(2027-03-01T08:30:00)", "2027-03-01T08:31", False),
            ("cron(0 8 * * ? *)", "2027-03-01T08:00", True),
            ("cron(0 8 * * ? *)", "2027-03-01T08:01", False),
            ("cron(0/15 8-17 ? * MON-FRI *)", "2027-03-01T17:45", True),
            ("cron(0/15 8-17 ? * MON-FRI *)", "2027-03-06T17:45", False),
            ("cron(0 0 ? * 1,7 *)", "2027-03-07T00:00", True),
            ("cron(0 0 L * ? *)", "2028-02-29T00:00", True),
            ("cron(0 0 L * ? *)", "2028-02-28T00:00", False),
            ("cron(0 0 1,L JAN ? 2027)", "2027-01-31T00:00", True),
            ("cron(0 0 1 JAN ? 2026)", "2027-01-01T00:00", False),
        ],
    )
    def test_a_minute_is_due_or_not(self, expression: str, when: str, is_due: bool) -> None:
        assert due(parsed(expression), at(when), since=at("2027-01-01T00:00")) is is_due

    def test_a_zone_has_its_own_summer(self) -> None:
        morning = parsed("cron(0 8 * * ? *)", "Europe/Berlin")
        assert due(morning, at("2027-01-15T07:00"), 0)
        assert due(morning, at("2027-07-15T06:00"), 0)

    def test_a_rate_counts_from_when_it_was_made(self) -> None:
        made = at("2027-01-01T00:00") + 7
        found = [minute for minute in range(16) if due(parsed("rate(5 minutes)"), made - 7 + minute * 60, made)]
        assert found == [5, 10, 15]

    def test_start_and_end_bound_it(self) -> None:
        every, start, end = parsed("cron(* * * * ? *)"), at("2027-01-01T00:02"), at("2027-01-01T00:04")
        found = [each for each in range(6) if due(every, at("2027-01-01T00:00") + each * 60, 0, start, end)]
        assert found == [2, 3]

    @pytest.mark.parametrize(("expression", "more"), [("rate(5 minutes)", [6, 11]), ("cron(0/10 * * * ? *)", [10])])
    def test_what_recurs_is_due_at_its_start_too(self, expression: str, more: list[int]) -> None:
        midnight = at("2027-01-01T00:00")
        found = [each for each in range(16) if due(parsed(expression), midnight + each * 60, 0, midnight + 80)]
        assert found == [1, *more]

    def test_once_is_not_due_at_its_start(self) -> None:
        once, midnight = parsed("at(2027-01-01T00:03:00)"), at("2027-01-01T00:00")
        assert [each for each in range(6) if due(once, midnight + each * 60, 0, midnight + 60)] == [3]

    @pytest.mark.parametrize(
        "expression",
        [
            "every day",
            "at(tomorrow)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(0 minutes)",
            "cron(0 8 * * *)",
            "cron(0 8 * * * *)",
            "cron(60 8 * * ? *)",
            "cron(0 8 ? * 0 *)",
            "cron(0 8 ? * MOO *)",
            "cron(5-1 8 * * ? *)",
            "cron(0/0 8 * * ? *)",
            "cron(0 8 15W * ? *)",
            "at(2027-03-01T08:30:00) or later",
        ],
    )
    def test_what_is_no_schedule_is_refused(self, expression: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            parsed(expression)

    def test_a_zone_that_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            parsed("cron(0 8 * * ? *)", "../../etc/passwd")


def test_a_step_costs_microseconds() -> None:
    """The simulator goes through thousands of hours a second."""
    from timeit import repeat

    target = Target(1, 3, (MISSION,))
    values = [[float(each % 50)] for each in range(2000)]

    def minutes() -> None:
        scaler = started(target)
        for number, each in enumerate(values):
            scaler, _ = step(target, scaler, each, 2, number * 60.0)

    timed: Callable[[], None] = minutes
    assert min(repeat(timed, number=1, repeat=5)) / len(values) < 50e-6
