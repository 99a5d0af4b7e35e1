"""Each minute: what the metrics say, what the pure rules conclude, and what hosting is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from kennel.local.errors import Refused
from kennel.local.hosting import meter
from kennel.local.parts import Document, House, Operation
from kennel.local.scaling import book as kept
from kennel.local.scaling.alarms import remove, report
from kennel.local.scaling.book import Book
from kennel.local.within import Monitoring
from kennel.scaling import Decision, settled, step, words
from kennel.scaling.schedule import due, parsed
from kennel.scaling.tracking import IN_OF, into_bounds, observed

LOG = logging.getLogger(__name__)
LONGEST = IN_OF + 5
"""Minutes without a server that alarms are told of, as minutes without data: more change nothing."""
LOOK_S = 1.0


class Loop:
    """hosting: SageMaker's operations. lock: held by whoever changes a target."""

    def __init__(
        self, house: House, monitoring: Monitoring, book: Book, hosting: Mapping[str, Operation], lock: threading.RLock
    ) -> None:
        self._house, self._monitoring, self._book, self._hosting = house, monitoring, book, hosting
        self._lock = lock
        self._settler = threading.Thread(target=self._settle_when_done, name="scaling", daemon=True)

    def start(self) -> None:
        self._settler.start()

    def minute(self, begin: float) -> None:
        """The minute that began then is over."""
        with self._lock:
            for target in self._book.all():
                try:
                    self._minute(target, begin)
                except Exception:
                    LOG.exception("scaling of %s", target["ResourceId"])

    def adjust(self, target: Document) -> None:
        """After its bounds have changed: move the count into them, if the endpoint can be changed now."""
        target["Adjust"] = True
        endpoint = self.described(target)
        if endpoint["EndpointStatus"] == "InService" and not target["Change"]:
            moved = into_bounds(kept.rules_of(target), desired(target, endpoint))
            target["Adjust"] = False
            if moved is not None:
                self._begin(target, moved)
        self._book.keep(target)

    def look_back(self, target: Document, name: str) -> None:
        """A new alarm is judged at once by what its metric has been so far."""
        if target["Minute"] is None:  # the last one that no tick can come for any more; the next one catches up
            target["Minute"] = self._house.clock.now() // meter.MINUTE * meter.MINUTE - 2 * meter.MINUTE
        last, policy, before = target["Minute"], target["Policies"][name], kept.scaler_of(target)
        trackers, place = list(before.trackers), list(target["Policies"]).index(name)
        for back in range(LONGEST, -1, -1):
            value = self._monitoring.value(*kept.metric_of(target, policy), last - back * meter.MINUTE)
            trackers[place] = observed(kept.policy_of(policy), trackers[place], value)
        after = before._replace(trackers=tuple(trackers))
        report(self._monitoring, self._values, target, before, after, last)
        kept.remember(target, after)

    def settle(self) -> None:
        """Tell of changes that have come to their end."""
        with self._lock:
            for target in self._book.all():
                if target["Change"] and self._settle(target):
                    self._book.keep(target)

    def forget_orphans(self) -> None:
        """Of endpoints that went, or began to, while nobody was there to be told."""
        with self._lock:
            for target in self._book.all():
                if self._living(target) is None:
                    self.forget(target)

    def forget(self, target: Document) -> None:
        for policy in target["Policies"].values():
            remove(self._monitoring, policy, self._house.clock.now())
        self._book.remove(target["ResourceId"])

    def described(self, target: Document) -> Document:
        """The endpoint, as DescribeEndpoint tells it. Raises Refused."""
        endpoint, _ = kept.variant_of(target["ResourceId"])
        return self._hosting["DescribeEndpoint"]({"EndpointName": endpoint})

    def _living(self, target: Document) -> Document | None:
        """The same; None where there is no such endpoint, or soon will not be: nothing ends a deletion."""
        try:
            endpoint = self.described(target)
        except Refused:
            return None
        return None if endpoint["EndpointStatus"] == "Deleting" else endpoint

    def _settle_when_done(self) -> None:
        """Activities end when the endpoint is there, not a minute later."""
        seen = 0
        while not self._house.closing.is_set():
            seen = self._house.changes.wait(seen, LOOK_S)
            try:
                if any(each["Change"] for each in self._book.all()) and not self._house.closing.is_set():
                    self.settle()
            except Exception:
                LOG.exception("scaling")

    def _minute(self, target: Document, begin: float) -> None:
        self._settle(target)
        endpoint = self._living(target)
        if endpoint is None:
            self.forget(target)
            return
        self._scheduled(target, begin)
        rules, scaler = kept.rules_of(target), kept.scaler_of(target)
        count, changing = desired(target, endpoint), bool(target["Change"]) or endpoint["EndpointStatus"] != "InService"
        decision: Decision | None = None
        for at in _minutes(target, begin):
            before, values = scaler, self._values(target, at)
            scaler, decision = step(rules, scaler, values, count, at + meter.MINUTE, changing or at < begin)
            report(self._monitoring, self._values, target, before, scaler, at)
        target["Minute"] = begin
        kept.remember(target, scaler)
        self._follow(target, decision)
        self._book.keep(target)

    def _values(self, target: Document, begin: float) -> list[float | None]:
        return [self._monitoring.value(*kept.metric_of(target, each), begin) for each in target["Policies"].values()]

    def _follow(self, target: Document, decision: Decision | None) -> None:
        if decision is None:
            target["Held"] = None
        elif decision.kind != "held":
            target["Held"] = None
            self._begin(target, decision)
        elif target["Held"] != [decision.cause, decision.code]:
            target["Held"] = [decision.cause, decision.code]
            self._not_scaled(target, decision)

    def _begin(self, target: Document, decision: Decision) -> None:
        """Ask hosting. On disk before it is asked, so that a killed server tells the truth afterwards."""
        now, names = self._house.clock.now(), list(target["Policies"])
        activity = self._book.begin(
            target,
            {
                "Description": words.setting(decision.to),
                "Cause": decision.cause,
                "StartTime": now,
                "StatusCode": "InProgress",
                "StatusMessage": words.waiting(decision.to),
            },
        )
        policy = names[decision.policy] if decision.policy >= 0 else None
        target["Change"] = {"Activity": activity, "Policy": policy, "Decision": list(decision)}
        self._book.keep(target)
        endpoint, variant = kept.variant_of(target["ResourceId"])
        wanted = [{"VariantName": variant, "DesiredInstanceCount": decision.to}]
        try:
            self._hosting["UpdateEndpointWeightsAndCapacities"](
                {"EndpointName": endpoint, "DesiredWeightsAndCapacities": wanted}
            )
        except Refused as refused:
            told = f"{refused.message} (Service: SageMaker, Error Code: {refused.code})"
            self._end(target, now, told, cools=False)  # somebody else was quicker: a minute later is soon enough

    def _settle(self, target: Document) -> bool:
        """Whether a change came to its end."""
        if not target["Change"]:
            return False
        try:
            endpoint = self.described(target)
        except Refused as refused:
            self._end(target, self._house.clock.now(), refused.message)
            return True
        if endpoint["EndpointStatus"] in ("Updating", "Creating"):
            return False
        there = _variant(target, endpoint).get("CurrentInstanceCount", 0)
        reason = "" if there == _decision(target).to else endpoint.get("FailureReason") or f"The variant has {there}"
        self._end(target, endpoint["LastModifiedTime"], reason)
        return True

    def _end(self, target: Document, at: float, failure: str = "", cools: bool = True) -> None:
        decision, change = _decision(target), target["Change"]
        names = list(target["Policies"])
        if cools and change["Policy"] in names:
            decision = decision._replace(policy=names.index(change["Policy"]))
            kept.remember(
                target, settled(kept.rules_of(target), kept.scaler_of(target), decision, at, succeeded=not failure)
            )
        status, told = "Successful", words.fulfilled(decision.to)
        if failure:
            status, told = "Failed", words.failed(decision.to, failure)
        self._book.end(target, change["Activity"], EndTime=at, StatusCode=status, StatusMessage=told)
        target["Change"] = None

    def _not_scaled(self, target: Document, decision: Decision) -> None:
        reason: Document = {"Code": decision.code}
        if decision.code == "AlreadyAtMaxCapacity":
            reason["MaxCapacity"] = target["MaxCapacity"]
        elif decision.code == "AlreadyAtMinCapacity":
            reason["MinCapacity"] = target["MinCapacity"]
        else:
            reason["CurrentCapacity"] = decision.have
        now = self._house.clock.now()
        self._book.begin(
            target,
            {
                "Description": words.ATTEMPTING,
                "Cause": decision.cause,
                "StartTime": now,
                "EndTime": now,
                "StatusCode": "Failed",
                "NotScaledReasons": [reason],
            },
        )

    def _scheduled(self, target: Document, begin: float) -> None:
        """Actions that were due in this minute change the bounds."""
        if target.get("SuspendedState", {}).get("ScheduledScalingSuspended"):
            return
        for each in target["Actions"].values():
            times = each["CreationTime"], each.get("StartTime"), each.get("EndTime")
            if due(parsed(each["Schedule"], each.get("Timezone", "UTC")), begin, *times):
                self._apply(target, each)

    def _apply(self, target: Document, action: Document) -> None:
        """A new minimum above the maximum moves that too, and the other way around."""
        bounds = action["ScalableTargetAction"]
        least, most = (bounds.get(name, target[name]) for name in ("MinCapacity", "MaxCapacity"))
        least, most = (least, max(least, most)) if "MinCapacity" in bounds else (min(least, most), most)
        target.update(MinCapacity=least, MaxCapacity=most, Adjust=True)
        now = self._house.clock.now()
        self._book.begin(
            target,
            {
                "Description": words.setting_bounds(least, most),
                "Cause": words.scheduled(action["ScheduledActionName"]),
                "StartTime": now,
                "EndTime": now,
                "StatusCode": "Successful",
                "StatusMessage": words.set_bounds(least, most),
            },
        )


def desired(target: Document, endpoint: Document) -> int:
    """Instances that the endpoint is to have of the variant."""
    return int(_variant(target, endpoint).get("DesiredInstanceCount", 0))


def _variant(target: Document, endpoint: Document) -> dict[str, Any]:
    _, name = kept.variant_of(target["ResourceId"])
    return next((each for each in endpoint.get("ProductionVariants", []) if each["VariantName"] == name), {})


def _decision(target: Document) -> Decision:
    return Decision(*target["Change"]["Decision"])


def _minutes(target: Document, begin: float) -> list[float]:
    """This one, and before it those that no server was there for."""
    last = target["Minute"]
    missed = 0 if last is None else min(LONGEST, round((begin - last) / meter.MINUTE) - 1)
    return [begin - number * meter.MINUTE for number in range(max(0, missed), -1, -1)]
