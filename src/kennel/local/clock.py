"""Time as the services see it: the wall clock, and one that runs faster for tests and rehearsals."""

from __future__ import annotations

import threading
import time


class WallClock:
    """The machine's own time."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; whether it is set."""
        return event.wait(max(0.0, seconds))


class FastClock:
    """Starts at the machine's time and runs `factor` times as fast.

    began: epoch seconds at which it was first started, for one that goes on in another process.
    """

    def __init__(self, factor: float, began: float | None = None) -> None:
        self._factor = factor
        now = time.time()
        self._epoch = now if began is None else began + (now - began) * factor
        self._started = time.monotonic()

    def now(self) -> float:
        """Epoch seconds of this clock."""
        return self._epoch + (time.monotonic() - self._started) * self._factor

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """As WallClock's, in seconds of this clock."""
        return event.wait(max(0.0, seconds) / self._factor)
