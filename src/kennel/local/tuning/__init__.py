"""Tuning jobs of the local AWS: what is searched, which trials run, which of them end early, what is told."""

from __future__ import annotations

from kennel.local.tuning.service import TuningJobs

__all__ = ["TuningJobs"]
