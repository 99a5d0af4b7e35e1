"""The folder of a local AWS: one server at a time has it; what it says of itself while it runs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import string
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from kennel.errors import ServerError
from kennel.files import PRIVATE, forget_drafts, write_atomically

STATE, LOCK, LOG = "server.json", "server.lock", "server.log"


@dataclass(frozen=True, slots=True)
class State:
    """A server that runs: where it is, and what a client signs with."""

    pid: int
    url: str
    region: str
    account: str
    access_key_id: str
    secret_access_key: str

    def environment(self) -> dict[str, str]:
        """What makes any AWS client talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


def home_folder(setting: str = "", environment: Mapping[str, str] = os.environ) -> Path:
    """KENNEL_LOCAL_HOME, else the setting, else the user's own state folder."""
    named = environment.get("KENNEL_LOCAL_HOME") or setting
    return Path(named).expanduser() if named else Path(platformdirs.user_state_dir("kennel")) / "local"


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Have the folder, made if missing, readable by its user only. Raises ServerError where a server has it already."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    with (home / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServerError(f"a local AWS runs already in {home}", "See it: kennel local status") from error
        yield


def credentials(home: Path) -> tuple[str, str]:
    """Access key and secret of this home: made once, so that they hold after a restart."""
    path = home / "credentials.json"
    if not path.exists():
        made = [_random(string.ascii_uppercase + "234567", 16), _random(string.ascii_letters + string.digits, 40)]
        write_atomically(path, json.dumps([f"AKIA{made[0]}", made[1]]).encode(), PRIVATE)
    key, secret = json.loads(path.read_text())
    return key, secret


@contextmanager
def announced(home: Path, state: State) -> Iterator[None]:
    """The state is readable as long as this lasts."""
    path = home / STATE
    forget_drafts(path)
    write_atomically(path, json.dumps(asdict(state), indent=1).encode(), PRIVATE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def state(home: Path) -> State | None:
    """The server of a home, if it runs and answers."""
    with suppress(OSError, ValueError, TypeError):
        found = State(**json.loads((home / STATE).read_text()))
        os.kill(found.pid, 0)
        if _answers(found.url, found.pid):
            return found
    return None


def _answers(url: str, pid: int) -> bool:
    """Whether it is this process that answers there: after a kill, both numbers may be others' by now."""
    if urlsplit(url).hostname != "127.0.0.1":
        return False
    try:
        # no proxy: it would be asked for 127.0.0.1 too
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/_kennel/pid", timeout=5) as answer:
            return bool(answer.read(20) == str(pid).encode())
    except (OSError, HTTPException):
        return False


def _random(letters: str, count: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(count))
