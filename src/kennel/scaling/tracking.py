"""From a minute's metric to an instance count: the two alarms of a target-tracking policy, cooldowns, bounds.

**Documented by AWS** (Application Auto Scaling's user guide and API reference, CloudWatch's user guide): out in
proportion to the metric, rounded up; in only when the metric is more than about 10 % below the target, and not where
one instance less would likely bring it back above the target; no scaling without data; a scale-out's cooldown counts
from its success, and within it what it has added is part of what the next one wants; a scale-in's cooldown blocks
scale-ins, and a scale-out ends it; with several policies any one scales out, all that may scale in have to agree, and
the largest count wins; a change of the bounds moves the count into them at once.
**Observed, not promised**: the two alarms (above the target 3 of 3 minutes, below 90 % of it 15 of 15), and that AWS
looks again each minute as long as one is in ALARM; EC2's target tracking goes down by one instance at a time.
**Our model, where AWS does not tell**: the newest minute is what counts; `IN_AT_MOST` instances leave at a time, as
in EC2's; during a scale-out's cooldown the count wanted is reckoned from the count before it; while the endpoint
changes nothing is begun; a change that failed waits for the same cooldown as one that did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kennel.scaling import words
from kennel.scaling.alarms import Alarm, Rule, observe

OUT_OF, IN_OF = 3, 15
IN_BELOW = 0.9
COOLDOWN_S = 300
"""Application Auto Scaling's own for SageMaker's variants, where a policy names none."""
IN_AT_MOST = 1
COUNTABLE = 1e15
"""Instances, either way: floats are exact so far, and no maximum is as large."""
Kind = Literal["out", "in", "bounds", "held"]
Code = Literal[
    "", "AlreadyAtMaxCapacity", "AlreadyAtMinCapacity", "AlreadyAtDesiredCapacity", "AutoScalingAnticipatedFlapping"
]


@dataclass(frozen=True, slots=True)
class Policy:
    """Target tracking. target: of the metric, which falls in proportion as instances are added (invocations per
    instance and minute). high_name, low_name: its alarms'. in_at_most: instances that leave at a time."""

    target: float
    out_cooldown_s: float = COOLDOWN_S
    in_cooldown_s: float = COOLDOWN_S
    scales_in: bool = True
    name: str = "policy"
    high_name: str = "AlarmHigh"
    low_name: str = "AlarmLow"
    in_at_most: int = IN_AT_MOST
    high: Rule = field(init=False, compare=False)
    low: Rule = field(init=False, compare=False)
    out_cause: str = field(init=False, compare=False)
    in_cause: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "high", Rule(self.target, True, OUT_OF, OUT_OF))
        object.__setattr__(self, "low", Rule(self.target * IN_BELOW, False, IN_OF, IN_OF))
        object.__setattr__(self, "out_cause", words.triggered(self.high_name, self.name))
        object.__setattr__(self, "in_cause", words.triggered(self.low_name, self.name))


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its bounds, and its policies. out_suspended, in_suspended: by SuspendedState."""

    minimum: int
    maximum: int
    policies: tuple[Policy, ...]
    out_suspended: bool = False
    in_suspended: bool = False


class Tracker(NamedTuple):
    """Of one policy. out_until, in_until: when its cooldowns end; base: instances before the last scale-out."""

    high: Alarm = Alarm()
    low: Alarm = Alarm()
    out_until: float = 0.0
    in_until: float = 0.0
    base: int = 0


class Scaler(NamedTuple):
    """All that is remembered from minute to minute. adjust: the bounds were changed, and the count has to follow."""

    trackers: tuple[Tracker, ...]
    adjust: bool = False


class Decision(NamedTuple):
    """What a minute leads to. kind: `held` where an alarm wants what `code` says cannot be. policy: which one's, -1 for
    bounds; have → to: instances; base: what a scale-out is reckoned from."""

    kind: Kind
    policy: int
    have: int
    to: int
    cause: str
    code: Code = ""
    base: int = 0


def started(target: Target) -> Scaler:
    """Before the first minute: no alarm has seen any data."""
    return Scaler(tuple(Tracker() for _ in target.policies))


def step(
    target: Target, scaler: Scaler, values: Sequence[float | None], count: int, now: float, changing: bool = False
) -> tuple[Scaler, Decision | None]:
    """One more minute.

    values: each policy's metric in the minute that has just ended, None where it has no data. count: the instances
    that the endpoint is to have. now: epoch seconds. changing: the endpoint is being changed, by scaling or a deploy.
    """
    trackers = tuple(map(observed, target.policies, scaler.trackers, values))
    if trackers != scaler.trackers:
        scaler = Scaler(trackers, scaler.adjust)
    if changing:
        return scaler, None
    if scaler.adjust:
        if (moved := into_bounds(target, count)) is not None:
            return scaler, moved
        scaler = Scaler(trackers)
    return scaler, _decided(target, trackers, values, count, now)


def settled(target: Target, scaler: Scaler, decision: Decision, now: float, succeeded: bool = True) -> Scaler:
    """After a change has come to its end: its cooldown begins. One that failed is not tried again before it is over."""
    if decision.policy < 0:
        return scaler
    policy, trackers = target.policies[decision.policy], list(scaler.trackers)
    tracker = trackers[decision.policy]
    if decision.kind == "out":
        base = decision.base if succeeded else 0
        trackers = [each._replace(in_until=0.0) for each in trackers]
        trackers[decision.policy] = tracker._replace(out_until=now + policy.out_cooldown_s, in_until=0.0, base=base)
    else:
        trackers[decision.policy] = tracker._replace(in_until=now + policy.in_cooldown_s)
    return scaler._replace(trackers=tuple(trackers))


def observed(policy: Policy, tracker: Tracker, value: float | None) -> Tracker:
    """After one more minute of a policy's metric: its alarms only."""
    high, low = observe(policy.high, tracker.high, value), observe(policy.low, tracker.low, value)
    if high is tracker.high and low is tracker.low:
        return tracker
    return Tracker(high, low, tracker.out_until, tracker.in_until, tracker.base)


