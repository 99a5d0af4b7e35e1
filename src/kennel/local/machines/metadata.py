"""The instance metadata service of one machine: IMDSv2 on a port of loopback, for as long as the machine is there.

A session is asked for by PUT, and every GET has to show its token, whatever the instance's MetadataOptions say of
version 1. It gives out credentials, so more is refused than AWS needs to: other names (DNS rebinding), web pages, and
processes of other users. Hop limits are not imitated: nothing outside this machine gets here.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Any

from kennel.local.machines.facts import listing

WAITING, AT_A_TIME = 16, 32
"""Connections that may wait, and that are answered at a time."""
IDLE_S = 60
LONGEST_TTL = 21600
"""Seconds of a session, as on AWS."""
MOST_TOKENS = 1000
TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
NO_SERVER: Any = None
"""A handler is handed one, and does not ask it for anything."""

Paths = Callable[[], Mapping[str, str]]
"""Path → text, as it is at this moment."""
Read = Callable[[str], str | None]
"""What is made when it is asked for (credentials), by its path; None of any other."""


class Metadata:
    """paths: what there is; read: what is looked up instead. Raises OSError."""

    def __init__(self, paths: Paths, read: Read) -> None:
        self.paths, self.read = paths, read
        self._lock, self._tokens = threading.Lock(), dict[str, float]()
        self._open = set[socket.socket]()
        self._room = threading.BoundedSemaphore(AT_A_TIME)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=WAITING)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, name="metadata", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Nobody is answered any more; its threads end."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._listening.close()
        with self._lock:
            self._tokens.clear()
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

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

    def _serve(self) -> None:
        while True:
            try:
                connection, address = self._listening.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._answer, args=(connection, address), name="metadata", daemon=True).start()

    def _answer(self, connection: socket.socket, address: tuple[str, int]) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            with connection, suppress(OSError, ValueError):
                if _is_ours(address[1], self.port):
                    _handler_of(self)(connection, address, NO_SERVER)
        finally:
            with self._lock:
                self._open.discard(connection)
            self._room.release()


def _is_ours(theirs: int, port: int) -> bool:
    """Whether this user's process, or root's, has the other end, as the kernel tells; True where it tells nothing."""
    ends = [f"0100007F:{theirs:04X}", f"0100007F:{port:04X}"]
    try:
        lines = [each.split() for each in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return True
    return any(each[1:3] == ends and int(each[7]) in (os.getuid(), 0) for each in lines)


def _handler_of(metadata: Metadata) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        service = metadata

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = IDLE_S
    service: Metadata

    def do_PUT(self) -> None:
        self.close_connection = True  # a body that nobody reads would be taken for the next request
        if not self._is_welcome() or "X-Forwarded-For" in self.headers:
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
        if not self._is_welcome():
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

    def _is_welcome(self) -> bool:
        """Neither by another name (DNS rebinding), nor from a web page."""
        own = self.headers.get("Host") == f"127.0.0.1:{self.service.port}"
        return own and not any(name.lower() in ("origin", "sec-fetch-site") for name in self.headers)

    def _send(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode("utf-8", "surrogateescape")
        self.send_response_only(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: tokens would be in it."""
