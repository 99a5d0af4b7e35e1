"""CloudWatch's alarms that this server keeps itself (scaling's): shown by moto, judged by their owner, with a history.

moto shows alarms, and neither judges them nor tells their history; those that a client puts are moto's and stay as
they are.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kennel.local.documents import Documents
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.parts import Changes, Document
from kennel.local.telemetry import MetricStore

PAGE = 100
"""AWS's own bound, and what it takes where a request names none."""
MOST = 500
"""Items of an alarm's history, the newest."""
UNCHECKED = "Unchecked: Initial alarm creation"


class AlarmStore:
    """Implements within.Monitoring."""

    def __init__(self, folder: Path, moto: Moto, metrics: MetricStore, region: str, changes: Changes) -> None:
        self._moto, self._metrics, self._region = moto, metrics, region
        self._kept = Documents(folder, changes)
        self._teach()

    def load(self) -> None:
        """Show what is on disk. Called once, when moto's own state is there."""
        for each in self._kept.all():
            if not each["Removed"]:
                self._show(each)

    def value(
        self, namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, begin: float
    ) -> float | None:
        return self._metrics.value(namespace, name, dimensions, statistic, begin)

    def put(self, alarm: Document, at: float) -> None:
        document = {
            "Alarm": alarm,
            "State": "INSUFFICIENT_DATA",
            "Reason": UNCHECKED,
            "Data": {},
            "At": at,
            "Made": at,
            "Removed": False,
            "History": [],
        }
        _add(document, at, "ConfigurationUpdate", f'Alarm "{alarm["AlarmName"]}" created', {"type": "Create"})
        if self._kept.add(_key(alarm["AlarmName"]), document):
            self._show(document)

    def state(self, name: str) -> str:
        found = self._kept.get(_key(name))
        return str(found["State"]) if found else "INSUFFICIENT_DATA"

    def judge(self, name: str, state: str, reason: str, data: Document, at: float) -> None:
        def change(document: Document) -> None:
            before = _state(document)
            document.update(State=state, Reason=reason, Data=data, At=at)
            told = {"oldState": before, "newState": _state(document)}
            _add(document, at, "StateUpdate", f"Alarm updated from {before['stateValue']} to {state}", told)
            if state == "ALARM":
                action = document["Alarm"]["AlarmActions"][0]
                done = {"actionState": "Succeeded", "notificationResource": action}
                _add(document, at, "Action", f"Successfully executed action {action}", done)

        changed = self._kept.change(_key(name), change)
        if changed is not None and not changed["Removed"]:
            self._show(changed)

    def remove(self, name: str, at: float) -> None:
        """Its history stays, as on AWS."""

        def change(document: Document) -> None:
            document["Removed"] = True
            _add(document, at, "ConfigurationUpdate", f'Alarm "{name}" deleted', {"type": "Delete"})

        self._kept.change(_key(name), change)
        with self._moto.lock:
            self._backend().delete_alarms([name])

    def history(self, name: str | None, kind: str | None) -> list[Document]:
        """The newest first."""
        items = [each for document in self._kept.all() for each in document["History"]]
        found = [
            each for each in items if name in (None, each["AlarmName"]) and kind in (None, each["HistoryItemType"])
        ]
        return sorted(found, key=lambda each: float(each["Timestamp"]), reverse=True)

    def _backend(self) -> Any:
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[ACCOUNT][self._region]

    def _show(self, document: Document) -> None:
        given = document["Alarm"]
        with self._moto.lock:
            shown = self._backend().put_metric_alarm(
                name=given["AlarmName"],
                namespace=given["Namespace"],
                metric_name=given["MetricName"],
                comparison_operator=given["ComparisonOperator"],
                evaluation_periods=given["EvaluationPeriods"],
                period=given["Period"],
                threshold=given["Threshold"],
                statistic=given["Statistic"],
                description=given["AlarmDescription"],
                dimensions=given["Dimensions"],
                alarm_actions=given["AlarmActions"],
            )
            shown.state_value, shown.state_reason = document["State"], document["Reason"]
            shown.state_reason_data = json.dumps(document["Data"])
            shown.state_updated_timestamp = _naive(document["At"])
            shown.configuration_updated_timestamp = _naive(document["Made"])

    def _teach(self) -> None:
        """moto has every form of CloudWatch's answers, but not this operation."""
        from moto.cloudwatch.responses import CloudWatchResponse
        from moto.core.responses import ActionResult

        def describe_alarm_history(response: Any) -> Any:
            asked = {
                name: response._get_param(name) for name in ("AlarmName", "HistoryItemType", "MaxRecords", "ScanBy")
            }
            found = self.history(asked["AlarmName"], asked["HistoryItemType"])
            start, end = (_epoch(response._get_param(name)) for name in ("StartDate", "EndDate"))
            found = [
                each
                for each in found
                if (start is None or each["Timestamp"] >= start) and (end is None or each["Timestamp"] <= end)
            ]
            if asked["ScanBy"] == "TimestampAscending":
                found.reverse()
            return ActionResult(_page(found, int(asked["MaxRecords"] or PAGE), response._get_param("NextToken")))

        CloudWatchResponse.describe_alarm_history = describe_alarm_history


def _page(found: list[Document], most: int, token: str | None) -> Document:
    """What came after the first page was shown is on none of them: it would move the others along."""
    first, until = _parsed(token) if token else (0, max((each["Timestamp"] for each in found), default=0.0))
    there, end = [each for each in found if each["Timestamp"] <= until], first + max(1, min(most, PAGE))
    page: Document = {
        "AlarmHistoryItems": [{**each, "Timestamp": _naive(each["Timestamp"])} for each in there[first:end]]
    }
    if len(there) > end:
        page["NextToken"] = base64.urlsafe_b64encode(json.dumps([end, until]).encode()).decode()
    return page


def _parsed(token: str) -> tuple[int, float]:
    from moto.cloudwatch.exceptions import CloudWatchException

    try:
        first, until = json.loads(base64.urlsafe_b64decode(token))
        if not isinstance(first, int) or first < 0:
            raise ValueError(first)
        return first, float(until)
    except (ValueError, TypeError, OverflowError) as error:
        raise CloudWatchException("InvalidNextToken", "The NextToken is not one of this list") from error


def _add(document: Document, at: float, kind: str, summary: str, data: Document) -> None:
    item = {
        "AlarmName": document["Alarm"]["AlarmName"],
        "AlarmType": "MetricAlarm",
        "Timestamp": at,
        "HistoryItemType": kind,
        "HistorySummary": summary,
        "HistoryData": json.dumps({"version": "1.0", **data}),
    }
    document["History"] = [*document["History"], item][-MOST:]


def _state(document: Document) -> Document:
    return {
        "stateValue": document["State"],
        "stateReason": document["Reason"],
        **({"stateReasonData": document["Data"]} if document["Data"] else {}),
    }


def _key(name: str) -> str:
    """A file's name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _naive(epoch: float) -> datetime:
    """As moto wants it: in UTC, and without saying so."""
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None)


def _epoch(given: Any) -> float | None:
    if given is None or isinstance(given, (int, float)):
        return given
    at = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
