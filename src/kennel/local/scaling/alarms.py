"""The two alarms of a target-tracking policy in CloudWatch: as AWS makes, names and judges them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from kennel.local.parts import Document
from kennel.local.scaling.book import metric_of, policy_of
from kennel.local.within import Monitoring
from kennel.scaling import Alarm, Rule, Scaler, words
from kennel.scaling.alarms import BEYOND

MINUTE = 60
Values = Callable[[Document, float], list[float | None]]
"""(target, begin of a minute) → each policy's metric in it."""


def names(target: Document, scales_in: bool) -> tuple[str, str | None]:
    """Of new alarms. Without scale-in there is no second one."""
    high, low = (words.alarm_name(target["ResourceId"], kind, str(uuid.uuid4())) for kind in ("AlarmHigh", "AlarmLow"))
    return high, low if scales_in else None


def put(monitoring: Monitoring, target: Document, policy: Document, at: float) -> None:
    namespace, metric, dimensions, statistic = metric_of(target, policy)
    rules = policy_of(policy)
    for name, rule in ((policy["High"], rules.high), (policy["Low"], rules.low)):
        if name is None:
            continue
        alarm = {
            "AlarmName": name,
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
            "AlarmActions": [policy["PolicyARN"]],
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Statistic": statistic,
            "Period": MINUTE,
            "EvaluationPeriods": rule.periods,
            "Threshold": rule.threshold,
            "ComparisonOperator": "GreaterThanThreshold" if rule.above else "LessThanThreshold",
        }
        monitoring.put(alarm, at)


def remove(monitoring: Monitoring, policy: Document, at: float) -> None:
    for name in (policy["High"], policy["Low"]):
        if name is not None:
            monitoring.remove(name, at)


def report(
    monitoring: Monitoring, values: Values, target: Document, before: Scaler, after: Scaler, begin: float
) -> None:
    """Tell CloudWatch which alarms changed their state with the minute that began then."""
    for place, policy in enumerate(target["Policies"].values()):
        rules, was, now = policy_of(policy), before.trackers[place], after.trackers[place]
        judged = (policy["High"], rules.high, was.high, now.high), (policy["Low"], rules.low, was.low, now.low)
        for name, rule, old, new in judged:
            if name is not None and old.state != new.state:
                found = [(at, values(target, at)[place]) for at in _times(rule, new, begin)]
                points = [(at, value) for at, value in found if value is not None][: rule.periods]
                reason = words.reason(rule, old.state, new.state, points)
                monitoring.judge(name, new.state, reason, _data(rule, points, begin), begin + MINUTE)


def _times(rule: Rule, alarm: Alarm, begin: float) -> list[float]:
    """Begins of the minutes that it was judged by, the newest first."""
    return [begin - back * MINUTE for back in range(rule.periods + BEYOND) if alarm.there >> back & 1]


def _data(rule: Rule, points: list[tuple[float, float]], begin: float) -> Document:
    return {
        "version": "1.0",
        "queryDate": _iso(begin + MINUTE),
        "startDate": _iso(points[-1][0] if points else begin),
        "period": MINUTE,
        "recentDatapoints": [value for _, value in reversed(points)],
        "threshold": rule.threshold,
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
