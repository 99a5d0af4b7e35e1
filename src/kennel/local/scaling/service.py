"""Application Auto Scaling as a service of the local AWS: scalable targets, policies, scheduled actions, activities."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence

from kennel.local.errors import Refused, invalid
from kennel.local.hosting import Hosting
from kennel.local.hosting.plan import Deployment
from kennel.local.parts import Document, House, Operation
from kennel.local.scaling import alarms, requests
from kennel.local.scaling.book import DIMENSION, IDENTITY, Book, filtered, variant_of
from kennel.local.scaling.loop import Loop
from kennel.local.scaling.pages import paged
from kennel.local.within import Monitoring

TARGET = (*IDENTITY, "MinCapacity", "MaxCapacity", "RoleARN", "CreationTime", "SuspendedState", "ScalableTargetARN")
ACTION = (
    "ScheduledActionName",
    "ScheduledActionARN",
    *IDENTITY,
    "Schedule",
    "Timezone",
    "StartTime",
    "EndTime",
    "ScalableTargetAction",
    "CreationTime",
)
LINKED = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
ALLOWED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
MOST_TAGS = 50


class Scaling:
    """Implements parts.Service, parts.JsonService and hosting's Watcher."""

    service = "application-autoscaling"

    def __init__(self, house: House, hosting: Hosting, monitoring: Monitoring) -> None:
        self._house, self._hosting, self._monitoring = house, hosting, monitoring
        self._book, self._lock = Book(house), threading.RLock()
        self._loop = Loop(house, monitoring, self._book, hosting.operations(), self._lock)
        hosting.watched_by(self)

    def operations(self) -> Mapping[str, Operation]:
        """Nothing of SageMaker's."""
        return {}

    def json_operations(self) -> Mapping[str, Operation]:
        return {
            "RegisterScalableTarget": self._register,
            "DescribeScalableTargets": self._targets,
            "DeregisterScalableTarget": self._deregister,
            "PutScalingPolicy": self._put_policy,
            "DescribeScalingPolicies": self._policies,
            "DeleteScalingPolicy": self._delete_policy,
            "PutScheduledAction": self._put_action,
            "DescribeScheduledActions": self._actions,
            "DeleteScheduledAction": self._delete_action,
            "DescribeScalingActivities": self._activities,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._tags,
        }

    def resume(self) -> None:
        """Targets of endpoints that are no more, or are being deleted, go (a server may be killed before `deleted` is
        called); a change that was under way is settled as the endpoint comes to its end."""
        self._loop.forget_orphans()
        self._loop.start()

    def close(self) -> None:
        """Its threads end with the house's."""

    def minute(self, begin: float) -> None:
        self._loop.minute(begin)

    def updating(self, endpoint: str, deployed: Deployment, fresh: Deployment) -> None:
        """A variant that is scaled keeps its name and its type of instance, as on AWS."""
        stuck = [
            name
            for owner, name in map(variant_of, [each["ResourceId"] for each in self._book.all()])
            if owner == endpoint and _type(fresh, name) != _type(deployed, name)
        ]
        if stuck:
            raise invalid(
                f'The variant(s) "{stuck}" must be deregistered as scalable targets with AWS Auto Scaling before they '
                "can be removed or have their instance type updated."
            )

    def deleted(self, endpoint: str) -> None:
        """As on AWS, which deregisters them without telling."""
        with self._lock:
            for target in self._book.all():
                if variant_of(target["ResourceId"])[0] == endpoint:
                    self._loop.forget(target)

    def _register(self, request: Document) -> Document:
        requests.check_identity(request)
        with self._lock:
            before = self._book.get(request["ResourceId"])
            requests.check_bounds(request, before, self._instance_type(request["ResourceId"]))
            target = before or self._new_target(request)
            target |= {name: request[name] for name in ("MinCapacity", "MaxCapacity") if name in request}
            target["SuspendedState"] |= request.get("SuspendedState", {})
            if "Tags" in request:
                self._add_tags(target, request["Tags"])
            self._loop.adjust(target)
        return {"ScalableTargetARN": target["ScalableTargetARN"]}

    def _targets(self, request: Document) -> Document:
        requests.check_identity({**request, "ScalableDimension": request.get("ScalableDimension", DIMENSION)})
        wanted = request.get("ResourceIds") or None
        found = [each for each in self._book.all() if wanted is None or each["ResourceId"] in wanted]
        return paged(request, "ScalableTargets", [_shown(each, TARGET) for each in found])

    def _deregister(self, request: Document) -> Document:
        with self._lock:
            self._loop.forget(self._known(request))
        return {}

    def _put_policy(self, request: Document) -> Document:
        with self._lock:
            target, name = self._known(request), request["PolicyName"]
            before = target["Policies"].get(name)
            requests.check_policy(request, [each for each in target["Policies"].values() if each is not before])
            config = request["TargetTrackingScalingPolicyConfiguration"]
            if before is None or before["Config"] != config:
                self._keep_policy(target, name, config, before)
            policy = target["Policies"][name]
        return {"PolicyARN": policy["PolicyARN"], "Alarms": self._alarms(policy)}

    def _policies(self, request: Document) -> Document:
        requests.check_identity(request)
        wanted = request.get("PolicyNames") or None
        found = [
            self._policy(target, each)
            for target in filtered(self._book.all(), request)
            for each in target["Policies"].values()
            if wanted is None or each["PolicyName"] in wanted
        ]
        return paged(request, "ScalingPolicies", found)

    def _delete_policy(self, request: Document) -> Document:
        with self._lock:
            target = self._known(request)
            policy = target["Policies"].pop(request["PolicyName"], None)
            if policy is None:
                raise requests.no_policy(request)
            target["Trackers"].pop(request["PolicyName"], None)
            alarms.remove(self._monitoring, policy, self._house.clock.now())
            self._book.keep(target)
        return {}

    def _put_action(self, request: Document) -> Document:
        with self._lock:
            target, name = self._known(request), request["ScheduledActionName"]
            before = target["Actions"].get(name)
            requests.check_action(request, before, len(target["Actions"]) - (before is not None))
            given = {key: request[key] for key in ACTION if key in request}
            made = {"CreationTime": self._house.clock.now(), "ScheduledActionARN": self._action_arn(target, name)}
            target["Actions"][name] = {**made, **(before or {}), **given}
            self._book.keep(target)
        return {}

    def _actions(self, request: Document) -> Document:
        requests.check_identity(request)
        wanted = request.get("ScheduledActionNames") or None
        found = [
            _shown(each, ACTION)
            for target in filtered(self._book.all(), request)
            for each in target["Actions"].values()
            if wanted is None or each["ScheduledActionName"] in wanted
        ]
        return paged(request, "ScheduledActions", found)

    def _delete_action(self, request: Document) -> Document:
        with self._lock:
            target = self._known(request)
            if target["Actions"].pop(request["ScheduledActionName"], None) is None:
                raise requests.no_action(request)
            self._book.keep(target)
        return {}

    def _activities(self, request: Document) -> Document:
        requests.check_identity(request)
        self._loop.settle()
        found = filtered(self._book.activities(), request)
        if not request.get("IncludeNotScaledActivities"):
            found = [each for each in found if "NotScaledReasons" not in each]
        return paged(request, "ScalingActivities", found)

    def _tag(self, request: Document) -> Document:
        with self._lock:
            target = self._by_arn(request)
            self._add_tags(target, request["Tags"])
            self._book.keep(target)
        return {}

    def _untag(self, request: Document) -> Document:
        with self._lock:
            target = self._by_arn(request)
            target["Tags"] = {key: value for key, value in target["Tags"].items() if key not in request["TagKeys"]}
            self._book.keep(target)
        return {}

    def _tags(self, request: Document) -> Document:
        return {"Tags": self._by_arn(request)["Tags"]}

    def _known(self, request: Document) -> Document:
        requests.check_identity(request)
        target = self._book.get(request["ResourceId"])
        if target is None:
            raise requests.no_target(request)
        return target

    def _by_arn(self, request: Document) -> Document:
        arn = request["ResourceARN"]
        found = next((each for each in self._book.all() if each["ScalableTargetARN"] == arn), None)
        if found is None:
            raise Refused("ResourceNotFoundException", f"The resource {arn} does not exist", more={"ResourceName": arn})
        return found

    def _add_tags(self, target: Document, tags: Mapping[str, str]) -> None:
        merged = {**target["Tags"], **tags}
        if len(merged) > MOST_TAGS:
            told, more = (
                f"A scalable target has at most {MOST_TAGS} tags",
                {"ResourceName": target["ScalableTargetARN"]},
            )
            raise Refused("TooManyTagsException", told, more=more)
        target["Tags"] = merged

    def _new_target(self, request: Document) -> Document:
        house = self._house
        return {
            **{name: request[name] for name in IDENTITY},
            "RoleARN": f"arn:aws:iam::{house.account}:role/{LINKED}/{ROLE}",
            "CreationTime": house.clock.now(),
            "SuspendedState": dict.fromkeys(ALLOWED, False),
            "ScalableTargetARN": house.arn(f"scalable-target/{uuid.uuid4().hex}", self.service),
            "Tags": {},
            "Policies": {},
            "Actions": {},
            "Trackers": {},
            "Adjust": False,
            "Change": None,
            "Held": None,
            "Minute": None,
        }

    def _keep_policy(self, target: Document, name: str, config: Document, before: Document | None) -> None:
        """A change makes new alarms, as on AWS; cooldowns go on."""
        now = self._house.clock.now()
        if before is not None:
            alarms.remove(self._monitoring, before, now)
            tracker = target["Trackers"].get(name)
            target["Trackers"].pop(name, None)
            if tracker is not None:
                target["Trackers"][name] = {**tracker, "High": NOTHING, "Low": NOTHING}
        high, low = alarms.names(target, not config.get("DisableScaleIn", False))
        policy = {
            "PolicyName": name,
            "PolicyARN": before["PolicyARN"] if before else self._policy_arn(target, name),
            "CreationTime": before["CreationTime"] if before else now,
            "Config": config,
            "High": high,
            "Low": low,
        }
        target["Policies"][name] = policy
        alarms.put(self._monitoring, target, policy, now)
        self._loop.look_back(target, name)
        self._book.keep(target)

    def _policy(self, target: Document, policy: Document) -> Document:
        return {
            **_shown(target, IDENTITY),
            "PolicyName": policy["PolicyName"],
            "PolicyARN": policy["PolicyARN"],
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": policy["Config"],
            "Alarms": self._alarms(policy),
            "CreationTime": policy["CreationTime"],
        }

    def _alarms(self, policy: Document) -> list[Document]:
        there = [name for name in (policy["High"], policy["Low"]) if name is not None]
        return [{"AlarmName": name, "AlarmARN": self._house.arn(f"alarm:{name}", "cloudwatch")} for name in there]

    def _instance_type(self, resource: str) -> str:
        """Raises Refused where there is no such variant, or soon will not be."""
        endpoint, name = variant_of(resource)
        found = self._hosting.variant(endpoint, name)
        if self._loop.described({"ResourceId": resource})["EndpointStatus"] == "Deleting":
            raise invalid(f"The endpoint {endpoint} is being deleted.")
        if found is None:
            raise invalid(f"Could not find production variant {name} of the endpoint {endpoint}.")
        return found.instance_type

    def _policy_arn(self, target: Document, name: str) -> str:
        place = f"resource/sagemaker/{target['ResourceId']}:policyName/{name}"
        return self._house.arn(f"scalingPolicy:{uuid.uuid4()}:{place}", "autoscaling")

    def _action_arn(self, target: Document, name: str) -> str:
        place = f"resource/sagemaker/{target['ResourceId']}:scheduledActionName/{name}"
        return self._house.arn(f"scheduledAction:{uuid.uuid4()}:{place}", "autoscaling")


NOTHING = ["INSUFFICIENT_DATA", 0, 0]


def _shown(document: Document, members: Sequence[str]) -> Document:
    return {name: document[name] for name in members if name in document}


def _type(deployment: Deployment, variant: str) -> str | None:
    found = deployment.named(variant)
    return found.instance_type if found else None
