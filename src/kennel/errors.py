"""The tree of errors. Each carries one line that says what is wrong and one that says what to do about it.

Errors are raised where they are found and caught once, at an entry point, which prints them and exits.
Nothing here knows how an error is shown.
"""

import errno
import signal
from types import FrameType


class KennelError(Exception):
    """Something a user can act on. `message` says what is wrong, `remedy` what to do; both are one line."""

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class DataError(KennelError):
    """A folder that is no data set, an archive that cannot be trusted, a split that is empty."""


class PictureError(KennelError):
    """One picture that cannot be used. `kind` is a word for tables: empty, unknown, truncated, too-large."""

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind = kind


class WeightsError(KennelError):
    """Pretrained weights that cannot be had or cannot be trusted."""


class SettingError(KennelError):
    """A hyperparameter or a setting that is unknown, of the wrong type or out of range."""


class PolicyError(KennelError):
    """A policy that IAM's grammar does not know, or that is larger than IAM takes."""


class ArtifactError(KennelError):
    """An artifact that is incomplete, was changed, or does not answer as it did when it was made."""


class ServerError(KennelError):
    """The serving stack cannot start, or cannot be reached."""


class TrainingFailed(KennelError):
    """Training started and could not end well (a loss that is not a number, say)."""

    exit_code = 1


class Stopped(BaseException):
    """SIGTERM or SIGINT came. No `except Exception` may take it for an error; only entry points catch it.

    Everything on disk is whole at any moment, so it may end the work wherever it is.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGINT raise Stopped in the main thread."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def one_line(error: OSError) -> KennelError:
    """What the system refused, as an error that a user can act on."""
    where = f": {error.filename}" if error.filename else ""
    remedy = "Free some space" if error.errno == errno.ENOSPC else "See that the path is right and may be used"
    return KennelError(f"{error.strerror or error}{where}", remedy)
