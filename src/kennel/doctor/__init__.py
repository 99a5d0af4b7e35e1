"""`kennel doctor`: holds an image against SageMaker's container contract by running it, one line a check.

`facts.py` decides from what the engine and the registry tell of an image; `training.py` and `serving.py` run it;
`engine.py` is the one place that talks to Docker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check's outcome. seen: what was found, in words; remedy: what to do, where it failed."""

    name: str
    state: State
    seen: str
    remedy: str = ""


def outcome(name: str, fine: bool, seen: str, remedy: str) -> Check:
    """A check that passes or fails; the remedy only stands where it fails."""
    return Check(name, "pass" if fine else "fail", seen, "" if fine else remedy)


Checks = Iterator[Check]

__all__ = ["Check", "Checks", "State", "outcome"]
