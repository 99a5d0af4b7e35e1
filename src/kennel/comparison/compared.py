"""Two recorded trainings, how far their artifacts are apart, and the prices they were held against: one JSON file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from kennel.comparison.artifacts import Apart
from kennel.comparison.costs import Book
from kennel.comparison.recorded import Recorded, Strict, Text, checked


class Comparison(Strict):
    """apart: None where an artifact was not at hand, and then `missing` says why. more: recorded runs on other instance
    types, which the what-if takes seconds from; jobs: trainings of the tuning job that is reckoned with."""

    version: Literal[1] = 1
    made: AwareDatetime
    sagemaker: Recorded
    ec2: Recorded
    apart: Apart | None = None
    missing: Text = ""
    book: Book
    more: Annotated[tuple[Recorded, ...], Field(max_length=20)] = ()
    jobs: Annotated[int, Field(ge=1, le=750)] = 8

    @model_validator(mode="after")
    def _one_of_each(self) -> Comparison:
        if (self.sagemaker.way, self.ec2.way) != ("sagemaker", "ec2"):
            raise ValueError("it needs one record of SageMaker and one by hand")
        return self

    @property
    def runs(self) -> tuple[Recorded, ...]:
        """All that were recorded."""
        return (self.sagemaker, self.ec2, *self.more)

    @property
    def local(self) -> bool:
        """Whether one of the two ran on the local AWS, so that nothing of it was billed."""
        return "local" in (self.sagemaker.side, self.ec2.side)


def parse(content: bytes) -> Comparison:
    """Raises DataError in one line."""
    return checked(Comparison, content, "a comparison")
