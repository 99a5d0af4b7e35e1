"""One endpoint instance: a running container or process, asked over connections that are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from kennel.local.tail import Tail
from kennel.local.work import Running

HANG_UP_S = 10
"""For requests to see that the other side is gone."""


class Unreachable(Exception):
    """The instance did not answer; the request may go to another one. sent: it may have reached the instance."""

    def __init__(self, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class Late(Exception):
    """The instance did not answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the container said."""

    status: int
    headers: httpx.Headers
    body: bytes


class Instance:
    """serving, outstanding: the router's, under its lock. look: set to have it looked at without delay.

    answered: when it last did, of time.monotonic.
    """

    def __init__(self, running: Running, tail: Tail, outstanding: int) -> None:
        self.running, self.tail = running, tail
        self.serving, self.outstanding = False, 0
        self.look = threading.Event()
        self.answered = 0.0
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=outstanding)
        self._client = httpx.Client(base_url=running.address or "", limits=limits, trust_env=False)

    def ping(self, seconds: float) -> bool | None:
        """Whether `GET /ping` is answered 200; None where it is not answered in time."""
        try:
            return self._client.get("/ping", timeout=seconds).status_code == 200
        except httpx.HTTPError:
            return None

    def ask(self, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """`POST /invocations`. Raises Unreachable, Late."""
        until = time.monotonic() + seconds
        sent = {"Accept-Encoding": "identity", "User-Agent": "kennel", **headers}
        try:
            with self._client.stream(
                "POST", "/invocations", content=body, headers=sent, timeout=max(seconds, 0.001)
            ) as it:
                answer = Answer(it.status_code, it.headers, _read(it, until))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(sent=False) from error
        except httpx.TimeoutException as error:
            raise Late from error
        except (httpx.HTTPError, RuntimeError) as error:  # httpx's closed client is a RuntimeError
            raise Unreachable(sent=True) from error
        self.answered = time.monotonic()
        return answer

    def end(self, seconds: float) -> None:
        """SIGTERM, SIGKILL when the time is over; nothing of it remains."""
        until = time.monotonic() + seconds
        self.running.terminate()
        while self.running.exit_code() is None and time.monotonic() < until:
            time.sleep(0.02)
        self.running.kill()
        self.running.close()
        self._hang_up()

    def _hang_up(self) -> None:
        """Not under a request: its thread could go on with a file number that by then is another connection's."""
        until = time.monotonic() + HANG_UP_S
        while self.outstanding and time.monotonic() < until:
            time.sleep(0.02)
        if not self.outstanding:
            self._client.close()


def _read(response: httpx.Response, until: float) -> bytes:
    """httpx limits the wait for each piece; this one the whole."""
    pieces = []
    for piece in response.iter_raw():
        pieces.append(piece)
        if time.monotonic() > until:
            raise Late
    return b"".join(pieces)
