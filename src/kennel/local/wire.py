"""Between waitress and the door: how requests come off the wire, and S3's metadata, whose names WSGI does not keep."""

from __future__ import annotations

import json
import socket
from typing import Any

PRESERVED = "HTTP_KENNEL_PRESERVED"
"""In the environ: JSON, the names in the environ → as sent, of headers whose names have an underscore."""
MAX_REQUEST_BYTES = 5 * 1024**3
"""The largest object that S3 takes in one piece."""
THREADS = 240
"""Invocations wait in theirs for up to a minute; 200 of them leave enough for everything else."""
METADATA = "x-amz-meta-"


def create_server(app: Any, listening: socket.socket) -> Any:
    """waitress's server: `.run()` serves, `.close()` ends it."""
    from waitress import create_server as create

    server = create(
        app,
        sockets=[listening],
        threads=THREADS,
        connection_limit=2000,
        asyncore_use_poll=True,  # select() ends at file number 1024
        channel_timeout=300,
        max_request_body_size=MAX_REQUEST_BYTES,
        ident=None,
    )
    server.channel_class = _channel_class()
    return server


def _channel_class() -> Any:
    from waitress.channel import HTTPChannel
    from waitress.parser import HEADER_FIELD_RE, HTTPRequestParser, get_header_lines
    from waitress.task import WSGITask

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        """waitress drops headers with an underscore, as in WSGI they look like others.

        And where a client waits to be told to go on with a body of no bytes, it tells it, and then waits for the body.
        """

        expect_continue: bool

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            self.expect_continue = self.expect_continue and (self.content_length > 0 or self.chunked)
            self.headers["KENNEL_PRESERVED"] = json.dumps(self._preserve(header_plus))

        def _preserve(self, header_plus: bytes) -> dict[str, str]:
            names: dict[str, str] = {}
            for line in get_header_lines(header_plus.partition(b"\r\n")[2]):
                name, value = (each.decode("latin-1") for each in HEADER_FIELD_RE.match(line).group("name", "value"))
                key = name.upper().replace("-", "_")
                if "_" in name and name.lower().startswith(METADATA) and key not in self.headers:
                    self.headers[key] = value.strip(" \t")
                    names[f"HTTP_{key}"] = name
            return names

    class Task(WSGITask):  # type: ignore[misc]
        """waitress writes every header's name with capitals, and clients take metadata's names as they come."""

        def build_response_header(self) -> bytes:
            names = {name.lower(): name for name, _ in self.response_headers if name.lower().startswith(METADATA)}
            header: bytes = super().build_response_header()
            return b"\r\n".join(_renamed(line, names) for line in header.split(b"\r\n")) if names else header

    class Channel(HTTPChannel):  # type: ignore[misc]
        parser_class = Parser
        task_class = Task

    return Channel


def _renamed(line: bytes, names: dict[str, str]) -> bytes:
    name, colon, value = line.partition(b":")
    wanted = names.get(name.decode("latin-1").lower())
    return wanted.encode("latin-1") + colon + value if wanted else line
