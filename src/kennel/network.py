"""ResNet50 as a torch module around given weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kennel.errors import WeightsError
from kennel.weights import FEATURES, IMAGENET_MEAN, IMAGENET_STD, Array, Stride, Weights, digest_of, expected_shapes
from kennel.weights.torch import torchvision


def new_head(labels: int, seed: int) -> nn.Linear:
    """A last layer for `labels` labels; the same seed gives the same one, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(FEATURES, labels)


def build(weights: Weights, head: nn.Module) -> nn.Module:
    """torchvision's ResNet50 around `weights` and a last layer, in eval mode.

    Takes what `normalise` gives, answers logits [n, labels].
    """
    network: nn.Module = torchvision().models.resnet50()
    _set_strides(network, weights.stride)
    state = {name: torch.from_numpy(np.array(values)) for name, values in weights.tensors.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    left = [name for name in missing if not name.startswith("fc.") and not name.endswith("num_batches_tracked")]
    if left or unexpected:
        raise WeightsError(f"weights do not fit a ResNet50: {(left + unexpected)[0]}")
    network.fc = head
    return network.eval()


def backbone_of(network: nn.Module, stride: Stride, source: str) -> Weights:
    """The weights of a network that was built here, trained or not."""
    state = network.state_dict()
    # Copies: what is on the CPU already would go on changing with the network.
    tensors = {name: _copied(state[name]) for name in expected_shapes()}
    return Weights(tensors, stride, source, digest_of(tensors, stride))


def normalise(pictures: Tensor) -> Tensor:
    """uint8 [n, 224, 224, 3] → float32 [n, 3, 224, 224] (channels last in memory), as ImageNet networks expect."""
    mean = torch.from_numpy(IMAGENET_MEAN * 255).to(pictures.device)
    deviation = torch.from_numpy(IMAGENET_STD * 255).to(pictures.device)
    return ((pictures.float() - mean) / deviation).permute(0, 3, 1, 2)


def _copied(tensor: Tensor) -> Array:
    return np.array(tensor.detach().to("cpu", torch.float32).numpy(), order="C")


def _set_strides(network: nn.Module, stride: str) -> None:
    for stage in ("layer2", "layer3", "layer4"):
        first = getattr(network, stage)[0]
        first.conv1.stride = (2, 2) if stride == "conv1" else (1, 1)
        first.conv2.stride = (1, 1) if stride == "conv1" else (2, 2)
