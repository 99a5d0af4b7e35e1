"""moto by itself: S3, IAM and Logs without the local AWS, for tests of what is said to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.iam.access_control import PermissionResult
from moto.s3 import models
from moto.server import ThreadedMotoServer


@contextmanager
def moto_server() -> Iterator[str]:
    """Its address. It speaks HTTP, and takes a policy that allows TLS only for one that allows nothing: it is told not
    to."""
    bucket = vars(models)["FakeBucket"]
    obeyed = bucket.get_permission

    def permission(self: Any, *asked: str) -> Any:
        return PermissionResult.NEUTRAL if b"SecureTransport" in (self.policy or b"") else obeyed(self, *asked)

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "get_permission", permission)
        server.start()
        yield "http://{}:{}".format(*server.get_host_and_port())
        server.stop()
