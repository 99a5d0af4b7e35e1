"""ResNet50 as a torch module, and the ways torch knows of reading weights. All that needs torch and not training."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from kennel.errors import WeightsError
from kennel.weights import FEATURES, IMAGENET_MEAN, IMAGENET_STD, Array, Weights, digest_of, expected_shapes


@functools.cache
def torchvision() -> ModuleType:
    """torchvision, also beside a CPU build of torch.

    PyPI's torchvision is built against torch with CUDA; beside a CPU build its extension does not load and importing
    it fails on two operators nobody here calls. Declaring their schemas is enough.
    """
    try:
        import torchvision as module
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_missing_operators()
        import torchvision as module
    return module  # type: ignore[no-any-return]


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


def backbone_of(network: nn.Module, stride: str, source: str) -> Weights:
    """The weights of a network that was built here, trained or not."""
    state = network.state_dict()
    tensors = {name: state[name].detach().to("cpu", torch.float32).numpy() for name in expected_shapes()}
    return Weights(tensors, stride, source, digest_of(tensors))


def normalise(pictures: Tensor) -> Tensor:
    """uint8 [n, 224, 224, 3] → float32 [n, 3, 224, 224] (channels last in memory), as ImageNet networks expect."""
    mean = torch.from_numpy(IMAGENET_MEAN * 255).to(pictures.device)
    deviation = torch.from_numpy(IMAGENET_STD * 255).to(pictures.device)
    return ((pictures.float() - mean) / deviation).permute(0, 3, 1, 2)


def torchvision_weights() -> dict[str, Array]:
    """Download torchvision's own (through its cache). Raises OSError or RuntimeError when that fails."""
    weights = torchvision().models.ResNet50_Weights.IMAGENET1K_V2
    state = torch.hub.load_state_dict_from_url(weights.url, progress=False, check_hash=True, weights_only=True)
    return _to_numpy(state)


def read_state_dict(path: Path) -> dict[str, Array]:
    """A .pth of plain tensors. `weights_only` keeps a pickle from running code. Raises WeightsError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return _to_numpy(state)
    except Exception as error:  # torch raises pickle, zip, runtime and attribute errors here
        reason = str(error).strip().splitlines()[0][:120]
        raise WeightsError(f"{path.name} is not a state dict of plain tensors ({reason})", "Save network.state_dict()") from error


def _to_numpy(state: dict[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.float().numpy() for name, tensor in state.items() if name in expected_shapes()}


def _set_strides(network: nn.Module, stride: str) -> None:
    for stage in ("layer2", "layer3", "layer4"):
        first = getattr(network, stage)[0]
        first.conv1.stride = (2, 2) if stride == "conv1" else (1, 1)
        first.conv2.stride = (1, 1) if stride == "conv1" else (2, 2)


@functools.cache
def _declare_missing_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
