"""What a story is told on, what its jobs read, and what is told of it in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from kennel.cloud.events import Event, InstancesChanged, RuleTold, StatusChanged, TrialEnded
from kennel.cloud.logs import LogLine, Notice
from kennel.cloud.session import Cloud
from kennel.cloud.training import Channel
from kennel.cloud.tuning import Trial
from kennel.progress import Progress
from kennel.workflow.data import HeldBack
from kennel.workflow.record import Record

Kind = Literal["training job", "tuning job", "endpoint", "run by hand"]
Step = Literal["upload", "features", "tune", "train", "deploy", "scale", "function", "predict"]
STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a story is told on. out: the run's folder.

    interrupted: asked when a signal comes while something is waited for: whether to stop that as well.
    """

    cloud: Cloud
    record: Record
    out: Path
    progress: Progress
    interrupted: Callable[[Kind, str], bool] = lambda kind, name: False


@dataclass(frozen=True, slots=True)
class Inputs:
    """S3 URIs of what training jobs read, by channel; digest: of all that the features depend on; pictures: how many
    there are to train on."""

    splits: dict[str, str]
    weights: str
    digest: str
    pictures: int
    features: str = ""

    def channels(self) -> tuple[Channel, ...]:
        """With features hardly a picture is looked at, so pictures are FastFile: nothing is copied first."""
        splits = [Channel(split, uri, "FastFile" if self.features else "File") for split, uri in self.splits.items()]
        more = [Channel("features", self.features, "File")] if self.features else []
        return (*splits, Channel("weights", self.weights, "File"), *more)


@dataclass(slots=True)
class Summary:
    """What a run did. seconds: step → seconds; addresses: what → where it lies.

    spent: USD for the jobs, as far as prices are known (None: not); hourly: USD, of endpoint and function from now on;
    more: what scaling may add to that. scaling: what is scaled, in words.
    """

    side: str
    seconds: dict[str, float] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    best: Trial | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    photo: HeldBack | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    spent: float | None = 0.0
    hourly: float | None = 0.0
    more: float | None = 0.0
    scaling: str = ""

    def as_json(self) -> dict[str, Any]:
        photo = {"path": str(self.photo.path), "label": self.photo.label} if self.photo else None
        return {**asdict(self), "photo": photo}


def line_of(event: Event) -> str:
    """An event as a line for people; "" for what is not worth one."""
    match event:
        case LogLine(text=text) | Notice(text=text):
            return text
        case StatusChanged(status=status, message=message):
            return f"{status}: {message}" if message else status
        case TrialEnded(name=name, status=status, value=value, hyperparameters=given):
            chosen = ", ".join(f"{key} {text}" for key, text in sorted(given.items()))
            return f"{name}: {status if value is None else f'{value:.4f}'} ({chosen})"
        case InstancesChanged(variant=variant, current=current, desired=desired):
            return f"variant {variant}: {current} of {desired} instances answer"
        case RuleTold(rule=rule, status=status, details=details):
            return f"rule {rule}: {status}" + (f": {details}" if details else "")
        case _:
            return ""
