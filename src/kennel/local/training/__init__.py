"""Training jobs of the local AWS: what is refused, what is done, what is told."""

from __future__ import annotations

from kennel.local.training.service import TrainingJobs

__all__ = ["TrainingJobs"]
