"""SageMaker's endpoints: their states, kept by name, and the fleets that make them true."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from kennel.local.documents import Documents
from kennel.local.errors import invalid
from kennel.local.hosting import meter, requests
from kennel.local.hosting.configs import EndpointConfigs
from kennel.local.hosting.described import deployment_in, described
from kennel.local.hosting.fleet import CLOSING_DRAIN_S, Counts, Fleet, RolloutFailed
from kennel.local.hosting.invoke import Invocation, Invoker, not_found
from kennel.local.hosting.meter import Meter
from kennel.local.hosting.plan import Deployment, Limits, Variant
from kennel.local.listed import listed
from kennel.local.parts import Document, House, Operation, Reply

LOG = logging.getLogger(__name__)
LATE_S = 600
"""Minutes longer ago are left out when their turn comes."""


class Watcher(Protocol):
    """Is told what happens to endpoints."""

    def minute(self, begin: float) -> None:
        """A minute is over, and its metrics are published."""

    def updating(self, endpoint: str, deployed: Deployment, fresh: Deployment) -> None:
        """Before UpdateEndpoint is accepted, with the endpoint's state locked. Raises Refused."""

    def deleted(self, endpoint: str) -> None:
        """DeleteEndpoint was accepted."""


class Hosted:
    """What runs of one endpoint."""

    def __init__(self, house: House, limits: Limits, name: str) -> None:
        self.fleet, self.meter = Fleet(house, limits, name), Meter(house.clock)
        self.invoke = Invoker(house, limits, self.fleet.router, self.meter)


