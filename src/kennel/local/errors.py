"""How the local AWS refuses: an error code and a message as AWS words them."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """Becomes the HTTP answer. code: AWS's exception name; status: of HTTP; more: other members of the exception."""

    def __init__(self, code: str, message: str, status: int = 400, more: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.more = code, message, status, more or {}


def invalid(message: str) -> Refused:
    """What SageMaker says to a request that it understands and does not accept, also to a name it does not know."""
    return Refused("ValidationException", message)


def in_use(message: str) -> Refused:
    """A name that is taken, or a resource in a state that does not allow the call."""
    return Refused("ResourceInUse", message)


def limit_exceeded(message: str) -> Refused:
    return Refused("ResourceLimitExceeded", message)
