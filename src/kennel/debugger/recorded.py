"""What a training has recorded of its tensors, reduced to the figures that the rules and the report need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["train", "valid"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A batch's loss. step: over the whole training, both phases together; own: the phase's own count, from 0."""

    step: int
    own: int
    phase: Phase
    value: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """One tensor at one training step (`own`; `step` as for a loss). finite: whether all of its values are numbers.

    mean_abs: mean of absolute values; p5, p95: percentiles of the values. Of a tensor with values that are no numbers,
    or with none at all, the figures are NaN.
    """

    step: int
    own: int
    mean_abs: float
    variance: float
    p5: float
    p95: float
    finite: bool


Tensors = Mapping[str, tuple[Statistics, ...]]
"""A tensor's name → its figures, by step."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Everything so far, in the order of steps. over: whether the training has ended."""

    losses: tuple[Loss, ...] = ()
    gradients: Tensors = field(default_factory=dict)
    weights: Tensors = field(default_factory=dict)
    activations: Tensors = field(default_factory=dict)
    over: bool = False
