"""The services whose state moto keeps (S3, IAM, ECR, CloudWatch, …), in this process, and how it outlives the process.

moto keeps everything in memory. A request that changes something is written to a journal with the time and the seed of
moto's random numbers; at the start the journal is played again, so that ids, keys and times come out the same. What is
too much for that (objects, log events, metrics) has keepers of its own. moto is not made for threads, and the journal
needs an order: one lock is held for every call.
"""

from __future__ import annotations

import base64
import datetime
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import randbits
from typing import Any, Protocol

from kennel.local.call import Call
from kennel.local.journal import Journal
from kennel.local.parts import Reply

log = logging.getLogger(__name__)

ACCOUNT = "123456789012"
"""moto's."""
SERVICES = {
    "s3": "s3",
    "iam": "iam",
    "sts": "sts",
    "ecr": "ecr",
    "monitoring": "cloudwatch",
    "logs": "logs",
    "ec2": "ec2",
}
"""What requests are signed for → moto's name. Nothing else of moto is reachable."""
SESSION_SECONDS = 36 * 3600
"""No credentials of STS live longer; the journal forgets them."""


class Keeper(Protocol):
    """Keeps, of one service, what would be too much for the journal."""

    def keeps(self, call: Call) -> bool:
        """Whether what this call changes is the keeper's; the journal does not take it then."""

    def keep(self, call: Call) -> None:
        """Put on disk what the call changed: one of its own, or one that the journal has taken."""

    def load(self) -> None:
        """Give to moto what is on disk. Called once, after the journal was played."""


class Moto:
    """Hold `lock` when touching moto's own state."""

    def __init__(self, folder: Path) -> None:
        _load()
        self.lock = threading.RLock()
        self._journal = Journal(folder / "journal.jsonl")
        self._keepers: dict[str, Keeper] = {}
        self._apps: dict[str, Any] = {}
        self._changed: dict[str, int] = {}
        self._lessons: dict[str, Callable[[], None]] = {}
        self._time = _Time()

    def kept_by(self, service: str, keeper: Keeper) -> None:
        self._keepers[service] = keeper

    def taught(self, service: str, teach: Callable[[], None]) -> None:
        """teach: changes what moto does for a service; called before the service is first asked for. What it makes gets
        the same ids each time."""
        self._lessons[service] = teach

    def prepare(self, service: str) -> None:
        """Whoever looks into moto's state without asking it, has to do this first."""
        with self.lock:
            self._app(service)

    def knows(self, service: str) -> bool:
        """Whether the service was asked for; its state is empty where it was not."""
        return service in self._apps

    def start(self) -> None:
        """Make moto's state what it was when the last server ended, however it ended."""
        with self.lock:
            entries = self._journal.read()
            alive = [each for each in entries if each["service"] in SERVICES and not _has_expired(each)]
            if len(alive) < len(entries):
                self._journal.write_anew(alive)
            for each in alive:
                self._play(each)
            for keeper in self._keepers.values():
                keeper.load()

    def close(self) -> None:
        self._journal.close()

    def changes(self, service: str) -> int:
        """How often what policies depend on may have changed: anything of IAM, say; of S3 what is said of buckets."""
        return self._changed.get(service, 0)

    def answer(self, call: Call) -> Reply:
        """What moto says; what it changed is on disk when this returns. Raises NotImplementedError as moto does."""
        with self.lock:
            try:
                return self._answer(call)
            finally:
                if call.changes() and not (call.service == "s3" and call.place()[1]):
                    self._changed[call.service] = self.changes(call.service) + 1

    def _answer(self, call: Call) -> Reply:
        if not call.changes():
            return self._ask(call)
        keeper = self._keepers.get(call.service)
        kept = keeper is not None and keeper.keeps(call)
        reply = self._ask(call) if kept else self._journalled(call)
        if keeper is not None and reply.status < 400:
            keeper.keep(call)
        return reply

    def _journalled(self, call: Call) -> Reply:
        self._app(call.service)  # not with this call's dice: another call may have come first when it is played again
        entry = {"time": time.time(), "seed": randbits(64), **call.document()}
        with self._as_at(entry["time"], entry["seed"]):
            reply = self._ask(call)
        if reply.status < 400:
            self._journal.add([entry])
        return reply

    def _play(self, entry: dict[str, Any]) -> None:
        self._app(entry["service"])
        try:
            with self._as_at(entry["time"], entry["seed"]):
                reply = self._ask(Call.parse(entry))
        except Exception:
            log.exception("%s %s of the journal could not be done again", entry["service"], entry["path"])
            return
        if reply.status >= 400:
            log.warning("%s %s of the journal was refused: %s", entry["service"], entry["path"], reply.body[:500])

    @contextmanager
    def _as_at(self, at: float, seed: int) -> Iterator[None]:
        """moto's clock stands still and its dice are loaded."""
        from moto.moto_api._internal import mock_random

        mock_random.seed(seed)
        self._time.stopped = at
        try:
            yield
        finally:
            self._time.stopped = None
            mock_random.seed()

    def _ask(self, call: Call) -> Reply:
        status, headers = "", dict[str, str]()

        def start_response(given: str, pairs: list[tuple[str, str]], error: object = None) -> None:
            nonlocal status
            status = given
            headers.update(pairs)

        answer = self._app(call.service)(call.environ(), start_response)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return Reply(int(status.split()[0]), headers, body)

    def _app(self, service: str) -> Any:
        """moto's own dispatcher would also let callers reach its control API and every other service."""
        from moto.moto_server.werkzeug_app import create_backend_app

        if service not in self._apps:
            self._apps[service] = create_backend_app(SERVICES[service])
            self._time.rule()
            if lesson := self._lessons.get(service):
                with self._as_at(time.time(), 0):
                    lesson()
        return self._apps[service]


