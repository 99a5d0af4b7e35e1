"""A house of the local AWS without its server: objects in a folder, what is written in lists, small processes in the
images' place."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from kennel.errors import KennelError
from kennel.local.clock import WallClock
from kennel.local.errors import Refused, invalid
from kennel.local.parts import Changes, Clock, House
from kennel.local.tags import TagStore
from kennel.local.within import StoredObject
from kennel.local.work import Runners


@dataclass
class Folder:
    """Implements within.Objects. slow: prefixes, and the seconds that it takes to list what is below."""

    root: Path
    slow: dict[str, float] = field(default_factory=dict)

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        time.sleep(self.slow.get(prefix, 0))
        if not (self.root / bucket).is_dir():
            raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)
        paths = [path for path in (self.root / bucket).rglob("*") if path.is_file()]
        found = [(path.relative_to(self.root / bucket).as_posix(), path) for path in paths]
        return [StoredObject(key, path.stat().st_size, path) for key, path in sorted(found) if key.startswith(prefix)]

    def get(self, bucket: str, key: str) -> StoredObject:
        path = self.root / bucket / key
        if not path.is_file():
            raise Refused("NoSuchKey", "The specified key does not exist.", 404)
        return StoredObject(key, path.stat().st_size, path)

    def put(self, bucket: str, key: str, source: Path) -> None:
        if not (self.root / bucket).is_dir():
            raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)
        target = self.root / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def delete(self, bucket: str, key: str) -> None:
        (self.root / bucket / key).unlink()


@dataclass
class Book:
    """Implements within.Logs, within.CloudWatch and within.Roles."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    data: list[tuple[str, str, float, Mapping[str, str], str, float]] = field(default_factory=list)

    def write(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        self.lines += [(group, stream, text) for _, text in lines]
        del self.lines[:-5000]

    def has(self, group: str, stream: str = "") -> bool:
        return any(each[0] == group and stream in ("", each[1]) for each in self.lines)

    def put(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], unit: str, time: float
    ) -> None:
        self.data.append((namespace, name, value, dimensions, unit, time))

    def check_assumable(self, role_arn: str, principal: str, source_arn: str = "") -> None:
        assert principal == "sagemaker.amazonaws.com"
        if "nobody" in role_arn:
            raise invalid(f"Could not assume role {role_arn}.")

    def texts(self) -> list[str]:
        return [text for _, _, text in self.lines]


class Ends(Protocol):
    """What is known of anything started."""

    def exit_code(self) -> int | None: ...

    def close(self) -> None: ...


Started = TypeVar("Started", bound=Ends)


class Processes(Generic[Started]):
    """What work.Runner and work.Runners have in common here; how something is started is each one's own."""

    name: Literal["process"] = "process"
    interface = "lo"

    def __init__(self) -> None:
        self.started: list[Started] = []

    def choose(self, image: str) -> Any:
        if image == "missing":
            raise KennelError("there is no image missing", "Build it")
        return self

    def hosts(self, count: int) -> list[str]:
        return [f"127.0.0.{number}" for number in range(1, count + 1)]

    def network(self, name: str) -> AbstractContextManager[str | None]:
        return nullcontext()

    def close(self) -> None:
        for each in self.started:
            each.close()

    def alive(self) -> list[Started]:
        return [each for each in list(self.started) if each.exit_code() is None]


def exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """As Docker tells it."""
    code = process.poll()
    return 128 - code if code is not None and code < 0 else code


def house_in(home: Path, runners: Runners, book: Book, clock: Clock | None) -> House:
    changes = Changes()
    return House(
        account="123456789012",
        region="us-east-1",
        home=home,
        url="http://127.0.0.1:4600",
        clock=clock or WallClock(),
        objects=Folder(home / "s3"),
        logs=book,
        cloudwatch=book,
        roles=book,
        runners=runners,
        changes=changes,
        tags=TagStore(home / "tags", changes),
        closing=threading.Event(),
    )
