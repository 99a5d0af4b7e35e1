"""A training as it was recorded, of either way: JSON in and out, strict and bounded; it may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kennel.errors import DataError
from kennel.files import read_bounded

Way = Literal["sagemaker", "ec2"]
PhaseName = Literal["provision", "pull", "data", "train", "upload", "other"]
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
LARGEST = 4 << 20
"""Bytes of a record, or of two and what was made of them."""
POINTS = 300
"""Of a series of utilisation: more no page shows."""

# Shown on terminals and pages: nothing in them may move a cursor.
Word = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Text = Annotated[str, Field(max_length=2048, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Strict(BaseModel):
    """Nothing unknown, no number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Strict)


class Phases(Strict):
    """Seconds, of all attempts together; None: this way does not tell. other: what belongs to none of them (checks, the
    registry's login, waiting for another instance)."""

    provision: Seconds | None = None
    pull: Seconds | None = None
    data: Seconds | None = None
    train: Seconds | None = None
    upload: Seconds | None = None
    other: Seconds | None = None

    def of(self, name: PhaseName) -> float | None:
        found: float | None = getattr(self, name)
        return found

    @property
    def total(self) -> float:
        """Seconds of all that are told."""
        return sum(self.of(name) or 0.0 for name in PHASES)


class Made(Strict):
    """The artifact. files: name → sha256 of the unpacked members, the card's too; head: of its weights and bias;
    engines: name → accuracy on the test split; device: what it was trained on."""

    files: Annotated[dict[Word, Digest], Field(max_length=16)]
    head: Digest
    labels: Annotated[int, Field(ge=2, le=100_000)]
    pictures: Count
    accuracy: Share
    top5_accuracy: Share
    engines: Annotated[dict[Word, Share], Field(max_length=8)]
    best_epoch: Count
    device: Word = ""


class Use(Strict):
    """Percent: mean and 95th percentile over the samples."""

    mean: Percent
    p95: Percent


class Point(Strict):
    """Percent at so many seconds after the first sample; None where nothing was sampled."""

    at: Seconds
    cpu: Percent | None = None
    gpu: Percent | None = None
    memory: Percent | None = None


class Utilisation(Strict):
    """Of the first host, from the profiler's series. before_loop: seconds from the first sample to the first training
    step (imports, features); None where no step is recorded. disk_bytes: the most that was in use, where told."""

    samples: Count
    seconds: Seconds
    cores: Count
    gpus: Count
    cpu: Use | None = None
    gpu: Use | None = None
    memory: Use | None = None
    gpu_memory: Use | None = None
    before_loop: Seconds | None = None
    loop: Seconds | None = None
    disk_bytes: Count | None = None
    series: Annotated[tuple[Point, ...], Field(max_length=POINTS)] = ()


class Fact(Strict):
    """value: what is so; evidence: the field that says it."""

    value: Text | bool | float
    evidence: Word


class Recorded(Strict):
    """data: split → S3 URI, or one for all under "". image_digest: `sha256:…`, "" where the image was not told by one.

    training_seconds and billed_seconds: SageMaker's own TrainingTime and BillableTime; by hand from launch to end.
    instance_type: "" where a machine told none. interruptions: of spot, or attempts that did not end.
    """

    version: Literal[1] = 1
    way: Way
    side: Literal["aws", "local"]
    name: Word
    status: Word
    reason: Text = ""
    region: Word
    instance_type: Word
    instances: Annotated[int, Field(ge=1, le=1000)] = 1
    volume_gb: Count | None = None
    spot: bool = False
    image: Text
    image_digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    data: Annotated[dict[Word, Text], Field(max_length=20)]
    weights: Text
    hyperparameters: Annotated[dict[Word, Word], Field(max_length=100)]
    phases: Phases
    training_seconds: Seconds | None = None
    billed_seconds: Seconds | None = None
    begun: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    interruptions: Count = 0
    artifact: Made | None = None
    utilisation: Utilisation | None = None
    facts: dict[Word, Fact] = Field(default={}, max_length=50)

    @property
    def compute_seconds(self) -> float | None:
        """Of all instances: the training itself."""
        return None if self.phases.train is None else self.phases.train * self.instances

    @property
    def wall_seconds(self) -> float | None:
        """From the request (or the launch) to the end."""
        if self.begun is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.begun).total_seconds())

    @property
    def kind(self) -> str:
        """EC2's name of the instance type: `g4dn.xlarge`."""
        return self.instance_type.removeprefix("ml.")


def parse(content: bytes) -> Recorded:
    """Raises DataError in one line."""
    return checked(Recorded, content, "a recorded training")


def read(path: Path) -> bytes:
    """A file's content, bounded. Raises DataError."""
    try:
        content = read_bounded(path, LARGEST)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "Name a comparison.json, or a record") from error
    if len(content) > LARGEST:
        raise DataError(f"{path} has more than {LARGEST >> 20} MB", "Name a comparison.json, or a record")
    return content


def checked(kind: type[T], content: bytes, what: str) -> T:
    """Raises DataError in one line."""
    if len(content) > LARGEST:
        raise DataError(f"{what} has at most {LARGEST >> 20} MB", "See what wrote it")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _refused(what, error) from error


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """A record that is made of what others told, which may be anything. Raises DataError in one line."""
    try:
        yield
    except ValidationError as error:
        raise _refused(what, error) from error


def _refused(what: str, error: ValidationError) -> DataError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])[:200] or "the whole"
    return DataError(f"this is not {what}: {where}: {first['msg'].removeprefix('Value error, ')}", "See what wrote it")


def written(value: Strict) -> bytes:
    """As JSON, to be parsed again."""
    return (value.model_dump_json(indent=1) + "\n").encode()
