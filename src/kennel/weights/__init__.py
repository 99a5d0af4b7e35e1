"""A ResNet50's weights without its head: names, shapes, digest, and the one form they are kept in. Needs no torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kennel.errors import WeightsError

BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks in layer1 … layer4 of a ResNet50 (He et al. 2015, table 1)."""
FEATURES = 2048
"""Numbers the backbone gives for a picture."""

Array = np.ndarray[Any, np.dtype[np.float32]]
Tensors = Mapping[str, Array]


TORCH_EPSILON = 1e-5
"""Added to a batch norm's variance by torch."""
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of RGB in 0 … 1, as all of torchvision's networks expect."""
REMEDY = "Give torchvision's resnet50 as .safetensors or .pth, or leave --weights away"


Stride = Literal["conv1", "conv2"]
"""Which convolution of a stage's first block halves the picture."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A ResNet50 without its head.

    tensors: torchvision's names (`conv1.weight`, `layer1.0.bn1.running_var`, …) → float32.
    stride: which convolution of a stage's first block halves the picture, "conv1" (He et al. 2015, Keras) or
        "conv2" (torchvision, "v1.5").
    digest: sha256 over names, values and stride; what features, engines and artifacts are keyed by.
    """

    tensors: Tensors
    stride: Stride
    source: str
    digest: str


def serialise(weights: Weights) -> bytes:
    """The cache's file form; the same weights give the same bytes."""
    # One metadata key only: safetensors keeps metadata in a hash map, several keys would come in any order.
    about = json.dumps({"stride": weights.stride, "source": weights.source}, sort_keys=True)
    # safetensors writes an array's memory as it lies, whatever its strides say.
    tensors = {name: np.ascontiguousarray(values) for name, values in weights.tensors.items()}
    return save(tensors, metadata={"kennel": about})


def digest_of(tensors: Tensors, stride: Stride) -> str:
    """sha256 over the stride and sorted names, shapes and values: all that decides features."""
    digest = hashlib.sha256(stride.encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()


def block_names() -> list[str]:
    """`layer1.0` … `layer4.2`, in order."""
    return [f"layer{stage}.{block}" for stage, count in enumerate(BLOCKS, 1) for block in range(count)]


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a ResNet50's backbone tensors in torchvision's layout."""
    shapes = {"conv1.weight": (64, 3, 7, 7), **_norm_shapes("bn1", 64)}
    channels = 64
    for name in block_names():
        width = 64 * 2 ** (int(name[5]) - 1)
        convolutions = [("1", width, channels, 1), ("2", width, width, 3), ("3", 4 * width, width, 1)]
        for number, out, into, side in convolutions:
            shapes[f"{name}.conv{number}.weight"] = (out, into, side, side)
            shapes |= _norm_shapes(f"{name}.bn{number}", out)
        if name.endswith(".0"):
            shapes[f"{name}.downsample.0.weight"] = (4 * width, channels, 1, 1)
            shapes |= _norm_shapes(f"{name}.downsample.1", 4 * width)
        channels = 4 * width
    return shapes


def random_weights(seed: int = 0) -> Weights:
    """He-initialised weights for trials and tests; features of these mean nothing."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for name, shape in expected_shapes().items():
        if len(shape) == 4:
            deviation = np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
            tensors[name] = (draw.standard_normal(shape) * deviation).astype(np.float32)
        else:
            ones = name.endswith(("running_var", "weight"))
            # The last norm of a block starts small, so that activations do not double in every block.
            scale = 0.2 if name.endswith("bn3.weight") else 1.0
            tensors[name] = np.full(shape, scale if ones else 0.0, np.float32)
    return describe(tensors, "conv2", f"random, seed {seed}")


def read_safetensors(path: Path) -> Weights:
    """A file of `serialise`, or any safetensors with torchvision's names. Raises WeightsError."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("kennel", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        stride, source = about.get("stride", "conv2"), str(about.get("source", path.name))
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:  # TypeError: bfloat16
        raise WeightsError(
            f"{path.name} cannot be read ({error})", "Fetch it again, or leave --weights away"
        ) from error
    return describe(tensors, stride, source)


def describe(tensors: Tensors, stride: Stride, source: str) -> Weights:
    """Check names and shapes; what is no part of the backbone is left away. Raises WeightsError."""
    shapes = expected_shapes()
    wrong = [name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape]
    if wrong:
        raise WeightsError(f"not the weights of a ResNet50: {wrong[0]} is missing or has another shape", REMEDY)
    if stride not in get_args(Stride):
        raise WeightsError(f"unknown stride {stride!r} in the weights' description", REMEDY)
    backbone = {name: np.ascontiguousarray(tensors[name], np.float32) for name in shapes}
    return Weights(backbone, stride, source, digest_of(backbone, stride))


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}
