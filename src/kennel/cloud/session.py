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
    caller: str = ""
    """The ARN of whoever asks, as STS tells it."""
    _act: Callable[[str, str], Cloud] | None = field(default=None, repr=False)

    def client(self, service: str) -> Any:
        """boto3's client of a service, always the same one."""
        with self._lock:  # making one is not thread-safe in boto3
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def acting_as(self, role: str, session: str) -> Cloud:
        """The same by sessions of a role, renewed as long as it is used. role: its ARN. Raises KennelError."""
        assert self._act is not None, "only what connect() gives can take on a role"
        return self._act(role, session)

    def is_session_of(self, role: str) -> bool:
        """Whether whoever asks has taken on the role of this name."""
        return f":assumed-role/{role}/" in self.caller

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
        return _Way(side, settings, endpoint_url).by(keys)


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach a side, whoever asks."""

    side: Side
    settings: Settings
    endpoint_url: str | None

    def by(self, keys: Keys | None, assumed: Any = None) -> Cloud:
        """assumed: botocore's credentials that renew themselves."""
        session, config = _session(self.side, self.settings.region, keys, assumed)

        def make(service: str) -> Any:
            return session.client(service, endpoint_url=self.endpoint_url, config=config)

        def act(role: str, name: str) -> Cloud:
            with told(f"act as {role}"):
                return self.by(None, _renewed(make("sts"), role, name))

        found = make("sts").get_caller_identity()
        region, account = self.settings.region, str(found["Account"])
        return Cloud(self.side, region, account, self.settings, make, caller=str(found["Arn"]), _act=act)


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


def _renewed(sts: Any, role: str, name: str) -> Any:
    """A role's session as botocore's credentials: asked for anew before it ends."""
    from botocore.credentials import RefreshableCredentials

    def ask() -> dict[str, Any]:
        found = sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }

    return RefreshableCredentials.create_from_metadata(metadata=ask(), refresh_using=ask, method="assume-role")


def _session(side: Side, region: str, keys: Keys | None, assumed: Any = None) -> tuple[Any, Any]:
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
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    apart: Any = {"profile": (None, None, None, None), **files} if side == "local" else None
    session = botocore.session.Session(apart)
    if assumed is not None:
        vars(session)["_credentials"] = assumed  # what botocore would look for, found already
    if side == "local":
        paths: Any = {"addressing_style": "path"}
        config = config.merge(Config(proxies={}, s3=paths, use_fips_endpoint=False, use_dualstack_endpoint=False))
    return boto3.Session(*(keys or ()), region_name=region, botocore_session=session), config
