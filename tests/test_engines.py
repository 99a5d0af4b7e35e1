"""Engines: OpenVINO held against torch, no picture leaning on another, graphs that are none, heads and scores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from kennel.engines import Classifier, Engine, Features, Head, Pictures
from kennel.engines.openvino import OpenVinoEngine, backbone_graph, float32_engine, int8_engine, read_graph, write_graph
from kennel.engines.torch import TorchEngine
from kennel.errors import ArtifactError
from kennel.weights import FEATURES, Stride, Weights, describe

SHUFFLED = [5, 2, 7, 0, 3, 6, 1, 4]
FLOAT32_TOLERANCE = 1e-4
"""Of a float32 feature, as a share of the features' standard deviation; 2e-6 was measured."""
INT8_TOLERANCE = 0.05
"""Of int8's mean distance from float32, likewise; random weights, calibrated on the pictures themselves."""


@pytest.fixture(scope="module")
def float32(weights: Weights) -> OpenVinoEngine:
    return float32_engine(weights)


@pytest.fixture(scope="module")
def int8(int8_graph: Path) -> OpenVinoEngine:
    return int8_engine(int8_graph)


@pytest.fixture(scope="module")
def on_torch(weights: Weights) -> TorchEngine:
    return TorchEngine(weights, "cpu")


@pytest.fixture(params=["float32", "int8"])
def openvino(request: pytest.FixtureRequest) -> OpenVinoEngine:
    """Either of the engines that serve on a CPU."""
    engine: OpenVinoEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture(params=["float32", "int8", "on_torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.getfixturevalue(request.param)
    return chosen


def distances(found: Features, expected: Features) -> Features:
    """Differences as shares of the features' standard deviation."""
    shares: Features = np.abs(found - expected) / expected.std()
    return shares


# --- features


@pytest.mark.parametrize("stride", ["conv1", "conv2"])
def test_openvinos_float32_features_are_those_of_torch(weights: Weights, stride: Stride, dogs: Pictures) -> None:
    strided = describe(weights.tensors, stride, "test")
    expected = TorchEngine(strided, "cpu").features(dogs)
    assert expected.std() > 0.1
    assert distances(float32_engine(strided).features(dogs), expected).max() < FLOAT32_TOLERANCE


def test_the_stride_changes_the_features(weights: Weights, float32: OpenVinoEngine, dogs: Pictures) -> None:
    other = float32_engine(describe(weights.tensors, "conv1", "test")).features(dogs)
    assert distances(other, float32.features(dogs)).max() > 0.1


def test_engines_have_the_names_that_cards_and_health_lines_show(
    float32: Engine, int8: Engine, on_torch: Engine
) -> None:
    assert [engine.name for engine in (float32, int8, on_torch)] == ["float32", "int8", "torch-cpu"]


def test_features_are_float32_and_as_many_as_there_are_pictures(engine: Engine, crops: Pictures) -> None:
    for count in (0, 1, 3):
        features = engine.features(crops[:count])
        assert features.shape == (count, FEATURES)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()


def test_a_pictures_features_depend_on_no_neighbour_and_no_place_bit_for_bit(
    openvino: OpenVinoEngine, crops: Pictures
) -> None:
    together = openvino.features(crops)
    assert np.array_equal(openvino.features(crops[SHUFFLED]), together[SHUFFLED])
    assert np.array_equal(np.concatenate([openvino.features(crops[i : i + 1]) for i in range(len(crops))]), together)


def test_on_torch_a_pictures_features_hardly_depend_on_the_batch_it_is_in(
    on_torch: TorchEngine, crops: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = on_torch.features(crops)
    monkeypatch.setattr("kennel.engines.torch.BATCH", 3)
    assert distances(on_torch.features(crops), together).max() < FLOAT32_TOLERANCE


def test_pictures_that_lie_otherwise_in_memory_give_the_same_features(engine: Engine, crops: Pictures) -> None:
    mirrored = crops[:2, :, ::-1]
    copied = np.ascontiguousarray(mirrored)
    assert np.array_equal(engine.features(np.asfortranarray(copied)), engine.features(copied))
    if engine.name != "torch-cpu":  # torch takes no negative strides
        assert np.array_equal(engine.features(mirrored), engine.features(copied))


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 1), (3, 5)])
def test_threads_and_streams_change_no_features(
    float32: OpenVinoEngine,
    int8: OpenVinoEngine,
    weights: Weights,
    int8_graph: Path,
    crops: Pictures,
    threads: int,
    streams: int | None,
) -> None:
    for made, expected in (
        (float32_engine(weights, threads, streams), float32),
        (int8_engine(int8_graph, threads, streams), int8),
    ):
        assert distances(made.features(crops[:3]), expected.features(crops[:3])).max() < FLOAT32_TOLERANCE


