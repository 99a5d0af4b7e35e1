"""The backbone by torch: on a GPU, and as the reference other engines are held against."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from kennel.engines import Features, Pictures
from kennel.network import build, normalise
from kennel.weights import FEATURES, Weights

BATCH = 64


class TorchEngine:
    """uint8 pictures [n, 224, 224, 3] → float32 features [n, 2048] on a torch device ("cpu", "cuda")."""

    def __init__(self, weights: Weights, device: str) -> None:
        network = build(weights, nn.Identity())
        self.name = f"torch-{device.split(':')[0]}"
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def features(self, pictures: Pictures) -> Features:
        """See `kennel.engines.Engine`. In batches of 64, which bounds the memory."""
        found = np.empty((len(pictures), FEATURES), np.float32)
        for start in range(0, len(pictures), BATCH):
            part = torch.from_numpy(pictures[start : start + BATCH]).to(self._device)
            found[start : start + BATCH] = self._network(normalise(part)).float().cpu().numpy()
        return found
