"""One machine while it is there: its user data as a process, its metadata, its end by itself, by a call, or by AWS.

As on AWS it goes on when its user data has run through, until somebody ends it: its own `shutdown`, a call, a spot
interruption, or the end of the server.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kennel.errors import KennelError, one_line
from kennel.local.errors import Refused
from kennel.local.machines.facts import CREDENTIALS, USER_DATA, Facts, time_of, values
from kennel.local.machines.folder import CONSOLE, Folder
from kennel.local.machines.metadata import Metadata
from kennel.local.machines.words import ITSELF, NOT_STARTED, SPOT
from kennel.local.parts import House
from kennel.local.within import Instances
from kennel.local.work import Program, RunningProgram

log = logging.getLogger(__name__)

LOOK_S, AGAIN_S = 0.1, 5
GRACE_S, CLOSING_S = 90.0, 3.0
"""For its script to end by itself when it goes down: systemd's own; and when the server ends, which does not answer it
any more."""
NOTICE_S = 120
"""Between the notice of a spot interruption and the end, as on AWS."""
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = {"AWS_METADATA_SERVICE_TIMEOUT": "10", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"}
"""Clients of AWS's own wait for a second, once; this machine may be busy with others."""
_SHEBANG = re.compile(rb"#![ \t]*(\S+)(?:[ \t]+([^\r\n]*\S))?[ \t\r]*(?:\n|$)")
CREDENTIAL_S, RENEWED_S = 6 * 3600, 3600
"""How long credentials are said to last, and how long before their end there are new ones."""


