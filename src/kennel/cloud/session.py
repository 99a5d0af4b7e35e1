"""The one place that makes boto3 clients, for AWS and for the local AWS, and that words boto3's errors.

boto3 is imported when a client is made, so that the command line starts fast.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from kennel import __version__
from kennel.cloud.failures import explain, from_client_error
from kennel.errors import KennelError
from kennel.settings import Settings

Side = Literal["aws", "local"]
Keys = tuple[str, str]
"""An access key's id and its secret."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
START_LOCAL = "Start it: kennel local up"
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403")
SLOW = ("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded")


@dataclass(frozen=True, slots=True)
class Cloud:
    """AWS, or the local AWS, as one account in one region. Clients may be used from any thread."""

    side: Side
    region: str
    account: str
    settings: Settings
    _make: Callable[[str], Any] = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def client(self, service: str) -> Any:
        """boto3's client of a service, always the same one."""
        with self._lock:  # making one is not thread-safe in boto3
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    @property
    def bucket(self) -> str:
        """The project's bucket."""
        return self.settings.bucket_name(self.account)


def connect(side: Side, settings: Settings, endpoint_url: str | None = None, keys: Keys | None = None) -> Cloud:
    """AWS by boto3's own chain of credentials; the local AWS by its address and keys. Asks whose account it is.

    Raises KennelError where there are no credentials, or they are refused, or nobody answers.
    """
    if side == "local" and (endpoint_url is None or keys is None):
        raise KennelError("no local AWS is running", START_LOCAL)
    if side == "aws":
        _refuse_local_address(os.environ)
    with told(f"ask {'AWS' if side == 'aws' else 'the local AWS'} whose account this is"):
        session, config = _session(side, settings.region, keys)

        def make(service: str) -> Any:
            return session.client(service, endpoint_url=endpoint_url, config=config)

        account = str(make("sts").get_caller_identity()["Account"])
    return Cloud(side, settings.region, account, settings, make)


def _refuse_local_address(environment: Mapping[str, str]) -> None:
    """A shell that talks to the local AWS would have its answers taken for those of AWS. Raises KennelError."""
    for name, value in environment.items():
        if name.startswith("AWS_ENDPOINT_URL") and urlsplit(value).hostname in LOOPBACK:
            raise KennelError(f"{name} points to this machine, not to AWS", f"unset {name} and the keys beside it")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turns what boto3 raises into a KennelError. doing: `create the bucket dogs`, as in "cannot …"."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        found = from_client_error(error)
        message, remedy = f"cannot {doing}: {found.message}", found.remedy
        if code_of(error) in DENIED and "is not authorized" not in message:  # which would name the permission
            remedy = "Ask whoever administers the account for this permission"
        if isinstance(error, HTTPClientError) and explain(message) is None:
            remedy = "See that the network works, and try again"
        raise KennelError(message, remedy) from error


def code_of(error: Any) -> str:
    """AWS's code of a botocore ClientError, `NoSuchBucket` say; HEAD requests have a number only, other errors ""."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def or_none(call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What the call returns, None where SageMaker says that there is no such thing; it has several words for that."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        missing = re.search(r"not found|could not find|can't find|does not exist", str(error), re.IGNORECASE)
        if code_of(error) == "ResourceNotFound" or (code_of(error) == "ValidationException" and missing):
            return None
        raise


def _session(side: Side, region: str, keys: Keys | None) -> tuple[Any, Any]:
    """boto3's session and configuration. A user's profile, proxies and options are for AWS: none comes near the local
    one. An invocation may take 60 s."""
    import boto3
    import botocore.session
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=70,
        max_pool_connections=32,
        tcp_keepalive=True,
        user_agent_extra=f"kennel/{__version__}",
    )
    if side == "aws":
        return boto3.Session(*(keys or ()), region_name=region), config
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    apart: Any = {"profile": (None, None, None, None), **files}
    local = Config(proxies={}, s3={"addressing_style": "path"}, use_fips_endpoint=False, use_dualstack_endpoint=False)
    session = boto3.Session(*(keys or ()), region_name=region, botocore_session=botocore.session.Session(apart))
    return session, config.merge(local)
