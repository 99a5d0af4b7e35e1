"""IAM from inside the server: may a service take on a role?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kennel.local.errors import invalid
from kennel.local.moto_side import ACCOUNT, SESSION_SECONDS, Moto
from kennel.local.parts import Document


class RoleBook:
    """Implements parts.Roles and parts.Sessions. Conditions of a trust policy are not looked at."""

    def __init__(self, moto: Moto, region: str) -> None:
        self._moto, self._region = moto, region

    def check_assumable(self, role_arn: str, principal: str) -> None:
        """Raises Refused, as AWS words it, unless the role exists and trusts the principal."""
        policy = self._trust_policy(role_arn)
        if policy is None or not trusts(policy, principal):
            raise invalid(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{principal}' to assume the role."
            )

    def keys(self, role_arn: str, session: str) -> Mapping[str, str]:
        """Implements parts.Sessions. In no journal: what uses them does not outlive the server."""
        from moto.sts.models import sts_backends

        with self._moto.lock:
            made = sts_backends[ACCOUNT]["aws"].assume_role(self._region, session, role_arn, "", SESSION_SECONDS, "")
        return {
            "AWS_ACCESS_KEY_ID": made.access_key_id,
            "AWS_SECRET_ACCESS_KEY": made.secret_access_key,
            "AWS_SESSION_TOKEN": made.session_token,
        }

    def _trust_policy(self, role_arn: str) -> Document | None:
        from moto.iam.models import iam_backends

        with self._moto.lock:
            found = [each for each in iam_backends[ACCOUNT]["aws"].roles.values() if each.arn == role_arn]
        return dict(json.loads(found[0].assume_role_policy_document)) if found else None


def trusts(policy: Document, principal: str) -> bool:
    """Whether a trust policy lets a service (`sagemaker.amazonaws.com`) take on its role."""
    effects = {each.get("Effect") for each in _list(policy.get("Statement")) if _is_about(each, principal)}
    return effects == {"Allow"}


def _is_about(statement: Document, principal: str) -> bool:
    actions = {str(each).lower() for each in _list(statement.get("Action"))}
    return bool(actions & {"sts:assumerole", "sts:*", "*"}) and bool({principal, "*"} & set(_services(statement)))


def _services(statement: Document) -> Iterator[str]:
    given = statement.get("Principal", {})
    yield from _list(given.get("Service") if isinstance(given, dict) else given)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
