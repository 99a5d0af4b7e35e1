"""The instance metadata service of one machine: IMDSv2 on a port of loopback, for as long as the machine is there.

A session is asked for by PUT, and every GET has to show its token, whatever the instance's MetadataOptions say of
version 1. It gives out credentials, so more is refused than AWS needs to: other names (DNS rebinding), web pages, and
processes of other users. Hop limits are not imitated: nothing outside this machine gets here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from secrets import compare_digest, token_urlsafe

from kennel.local.loopback import Handler, Loopback
from kennel.local.machines.facts import listing

IDLE_S = 60
LONGEST_TTL = 21600
"""Seconds of a session, as on AWS."""
MOST_TOKENS = 1000
TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"

Paths = Callable[[], Mapping[str, str]]
"""Path → text, as it is at this moment."""
Read = Callable[[str], str | None]
"""What is made when it is asked for (credentials), by its path; None of any other."""


class Metadata:
    """paths: what there is; read: what is looked up instead. Raises OSError."""

    def __init__(self, paths: Paths, read: Read) -> None:
        self.paths, self.read = paths, read
        self._lock, self._tokens = threading.Lock(), dict[str, float]()
        self._loopback = Loopback(_Handler, self, "metadata")

    @property
    def url(self) -> str:
        return f"http://{self._loopback.address}"

    def close(self) -> None:
        """Nobody is answered any more; its threads end."""
        self._loopback.cut()
        with self._lock:
            self._tokens.clear()

    def token(self, seconds: int) -> str:
        """A new session's."""
        made, now = token_urlsafe(40), time.monotonic()
        with self._lock:
            self._tokens = {each: until for each, until in self._tokens.items() if until > now}
            if len(self._tokens) >= MOST_TOKENS:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[made] = now + seconds
        return made

    def holds(self, token: str) -> bool:
        given, now = token.encode("latin-1", "replace"), time.monotonic()
        with self._lock:
            return any(until > now and compare_digest(each.encode(), given) for each, until in self._tokens.items())


class _Handler(Handler):
    timeout = IDLE_S
    service: Metadata

    def do_PUT(self) -> None:
        self.close_connection = True  # a body that nobody reads would be taken for the next request
        if not self.is_welcome() or "X-Forwarded-For" in self.headers:
            return self._send(403, "Forbidden")
        if self.path != "/latest/api/token":
            return self._send(404, "Not Found")
        given = self.headers.get(TTL, "")
        seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 8 else 0
        if not 1 <= seconds <= LONGEST_TTL:
            return self._send(400, "Bad Request")
        return self._send(200, self.service.token(seconds), {TTL: str(seconds)})

    def do_GET(self) -> None:
        self.close_connection |= "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if not self.is_welcome():
            return self._send(403, "Forbidden")
        if not self.service.holds(self.headers.get(TOKEN, "")):
            return self._send(401, "Unauthorized")
        found = self._found(self.path.strip("/"))
        return self._send(404, "Not Found") if found is None else self._send(200, found)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _found(self, path: str) -> str | None:
        if (made := self.service.read(path)) is not None:
            return made
        paths = self.service.paths()
        return paths[path] if path in paths else listing(paths, path) or None

    def _send(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, text.encode("utf-8", "surrogateescape"), {"Content-Type": "text/plain", **(headers or {})})