class Machine:
    """Starts when it is made. first: its user data runs at its first start only, as cloud-init does it."""

    def __init__(self, house: House, instances: Instances, identity: str, root: Path, first: bool) -> None:
        self.identity = identity
        self._house, self._instances, self._folder, self._first = house, instances, Folder(root), first
        self._facts = instances.facts(identity)
        self._credentials = _Credentials(house, self._facts)
        self._over, self.ended = threading.Event(), False
        self._power_off: float | None = None
        self._taken_at: float | None = None
        """Of the server's clock, both: when it shuts itself down, when AWS takes a spot machine."""
        self._metadata: Metadata | None = None
        self._running: RunningProgram | None = None
        self._thread = threading.Thread(target=self._live, name=f"machine {identity}", daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """It shall end now, EC2 says so already; False where it has."""
        self._over.set()
        return not self.ended

    def join(self) -> None:
        self._thread.join()

    def announce(self) -> None:
        """The notice of a spot interruption. Raises Refused."""
        if not self._facts.spot:
            raise Refused("ValidationException", f"{self.identity} is not a spot instance: launch one with --spot")
        self._taken_at = self._taken_at or self._house.clock.now() + NOTICE_S

    def _live(self) -> None:
        try:
            self._boot()
        except (KennelError, OSError) as error:
            told = one_line(error) if isinstance(error, OSError) else error
            log.warning("%s cannot be started: %s", self.identity, told)
            self._folder.say(f"the local AWS could not start this machine: {told}")
            self._instances.end(self.identity, NOT_STARTED)
        except Exception:
            log.exception("%s cannot be started", self.identity)
            self._instances.end(self.identity, NOT_STARTED)
        while not self._over.wait(LOOK_S):
            try:
                self._look()
            except Exception:  # a full disk, say: it shall end all the same when there is room again
                log.exception("%s could not be looked after", self.identity)
                self._over.wait(AGAIN_S)
        self._end()

    def _boot(self) -> None:
        """Raises KennelError, OSError."""
        self._folder.prepare()
        self._credentials.document()  # clients wait a second for them, and the first take longer
        self._metadata = Metadata(self._paths, self._read)
        program = self._program() if self._first else None
        if program is not None:
            assert self._house.programs is not None
            self._running = self._house.programs.run(program)
        elif not self._first:
            self._folder.say("started again; user data has run at the first start, and does not again")
        self._instances.reach(self.identity, "running", "pending")

    def _look(self) -> None:
        now = self._house.clock.now()
        self._folder.bound()
        if asked := self._folder.take_power():
            self._power_off = None if asked == "cancel" else now + 60 * int(asked)
        if self._power_off is not None and now >= self._power_off:
            self._instances.end(self.identity, ITSELF)
        elif self._taken_at is not None and now >= self._taken_at:
            self._instances.end(self.identity, SPOT)

    def _end(self) -> None:
        with suppress(Exception):
            if self._running is not None:
                self._running.shut_down(CLOSING_S if self._house.closing.is_set() else GRACE_S)
        try:
            if self._running is not None:
                self._running.close()
        except Exception:
            log.exception("%s: something of it is left until the server ends", self.identity)
        if self._metadata is not None:
            self._metadata.close()
        self._folder.bound(CONSOLE)
        self.ended = True  # who comes now finds the next state, or sees to it himself
        if not self._instances.reach(self.identity, "stopped", "stopping"):
            self._folder.remove()
            self._instances.reach(self.identity, "terminated", "shutting-down")

    def _program(self) -> Program | None:
        """What runs at the first start; None where there is nothing to run. Raises OSError."""
        content = self._facts.user_data
        if not content:
            return None
        found = _SHEBANG.match(content)
        if found is None:
            self._folder.say("the local AWS runs user data that begins with #! only; this is not run")
            return None
        given = [each.decode("utf-8", "surrogateescape") for each in found.groups() if each]
        return Program(
            name=f"machine-{self.identity}",
            arguments=(*given, str(self._folder.script(content))),
            folder=self._folder.disk,
            log=self._folder.console,
            environment=self._environment(),
            containers=True,
        )

    def _environment(self) -> dict[str, str]:
        assert self._metadata is not None
        installed = Path(sys.executable).parent
        return {
            "PATH": f"{self._folder.bin}:{installed}:{SYSTEM}",
            "HOME": str(self._folder.disk / "home"),
            "LANG": "C.UTF-8",
            "KENNEL_WORK": str(self._folder.disk / "work"),
            "KENNEL_MACHINE": self.identity,
            "AWS_ENDPOINT_URL": self._house.url,
            "AWS_DEFAULT_REGION": self._house.region,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata.url,
            **PATIENCE,
            **{name: os.environ[name] for name in ("DOCKER_HOST", "TZ") if name in os.environ},
        }

    def _paths(self) -> dict[str, str]:
        found = values(self._facts) | {USER_DATA: self._facts.user_data.decode("utf-8", "surrogateescape")}
        if not self._facts.user_data:
            del found[USER_DATA]
        if self._credentials.name:
            found[CREDENTIALS + self._credentials.name] = ""
        if self._taken_at is not None:
            at = time_of(self._taken_at)
            found["latest/meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": at})
            found["latest/meta-data/spot/termination-time"] = at
        return found

    def _read(self, path: str) -> str | None:
        name = self._credentials.name
        return self._credentials.document() if name and path == CREDENTIALS + name else None


@dataclass(slots=True)
class _Credentials:
    """Keys of a session of the instance's role, named by the instance's id, as AWS names it. In no log, on no disk."""

    house: House
    facts: Facts
    until: float = 0.0
    told: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The role's; "" where there is none."""
        return self.facts.role.rpartition("/")[2]

    def document(self) -> str:
        """ "" where there is no role."""
        if not self.name:
            return ""
        with self.lock:
            if time.time() > self.until - RENEWED_S:
                self.told = json.dumps(self._made(), indent=2)
            return self.told

    def _made(self) -> dict[str, str]:
        now = time.time()
        try:
            self.house.roles.check_assumable(self.facts.role, "ec2.amazonaws.com")
        except Refused:
            told = f"EC2 cannot assume the role {self.name}. Please see documentation."
            return {"Code": "AssumeRoleUnauthorizedAccess", "Message": told, "LastUpdated": time_of(now)}
        assert self.house.sessions is not None
        keys, self.until = self.house.sessions.keys(self.facts.role, self.facts.identity), now + CREDENTIAL_S
        return {
            "Code": "Success",
            "LastUpdated": time_of(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
            "Token": keys["AWS_SESSION_TOKEN"],
            "Expiration": time_of(self.until),
        }
