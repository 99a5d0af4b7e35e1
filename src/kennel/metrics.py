"""A metric's printed line and the regex that reads it back, from one source.

SageMaker reads metrics from a job's log by regex; so does the search of a tuning job. One line holds one metric and
is printed as one string, since a captured stream can split what is printed in pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as in SageMaker's MetricDefinitions, `split:quantity`."""

    name: str
    larger_is_better: bool

    def line(self, value: float, epoch: int | None = None) -> str:
        """`metric valid:loss=0.532118 epoch=3`."""
        return f"metric {self.name}={value:.6f}" + (f" epoch={epoch}" if epoch is not None else "")

    @property
    def regex(self) -> str:
        """Matches `line`, the value as its one group."""
        return rf"metric {re.escape(self.name)}=([-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf))"

    def read(self, text: str) -> list[float]:
        """Every value of this metric in a log, in order."""
        return [float(value) for value in re.findall(self.regex, text)]


TRAIN_LOSS = Metric("train:loss", larger_is_better=False)
TRAIN_ACCURACY = Metric("train:accuracy", larger_is_better=True)
VALID_LOSS = Metric("valid:loss", larger_is_better=False)
VALID_ACCURACY = Metric("valid:accuracy", larger_is_better=True)
TEST_ACCURACY = Metric("test:accuracy", larger_is_better=True)
TEST_TOP5 = Metric("test:top5_accuracy", larger_is_better=True)
TEST_INT8 = Metric("test:int8_accuracy", larger_is_better=True)

ALL = (TRAIN_LOSS, TRAIN_ACCURACY, VALID_LOSS, VALID_ACCURACY, TEST_ACCURACY, TEST_TOP5, TEST_INT8)
"""What a training job prints, in MetricDefinitions' order."""
