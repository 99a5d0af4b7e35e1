"""What scaling keeps on disk: a document a scalable target (policies, actions, state), and its activities."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from kennel.local.documents import Documents
from kennel.local.parts import Document, House
from kennel.scaling import Alarm, Policy, Scaler, Target
from kennel.scaling.tracking import COOLDOWN_S, Tracker

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
MOST = 1000
"""Activities of a target, the newest; AWS keeps them for six weeks."""
IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")


class Book:
    """Targets by their resource. One thread at a time changes a target; its owner takes care of that."""

    def __init__(self, house: House) -> None:
        self._targets = Documents(house.home / "scaling", house.changes)
        self._activities = Documents(house.home / "scaling-activities", house.changes)

    def get(self, resource: str) -> Document | None:
        return self._targets.get(_key(resource))

    def all(self) -> list[Document]:
        return sorted(self._targets.all(), key=lambda each: str(each["ResourceId"]))

    def keep(self, target: Document) -> None:
        key = _key(target["ResourceId"])

        def replace(document: Document) -> None:
            document.clear()
            document.update(target)

        if self._targets.change(key, replace) is None:
            self._targets.add(key, target)

    def remove(self, resource: str) -> None:
        self._targets.remove(_key(resource))

    def begin(self, target: Document, activity: Document) -> str:
        """Keep a new activity of the target; its id."""
        given = {"ActivityId": str(uuid.uuid4()), **{name: target[name] for name in IDENTITY}, **activity}
        key = _key(target["ResourceId"])
        self._activities.add(key, {"Activities": []})
        self._activities.change(
            key, lambda document: document.update(Activities=[*document["Activities"], given][-MOST:])
        )
        return str(given["ActivityId"])

    def end(self, target: Document, activity: str, **members: object) -> None:
        def change(document: Document) -> None:
            for each in document["Activities"]:
                if each["ActivityId"] == activity:
                    each.update(members)

        self._activities.change(_key(target["ResourceId"]), change)

    def activities(self) -> list[Document]:
        """Of all targets, also of those that are no more, the newest first."""
        found = [each for document in self._activities.all() for each in reversed(document["Activities"])]
        return sorted(found, key=lambda each: float(each["StartTime"]), reverse=True)


def rules_of(target: Document) -> Target:
    """As the pure part wants it: policies in the order in which they were made."""
    suspended = target.get("SuspendedState", {})
    return Target(
        target["MinCapacity"],
        target["MaxCapacity"],
        tuple(policy_of(each) for each in target["Policies"].values()),
        out_suspended=suspended.get("DynamicScalingOutSuspended", False),
        in_suspended=suspended.get("DynamicScalingInSuspended", False),
    )


def policy_of(policy: Document) -> Policy:
    config = policy["Config"]
    return Policy(
        target=config["TargetValue"],
        out_cooldown_s=config.get("ScaleOutCooldown", COOLDOWN_S),
        in_cooldown_s=config.get("ScaleInCooldown", COOLDOWN_S),
        scales_in=not config.get("DisableScaleIn", False),
        name=policy["PolicyName"],
        high_name=policy["High"],
        low_name=policy["Low"] or "",
    )


def scaler_of(target: Document) -> Scaler:
    trackers = [_tracker(target["Trackers"].get(name)) for name in target["Policies"]]
    return Scaler(tuple(trackers), target["Adjust"])


def remember(target: Document, scaler: Scaler) -> None:
    target["Adjust"] = scaler.adjust
    target["Trackers"] = {
        name: {"High": list(each.high), "Low": list(each.low), "Times": [each.out_until, each.in_until, each.base]}
        for name, each in zip(target["Policies"], scaler.trackers, strict=True)
    }


def variant_of(resource: str) -> tuple[str, str]:
    """Endpoint and variant of `endpoint/NAME/variant/NAME`, which the API has checked."""
    _, endpoint, _, variant = resource.split("/")
    return endpoint, variant


def metric_of(target: Document, policy: Document) -> tuple[str, str, dict[str, str], str]:
    """(namespace, name, dimensions, statistic) of what a policy tracks."""
    custom = policy["Config"].get("CustomizedMetricSpecification")
    if custom:
        dimensions = {each["Name"]: each["Value"] for each in custom.get("Dimensions", [])}
        return custom["Namespace"], custom["MetricName"], dimensions, custom["Statistic"]
    endpoint, variant = variant_of(target["ResourceId"])
    return "AWS/SageMaker", "InvocationsPerInstance", {"EndpointName": endpoint, "VariantName": variant}, "Sum"


def filtered(documents: Sequence[Document], request: Document) -> list[Document]:
    """By the resource and dimension that a request names."""
    return [
        each
        for each in documents
        if all(request.get(name, each[name]) == each[name] for name in ("ResourceId", "ScalableDimension"))
    ]


def _tracker(kept: Document | None) -> Tracker:
    if kept is None:
        return Tracker()
    return Tracker(Alarm(*kept["High"]), Alarm(*kept["Low"]), *kept["Times"])


def _key(resource: str) -> str:
    """A file's name."""
    return hashlib.sha256(resource.encode()).hexdigest()[:32]
