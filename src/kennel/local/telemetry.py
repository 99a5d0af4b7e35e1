"""CloudWatch and its Logs from inside the server, over moto's state, kept on disk.

Log events outlive a server that is killed; they are not forced to the disk, so a power cut may take the last seconds.
"""

from __future__ import annotations

import datetime
import hashlib
import heapq
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kennel.local.call import Call, scope_of
from kennel.local.journal import Journal
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.parts import Document

OPEN = 64
"""Files of streams that stay open: most streams are written to for a while and then never again."""
MINUTE = 60
METRIC_SECONDS = 15 * 24 * 3600
"""CloudWatch keeps one-minute points so long."""


class LogStore:
    """Implements within.Logs; one file a stream. Groups and streams themselves are the journal's."""

    def __init__(self, folder: Path, moto: Moto, region: str) -> None:
        from moto.logs.models import logs_backends

        self._folder, self._moto, self._region = folder, moto, region
        self._backends = logs_backends[ACCOUNT]
        self._journals: dict[tuple[str, str, str], Journal] = {}
        self._open: dict[tuple[str, str, str], Journal] = {}
        """The last one used comes last."""
        moto.kept_by("logs", self)

    def write(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        """(epoch seconds, text) each; group and stream are made if missing."""
        with self._moto.lock:
            found = self._made(group, stream)
            found.put_log_events([{"timestamp": round(at * 1000), "message": text} for at, text in lines])
            self._keep_events((self._region, group, stream), found)

    def has(self, group: str, stream: str = "") -> bool:
        """Whether there is such a group, and such a stream in it."""
        with self._moto.lock:
            held = self._backends[self._region].groups.get(group)
            return held is not None and (not stream or stream in held.streams)

    def last_lines(self, group: str, prefix: str, count: int) -> list[str]:
        """The newest of all streams whose names begin so, in the order of their times."""
        with self._moto.lock:
            held = self._backends[self._region].groups.get(group)
            streams = [each for name, each in held.streams.items() if name.startswith(prefix)] if held else []
            ends = [each.events[-count:] for each in streams]
        merged = list(heapq.merge(*ends, key=lambda event: event.timestamp))
        return [event.message for event in merged[-count:]]

    def keeps(self, call: Call) -> bool:
        return call.action() == "PutLogEvents"

    def keep(self, call: Call) -> None:
        if call.action() == "PutLogEvents":
            given = call.parameters()
            place = (_region_of(call), given["logGroupName"], given["logStreamName"])
            found = self._backends[place[0]].groups[place[1]].streams[place[2]]
            self._keep_events(place, found)
        elif call.action() in ("DeleteLogGroup", "DeleteLogStream"):
            for place in [each for each in self._journals if self._find(*each) is None]:
                self._journals.pop(place).remove()

    def load(self) -> None:
        from moto.logs.models import LogEvent

        for path in self._folder.glob("*.jsonl"):
            head, *events = Journal(path).read() or [{}]
            place = (head.get("region", ""), head.get("group", ""), head.get("stream", ""))
            found = self._find(*place) if head else None
            if found is None:
                path.unlink()
                continue
            found.events = [LogEvent(each["in"], {"timestamp": each["at"], "message": each["text"]}) for each in events]
            if events:
                found.last_ingestion_time = _utc(events[-1]["in"] / 1000)
            found.stored_bytes = sum(len(each["text"]) for each in events)
            found.kept = len(events)
            self._journals[place] = Journal(path, sync=False)

    def close(self) -> None:
        for journal in self._journals.values():
            journal.close()

    def _made(self, group: str, stream: str) -> Any:
        if group not in self._backends[self._region].groups:
            self._ask("CreateLogGroup", {"logGroupName": group})
        held = self._backends[self._region].groups[group]
        if stream not in held.streams:
            self._ask("CreateLogStream", {"logGroupName": group, "logStreamName": stream})
        return held.streams[stream]

    def _ask(self, action: str, parameters: Document) -> None:
        """As any client would, so that the journal has it in its right place."""
        scope = f"inside/{time.strftime('%Y%m%d')}/{self._region}/logs/aws4_request"
        headers = {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
            "HTTP_X_AMZ_TARGET": f"Logs_20140328.{action}",
            "CONTENT_TYPE": "application/x-amz-json-1.1",
        }
        reply = self._moto.answer(Call("logs", "POST", "/", "", headers, json.dumps(parameters).encode()))
        if reply.status >= 400:
            raise ValueError(f"{action} {parameters}: {reply.body.decode()}")

    def _keep_events(self, place: tuple[str, str, str], stream: Any) -> None:
        journal = self._journals.get(place)
        if journal is None:
            name = hashlib.sha256("\0".join(place).encode()).hexdigest()[:32]
            journal = self._journals[place] = Journal(self._folder / f"{name}.jsonl", sync=False)
            journal.add([dict(zip(("region", "group", "stream"), place, strict=True))])
        new = stream.events[getattr(stream, "kept", 0) :]
        journal.add([{"at": each.timestamp, "in": each.ingestion_time, "text": each.message} for each in new])
        stream.kept = len(stream.events)
        self._open.pop(place, None)
        self._open[place] = journal
        if len(self._open) > OPEN:
            self._open.pop(next(iter(self._open))).close()

    def _find(self, region: str, group: str, stream: str) -> Any:
        held = self._backends[region].groups.get(group) if region else None
        return held.streams.get(stream) if held is not None else None


class MetricStore:
    """Implements within.CloudWatch. Alarms and dashboards are the journal's."""

    def __init__(self, folder: Path, moto: Moto, region: str) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        self._moto, self._region = moto, region
        self._journal = Journal(folder / "metrics.jsonl", sync=False)
        self._backends = cloudwatch_backends[ACCOUNT]
        self._kept: dict[str, int] = {}
        self._minutes: dict[tuple[str, str, int], list[Any]] = {}
        """Of this region, by namespace, name and minute: data may come in any order of their times."""
        moto.kept_by("monitoring", self)

    def put(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], unit: str, time: float
    ) -> None:
        datum = {"namespace": namespace, "name": name, "unit": unit, "time": time, "value": value}
        datum["dimensions"] = [{"Name": key, "Value": each} for key, each in dimensions.items()]
        with self._moto.lock:
            self._backends[self._region].metric_data.append(_datum(datum))
            self._keep(self._region)

    def value(
        self, namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, begin: float
    ) -> float | None:
        """Of the minute that began then; None where it has no data, or some that come to no finite number."""
        with self._moto.lock:
            there = self._minutes.get((namespace, name, int(begin // MINUTE)), [])
            found = [_statistics(each) for each in there if _dimensions(each) == dimensions]
        value = _of(statistic, found) if found else math.nan
        return value if math.isfinite(value) else None

    def keeps(self, call: Call) -> bool:
        return call.action() == "PutMetricData"

    def keep(self, call: Call) -> None:
        if self.keeps(call):
            self._keep(_region_of(call))

    def load(self) -> None:
        entries = self._journal.read()
        young = [each for each in entries if each["time"] > time.time() - METRIC_SECONDS]
        if len(young) < len(entries):
            self._journal.write_anew(young)
        for each in young:
            datum = _datum(each)
            self._backends[each["region"]].metric_data.append(datum)
            self._remember(each["region"], [datum])
        for region in {each["region"] for each in young}:
            self._kept[region] = len(self._backends[region].metric_data)

    def close(self) -> None:
        self._journal.close()

    def _keep(self, region: str) -> None:
        new = self._backends[region].metric_data[self._kept.get(region, 0) :]
        self._journal.add([{"region": region, **_described(each)} for each in new])
        self._remember(region, new)
        self._kept[region] = len(self._backends[region].metric_data)

    def _remember(self, region: str, data: Sequence[Any]) -> None:
        for each in data if region == self._region else ():
            key = (each.namespace, each.name, int(_aware(each.timestamp).timestamp() // MINUTE))
            self._minutes.setdefault(key, []).append(each)


def _dimensions(datum: Any) -> dict[str, str]:
    return {each.name: each.value for each in datum.dimensions}


def _statistics(datum: Any) -> tuple[float, float, float, float]:
    """Minimum, maximum, samples, sum."""
    if hasattr(datum, "value"):
        return datum.value, datum.value, 1, datum.value
    return datum.min, datum.max, datum.sample_count, datum.sum


def _of(statistic: str, found: Sequence[tuple[float, float, float, float]]) -> float:
    samples, total = sum(each[2] for each in found), sum(each[3] for each in found)
    return {
        "Minimum": min(each[0] for each in found),
        "Maximum": max(each[1] for each in found),
        "SampleCount": samples,
        "Sum": total,
        "Average": total / samples if samples else 0.0,
    }[statistic]


def _datum(given: Document) -> Any:
    from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

    common = (given["dimensions"], _utc(given["time"]), given["unit"])
    if "value" in given:
        return MetricDatum(given["namespace"], given["name"], given["value"], *common)
    return MetricAggregatedDatum(given["namespace"], given["name"], *given["statistics"], *common)


def _described(datum: Any) -> Document:
    common = {
        "namespace": datum.namespace,
        "name": datum.name,
        "unit": datum.unit,
        "time": _aware(datum.timestamp).timestamp(),
        "dimensions": [{"Name": each.name, "Value": each.value} for each in datum.dimensions],
    }
    if hasattr(datum, "value"):
        return {**common, "value": datum.value}
    return {**common, "statistics": [datum.min, datum.max, datum.sample_count, datum.sum]}


def _aware(at: datetime.datetime) -> datetime.datetime:
    """moto's times say nothing of their zone where they are UTC's."""
    return at if at.tzinfo else at.replace(tzinfo=datetime.UTC)


def _utc(epoch: float) -> datetime.datetime:
    """As moto wants it: in UTC, and without saying so."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).replace(tzinfo=None)


def _region_of(call: Call) -> str:
    scope = scope_of({**call.headers, "QUERY_STRING": call.query}, "")
    return scope.region if scope else ""
