"""Checkpoints without pickle: tensors and a JSON description in one safetensors file, written atomically.

A checkpoint belongs to one training: its fingerprint holds the data, the weights and the hyperparameters, and begins
its file's name. So another training into the same folder starts anew and leaves it be.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from kennel.files import forget_drafts, write_atomically

log = logging.getLogger(__name__)

KEPT = 3
"""Checkpoints of different trainings that stay in a folder."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One file. fingerprint: a digest of everything that must be equal for training to continue."""

    path: Path
    fingerprint: str

    @classmethod
    def within(cls, folder: Path, fingerprint: str) -> Checkpoint:
        """The one in `folder` that belongs to this fingerprint."""
        return cls(folder / f"{fingerprint[:16]}.safetensors", fingerprint)

    def save(self, module: nn.Module, best: dict[str, Tensor], optimizer: Optimizer, about: dict[str, Any]) -> None:
        """Keep what is needed to go on after this epoch. about: plain values (the history, a scaler's state)."""
        state = optimizer.state_dict()
        tensors = {f"module/{name}": value for name, value in trained(module).items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        for number, values in state["state"].items():
            tensors |= {f"optimizer/{number}/{key}": torch.as_tensor(value) for key, value in values.items()}
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        described = json.dumps({"fingerprint": self.fingerprint, **about}, sort_keys=True)
        forget_drafts(self.path)
        write_atomically(self.path, save(whole, metadata={"kennel": described}))

    def restore(self, module: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Set module and optimizer to where `save` saw them; the best tensors and `about`, or None to start anew."""
        read = self._read()
        if read is None:
            return None
        tensors, about = read
        module.load_state_dict(_part(tensors, "module/"), strict=False)
        state = optimizer.state_dict()
        values: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "optimizer/").items():
            number, key = name.split("/")
            values.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({"state": values, "param_groups": state["param_groups"]})
        return _part(tensors, "best/"), about

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["kennel"])
                if about.pop("fingerprint") != self.fingerprint:
                    log.info("the checkpoint at %s belongs to another training; starting anew", self.path)
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 (not a dict)
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError) as error:
            log.warning("the checkpoint at %s cannot be read (%s); starting anew", self.path, error)
            return None


def forget_old(folder: Path, spared: Checkpoint) -> None:
    """Only the newest `KEPT` checkpoints stay in `folder`, `spared` being one of them."""
    others = [path for path in folder.glob(f"{'[0-9a-f]' * 16}.safetensors") if path != spared.path]
    for path in sorted(others, key=lambda each: each.stat().st_mtime_ns, reverse=True)[KEPT - 1 :]:
        path.unlink(missing_ok=True)


def trained(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that learn; all else is given by the pretrained weights."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
