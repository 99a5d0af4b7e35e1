"""The seams inside the local AWS: what its services are handed, as types. No behaviour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kennel.local.call import Call
    from kennel.local.errors import Refused
    from kennel.local.within import (
        CloudWatch,
        Instances,
        Logs,
        Monitoring,
        Objects,
        Roles,
        Sessions,
        Tags,
    )
    from kennel.local.work import Programs, Runners

Document = dict[str, Any]
"""A request, an answer or a stored resource: JSON values in AWS's own member names; times are epoch seconds (float)."""


Operation = Callable[[Document], Document]
"""One API operation: the checked request → the answer. Raises Refused."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. cookies: each goes out as a Set-Cookie of its own."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


Page = Callable[[str, str], Reply]
"""(method, path with its query) → what a browser gets. Raises Refused."""


@runtime_checkable
class Invocations(Protocol):
    """What answers `POST /endpoints/NAME/invocations`."""

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """headers: names in lower case, with dashes. Raises Refused."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """What comes to an address that is no API's. path: as it was sent, quoted; headers: names in lower case.

    read: gives the body, or raises Refused where it is larger than the number of bytes given.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    source: str
    read: Callable[[int], bytes]
    asker: Callable[[], Asker] | None = None
    """Who signed it, for the service that has the address. Raises Refused. None where signatures do not count."""


@runtime_checkable
class RestService(Protocol):
    """A service beside SageMaker, whose operations are told apart by their paths."""

    service: str
    """As requests are signed for it."""

    def rest_operations(self) -> Mapping[str, Operation]: ...

    def web(self, request: WebRequest) -> Reply | None:
        """Answers below addresses of its own; None of any other. Raises Refused."""


@runtime_checkable
class JsonService(Protocol):
    """A service beside SageMaker that speaks JSON as SageMaker does."""

    service: str
    """As requests are signed for it."""

    def json_operations(self) -> Mapping[str, Operation]: ...


@runtime_checkable
class Interruptible(Protocol):
    """What runs spot jobs."""

    def interrupt(self, name: str) -> None:
        """Take a running spot job its instance. Raises Refused."""


@runtime_checkable
class Machinery(Protocol):
    """What runs EC2's instances."""

    def machines(self) -> Sequence[Document]:
        """As the page shows them: name, status, detail, created."""

    def console(self, identity: str) -> Sequence[str]:
        """Its last lines."""

    def interrupt_machine(self, identity: str) -> bool:
        """Announce a running spot machine its end; False where there is no such machine. Raises Refused."""


class Asker(Protocol):
    """Who asks, in one request."""

    @property
    def arn(self) -> str: ...

    @property
    def userid(self) -> str: ...

    @property
    def administrator(self) -> bool:
        """Whether it is signed with the home's own key."""

    def admit(self, operation: str, request: Mapping[str, Any]) -> None:
        """Raises Refused, as AWS words it, unless all is allowed that the operation needs."""

    def admit_call(self, call: Call) -> str:
        """The same of a call to one of moto's services; the operation's name. Raises Refused."""

    def answer(self, operation: str) -> Reply | None:
        """What only the gatekeeper can tell: who asks. None of all other operations."""

    def why_not(
        self, action: str, resource: str, operation: str, keys: Mapping[str, tuple[str, ...]] | None = None
    ) -> Refused | None:
        """What AWS would say, if it is not allowed. operation: that wants to know; keys: of the request itself."""


class Gate(Protocol):
    """Tells who asks."""

    def asker(self, environ: dict[str, Any], service: str) -> Asker:
        """Raises Refused where the signature does not hold. service: that it has to be for."""


class Clock(Protocol):
    """Time, which a test may let run faster."""

    def now(self) -> float:
        """Epoch seconds."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds of this clock; whether it is set."""


class Actor(Protocol):
    """A service that works under a role: what is asked of it is evaluated by the role's policies."""

    def why_not(self, action: str, resource: str, keys: Mapping[str, tuple[str, ...]] | None = None) -> Refused | None:
        """What AWS would say, if it is not allowed. keys: the request's own condition keys, in lower case."""

    def check(self, action: str, resource: str, keys: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """Raises Refused, unless it is allowed."""

    def check_pull(self, image: str) -> None:
        """Whether an image of a registry may be pulled. Raises Refused."""


class Actors(Protocol):
    """Makes them."""

    def acting(self, house: House, role_arn: str, source_arn: str, session: str) -> House: ...


class Changes:
    """Tells waiting threads that some resource has changed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def tell(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float) -> int:
        """Wait, at most so long, until something changed after `seen`; the count to wait on next (start with 0)."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, seconds)
            return self._count


@dataclass(frozen=True, slots=True)
class House:
    """What every service of the local AWS is handed. home: where its state and files lie; url: of the server."""

    account: str
    region: str
    home: Path
    url: str
    clock: Clock
    objects: Objects
    logs: Logs
    cloudwatch: CloudWatch
    roles: Roles
    runners: Runners
    changes: Changes
    tags: Tags
    closing: threading.Event
    """Set when the server ends: background threads leave."""
    programs: Programs | None = None
    sessions: Sessions | None = None
    """These two are what functions need; without them there are none."""
    actors: Actors | None = None
    actor: Actor | None = None
    """Who works in this house, if it is one that `acting_as` made."""
    monitoring: Monitoring | None = None
    """What scaling needs; without it there is none."""
    instances: Instances | None = None
    """What machines need; without it there are none."""

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """`arn:aws:sagemaker:REGION:ACCOUNT:resource`. SageMaker's have small letters, whatever the name has."""
        resource = resource.lower() if service == "sagemaker" else resource
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def acting_as(self, role_arn: str, source_arn: str, session: str = "SageMaker") -> House:
        """The same to a service under a role: objects, logs, metrics and images only as far as the role's policies go.

        source_arn: the job, endpoint or function that it works for. Without actors everything is allowed.
        """
        return self.actors.acting(self, role_arn, source_arn, session) if self.actors else self


class Service(Protocol):
    """A part of SageMaker's API."""

    def operations(self) -> Mapping[str, Operation]:
        """Names of operations as in X-Amz-Target (`CreateTrainingJob`) → what answers them."""

    def resume(self) -> None:
        """Called once after a start: tell the truth about what an earlier server left running."""

    def close(self) -> None:
        """Called when the server ends: stop what this service runs, keep its state."""