class Endpoints:
    """Every change is on disk before it is answered; a thread an endpoint then does it."""

    def __init__(self, house: House, configs: EndpointConfigs, limits: Limits) -> None:
        self._house, self._configs, self._limits = house, configs, limits
        self._kept = Documents(house.home / "endpoints", house.changes)
        self._hosted: dict[str, Hosted] = {}
        self._watchers: list[Watcher] = []
        self._closing = threading.Event()
        self._publisher = threading.Thread(target=self._publish, name="endpoint-metrics", daemon=True)

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": lambda request: described(self._get(request["EndpointName"])),
            "ListEndpoints": self._list,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._scale,
            "DeleteEndpoint": self._delete,
        }

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        hosted = self._hosted.get(name)
        if hosted is None:
            return not_found(name, self._house.account)
        return hosted.invoke(Invocation(name, headers, body))

    def watched_by(self, watcher: Watcher) -> None:
        """Call it before resume."""
        self._watchers.append(watcher)

    def instances(self, endpoint: str, variant: str) -> Counts:
        hosted = self._hosted.get(endpoint)
        return hosted.fleet.counts(variant) if hosted else Counts(0, 0)

    def variant(self, endpoint: str, name: str) -> Variant | None:
        document = self._get(endpoint)
        found = deployment_in(document, "Deployed") or deployment_in(document, "Pending")
        return found.named(name) if found else None

    def resume(self) -> None:
        """Endpoints get their instances again; what was under way goes on."""
        for endpoint in self._kept.all():
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            self._host(name).fleet.tidy()
            if status == "Deleting":
                self._begin(name, self._end)
            elif deployed := deployment_in(endpoint, "Deployed"):
                self._hosted[name].fleet.expect(deployed)
                self._kept.change(name, lambda document: document.update(EndpointStatus="Updating"))
                self._begin(name, self._restore)
            elif endpoint.get("Pending"):
                self._begin(name, self._roll_out)
        self._publisher.start()

    def close(self) -> None:
        """End all instances; what is kept says what to start again."""
        self._closing.set()
        threads = [
            threading.Thread(target=each.fleet.end, args=(CLOSING_DRAIN_S,)) for each in list(self._hosted.values())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _create(self, request: Document) -> Document:
        name = request["EndpointName"]
        arn = self._arn(name)
        wanted = self._configs.deployment(request["EndpointConfigName"])
        requests.check_rollout(request)
        now = self._house.clock.now()
        document = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": wanted.config,
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
            "Pending": wanted.document(),
            "Deployed": None,
        }
        if not self._kept.add(name, document):
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        self._house.tags.add(arn, request.get("Tags", []))
        self._host(name)
        self._begin(name, self._roll_out)
        return {"EndpointArn": arn}

    def _update(self, request: Document) -> Document:
        requests.check_rollout(request)
        fresh = self._configs.deployment(request["EndpointConfigName"])

        def wanted(deployed: Deployment) -> Deployment:
            self._configs.get(deployed.config)  # AWS needs the one that is left too
            for each in self._watchers:
                each.updating(request["EndpointName"], deployed, fresh)
            return requests.retained(fresh, deployed, request)

        return self._change(request["EndpointName"], wanted)

    def _scale(self, request: Document) -> Document:
        changes = request["DesiredWeightsAndCapacities"]
        return self._change(request["EndpointName"], lambda deployed: requests.scaled(deployed, changes))

    def _delete(self, request: Document) -> Document:
        def start(document: Document) -> None:
            self._check_settled(document)
            document.update(EndpointStatus="Deleting", LastModifiedTime=self._house.clock.now())

        self._altered(request["EndpointName"], start)
        for each in self._watchers:
            each.deleted(request["EndpointName"])
        self._begin(request["EndpointName"], self._end)
        return {}

    def _change(self, name: str, wanted: Callable[[Deployment], Deployment]) -> Document:
        def start(document: Document) -> None:
            self._check_settled(document)
            deployed = deployment_in(document, "Deployed")
            if deployed is None or document["EndpointStatus"] != "InService":
                raise invalid(f'Cannot update failed endpoint "{self._arn(name)}"; it can only be deleted.')
            document["Pending"] = wanted(deployed).document()
            document.update(EndpointStatus="Updating", LastModifiedTime=self._house.clock.now())
            document.pop("FailureReason", None)

        self._altered(name, start)
        self._begin(name, self._roll_out)
        return {"EndpointArn": self._arn(name)}

    def _check_settled(self, document: Document) -> None:
        if document["EndpointStatus"] in ("Creating", "Updating", "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{document["EndpointArn"]}".')

    def _altered(self, name: str, how: Callable[[Document], None]) -> None:
        if self._kept.change(name, how) is None:
            raise self._unknown(name)

    def _get(self, name: str) -> Document:
        found = self._kept.get(name)
        if found is None:
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> Exception:
        return invalid(f'Could not find endpoint "{self._arn(name)}".')

    def _arn(self, name: str) -> str:
        return self._house.arn(f"endpoint/{name}")

    def _list(self, request: Document) -> Document:
        return listed(self._kept.all(), request, "Endpoints", "Endpoint", ("LastModifiedTime", "EndpointStatus"))

    def _host(self, name: str) -> Hosted:
        return self._hosted.setdefault(name, Hosted(self._house, self._limits, name))

    def _begin(self, name: str, work: Callable[[str], None]) -> None:
        def run() -> None:
            try:
                work(name)
            except Exception:
                LOG.exception("endpoint %s", name)

        threading.Thread(target=run, name=f"endpoint-{name}", daemon=True).start()

    def _roll_out(self, name: str) -> None:
        """Pending → Deployed, or back."""
        wanted, failure = deployment_in(self._get(name), "Pending"), None
        if wanted is not None:
            failure = self._tried(name, wanted)
        self._settle(name, failure, None if failure else wanted)

    def _restore(self, name: str) -> None:
        """As it was when the server ended; then what was under way."""
        deployed = deployment_in(self._get(name), "Deployed")
        failure = self._tried(name, deployed) if deployed else None
        if failure:
            self._hosted[name].fleet.refuse()
            self._settle(name, failure, serves=False)
        else:
            self._roll_out(name)

    def _tried(self, name: str, wanted: Deployment) -> str | None:
        """Why it could not be rolled out."""
        try:
            self._hosted[name].fleet.roll_out(wanted)
        except RolloutFailed as failed:
            return failed.reason
        except Exception as error:
            LOG.exception("endpoint %s", name)
            return f"The endpoint could not be deployed ({error})"[:1024]
        return None

    def _settle(self, name: str, failure: str | None, deployed: Deployment | None = None, serves: bool = True) -> None:
        """The state after a change; failure: why it failed."""
        if self._closing.is_set():
            return  # the server ends: what is kept already says what to do after its next start

        def end(document: Document) -> None:
            if deployed is not None:
                document.update(Deployed=deployed.document(), EndpointConfigName=deployed.config)
            document["EndpointStatus"] = "InService" if document["Deployed"] and serves else "Failed"
            if failure:
                document["FailureReason"] = failure
            if serves:
                document["Pending"] = None
            document["LastModifiedTime"] = self._house.clock.now()

        self._kept.change(name, end)

    def _end(self, name: str) -> None:
        self._hosted[name].fleet.delete()
        if self._closing.is_set():
            return
        self._house.tags.remove(self._arn(name))
        del self._hosted[name]
        self._kept.remove(name)

    def _publish(self) -> None:
        """Minute after minute, none left out; but what a machine slept through is over."""
        clock, begin = self._house.clock, self._house.clock.now() // meter.MINUTE * meter.MINUTE
        while not clock.wait(self._closing, begin + meter.MINUTE - clock.now()):
            for name in list(self._hosted):
                self._publish_one(name, begin)
            for each in self._watchers:
                self._tell(each, begin)
            begin = max(begin + meter.MINUTE, clock.now() // meter.MINUTE * meter.MINUTE - LATE_S)

    def _tell(self, watcher: Watcher, begin: float) -> None:
        try:
            watcher.minute(begin)
        except Exception:
            LOG.exception("what follows a minute")

    def _publish_one(self, name: str, begin: float) -> None:
        hosted, document = self._hosted.get(name), self._kept.get(name)
        deployed = deployment_in(document, "Deployed") if document else None
        if hosted is None or deployed is None:
            return
        try:
            for each in deployed.variants:
                meter.publish(self._house, name, each.name, hosted.meter.take(each.name, begin), begin)
            hosted.meter.forget(begin - LATE_S)
        except Exception:
            LOG.exception("metrics of endpoint %s", name)
