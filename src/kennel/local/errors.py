"""How the local AWS refuses: an error code and a message as AWS words them."""

from __future__ import annotations


class Refused(Exception):
    """Becomes the HTTP answer. code: AWS's exception name; status: of HTTP."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> Refused:
    """What SageMaker says to a request that it understands and does not accept, also to a name it does not know."""
    return Refused("ValidationException", message)


def in_use(message: str) -> Refused:
    """A name that is taken, or a resource in a state that does not allow the call."""
    return Refused("ResourceInUse", message)


def limit_exceeded(message: str) -> Refused:
    return Refused("ResourceLimitExceeded", message)
