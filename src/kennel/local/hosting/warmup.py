"""An instance's first invocation: what loads and compiles at the first request does so before the public's.

A stranger's container may want something else than a picture, so its refusal (4xx) is an answer too; one that fails or
does not answer for as long as `warm_s` serves by its /ping alone, as it does on AWS.
"""

from __future__ import annotations

import struct
import threading
import time
import zlib

from kennel.local.hosting.instance import Instance, Late, Unreachable

SIDE = 224
AGAIN_S = 0.5


def warm(instance: Instance, seconds: float, ended: threading.Event) -> bool:
    """Whether it took a picture, or refused it, in that time."""
    until, body = time.monotonic() + seconds, picture()
    headers = {"content-type": "image/png", "accept": "application/json"}
    while (left := until - time.monotonic()) > 0 and instance.running.exit_code() is None:
        try:
            if instance.ask(headers, body, left).status < 500:
                return True
        except (Late, Unreachable):
            pass
        if ended.wait(AGAIN_S):
            return False
    return False


def picture() -> bytes:
    """A grey square as PNG."""
    rows = (b"\0" + b"\x80" * SIDE) * SIDE
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
