"""The backbone by torch: on a GPU, and as the reference other engines are held against."""

from __future__ import annotations

import torch
from torch import nn

from kennel.engines import Features, Pictures
from kennel.network import build, normalise
from kennel.weights import Weights

BATCH = 64


class TorchEngine:
    """uint8 pictures [n, 224, 224, 3] → float32 features [n, 2048] on a torch device ("cpu", "cuda")."""

    def __init__(self, weights: Weights, device: str) -> None:
        network = build(weights, nn.Identity())
        self.name = f"torch-{device.split(':')[0]}"
        self._device = torch.device(device)
        self._network = network.to(self._device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(self, pictures: Pictures) -> Features:
        """See `kennel.engines.Engine`. In batches of 64, which bounds the memory."""
        parts = [torch.from_numpy(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        found = [self._network(normalise(part.to(self._device))).float().cpu() for part in parts]
        features: Features = torch.cat(found).numpy()
        return features
