"""IAM and STS from inside the server: may a service take on a role, and the keys of one that did."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kennel.local.errors import invalid
from kennel.local.moto_side import ACCOUNT, SESSION_SECONDS, Moto

Trusts = Callable[[str, str, str], bool]
"""(role's ARN, service, ARN of what it shall work on) → whether the role's trust policy allows it."""


class RoleBook:
    """Implements within.Roles and within.Sessions."""

    def __init__(self, moto: Moto, region: str, trusts: Trusts) -> None:
        self._moto, self._region, self._trusts = moto, region, trusts

    def check_assumable(self, role_arn: str, principal: str, source_arn: str = "") -> None:
        """Raises Refused, as AWS words it, unless the role exists and trusts the principal."""
        if not self._trusts(role_arn, principal, source_arn):
            raise invalid(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{principal}' to assume the role."
            )

    def keys(self, role_arn: str, session: str) -> Mapping[str, str]:
        """Implements within.Sessions. In no journal: what uses them does not outlive the server."""
        from moto.sts.models import sts_backends

        with self._moto.lock:
            made = sts_backends[ACCOUNT]["aws"].assume_role(self._region, session, role_arn, "", SESSION_SECONDS, "")
        return {
            "AWS_ACCESS_KEY_ID": made.access_key_id,
            "AWS_SECRET_ACCESS_KEY": made.secret_access_key,
            "AWS_SESSION_TOKEN": made.session_token,
        }
