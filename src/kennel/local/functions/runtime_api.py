"""Lambda's Runtime API for one instance: where its runtime client fetches invocations and brings what came of them.

A port of its own for each instance, as the client takes nothing but an address. What else could reach it (any process
of this machine, a page in a browser) finds no names and no other sites let in.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from kennel.local.functions.limits import PAYLOAD

VERSION = "/2018-06-01/runtime"
_RESULT = re.compile(rf"{VERSION}/invocation/([0-9a-f-]+)/(response|error)")
WAITING = 8
"""Connections that may wait; a runtime has one or two."""
ERROR_MOST = 2**18
NO_SERVER: Any = None
"""A handler is handed one, and does not ask it for anything."""


@dataclass(eq=False, slots=True)
class Request:
    """One invocation, and what came of it. arn: as it was invoked; deadline: epoch seconds; context: JSON, or ""."""

    identity: str
    payload: bytes
    arn: str
    context: str = ""
    trace: str = ""
    deadline: float = 0.0
    answer: bytes = b""
    failed: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def finish(self, answer: bytes, failed: bool) -> None:
        self.answer, self.failed = answer, failed
        self.done.set()


class RuntimeApi:
    """ready: the runtime has asked for its first invocation. init_error: what it told instead."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.init_error: bytes | None = None
        self._condition = threading.Condition()
        self._offered: Request | None = None
        self._taken: Request | None = None
        self._closed = False
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=WAITING)
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, name="runtime-api", daemon=True).start()

    def offer(self, request: Request) -> None:
        with self._condition:
            self._offered = request
            self._condition.notify_all()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._listening.close()

    def next(self) -> Request | None:
        """Waits for one; None when the instance ends."""
        with self._condition:
            self.ready.set()
            self._condition.wait_for(lambda: self._offered is not None or self._closed)
            self._taken, self._offered = self._offered, None
            return None if self._closed else self._taken

    def finish(self, identity: str, answer: bytes, failed: bool) -> bool:
        """Whether that is the invocation that the runtime has."""
        with self._condition:
            taken = self._taken
            if taken is None or taken.identity != identity or taken.done.is_set():
                return False
            taken.finish(answer, failed)
            return True

    def fail(self, told: bytes) -> None:
        self.init_error = told
        self.ready.set()

    def _serve(self) -> None:
        while True:
            try:
                connection, address = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection, address), name="runtime-api", daemon=True).start()

    def _answer(self, connection: socket.socket, address: object) -> None:
        with connection, suppress(OSError, ValueError):
            _handler_of(self)(connection, address, NO_SERVER)


def _handler_of(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        runtime = api

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    runtime: RuntimeApi

    def do_GET(self) -> None:
        if not self._is_welcome() or self.path != f"{VERSION}/invocation/next":
            return self._say(404, "There is nothing here")
        request = self.runtime.next()
        if request is None:
            self.close_connection = True
            return self._say(410, "The instance ends")
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request.identity,
            "Lambda-Runtime-Deadline-Ms": str(round(request.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": request.arn,
            "Lambda-Runtime-Trace-Id": request.trace,
        }
        if request.context:
            headers["Lambda-Runtime-Client-Context"] = request.context
        return self._send(200, request.payload, headers)

    def do_POST(self) -> None:
        if not self._is_welcome():
            return self._say(404, "There is nothing here")
        found, length = _RESULT.fullmatch(self.path), max(0, int(self.headers.get("Content-Length") or 0))
        if self.path == f"{VERSION}/init/error":
            self.runtime.fail(self.rfile.read(min(length, ERROR_MOST)))
            return self._say(202, "OK")
        if found is None:
            return self._say(404, "There is nothing here")
        if length > PAYLOAD:
            return self._refuse_large(found[1], length)
        if not self.runtime.finish(found[1], self.rfile.read(length), found[2] == "error"):
            return self._say(400, "That invocation is not under way")
        return self._say(202, "OK")

    def _refuse_large(self, identity: str, length: int) -> None:
        told = {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": f"Response payload size exceeded maximum allowed payload size ({PAYLOAD} bytes).",
        }
        self.runtime.finish(identity, json.dumps(told).encode(), failed=True)
        while length > 0 and (block := self.rfile.read(min(length, 1 << 20))):
            length -= len(block)
        self._say(413, told["errorMessage"])

    def _is_welcome(self) -> bool:
        """Neither by another name (DNS rebinding), nor from a web page."""
        own = self.headers.get("Host") == self.runtime.address
        return own and not any(name.lower() in ("origin", "sec-fetch-site") for name in self.headers)

    def _say(self, status: int, message: str) -> None:
        self._send(status, json.dumps({"status": message} if status < 300 else {"errorMessage": message}).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: it would be the server's log."""
