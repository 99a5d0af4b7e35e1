"""SageMaker's container contract as a value: where a training job or an endpoint instance finds its files.

The root is `/opt/ml` on SageMaker and anywhere else it is told (`SAGEMAKER_BASE_DIR`). Training and serving know
only this layout; what runs them is all the same to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.errors import SettingError


@dataclass(frozen=True, slots=True)
class Contract:
    """The layout under `root`."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Contract:
        """The root by SAGEMAKER_BASE_DIR, else /opt/ml."""
        return cls(Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml"))

    @property
    def data(self) -> Path:
        """The channels: `train`, `valid`, `test`. So this folder is a data set's root; others may lie beside them."""
        return self.root / "input/data"

    @property
    def weights(self) -> Path:
        """A channel that may be there: the pretrained weights (a job without a network needs it)."""
        return self.data / "weights"

    @property
    def features(self) -> Path:
        """A channel that may be there: what a features job left in its `model`."""
        return self.data / "features"

    @property
    def model(self) -> Path:
        """The artifact's folder; SageMaker packs it as model.tar.gz, and unpacks it there for an endpoint."""
        return self.root / "model"

    @property
    def output(self) -> Path:
        """Everything else worth keeping (the report); packed as output.tar.gz."""
        return self.root / "output/data"

    @property
    def hook_config(self) -> Path:
        """Debugger's configuration, where the job was created with one (DebugHookConfig)."""
        return self.root / "input/config/debughookconfig.json"

    @property
    def tensors(self) -> Path:
        """What Debugger's hook records; SageMaker sends it to S3 while the job runs."""
        return self.root / "output/tensors"

    @property
    def profiler_config(self) -> Path:
        """The profiler's configuration, where the job was created with one (ProfilerConfig)."""
        return self.root / "input/config/profilerconfig.json"

    @property
    def profiler(self) -> Path:
        """System metrics and step times; sent to S3 as well."""
        return self.root / "output/profiler"

    @property
    def checkpoints(self) -> Path:
        """Kept on S3 while the job runs, and there again after an interruption."""
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        """Its first 1024 characters become a failed job's FailureReason."""
        return self.root / "output/failure"

    def hyperparameters(self) -> dict[str, str]:
        """What the job was created with, string → string; SageMaker's own keys (`sagemaker_…`, `_tuning…`) left out."""
        return without_sagemakers(self._read_config("hyperparameters.json"))

    def hosts(self) -> list[str]:
        """The names of all hosts of the job, sorted."""
        return sorted(str(each) for each in self._read_config("resourceconfig.json").get("hosts", ["algo-1"]))

    def current_host(self) -> str:
        """This host's name."""
        return str(self._read_config("resourceconfig.json").get("current_host", "algo-1"))

    def _read_config(self, name: str) -> dict[str, Any]:
        path = self.root / "input/config" / name
        try:
            values = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as error:
            raise SettingError(
                f"{path} is not JSON ({error})", "SageMaker writes this file; by hand, write an object"
            ) from error
        if not isinstance(values, dict):
            raise SettingError(f"{path} is not a JSON object", "Write names and values, all strings")
        return values


def without_sagemakers(given: Mapping[str, Any]) -> dict[str, str]:
    """Hyperparameters of a job without those that SageMaker adds."""
    return {key: str(value) for key, value in given.items() if not key.startswith(("sagemaker_", "_tuning"))}
