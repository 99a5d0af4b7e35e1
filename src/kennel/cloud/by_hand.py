"""A run by hand: what its machine told in `status.json`. It comes from elsewhere, so it is parsed strictly. Pure.

`ec2/train.sh` writes it after each phase and at the end; what the account knows of the machine, whoever asks adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from kennel.comparison.recorded import Text, Word
from kennel.errors import KennelError

STATUS, LOG, ARTIFACT, OUTPUT, CHECKPOINTS = "status.json", "log.txt", "model.tar.gz", "output/", "checkpoints/"
"""What lies below the run's prefix; OUTPUT has report.html and profiler/."""
LARGEST = 256 << 10
"""Bytes of a status: some hundred attempts."""
LONGEST_PHASES = 1000
TAKEN, GONE = "spot interruption", "the machine is gone without a word"
"""How the reason begins of what nobody asked to stop."""

State = Literal["InProgress", "Completed", "Failed", "Stopped"]
PhaseName = Literal["check", "login", "pull", "data", "train", "upload"]
PHASES: tuple[PhaseName, ...] = ("check", "login", "pull", "data", "train", "upload")


def _or_none(value: object) -> object:
    """Where it is not known, the machine writes ""."""
    return None if value == "" else value


def _of_these_days(value: datetime) -> datetime:
    """What lies further away cannot be reckoned with."""
    if not 2000 <= value.year < 2200:
        raise ValueError("a time of these days is needed")
    return value


Time = Annotated[AwareDatetime, AfterValidator(_of_these_days)]
Moment = Annotated[Time | None, BeforeValidator(_or_none)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Phase:
    """One that has ended, well or not. seconds: how long it took."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: PhaseName
    attempt: Annotated[int, Field(ge=1, le=1000)]
    begun: Time
    seconds: Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran; "" and None where it was no EC2 instance. launched: as the instance's own document tells it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    instance_id: Word = ""
    instance_type: Word = ""
    region: Word = ""
    zone: Word = ""
    spot: bool = False
    gpus: Word = ""
    cores: Annotated[int, Field(ge=0, le=100_000)] = 0
    launched: Moment = None


@dataclass(frozen=True, slots=True)
class ByHand:
    """A run by hand. phase: the one it is in, or ended in; `boot` before the first. reason: one line, why it is not
    Completed. weights: a URI, a path, or auto. phases: of all attempts, in order.

    instance, console: what the account says of the machine: its state, its last words where it left no status.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    version: Literal[1]
    run: Word
    state: State
    phase: PhaseName | Literal["boot"]
    reason: Text
    attempt: Annotated[int, Field(ge=1, le=1000)]
    phases: Annotated[tuple[Phase, ...], Field(max_length=LONGEST_PHASES)]
    image: Text
    data: Text
    weights: Text
    hyperparameters: Annotated[Mapping[Word, Word], Field(max_length=100)]
    machine: Machine
    begun: Time
    ended: Moment = None
    instance: Literal["", "pending", "running", "shutting-down", "terminated", "stopping", "stopped"] = ""
    console: Annotated[tuple[Text, ...], Field(max_length=100)] = field(default=())

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.state != "InProgress"

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped by no person and no time limit."""
        return self.state == "Stopped" and self.reason.startswith((TAKEN, GONE))

    @property
    def provision_s(self) -> float | None:
        """From the machine's launch to the first phase of the last attempt; None where that is not known."""
        first = next((each.begun for each in self.phases if each.attempt == self.attempt), None)
        return None if first is None or self.machine.launched is None else _seconds(self.machine.launched, first)

    def seconds(self, name: PhaseName) -> float:
        """Of a phase, all attempts together."""
        return sum(each.seconds for each in self.phases if each.name == name)


_ADAPTER = TypeAdapter(ByHand)


def parse(content: bytes) -> ByHand:
    """A status.json. Raises KennelError."""
    if len(content) > LARGEST:
        raise KennelError(f"the status has {len(content)} bytes, {LARGEST} are allowed", "See what wrote it")
    try:
        found = _ADAPTER.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:200] or "the whole"
        told = f"this is no status of a run: {where}: {first['msg'].lower()}"
        raise KennelError(told, "See what wrote it") from error
    return replace(found, instance="", console=())  # which no machine has to tell


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