class _Time:
    """moto's clock, which can be stopped. Its modules ask for the time in several ways, each by itself."""

    def __init__(self) -> None:
        self.stopped: float | None = None
        self._datetime = self._made()

    def rule(self) -> None:
        """Over all of moto that has been imported."""
        for name, module in list(sys.modules.items()):
            if not name.startswith("moto."):
                continue
            here = vars(module)
            if "utcnow" in here:
                here["utcnow"] = self._utcnow
            if name.endswith(".models") and here.get("time") is time:
                here["time"] = _Instead(time, time=self._now)
            if name.endswith(".models") and here.get("datetime") is datetime:
                here["datetime"] = _Instead(datetime, datetime=self._datetime)
            if name.endswith(".models") and here.get("datetime") is datetime.datetime:
                here["datetime"] = self._datetime

    def _now(self) -> float:
        return time.time() if self.stopped is None else self.stopped

    def _utcnow(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._now(), datetime.UTC).replace(tzinfo=None)

    def _made(self) -> type[datetime.datetime]:
        now = self._now

        class Kind(type):
            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, datetime.datetime)

        class Datetime(datetime.datetime, metaclass=Kind):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> Any:
                return datetime.datetime.fromtimestamp(now(), tz)

        return Datetime


class _Instead:
    """A module with some of its names replaced."""

    def __init__(self, module: object, **names: object) -> None:
        self._module = module
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _has_expired(entry: dict[str, Any]) -> bool:
    return entry["service"] == "sts" and float(entry["time"]) < time.time() - SESSION_SECONDS


def _session_token() -> str:
    from moto.moto_api._internal import mock_random

    return base64.b64encode(mock_random.randbytes(264)).decode()


def _load() -> None:
    """moto reads its settings from the environment, most of them when it is imported."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # it would let every web page in
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):  # moto makes a session, which fails where one does not exist
        os.environ.pop(name, None)
    from moto.core.common_models import BaseModel
    from moto.sts import models as sts

    sts.random_session_token = _session_token  # moto's own comes out differently each time the journal is played
    # moto remembers every object, log event and metric ever made in a list that nobody here needs: a leak.
    BaseModel.__new__ = lambda cls, *args, **kwargs: object.__new__(cls)
