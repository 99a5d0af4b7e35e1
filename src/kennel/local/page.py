"""The page at `/` and what it shows: functions, jobs, endpoints, machines, logs, live. By any client's operations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from kennel.local.errors import invalid
from kennel.local.parts import Document, House, Machinery, Operation, Reply

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
SHOWN = 100
"""Resources of a kind on the page, the newest."""
ReadLog = Callable[[str, str, int], Sequence[str]]
"""(group, prefix of the streams, how many) → the last lines."""
ReadCalls = Callable[[float], bytes]
"""(epoch seconds) → what the gatekeeper decided since then, a line of JSON each."""
Interrupt = Callable[[str], None]
"""Takes a running spot job its instance; announces a spot machine its end."""


class Page:
    """Answers what is no call of AWS's: `GET /`, `GET /_kennel/…`, and `POST /_kennel/interrupt`."""

    def __init__(
        self,
        house: House,
        operations: Mapping[str, Operation],
        read_log: ReadLog,
        interrupt: Interrupt,
        read_calls: ReadCalls = lambda after: b"",
        machinery: Machinery | None = None,
    ) -> None:
        self._house, self._operations, self._read_log, self._interrupt = house, operations, read_log, interrupt
        self._read_calls, self._machinery = read_calls, machinery

    def __call__(self, method: str, target: str) -> Reply:
        """target: the request's path with its query. Raises Refused."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if method == "POST":
            return self._do(parts.path, query)
        if parts.path == "/":
            page = files("kennel.local").joinpath("templates/page.html").read_bytes()
            return _reply("text/html; charset=utf-8", page)
        if parts.path == "/_kennel/pid":
            return _reply("text/plain", str(os.getpid()).encode())
        if parts.path == "/_kennel/status":
            return _json(self.status())
        if parts.path == "/_kennel/calls":
            return _reply("application/jsonl", self._read_calls(_number(query.get("after", "0"))))
        if parts.path == "/_kennel/log":
            return _json({"lines": self._log(query.get("kind", ""), query.get("name", ""))})
        return Reply(404, {"Content-Type": "text/plain"}, b"There is nothing here\n")

    def _do(self, path: str, query: Mapping[str, str]) -> Reply:
        if path != "/_kennel/interrupt":
            return Reply(404, {"Content-Type": "text/plain"}, b"There is nothing here\n")
        self._interrupt(query.get("job", ""))
        return _json({})

    def status(self) -> Document:
        """Everything that there is, the newest first."""
        house = self._house
        return {
            "url": house.url,
            "region": house.region,
            "account": house.account,
            "home": str(house.home),
            "tuning_jobs": [self._tuning_job(name) for name in self._names("HyperParameterTuningJob")],
            "training_jobs": [self._training_job(name) for name in self._names("TrainingJob")],
            "endpoints": [self._endpoint(name) for name in self._names("Endpoint")],
            "functions": self._functions(),
            "machines": list(self._machinery.machines()) if self._machinery else [],
        }

    def _names(self, kind: str) -> list[str]:
        request = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": SHOWN}
        answer = self._operations[f"List{kind}s"](request)
        listed = next(value for key, value in answer.items() if key.endswith(("Summaries", "Endpoints")))
        return [each[f"{kind}Name"] for each in listed]

    def _training_job(self, name: str) -> Document:
        found = self._operations["DescribeTrainingJob"]({"TrainingJobName": name})
        return {
            "name": name,
            "status": found["TrainingJobStatus"],
            "detail": found.get("FailureReason") or found["SecondaryStatus"],
            "created": found["CreationTime"],
            "seconds": found.get("TrainingTimeInSeconds"),
            "metrics": {each["MetricName"]: each["Value"] for each in found.get("FinalMetricDataList", [])},
        }

    def _tuning_job(self, name: str) -> Document:
        found = self._operations["DescribeHyperParameterTuningJob"]({"HyperParameterTuningJobName": name})
        return {
            "name": name,
            "status": found["HyperParameterTuningJobStatus"],
            "detail": found.get("FailureReason", ""),
            "created": found["CreationTime"],
            "counters": found["TrainingJobStatusCounters"],
            "best": found.get("BestTrainingJob"),
        }

    def _endpoint(self, name: str) -> Document:
        found = self._operations["DescribeEndpoint"]({"EndpointName": name})
        return {
            "name": name,
            "status": found["EndpointStatus"],
            "detail": found.get("FailureReason", ""),
            "created": found["CreationTime"],
            "variants": [
                {
                    "name": each["VariantName"],
                    "current": each.get("CurrentInstanceCount", 0),
                    "desired": each.get("DesiredInstanceCount", 0),
                }
                for each in found.get("ProductionVariants", [])
            ],
            "scaling": self._scaling(name),
        }

    def _scaling(self, endpoint: str) -> list[str]:
        """A line a variant that is scaled, and its last activity."""
        ask, asked = self._operations, {"ServiceNamespace": "sagemaker"}
        if "DescribeScalableTargets" not in ask:
            return []
        found = ask["DescribeScalableTargets"](asked)["ScalableTargets"]
        mine = [each for each in found if each["ResourceId"].startswith(f"endpoint/{endpoint}/")]
        return [self._scaled({**asked, "ResourceId": each["ResourceId"]}, each) for each in mine]

    def _scaled(self, asked: Document, target: Document) -> str:
        policies = self._operations["DescribeScalingPolicies"](asked)["ScalingPolicies"]
        alarms = [(each["PolicyName"], one["AlarmName"]) for each in policies for one in each["Alarms"]]
        monitoring, prefix = self._house.monitoring, f"TargetTracking-{target['ResourceId']}-"
        states = [
            f"{policy} {name.removeprefix(prefix).split('-')[0]} {monitoring.state(name)}"
            for policy, name in alarms
            if monitoring is not None
        ]
        last = self._operations["DescribeScalingActivities"]({**asked, "MaxResults": 1})["ScalingActivities"]
        done = [f"{each['StatusCode']}: {each['Description']}" for each in last]
        bounds = f"{target['MinCapacity']}–{target['MaxCapacity']}"
        return ", ".join([f"{target['ResourceId'].rsplit('/', 1)[-1]}: {bounds}", *states, *done])

    def _functions(self) -> list[Document]:
        if "ListFunctions" not in self._operations:
            return []
        listed = self._operations["ListFunctions"]({"MaxItems": SHOWN})["Functions"]
        return [self._function(each["FunctionName"], each["LastModified"]) for each in listed]

    def _function(self, name: str, modified: str) -> Document:
        asked, ask = {"FunctionName": name}, self._operations
        found = ask["GetFunctionConfiguration"](asked)
        provisioned = ask["ListProvisionedConcurrencyConfigs"](asked)["ProvisionedConcurrencyConfigs"]
        failing = [each for each in provisioned if each["Status"] != "READY"]
        busy = found["State"] == "Active" and found["LastUpdateStatus"] != "Successful"
        return {
            "name": name,
            "status": found["LastUpdateStatus"] if busy else found["State"],
            "detail": ", ".join(each.get("StatusReason", "provisioned concurrency is coming") for each in failing),
            "created": datetime.strptime(modified, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp(),
            "versions": [each["Version"] for each in ask["ListVersionsByFunction"](asked)["Versions"][1:]],
            "aliases": {each["Name"]: each["FunctionVersion"] for each in ask["ListAliases"](asked)["Aliases"]},
            "provisioned": [
                {
                    "qualifier": each["FunctionArn"].rsplit(":", 1)[-1],
                    "ready": each["AvailableProvisionedConcurrentExecutions"],
                    "asked": each["RequestedProvisionedConcurrentExecutions"],
                }
                for each in provisioned
            ],
            "urls": [each["FunctionUrl"] for each in ask["ListFunctionUrlConfigs"](asked)["FunctionUrlConfigs"]],
        }

    def _log(self, kind: str, name: str) -> list[str]:
        if kind == "machine":
            return list(self._machinery.console(name)) if self._machinery else []
        if kind == "function":
            return list(self._read_log(f"/aws/lambda/{name}", "", 300))
        if kind == "endpoint":
            return list(self._read_log(f"/aws/sagemaker/Endpoints/{name}", "", 300))
        return list(self._read_log("/aws/sagemaker/TrainingJobs", f"{name}/", 300))


def _number(text: str) -> float:
    """Raises Refused."""
    try:
        return float(text)
    except ValueError as error:
        raise invalid(f"{text[:100]} is no number of seconds") from error


def _json(value: Document) -> Reply:
    return _reply("application/json", json.dumps(value).encode())


def _reply(content_type: str, body: bytes) -> Reply:
    return Reply(200, {**HEADERS, "Content-Type": content_type}, body)
