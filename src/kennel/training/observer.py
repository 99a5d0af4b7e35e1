"""What watches a training from inside its loop, where the job was created with a Debugger or profiler configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from kennel.debugger.recorded import Phase
from kennel.debugger.recorder import Recorder
from kennel.debugger.steps import StepClock
from kennel.training.sources import Batch, Source


@dataclass(frozen=True, slots=True)
class Observer:
    """recorder: of tensors; clock: of steps. Without them it costs nothing: batches are passed on as they are."""

    recorder: Recorder | None = None
    clock: StepClock | None = None

    def attach(self, module: nn.Module, source: Source, epochs: int, scale: Callable[[], float]) -> None:
        """Before the first step. epochs: done before an interruption; scale: of the gradients, at any moment."""
        if self.recorder:
            done: dict[Phase, int] = {"train": epochs * source.steps(), "valid": epochs * source.validation_steps()}
            self.recorder.attach(module, done, scale)

    def batches(self, phase: Phase, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches of one pass."""
        if self.recorder:
            self.recorder.phase(phase)
        return self.clock.batches(batches, phase) if self.clock else batches

    def loss(self, loss: Tensor) -> None:
        """The batch's, after the forward pass."""
        if self.recorder:
            self.recorder.loss(loss)

    def close(self) -> None:
        """The training has ended, however."""
        if self.recorder:
            self.recorder.close()
        if self.clock:
            self.clock.close()
