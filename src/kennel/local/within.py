"""AWS's other services from inside the server, as its parts ask them: S3, Logs, CloudWatch, IAM, EC2. Types only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kennel.local.parts import Document

if TYPE_CHECKING:
    from kennel.local.machines.facts import Facts
    from kennel.local.machines.words import Why


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
