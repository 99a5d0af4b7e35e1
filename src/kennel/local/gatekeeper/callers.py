"""Access key → who it is: the home's administrator, a user of IAM, a session of a role."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Literal

from kennel.iam.values import Caller
from kennel.local.moto_side import ACCOUNT, Moto

ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:user/administrator"
"""Whose the home's own key is. IAM does not list it: nobody can take its rights away, nor its key."""


@dataclass(frozen=True, slots=True)
class Known:
    """A caller and its key. token: of a session, which has to be sent; expires: epoch seconds.

    session: the policy that a session was limited to, as JSON.
    """

    caller: Caller
    secret: str
    kind: Literal["User", "AssumedRole"]
    userid: str
    name: str = ""
    token: str = ""
    expires: float = float("inf")
    session: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def administrator(self) -> bool:
        return self.caller.arn == ADMINISTRATOR and not self.tags and self.userid == "administrator"

    def holds(self, token: str) -> bool:
        """Whether the token that was sent is its session's; none for a key that lasts."""
        return hmac.compare_digest(self.token.encode(), token.encode())


class Callers:
    """keys: the home's own key and its secret."""

    def __init__(self, moto: Moto, keys: tuple[str, str]) -> None:
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        self._moto, self._iam, self._sts = moto, iam_backends[ACCOUNT]["aws"], sts_backends[ACCOUNT]["aws"]
        self._own, secret = keys
        self._administrator = Known(Caller(ADMINISTRATOR, ACCOUNT), secret, "User", "administrator", "administrator")
        self._users: tuple[int, dict[str, Known]] = (-1, {})
        self._sessions: dict[str, Known] = {}

    def find(self, access_key: str) -> Known | None:
        if access_key == self._own:
            return self._administrator
        if access_key.startswith("ASIA"):
            return self._session(access_key)
        return self._users_now().get(access_key)

    def _users_now(self) -> Mapping[str, Known]:
        """By access key, as IAM has them now; read anew when IAM has changed."""
        version = self._moto.changes("iam")
        if self._users[0] != version:
            with self._moto.lock:
                users = list(self._iam.users.values())
                found = {key.access_key_id: self._user(each, key) for each in users for key in each.access_keys}
            self._users = version, {key: each for key, each in found.items() if each is not None}
        return self._users[1]

    def _user(self, user: Any, key: Any) -> Known | None:
        if key.status != "Active":
            return None
        tags = {each["Key"]: each["Value"] for each in user.tags or []}
        return Known(Caller(user.arn, ACCOUNT), key.secret_access_key, "User", user.id, user.name, tags=tags)

    def _session(self, access_key: str) -> Known | None:
        """A session never changes; what its role may do does."""
        if access_key not in self._sessions:
            with self._moto.lock:
                found = self._sts.get_assumed_role_from_access_key(access_key)
                if found is None:
                    return None
                self._sessions[access_key] = self._of_session(found)
        return self._sessions[access_key]

    def _of_session(self, made: Any) -> Known:
        return Known(
            Caller(made.arn, ACCOUNT, made.role_arn),
            made.secret_access_key,
            "AssumedRole",
            made.user_id,
            token=made.session_token,
            expires=made.expiration.replace(tzinfo=UTC).timestamp(),
            session=made.policy or "",
        )


def service_session(role_arn: str, name: str) -> Caller:
    """Who a service is that works under a role: SageMaker's sessions are named SageMaker."""
    role = role_arn.rsplit("/", 1)[-1]
    return Caller(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}", ACCOUNT, role_arn)
