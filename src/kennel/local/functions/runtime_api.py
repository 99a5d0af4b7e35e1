"""Lambda's Runtime API for one instance: where its runtime client fetches invocations and brings what came of them.

A port of its own for each instance, as the client takes nothing but an address: see `kennel.local.loopback`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from kennel.local.functions.limits import PAYLOAD
from kennel.local.loopback import Handler, Loopback

VERSION = "/2018-06-01/runtime"
_RESULT = re.compile(rf"{VERSION}/invocation/([0-9a-f-]+)/(response|error)")
ERROR_MOST = 2**18


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
        self._loopback = Loopback(_Handler, self, "runtime-api")

    @property
    def address(self) -> str:
        return self._loopback.address

    def offer(self, request: Request) -> None:
        with self._condition:
            self._offered = request
            self._condition.notify_all()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._loopback.close()  # whoever waits for an invocation is told

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


class _Handler(Handler):
    service: RuntimeApi

    def do_GET(self) -> None:
        if not self.is_welcome() or self.path != f"{VERSION}/invocation/next":
            return self._say(404, "There is nothing here")
        request = self.service.next()
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
        if not self.is_welcome():
            return self._say(404, "There is nothing here")
        found, length = _RESULT.fullmatch(self.path), max(0, int(self.headers.get("Content-Length") or 0))
        if self.path == f"{VERSION}/init/error":
            self.service.fail(self.rfile.read(min(length, ERROR_MOST)))
            return self._say(202, "OK")
        if found is None:
            return self._say(404, "There is nothing here")
        if length > PAYLOAD:
            return self._refuse_large(found[1], length)
        if not self.service.finish(found[1], self.rfile.read(length), found[2] == "error"):
            return self._say(400, "That invocation is not under way")
        return self._say(202, "OK")

    def _refuse_large(self, identity: str, length: int) -> None:
        told = {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": f"Response payload size exceeded maximum allowed payload size ({PAYLOAD} bytes).",
        }
        self.service.finish(identity, json.dumps(told).encode(), failed=True)
        while length > 0 and (block := self.rfile.read(min(length, 1 << 20))):
            length -= len(block)
        self._say(413, told["errorMessage"])

    def _say(self, status: int, message: str) -> None:
        told = {"status": message} if status < 300 else {"errorMessage": message}
        self._send(status, json.dumps(told).encode(), {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send(status, body, {"Content-Type": "application/json", **headers})
