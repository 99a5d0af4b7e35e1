"""What the owner of a home asks of its server beside AWS's own calls, signed like those."""

from __future__ import annotations

import urllib.request

from kennel.local.home import State

SERVICE = "kennel"
"""What such requests are signed for."""


def ask(state: State, path: str, method: str = "GET", seconds: float = 30) -> bytes:
    """`/_kennel/PATH`'s answer, `calls` say: all that the gatekeeper decided. Raises OSError, HTTPException."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, f"{state.url}/_kennel/{path}")
    keys = Credentials(state.access_key_id, state.secret_access_key)
    SigV4Auth(keys, SERVICE, state.region).add_auth(request)
    sent = urllib.request.Request(request.url, method=method, headers=dict(request.headers.items()))  # noqa: S310
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sent, timeout=seconds) as answer:
        return bytes(answer.read())
