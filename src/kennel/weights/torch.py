"""Weights that only torch can read: torchvision's own, and `.pth` files. Loaded so that a pickle can run no code."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from kennel.errors import WeightsError
from kennel.weights import Array, expected_shapes


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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(
            f"{path.name} is not a state dict of plain tensors ({reason})", "Save network.state_dict()"
        ) from error


def _to_numpy(state: dict[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.float().numpy() for name, tensor in state.items() if name in expected_shapes()}


@functools.cache
def _declare_missing_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
