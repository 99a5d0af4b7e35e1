"""What AWS says of scaling, in its own words: alarms' names and reasons, activities' descriptions, causes, messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from kennel.scaling.alarms import Rule, State


def alarm_name(resource: str, kind: str, identity: str) -> str:
    """kind: AlarmHigh or AlarmLow; identity: a UUID."""
    return f"TargetTracking-{resource}-{kind}-{identity}"


def triggered(alarm: str, policy: str) -> str:
    return f"monitor alarm {alarm} in state ALARM triggered policy {policy}"


def bound(which: str, count: int) -> str:
    """which: minimum or maximum."""
    return f"{which} capacity was set to {count}"


def scheduled(name: str) -> str:
    return f"scheduled action name {name} was triggered"


def setting(count: int) -> str:
    return f"Setting desired instance count to {count}."


def setting_bounds(minimum: int, maximum: int) -> str:
    return f"Setting min capacity to {minimum} and max capacity to {maximum}"


def set_bounds(minimum: int, maximum: int) -> str:
    return f"Successfully set min capacity to {minimum} and max capacity to {maximum}"


def waiting(count: int) -> str:
    return f"Successfully set desired instance count to {count}. Waiting for change to be fulfilled by sagemaker."


def fulfilled(count: int) -> str:
    return f"Successfully set desired instance count to {count}. Change successfully fulfilled by sagemaker."


def failed(count: int, reason: str) -> str:
    return f"Failed to set desired instance count to {count}. Reason: {reason}"


ATTEMPTING = "Attempting to scale due to alarm triggered"


def reason(rule: Rule, before: State, state: State, points: Sequence[tuple[float, float]]) -> str:
    """Of an alarm's new state. points: (begin of the period, value) of what it was judged by, the newest first."""
    if state == "INSUFFICIENT_DATA":
        told = "were" if rule.periods > 1 else "was"
        plural = "s" * (rule.periods > 1)
        return f"Insufficient Data: {rule.periods} datapoint{plural} {told} unknown."
    telling = [each for each in points if rule.breached(each[1]) == (state == "ALARM")][: rule.periods]
    listed = ", ".join(f"{value!r} ({_told(at)})" for at, value in telling)
    verb = "were" if len(telling) > 1 else "was"
    crossed = f"{verb}{' not' * (state == 'OK')} {'greater' if rule.above else 'less'} than the threshold"
    needed = rule.needed if state == "ALARM" else rule.periods - rule.needed + 1
    least = f"minimum {needed} datapoint{'s' * (needed > 1)} for {_transition(state)} transition"
    out_of = f"{len(telling)} out of the last {rule.periods} datapoints"
    return f"Threshold Crossed: {out_of} [{listed}] {crossed} ({float(rule.threshold)!r}) ({least})."


def _transition(state: State) -> str:
    return "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"


def _told(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d/%m/%y %H:%M:%S")
