"""What happens to an endpoint's scaling, as values; and what is new between two looks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kennel.cloud.scaling import Activity, Alarm, Scaled

MINUTE = timedelta(minutes=1)
AT_FIRST = 5
"""Minutes of the past that the first look tells."""
UNDER_WAY = ("Pending", "InProgress")


@dataclass(frozen=True, slots=True)
class MinuteTold:
    """A minute's traffic. per_instance: what the policy holds near its target; None where CloudWatch has no number."""

    at: datetime
    invocations: float | None
    per_instance: float | None


@dataclass(frozen=True, slots=True)
class AlarmChanged:
    alarm: str
    before: str
    state: str


@dataclass(frozen=True, slots=True)
class CountChanged:
    """How many instances answer, of how many that shall, within which bounds."""

    current: int
    desired: int
    minimum: int
    maximum: int


ScalingEvent = MinuteTold | AlarmChanged | CountChanged | Activity


@dataclass(frozen=True, slots=True)
class Look:
    """minutes: those that are over, the oldest first."""

    scaled: Scaled
    minutes: tuple[MinuteTold, ...]


def minutes(
    invocations: Sequence[Mapping[str, Any]], per_instance: Sequence[Mapping[str, Any]], until: datetime
) -> tuple[MinuteTold, ...]:
    """From CloudWatch's sums of a minute; until: the minute that may still grow begins then."""
    all_of = {each["Timestamp"]: float(each["Sum"]) for each in invocations}
    one_of = {each["Timestamp"]: float(each["Sum"]) for each in per_instance}
    times = sorted({*all_of, *one_of})
    return tuple(MinuteTold(at, all_of.get(at), one_of.get(at)) for at in times if at + MINUTE <= until)


def news(before: Look | None, now: Look) -> list[ScalingEvent]:
    """What the second look shows that the first did not, in the order in which it follows from each other: traffic,
    alarms, activities, instances."""
    if before is None:
        under_way = [each for each in reversed(now.scaled.activities) if each.status in UNDER_WAY]
        return [*now.minutes[-AT_FIRST:], *under_way, _count(now.scaled)]
    last = before.minutes[-1].at if before.minutes else None
    fresh = [each for each in now.minutes if last is None or each.at > last]
    counted = [_count(now.scaled)] if _count(before.scaled) != _count(now.scaled) else []
    return [
        *fresh,
        *_alarms(before.scaled.alarms, now.scaled.alarms),
        *_activities(before.scaled, now.scaled),
        *counted,
    ]


def _alarms(before: Sequence[Alarm], now: Sequence[Alarm]) -> list[ScalingEvent]:
    known = {each.name: each.state for each in before}
    changed = [each for each in now if known.get(each.name, each.state) != each.state]
    return [AlarmChanged(each.short, known[each.name], each.state) for each in changed]


def _activities(before: Scaled, now: Scaled) -> list[ScalingEvent]:
    """New ones, and new states of those that are known; the oldest first."""
    known = {(each.id, each.status) for each in before.activities}
    return [each for each in reversed(now.activities) if (each.id, each.status) not in known]


def _count(scaled: Scaled) -> CountChanged:
    return CountChanged(scaled.current, scaled.desired, scaled.minimum, scaled.maximum)
