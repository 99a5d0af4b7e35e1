"""What services do under a role: the same seams of the house, each look and step evaluated as the role's.

A refusal is for whoever works there to word, as the service would: a job fails, an endpoint is not deployed. Logs and
metrics are lost without a word, as on AWS: the work goes on without them.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kennel.iam.values import Access, Caller
from kennel.local.errors import Refused
from kennel.local.gatekeeper import context, words
from kennel.local.gatekeeper.callers import service_session
from kennel.local.gatekeeper.gate import Gatekeeper
from kennel.local.moto_side import ACCOUNT
from kennel.local.parts import House
from kennel.local.within import CloudWatch, Logs, Objects, StoredObject
from kennel.local.work import Runner, Runners

log = logging.getLogger(__name__)

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)")
ANYBODY = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}}'
)
"""The policy of other accounts' repositories, AWS's own say: what ours may there is all that is decided here."""
SAGEMAKER = "SageMaker"
"""The session's name of all that SageMaker does under a role."""
AGAIN_S = 60.0
"""What was decided is asked, and recorded, anew after so long, or as soon as a policy has changed."""


@dataclass(frozen=True, slots=True)
class Actors:
    """Implements parts.Actors."""

    gate: Gatekeeper

    def acting(self, house: House, role_arn: str, source_arn: str, session: str) -> House:
        """The house as it is to a service that works under a role. source_arn: of what it does that for."""
        actor = Actor(self.gate, role_arn, source_arn, session, house.region)
        return replace(
            house,
            objects=GuardedObjects(house.objects, actor),
            logs=GuardedLogs(house.logs, actor, house.arn("", "logs").removesuffix(":"), session == SAGEMAKER),
            cloudwatch=GuardedMetrics(house.cloudwatch, actor),
            runners=GuardedRunners(house.runners, actor),
            actor=actor,
        )


class Actor:
    """A service under a role. Implements parts.Actor."""

    def __init__(self, gate: Gatekeeper, role_arn: str, source_arn: str, session: str, region: str) -> None:
        self.source_arn, self._gate, self._role, self._region = source_arn, gate, role_arn, region
        self._caller: Caller = service_session(role_arn, session)
        self._lock = threading.Lock()
        self._decided: dict[tuple[str, str, str], tuple[tuple[int, int], float, Refused | None]] = {}

    def why_not(self, action: str, resource: str, keys: context.Context | None = None) -> Refused | None:
        """What AWS would say, if it is not allowed; what was asked a moment ago is not asked again."""
        asked = (action, resource, repr(keys))
        version, now = self._gate.version(), self._gate.now()
        with self._lock:
            held = self._decided.get(asked)
            if held is None or held[0] != version or now - held[1] > AGAIN_S:
                if len(self._decided) > 10_000:
                    self._decided.clear()
                held = self._decided[asked] = version, now, self._decide(Access(action, resource, keys or {}), now)
        return held[2]

    def check(self, action: str, resource: str, keys: context.Context | None = None) -> None:
        """Raises Refused, unless it is allowed."""
        if refused := self.why_not(action, resource, keys):
            raise Refused(refused.code, refused.message, refused.status)

    def check_pull(self, image: str) -> None:
        """Whether an image of a registry of ECR may be pulled. Raises Refused."""
        if not (found := ECR.match(image)):
            return
        self.check("ecr:GetAuthorizationToken", "*")
        repository = f"arn:aws:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
        for each in PULL:
            self.check(each, repository)

    def _decide(self, access: Access, now: float) -> Refused | None:
        tags = self._gate.role_tags(self._role)
        keys = context.of_service(self._role, self._caller.arn, tags, self._region, now)
        whole = replace(access, context={**keys, **access.context})
        own = self._gate.standing.of(self._caller)
        if access.action in PULL and f":{ACCOUNT}:" not in access.resource:
            own = replace(own, resource=ANYBODY)
        decision = self._gate.weigh(whole, self._caller, own, self.source_arn)
        if decision.allowed:
            return None
        return words.denied(access.action.split(":")[0], self._caller, access, decision)


@dataclass(frozen=True, slots=True)
class GuardedObjects:
    """Implements within.Objects."""

    inner: Objects
    actor: Actor

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        self.actor.check("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": (prefix,)})
        return self.inner.list(bucket, prefix)

    def get(self, bucket: str, key: str) -> StoredObject:
        self.actor.check("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
        try:
            return self.inner.get(bucket, key)
        except Refused:
            self.actor.check("s3:ListBucket", f"arn:aws:s3:::{bucket}")  # else nobody is told that it is not there
            raise

    def put(self, bucket: str, key: str, source: Path) -> None:
        self.actor.check("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}")
        self.inner.put(bucket, key, source)

    def delete(self, bucket: str, key: str) -> None:
        self.actor.check("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{key}")
        self.inner.delete(bucket, key)


@dataclass(frozen=True, slots=True)
class GuardedLogs:
    """Implements within.Logs: lines that the role may not write are lost. beginning: of the ARNs of log groups.

    describes: whether it looks first which streams there are, as SageMaker does.
    """

    inner: Logs
    actor: Actor
    beginning: str
    describes: bool

    def write(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        if all(self._may(*each) for each in self._needed(group, stream)):
            self.inner.write(group, stream, lines)

    def has(self, group: str, stream: str = "") -> bool:
        return self.inner.has(group, stream)

    def _needed(self, group: str, stream: str) -> list[tuple[str, str]]:
        """What is missing is made, so making it has to be allowed."""
        place = f"{self.beginning}:log-group:{group}"
        needed = [("logs:PutLogEvents", f"{place}:log-stream:{stream}")]
        if not self.inner.has(group, stream):
            needed.insert(0, ("logs:CreateLogStream", f"{place}:log-stream:{stream}"))
            if self.describes:
                needed.insert(0, ("logs:DescribeLogStreams", f"{place}:log-stream:"))
        if not self.inner.has(group):
            needed.insert(0, ("logs:CreateLogGroup", f"{place}:log-stream:"))
        return needed

    def _may(self, action: str, resource: str) -> bool:
        refused = self.actor.why_not(action, resource)
        if refused:
            log.debug("%s has no log: %s", self.actor.source_arn, refused.message)
        return refused is None


@dataclass(frozen=True, slots=True)
class GuardedMetrics:
    """Implements within.CloudWatch. Namespaces that begin with AWS/ are the services' own, whatever a role may."""

    inner: CloudWatch
    actor: Actor

    def put(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], unit: str, time: float
    ) -> None:
        own = namespace.startswith("AWS/")
        if own or not self.actor.why_not("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": (namespace,)}):
            self.inner.put(namespace, name, value, dimensions, unit, time)


@dataclass(frozen=True, slots=True)
class GuardedRunners:
    """Implements work.Runners: an image has to be pulled before it runs."""

    inner: Runners
    actor: Actor

    def choose(self, image: str) -> Runner:
        """Raises Refused too."""
        self.actor.check_pull(image)
        return self.inner.choose(image)

    def close(self) -> None:
        self.inner.close()
