"""Many settings on the same trace: which of them meet a latency goal, at what price, and which nobody would choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kennel.capacity.outcome import Goal, Latencies, Outcome
from kennel.capacity.scaled import course
from kennel.capacity.traffic import Trace
from kennel.errors import SettingError
from kennel.scaling.tracking import Policy, Target

MOST_SETTINGS = 5000
MISSED = 0.01
"""Share of the minutes that a setting may be above the goal and still meets it: SLOs are never 100 %."""


@dataclass(frozen=True, slots=True)
class Setting:
    """target: invocations per instance and minute. cooldowns: seconds."""

    target: float = 25
    out_cooldown_s: float = 180
    in_cooldown_s: float = 300

    def __post_init__(self) -> None:
        if not 0.1 <= self.target <= 1_000_000:
            raise SettingError("a target is 0.1 to 1000000 invocations per instance and minute", "Change --target")
        if not (0 <= self.out_cooldown_s <= 86_400 and 0 <= self.in_cooldown_s <= 86_400):
            raise SettingError("a cooldown is at most a day", "Change --out-cooldown, --in-cooldown")

    def bounded(self, minimum: int, maximum: int) -> Target:
        return Target(minimum, maximum, (Policy(self.target, self.out_cooldown_s, self.in_cooldown_s),))

    def __str__(self) -> str:
        return f"{self.target:g}/{self.out_cooldown_s:g}/{self.in_cooldown_s:g}"


MISSION = Setting()


@dataclass(frozen=True, slots=True)
class Case:
    """cost: USD of the instances over the trace, None where the price is not known."""

    setting: Setting
    outcome: Outcome
    cost: float | None

    def meets(self, goal: Goal) -> bool:
        """In 99 % of the minutes, and over all requests; where none came, it is met."""
        minutes = len(self.outcome.goal_s)
        return not self.outcome.goal_latency > goal.seconds and self.outcome.missed <= MISSED * minutes


def simulate(
    trace: Trace, setting: Setting, bounds: tuple[int, int], latencies: Latencies, hourly: float | None
) -> Case:
    """One setting. hourly: USD of an instance."""
    outcome = latencies.outcome(course(trace, setting.bounded(*bounds), latencies.world))
    return Case(setting, outcome, None if hourly is None else outcome.instance_hours * hourly)


def sweep(
    trace: Trace,
    settings: Sequence[Setting],
    bounds: tuple[int, int],
    latencies: Latencies,
    hourly: float | None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Case]:
    """All of them, in the order given."""
    if not 1 <= len(settings) <= MOST_SETTINGS:
        raise SettingError(f"a sweep has 1 to {MOST_SETTINGS} settings, not {len(settings)}", "Name fewer values")
    cases = list[Case]()
    for each in settings:
        cases.append(simulate(trace, each, bounds, latencies, hourly))
        advance(1)
    return cases


def grid(targets: Sequence[float], outs: Sequence[float], ins: Sequence[float]) -> list[Setting]:
    """Every combination, and the mission's own."""
    found = dict.fromkeys(Setting(*each) for each in itertools.product(targets, outs, ins))
    return list({**found, MISSION: None})


def best(cases: Sequence[Case], goal: Goal) -> Case | None:
    """The cheapest that meets the goal; of several, the one that flaps least, then answers fastest."""
    return min((each for each in cases if each.meets(goal)), key=_order, default=None)


def frontier(cases: Sequence[Case]) -> list[Case]:
    """Those than which none is both cheaper and faster, the cheapest first."""
    found: list[Case] = []
    for each in sorted(cases, key=lambda each: (each.outcome.instance_hours, each.outcome.goal_latency)):
        if not found or each.outcome.goal_latency < found[-1].outcome.goal_latency:
            found.append(each)
    return found


def _order(case: Case) -> tuple[float, int, float]:
    return case.outcome.instance_hours, case.outcome.flaps, case.outcome.goal_latency