# --- int8


def test_int8_features_stay_near_those_of_float32(
    float32: OpenVinoEngine, int8: OpenVinoEngine, crops: Pictures
) -> None:
    off = distances(int8.features(crops), float32.features(crops))
    assert 0 < off.mean() < INT8_TOLERANCE


def test_a_quantised_graph_holds_int8_kernels_and_takes_a_quarter_of_the_space(
    int8_graph: Path, weights: Weights
) -> None:
    kinds = [each.get_element_type() for each in read_graph(int8_graph).get_ops() if each.get_type_name() == "Constant"]
    assert kinds.count(ov.Type.i8) == sum(len(shape.shape) == 4 for shape in weights.tensors.values())
    assert int8_graph.with_suffix(".bin").stat().st_size < 0.3 * sum(each.nbytes for each in weights.tensors.values())


def test_a_graph_written_and_read_gives_the_same_features(
    int8: OpenVinoEngine, int8_graph: Path, crops: Pictures, tmp_path: Path
) -> None:
    again = tmp_path / "again.xml"
    write_graph(read_graph(int8_graph), again)
    assert again.with_suffix(".bin").read_bytes() == int8_graph.with_suffix(".bin").read_bytes()
    assert np.array_equal(int8_engine(again).features(crops), int8.features(crops))


# --- graphs that are none


@pytest.fixture
def graph(int8_graph: Path, tmp_path: Path) -> Path:
    """A copy of the int8 graph, to be broken."""
    for suffix in (".xml", ".bin"):
        shutil.copy(int8_graph.with_suffix(suffix), tmp_path / f"graph{suffix}")
    return tmp_path / "graph.xml"


def assert_refused(path: Path, reason: str | None = None) -> None:
    with pytest.raises(ArtifactError, match=reason) as caught:
        int8_engine(path, threads=1)
    assert "\n" not in str(caught.value)
    assert path.name in caught.value.message
    assert caught.value.remedy


XML: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"hello",
    "noise": lambda _: np.random.default_rng(0).bytes(5000),
    "half": lambda xml: xml[: len(xml) // 2],
    "another document": lambda _: b'<?xml version="1.0"?><html/>',
    "another version": lambda xml: xml.replace(b'version="11"', b'version="99"', 1),
    "a constant behind the end": lambda xml: xml.replace(b'offset="0" size="12"', b'offset="99999999999" size="12"'),
    "a constant before the start": lambda xml: xml.replace(b'offset="0" size="12"', b'offset="-8" size="12"'),
    "a constant too large": lambda xml: xml.replace(b'offset="0" size="12"', b'offset="0" size="999999999999"'),
    "no layers": lambda xml: xml[: xml.index(b"<layers>")] + b"<layers></layers><edges></edges></net>",
    "other pictures": lambda xml: xml.replace(b'shape="?,224,224,3"', b'shape="?,64,64,3"'),
}
BIN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: np.random.default_rng(0).bytes(len(data)),
}


@pytest.mark.parametrize("change", XML.values(), ids=XML)
def test_an_xml_that_is_no_backbone_is_refused(graph: Path, change: Callable[[bytes], bytes]) -> None:
    before = graph.read_bytes()
    graph.write_bytes(change(before))
    assert graph.read_bytes() != before
    assert_refused(graph)


@pytest.mark.parametrize("change", BIN.values(), ids=BIN)
def test_constants_that_do_not_fit_the_graph_are_refused(graph: Path, change: Callable[[bytes], bytes]) -> None:
    constants = graph.with_suffix(".bin")
    constants.write_bytes(change(constants.read_bytes()))
    assert_refused(graph)


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_graph_of_which_a_file_is_missing_is_refused(graph: Path, suffix: str) -> None:
    graph.with_suffix(suffix).unlink()
    assert_refused(graph)


