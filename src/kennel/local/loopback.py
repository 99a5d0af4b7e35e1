"""HTTP on a port of loopback of its own, for one instance or machine, whose client takes nothing but an address.

What else could reach it finds nobody at home: processes of other users, other names, pages of other sites.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

WAITING, AT_A_TIME = 16, 32
"""Connections that may wait, and that are answered at a time."""
NO_SERVER: Any = None
"""A handler is handed one, and does not ask it for anything."""


class Handler(BaseHTTPRequestHandler):
    """What is asked over one connection. service: who answers; address: `127.0.0.1:port`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    service: Any
    address: str

    def is_welcome(self) -> bool:
        """Neither by another name (DNS rebinding), nor from a web page."""
        own = self.headers.get("Host") == self.address
        return own and not any(name.lower() in ("origin", "sec-fetch-site") for name in self.headers)

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: it would be the server's log, and tokens may be in it."""


class Loopback:
    """handler: its kind; service: handed to it; name: of the threads. Raises OSError."""

    def __init__(self, handler: type[Handler], service: object, name: str) -> None:
        self._name, self._is_cut = name, False
        self._lock, self._open = threading.Lock(), set[socket.socket]()
        self._room = threading.BoundedSemaphore(AT_A_TIME)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=WAITING)
        self.port = int(self._listening.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self._handler: Any = type(handler.__name__, (handler,), {"service": service, "address": self.address})
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def close(self) -> None:
        """Nobody new is answered."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._listening.close()

    def cut(self) -> None:
        """Nobody is answered any more; the threads end."""
        self.close()
        with self._lock:
            self._is_cut = True
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, address = self._listening.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._answer, args=(connection, address), name=self._name, daemon=True).start()

    def _answer(self, connection: socket.socket, address: tuple[str, int]) -> None:
        with self._lock:
            self._open.add(connection)
            is_late = self._is_cut
        try:
            with connection, suppress(OSError, ValueError):
                if not is_late and _is_ours(address[1], self.port):
                    self._handler(connection, address, NO_SERVER)
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
