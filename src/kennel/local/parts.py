"""The seams inside the local AWS: what its services are handed, as types. No behaviour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kennel.local.call import Call
    from kennel.local.errors import Refused
    from kennel.local.machines.facts import Facts
    from kennel.local.machines.words import Why

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


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of S3. path: its bytes on this disk, never to be written to."""

    key: str
    size: int
    path: Path


class Objects(Protocol):
    """S3 from inside the server. Raises Refused (NoSuchBucket, NoSuchKey)."""

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        """Sorted by key."""

    def get(self, bucket: str, key: str) -> StoredObject: ...

    def put(self, bucket: str, key: str, source: Path) -> None:
        """Keep a file's bytes under the key; durable when this returns."""

    def delete(self, bucket: str, key: str) -> None: ...


class Logs(Protocol):
    """CloudWatch Logs from inside the server."""

    def write(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        """(epoch seconds, text) each; group and stream are made if missing."""

    def has(self, group: str, stream: str = "") -> bool:
        """Whether there is such a group, and such a stream in it."""


class CloudWatch(Protocol):
    """CloudWatch's metrics from inside the server."""

    def put(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], unit: str, time: float
    ) -> None: ...


class Monitoring(Protocol):
    """CloudWatch's alarms from inside the server, and what they are judged by."""

    def value(
        self, namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, begin: float
    ) -> float | None:
        """Of the minute that began then; None where it has no data."""

    def put(self, alarm: Document, at: float) -> None:
        """alarm: as PutMetricAlarm takes it. It begins without data."""

    def state(self, name: str) -> str:
        """Of an alarm that is there."""

    def judge(self, name: str, state: str, reason: str, data: Document, at: float) -> None:
        """Its new state; data: what it follows from."""

    def remove(self, name: str, at: float) -> None: ...


class Roles(Protocol):
    """IAM from inside the server."""

    def check_assumable(self, role_arn: str, principal: str, source_arn: str = "") -> None:
        """Raises Refused, as AWS words it, unless the role exists and trusts the principal. source_arn: what it is to
        work on, for conditions on `aws:SourceArn`."""


class Tags(Protocol):
    """Tags of SageMaker's resources, as `[{"Key": …, "Value": …}]`."""

    def add(self, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
        """A key that is there already gets the new value."""

    def of(self, arn: str) -> list[dict[str, str]]: ...

    def remove(self, arn: str) -> None:
        """All of a resource's, which goes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner starts: one host of a training job, or one endpoint instance.

    name: unique on this server (`training-JOB-algo-1`), letters, digits and dashes. root: the folder that is /opt/ml
    to it. read_only: folders below root that it may not write to. log: the file its output is added to (both streams).
    host: its name among the job's hosts. network: containers of one network find each other by host.
    isolated: no way out to any network.
    """

    name: str
    image: str
    command: Literal["train", "serve"]
    root: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    read_only: tuple[Path, ...] = ()
    host: str = "algo-1"
    network: str | None = None
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A process of this machine that stands for no image: a function's instance, user data. name, log: as Work's.

    environment: all that it gets, beside a folder for temporary files and the marks by which it is found. containers:
    whether it may start some, which carry its marks as labels, and end with it.
    """

    name: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    containers: bool = False


class Running(Protocol):
    """Started work. Every method may be called at any time, from any thread, more than once."""

    @property
    def address(self) -> str | None:
        """`http://127.0.0.1:PORT` of a `serve`; None of a `train`."""

    def exit_code(self) -> int | None:
        """None while it runs; 137 for one that was killed (also for memory), 143 after SIGTERM, as Docker tells it."""

    def out_of_memory(self) -> bool:
        """Whether the kernel ended it for memory, as far as can be known."""

    def terminate(self) -> None:
        """SIGTERM to its first process."""

    def kill(self) -> None:
        """SIGKILL to all of it."""

    def close(self) -> None:
        """End what is left of it; no process, container or root-owned file of it remains."""


class RunningProgram(Running, Protocol):
    """A process of this machine."""

    def memory(self) -> int:
        """Bytes that it holds at this moment; 0 when it has ended."""

    def shut_down(self, seconds: float) -> None:
        """SIGTERM to its first process, which can end in order, at most so long; then to all that is left of it."""


class Runner(Protocol):
    """Starts work, in containers or as processes."""

    @property
    def name(self) -> Literal["docker", "process"]: ...

    @property
    def interface(self) -> str:
        """The network interface by which hosts of one job see each other (`eth0`, `lo`)."""

    def hosts(self, count: int) -> list[str]:
        """Names for the hosts of one job which find each other, sorted."""

    def network(self, name: str) -> AbstractContextManager[str | None]:
        """A network for several hosts; None where none is needed."""

    def start(self, work: Work) -> Running:
        """Raises kennel.errors.KennelError when it cannot be started (image not found, for one)."""


class Runners(Protocol):
    """Chooses by the image: `auto | docker | process`."""

    def choose(self, image: str) -> Runner:
        """Raises KennelError, when docker is demanded and there is no engine or no such image."""

    def close(self) -> None:
        """End everything that this server started."""


class Programs(Protocol):
    """Starts processes that stand for no image."""

    def run(self, program: Program) -> RunningProgram:
        """Raises KennelError."""


class Instances(Protocol):
    """EC2's instances from inside the server."""

    def attend(self, told: Callable[[str], None]) -> None:
        """told: the id of an instance whose state has changed; it must not wait for anything."""

    def all(self) -> Mapping[str, Document]:
        """By their ids: State, Why, Made."""

    def get(self, identity: str) -> Document | None: ...

    def facts(self, identity: str) -> Facts: ...

    def reach(self, identity: str, state: str, before: str) -> bool:
        """It is in that state now; False, and nothing done, where it was not in the one before."""

    def booted(self, identity: str) -> bool:
        """Whether it has been started before; it has been from now on."""

    def end(self, identity: str, why: Why) -> None:
        """It ends by itself, or by the server's doing; nothing where it does so already."""


class Sessions(Protocol):
    """STS from inside the server."""

    def keys(self, role_arn: str, session: str) -> Mapping[str, str]:
        """The variables by which a client signs as a session of the role."""


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
