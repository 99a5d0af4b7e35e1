"""CloudWatch Logs followed live: every line of a job's streams once, in each stream's order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kennel.cloud.failures import SHOWN
from kennel.cloud.session import DENIED, code_of


@dataclass(frozen=True, slots=True)
class LogLine:
    """stream: `algo-1-1700000000`, what comes after the job's name; time: epoch seconds."""

    stream: str
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about the waiting itself that a person should know."""

    text: str


class Follower:
    """Reads a group's streams of one prefix from where it has got to. Neither has to exist yet.

    since: epoch seconds; lines before it are left out. last: the newest lines, for whoever has to explain a failure.
    """

    def __init__(self, client: Any, group: str, prefix: str, tell: Callable[[LogLine | Notice], None]) -> None:
        self._client, self._group, self._prefix, self._tell = client, group, prefix, tell
        self._tokens: dict[str, str] = {}
        self._denied = False
        self._last: deque[str] = deque(maxlen=SHOWN)
        self.since: float | None = None

    @property
    def last(self) -> Sequence[str]:
        return tuple(self._last)

    def read(self) -> int:
        """Tell every new line; how many there were. Raises botocore's ClientError; to call again is safe then.

        Somebody who may not read logs is told so once; the job goes on without them.
        """
        from botocore.exceptions import ClientError

        if self._denied:
            return 0
        try:
            return sum(self._read_stream(stream) for stream in self._streams())
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return 0
            if code_of(error) not in DENIED:
                raise
        self._denied = True
        self._tell(Notice(f"the log of {self._group} may not be read (logs:GetLogEvents, logs:DescribeLogStreams)"))
        return 0

    def _streams(self) -> list[str]:
        request = {"logGroupName": self._group}
        if self._prefix:
            request["logStreamNamePrefix"] = self._prefix
        pages = self._client.get_paginator("describe_log_streams").paginate(**request)
        return [each["logStreamName"] for page in pages for each in page["logStreams"]]

    def _read_stream(self, stream: str) -> int:
        """Pages until the token no longer moves: that is how CloudWatch says "no more"; an empty page says nothing."""
        count = 0
        while True:
            token = self._tokens.get(stream)
            page = self._client.get_log_events(**self._request(stream, token))
            for event in page["events"]:
                self._tell_line(stream, event)
            self._tokens[stream] = page["nextForwardToken"]  # lines and token move together: nothing twice
            count += len(page["events"])
            if page["nextForwardToken"] == token:
                return count

    def _request(self, stream: str, token: str | None) -> dict[str, Any]:
        request: dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if token is not None:
            request["nextToken"] = token
        if self.since is not None:
            request["startTime"] = int(self.since * 1000)
        return request

    def _tell_line(self, stream: str, event: dict[str, Any]) -> None:
        text = event["message"].rstrip("\n")
        self._last.append(text)
        self._tell(LogLine(stream.removeprefix(self._prefix), text, event["timestamp"] / 1000))
