"""An endpoint whose one instance was started by somebody else, and is known by its address only."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from kennel.local.hosting.instance import Instance
from kennel.local.hosting.invoke import Invocation, Invoker, error
from kennel.local.hosting.meter import Meter
from kennel.local.hosting.plan import Limits
from kennel.local.hosting.router import Router, Seat
from kennel.local.parts import House, Reply
from kennel.local.tail import Tail

log = logging.getLogger(__name__)

VARIANT = "AllTraffic"
LOOK_S = 1.0
AWAY = "The endpoint's container does not answer."


class Elsewhere:
    """Implements parts.Invocations for any endpoint's name. Nobody waits for one that answers no pings."""

    def __init__(self, house: House, address: str, limits: Limits | None = None) -> None:
        limits = limits or Limits(ping_s=2)
        self._limits, self._seat, self._router = limits, Seat(), Router(limits.outstanding)
        self._there = False
        nothing = Tail(Path(tempfile.gettempdir()) / "there-is-no-log", lambda lines: None)
        self._instance = Instance(_Address(address), nothing, limits.outstanding)
        self._clock, self._meter = house.clock, Meter(house.clock)
        self._invoke = Invoker(house, limits, self._router, self._meter)
        self._closing = threading.Event()
        threading.Thread(target=self._watch, name="elsewhere", daemon=True).start()

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """headers: names in lower case."""
        answer = self._invoke(Invocation(name, headers, body))
        return answer if self._there or answer.status != 400 else error(503, "ServiceUnavailable", AWAY)

    def close(self) -> None:
        self._closing.set()
        self._router.swap({}, {})

    def _watch(self) -> None:
        while not self._closing.is_set():
            self._meter.forget(self._clock.now())  # nobody publishes them
            try:
                self._look()
            except Exception:
                log.exception("the endpoint's container")
            self._instance.look.wait(LOOK_S)
            self._instance.look.clear()

    def _look(self) -> None:
        if self._instance.serving:
            return
        self._there = bool(self._instance.ping(self._limits.ping_s))
        self._router.swap({VARIANT: (self._seat,)} if self._there else {}, {VARIANT: 1.0})
        if self._there:
            self._router.admit(self._seat, self._instance)


class _Address:
    """Implements work.Running: it always runs, as far as is known here."""

    def __init__(self, address: str) -> None:
        self.address: str | None = address

    def exit_code(self) -> int | None:
        return None

    def out_of_memory(self) -> bool:
        return False

    def terminate(self) -> None:
        """Whoever started it ends it."""

    def kill(self) -> None:
        """Whoever started it ends it."""

    def close(self) -> None:
        """Whoever started it ends it."""