def into_bounds(target: Target, count: int) -> Decision | None:
    """What a change of the bounds asks for at once."""
    if count < target.minimum:
        return Decision("bounds", -1, count, target.minimum, words.bound("minimum", target.minimum))
    if count > target.maximum:
        return Decision("bounds", -1, count, target.maximum, words.bound("maximum", target.maximum))
    return None


def _decided(
    target: Target, trackers: Sequence[Tracker], values: Sequence[float | None], count: int, now: float
) -> Decision | None:
    rising = [place for place, each in enumerate(trackers) if each.high.state == "ALARM" and values[place] is not None]
    if rising:
        return None if target.out_suspended else _out(target, trackers, values, count, now, rising)
    falling = [place for place, each in enumerate(target.policies) if each.scales_in]
    for place in falling:
        if trackers[place].low.state != "ALARM" or values[place] is None or now < trackers[place].in_until:
            return None
    return _in(target, values, count, falling) if falling and not target.in_suspended else None


def _out(
    target: Target,
    trackers: Sequence[Tracker],
    values: Sequence[float | None],
    count: int,
    now: float,
    rising: Sequence[int],
) -> Decision:
    """The policy that wants most. Within its cooldown it wants what it would have wanted without the last scale-out."""
    wanted, place, base = -1, -1, count
    for each in rising:
        tracker = trackers[each]
        from_here = min(tracker.base, count) if now < tracker.out_until else count
        wants = proportional(from_here, values[each] or 0.0, target.policies[each].target)
        if wants > wanted:
            wanted, place, base = wants, each, from_here
    cause, to = target.policies[place].out_cause, min(wanted, target.maximum)
    if to > count:
        return Decision("out", place, count, to, cause, base=base)
    code: Code = "AlreadyAtMaxCapacity" if count >= target.maximum else "AlreadyAtDesiredCapacity"
    return Decision("held", place, count, count, cause, code)


def _in(target: Target, values: Sequence[float | None], count: int, falling: Sequence[int]) -> Decision:
    """The policy that wants most, that is to take away least."""
    wanted, place = -1, -1
    for each in falling:
        policy = target.policies[each]
        wants = max(count - policy.in_at_most, proportional(count, values[each] or 0.0, policy.target))
        if wants > wanted:
            wanted, place = wants, each
    cause, to = target.policies[place].in_cause, max(wanted, target.minimum)
    if to < count:
        return Decision("in", place, count, to, cause)
    code: Code = "AlreadyAtMinCapacity" if count <= target.minimum else "AutoScalingAnticipatedFlapping"
    return Decision("held", place, count, count, cause, code)


def proportional(count: int, value: float, target: float) -> int:
    """Instances that bring the metric to its target, or just below it. Counts stay exact where floats would not be."""
    exact = max(-COUNTABLE, min(count * value / target, COUNTABLE))
    nearest = round(exact)
    return nearest if abs(exact - nearest) <= 1e-9 * max(1.0, exact) else math.ceil(exact)
