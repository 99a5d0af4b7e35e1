"""Invoke: now, later or not really. Events that wait lie on disk until their function has taken them."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from collections.abc import Mapping
from secrets import token_hex

from kennel.errors import KennelError
from kennel.local.documents import Documents
from kennel.local.errors import Refused
from kennel.local.functions import words
from kennel.local.functions.book import Book, Target
from kennel.local.functions.fleet import Fleet
from kennel.local.functions.instance import Outcome
from kennel.local.functions.limits import ASYNC_PAYLOAD, PAYLOAD, Limits
from kennel.local.functions.names import Ref, ref_of
from kennel.local.functions.report import log_result
from kennel.local.functions.runtime_api import Request
from kennel.local.parts import Document, House, Operation

log = logging.getLogger(__name__)

WORKERS = 8
THROTTLED_S = 1.0
"""An event whose function is at its limit comes again after so long, twice as long each time, up to:"""
THROTTLED_MOST_S = 300.0
KEPT_S = 6 * 3600
"""An event that is not taken in this time is dropped, as on AWS."""


class Invoker:
    """For Invoke and for function URLs."""

    def __init__(self, house: House, book: Book, fleet: Fleet) -> None:
        self._house, self._book, self._fleet = house, book, fleet

    def __call__(self, ref: Ref, payload: bytes, identity: str = "", context: str = "") -> tuple[Target, Outcome]:
        """Raises Refused."""
        target = self._book.target(ref)
        request = Request(
            identity=identity or str(uuid.uuid4()),
            payload=payload,
            arn=ref.arn(self._house),
            context=context,
            trace=f"Root=1-{int(time.time()):08x}-{token_hex(12)};Sampled=0",
        )
        try:
            return target, self._fleet.invoke(target, request)
        except KennelError as error:
            log.warning("function %s: %s", ref.name, error)
            raise Refused("ServiceException", str(error), 500, {"Type": "Service"}) from error


class Invocations:
    """The operation Invoke, and the events that wait."""

    def __init__(self, house: House, book: Book, invoker: Invoker, limits: Limits) -> None:
        self._house, self._book, self._invoke, self._limits = house, book, invoker, limits
        self._events = Documents(house.home / "function-events", house.changes)
        self._condition = threading.Condition()
        self._due: list[tuple[float, str]] = []
        self._closing = False
        self._workers = [threading.Thread(target=self._work, name="events", daemon=True) for _ in range(WORKERS)]

    def operations(self) -> Mapping[str, Operation]:
        return {"Invoke": self._operation}

    def start(self) -> None:
        self._due = [(0.0, each["Id"]) for each in self._events.all()]
        for each in self._workers:
            each.start()

    def close(self) -> None:
        """What waits comes again at the next start."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def join(self) -> None:
        for each in self._workers:
            each.join()

    def _operation(self, request: Document) -> Document:
        ref, payload = ref_of(self._house, request), bytes(request.get("Payload") or b"") or b"{}"
        kind = request.get("InvocationType", "RequestResponse")
        self._check(payload, PAYLOAD if kind == "RequestResponse" else ASYNC_PAYLOAD)
        target = self._book.target(ref)
        if kind == "DryRun":
            return {"StatusCode": 204}
        if kind == "Event":
            self._enqueue(ref, payload)
            return {"StatusCode": 202, "Payload": b""}
        target, outcome = self._invoke(ref, payload, context=_context(request.get("ClientContext", "")))
        answer: Document = {"StatusCode": 200, "ExecutedVersion": target.version, "Payload": outcome.payload}
        if outcome.failed:
            answer["FunctionError"] = "Unhandled"
        if request.get("LogType") == "Tail":
            answer["LogResult"] = log_result(outcome.lines)
        return answer

    def _check(self, payload: bytes, most: int) -> None:
        """Raises Refused."""
        if len(payload) > most:
            raise words.too_large(most, "InvokeFunction")
        try:
            json.loads(payload)
        except (ValueError, RecursionError) as error:
            told = f"Could not parse request body into json: {error}"
            raise Refused("InvalidRequestContentException", told, 400, words.USER) from error

    def _enqueue(self, ref: Ref, payload: bytes) -> None:
        identity = str(uuid.uuid4())
        with self._condition:
            if len(self._due) >= self._limits.queued:
                raise words.throttled(reserved=False)
        self._events.add(
            identity,
            {
                "Id": identity,
                "Name": ref.name,
                "Qualifier": ref.qualifier,
                "Payload": base64.b64encode(payload).decode(),
                "Failed": 0,
                "Throttled": 0,
                "Since": self._house.clock.now(),
            },
        )
        self._again(identity, 0.0)

    def _again(self, identity: str, seconds: float) -> None:
        with self._condition:
            self._due.append((self._house.clock.now() + seconds, identity))
            self._condition.notify()

    def _work(self) -> None:
        while identity := self._next():
            event = self._events.get(identity)
            if event is None:
                continue
            try:
                self._run(event)
            except Exception:
                log.exception("an event of function %s", event["Name"])
                self._failed(event)

    def _next(self) -> str | None:
        """The one that is due first, when it is due; None when the server ends."""
        with self._condition:
            while not self._closing:
                first = min(self._due, default=None)
                now = self._house.clock.now()
                if first is not None and first[0] <= now:
                    self._due.remove(first)
                    return first[1]
                self._condition.wait(None if first is None else min(1.0, first[0] - now))
        return None

    def _run(self, event: Document) -> None:
        """Once; again later where it failed, as often as AWS would."""
        identity, ref = event["Id"], Ref(event["Name"], event["Qualifier"])
        try:
            _, outcome = self._invoke(ref, base64.b64decode(event["Payload"]), identity)
        except Refused as refused:
            self._refused(event, refused)
            return
        if self._closing and outcome.failed:
            return  # perhaps because the server ends
        if outcome.failed:
            self._failed(event)
        else:
            self._events.remove(identity)

    def _failed(self, event: Document) -> None:
        identity = event["Id"]
        if event["Failed"] >= self._limits.retries:
            self._events.remove(identity)
            return
        self._events.change(identity, lambda document: document.update(Failed=event["Failed"] + 1))
        self._again(identity, self._limits.retry_s * (event["Failed"] + 1))

    def _refused(self, event: Document, refused: Refused) -> None:
        if self._closing:
            return
        waited = self._house.clock.now() - event["Since"]
        if refused.status not in (429, 409, 500) or waited > KEPT_S:
            self._events.remove(event["Id"])
            return
        self._events.change(event["Id"], lambda document: document.update(Throttled=event["Throttled"] + 1))
        self._again(event["Id"], min(THROTTLED_MOST_S, THROTTLED_S * 2.0 ** min(event["Throttled"], 10)))


def _context(header: str) -> str:
    """The client's context, as JSON. Raises Refused."""
    if not header:
        return ""
    try:
        return json.dumps(json.loads(base64.b64decode(header, validate=True)))
    except ValueError as error:
        raise Refused(
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
            400,
            words.USER,
        ) from error
