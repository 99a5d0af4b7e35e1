"""What was measured of one instance, as a file: `kennel scale measure` writes it, `kennel scale simulate` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kennel.capacity.service import MOST_AT_A_TIME, Service, middles
from kennel.errors import DataError
from kennel.files import read_bounded, write_atomically

MOST_BYTES = 2**20
REMEDY = "Make one: kennel scale measure --artifact OUT"
SAFETY = 0.5
"""AWS's own advice to begin with, in "Load testing your auto scaling configuration" of SageMaker's guide."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.01, le=900_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Part):
    """What answered. revision: of the artifact: its card's sha256, or the ETag of the archive that an endpoint has."""

    kind: Literal["endpoint", "artifact"]
    name: str
    side: Literal["local", "aws"] = "local"
    revision: str = ""
    detail: str = ""


class Machine(Part):
    """Where the instance ran, and with it the client, but for an endpoint on AWS: there it is the client's machine."""

    cores: int
    processor: str


class Row(Part):
    """A rate that was held. Milliseconds of right answers, from when a request was due; p999_ms: None below 1000 of
    them. meets: whether p99 is within the goal, few enough went wrong, and the backlog did not grow."""

    rate: Positive
    seconds: Positive
    sent: int
    errors: int
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    late_ms: float
    grows: bool
    meets: bool


class Measured(Part):
    """One instance's capacity.

    alone_ms: what the work takes where nobody waits, at the shares `service.middles()`. most_per_s: right answers a
    second where there are always more requests than can be answered. knee_per_s: the highest rate that meets the goal,
    None where none does; found: whether a higher one was seen not to meet it.
    """

    format: Literal[1] = 1
    subject: Subject
    machine: Machine
    when: str
    goal_ms: Positive
    alone_ms: Annotated[tuple[Milliseconds, ...], Field(min_length=len(middles()), max_length=len(middles()))]
    alone_requests: int
    most_per_s: Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]
    steps: Annotated[tuple[Row, ...], Field(max_length=100)]
    knee_per_s: Positive | None
    found: bool
    complete: bool = True

    def target(self, safety: float = SAFETY) -> float | None:
        """Invocations per instance and minute, by AWS's rule: most per second × safety factor × 60."""
        return None if self.knee_per_s is None else self.knee_per_s * safety * 60

    @property
    def service(self) -> Service:
        """As many at a time as explain how much more is done side by side than alone; slowed to what was seen then."""
        alone = Service.of_quantiles([each / 1000 for each in self.alone_ms], 1)
        at_a_time = min(MOST_AT_A_TIME, max(1, round(self.most_per_s * alone.mean_s)))
        return Service.of_quantiles(alone.seconds, at_a_time).at_rate(self.most_per_s)


def write(measured: Measured, path: Path) -> None:
    write_atomically(path, measured.model_dump_json(indent=1).encode() + b"\n")


def read(path: Path) -> Measured:
    """Raises DataError in one line."""
    try:
        content = read_bounded(path, MOST_BYTES)
        if len(content) > MOST_BYTES:
            raise DataError(f"{path} is too large for a measurement", REMEDY)
        return Measured.model_validate_json(content)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})", REMEDY) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path} is no measurement: {where}: {first['msg']}", REMEDY) from error