@pytest.mark.parametrize("version", ["opset1", "extension", "{library}"])
def test_an_operation_of_an_extension_is_refused_and_no_library_loaded(graph: Path, version: str) -> None:
    library = graph.with_name("libevil.so")
    # A real library: it would show in the process's memory map if anything opened it.
    shutil.copy(next(Path(ov.__file__).parent.glob("libs/libopenvino_hetero_plugin.so*")), library)
    told = version.format(library=library).encode()
    graph.write_bytes(
        graph.read_bytes().replace(b'type="ReduceMean" version="opset1"', b'type="Evil" version="' + told + b'"')
    )
    assert_refused(graph, "Evil")
    assert str(library) not in Path("/proc/self/maps").read_text()


OTHER_GRAPHS: dict[str, Callable[[Any], Any]] = {
    "one number": lambda x: op.reduce_mean(x, np.array([1, 2, 3]), keep_dims=True),
    "three numbers": lambda x: op.reduce_mean(x, np.array([1, 2]), keep_dims=False),
    "a number for all": lambda x: op.reduce_mean(x, np.array([0, 1, 2, 3]), keep_dims=False),
    "the picture itself": lambda x: x,
}


@pytest.mark.parametrize("answer", OTHER_GRAPHS.values(), ids=OTHER_GRAPHS)
def test_a_whole_graph_that_makes_no_features_is_refused(tmp_path: Path, answer: Callable[[Any], Any]) -> None:
    pictures = op.parameter([-1, 224, 224, 3], np.uint8)
    write_graph(ov.Model([answer(op.convert(pictures, np.float32))], [pictures], "other"), tmp_path / "other.xml")
    assert_refused(tmp_path / "other.xml", "does not make features of pictures")


# --- heads


@pytest.mark.parametrize("logits", [[0.0, 0.0], [1.0, -2.0], [1e4, -1e4], [-1e4, -1e4], [1e4, 1e4], [1e38, -1e38]])
def test_scores_are_a_softmax_however_large_the_logits(logits: list[float]) -> None:
    bias = np.array([*logits, logits[0] - 1], np.float32)
    scores = Head(np.zeros((3, FEATURES), np.float32), bias).scores(np.ones((2, FEATURES), np.float32))
    exact = np.exp(bias.astype(np.float64) - bias.max())
    assert scores.dtype == np.float32
    assert np.allclose(scores, exact / exact.sum(), atol=1e-6)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_a_head_answers_a_row_for_each_picture_and_nothing_for_none() -> None:
    draw = np.random.default_rng(0)
    weight = draw.standard_normal((5, FEATURES), np.float32) * np.float32(0.05)
    head = Head(weight, draw.standard_normal(5, np.float32))
    features = draw.standard_normal((4, FEATURES), np.float32)
    scores = head.scores(features)
    expected = features.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias
    assert np.array_equal(scores.argmax(axis=1), expected.argmax(axis=1))
    assert np.allclose(np.log(scores / scores[:, :1]), expected - expected[:, :1], atol=1e-2)
    assert head.scores(features[:0]).shape == (0, 5)


def test_a_classifier_scores_what_its_engine_sees(float32: OpenVinoEngine, crops: Pictures) -> None:
    head = Head(np.eye(2, FEATURES, dtype=np.float32), np.array([0.5, -0.5], np.float32))
    features = float32.features(crops)
    # Of two labels the odds are those of one logit.
    odds = 1 / (1 + np.exp((features[:, 1] - 0.5) - (features[:, 0] + 0.5)))
    assert np.allclose(Classifier(float32, head).scores(crops)[:, 0], odds, atol=1e-5)


def test_the_same_graph_is_written_as_the_same_bytes_whatever_was_built_before(
    weights: Weights, tmp_path: Path
) -> None:
    """Also in another process: an artifact that is made again is the same artifact."""
    graph = backbone_graph(weights)
    write_graph(graph, tmp_path / "first.xml")
    for _ in range(2):
        backbone_graph(weights)
    write_graph(backbone_graph(weights), tmp_path / "second.xml")
    for suffix in (".xml", ".bin"):
        first, second = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("first.xml", "second.xml"))
        assert first == second
