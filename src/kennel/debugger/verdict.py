"""What a Debugger or profiler rule concludes, with what decided it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["InProgress", "NoIssuesFound", "IssuesFound", "Error", "Stopping", "Stopped"]
"""SageMaker's RuleEvaluationStatus."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What decided. subject: the tensor, or the device (`gpu0`); value against threshold, in the rule's own unit.

    step: the training's step (from 0), None for a profiler rule; time: epoch seconds, None for a rule about tensors.
    """

    subject: str
    value: float
    threshold: float
    step: int | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """rule: SageMaker's name (`VanishingGradient`); words: one sentence; remedy: what to do, "" where nothing is.

    applies: whether there was anything to judge. SageMaker's status has no word for that.
    """

    rule: str
    status: Status
    words: str
    evidence: Evidence | None = None
    remedy: str = ""
    applies: bool = True

    @property
    def fired(self) -> bool:
        return self.status == "IssuesFound"
