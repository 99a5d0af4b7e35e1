"""The backbone on a CPU by OpenVINO: float32 built from the weights themselves, or int8 as training exported it.

Building the graph here, from the same safetensors that training writes, means that an artifact needs no second copy
of its float32 weights, that serving needs no torch, and that features, quantisation and serving share one graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kennel.errors import ArtifactError
from kennel.machine import cores
from kennel.weights import FEATURES, IMAGENET_MEAN, IMAGENET_STD, TORCH_EPSILON, Array, Weights, block_names

if TYPE_CHECKING:
    import openvino as ov

    from kennel.engines import Features, Pictures

CROP = 224
REMEDY = "Train again, or fetch the artifact again"


class OpenVinoEngine:
    """uint8 pictures [n, 224, 224, 3] → float32 features [n, 2048] on a CPU.

    name: "float32" or "int8".
    model: what `backbone_graph` or `read_graph` gave.
    threads: cores it may use; 0 means all that this process may run on.
    streams: pictures worked on side by side; as many as threads is best for throughput, 1 for latency.
    """

    def __init__(self, name: str, model: ov.Model, threads: int = 0, streams: int | None = None) -> None:
        import openvino as ov
        from openvino import properties
        from openvino.properties import hint

        threads = threads or cores()
        self.name = name
        self._streams = streams or threads
        compiled = ov.Core().compile_model(
            model,
            "CPU",
            {
                # Never bfloat16 behind our back: features must not depend on what the CPU happens to offer.
                hint.inference_precision: ov.Type.f32,
                # Pinned threads of two server workers would end on the same core.
                hint.enable_cpu_pinning: False,
                properties.num_streams: self._streams,
                properties.inference_num_threads: threads,
            },
        )
        self._queue = ov.AsyncInferQueue(compiled, self._streams)
        self._queue.set_callback(_store)

    def features(self, pictures: Pictures) -> Features:
        """See `kennel.engines.Engine`. One picture a request: fastest here, and no result leans on a neighbour."""
        found = np.empty((len(pictures), FEATURES), np.float32)
        for row in range(len(pictures)):
            self._queue.start_async([pictures[row : row + 1]], userdata=partial(found.__setitem__, row))
        self._queue.wait_all()
        return found


def _store(request: Any, keep: Any) -> None:
    keep(request.get_output_tensor(0).data[0])


def float32_engine(weights: Weights, threads: int = 0, streams: int | None = None) -> OpenVinoEngine:
    """The engine that everything else is measured against."""
    return OpenVinoEngine("float32", backbone_graph(weights), threads, streams)


def int8_engine(path: Path, threads: int = 0, streams: int | None = None) -> OpenVinoEngine:
    """The quantised backbone at `path` (an .xml with its .bin beside it)."""
    return OpenVinoEngine("int8", read_graph(path), threads, streams)


def read_graph(path: Path) -> ov.Model:
    """OpenVINO's own form. It is data: a graph of known operations and their constants; extensions are never loaded.

    Raises ArtifactError, also for a graph that does not take pictures and answer features.
    """
    import openvino as ov

    try:
        if not path.read_bytes().lstrip().startswith(b"<"):
            # OpenVINO goes by content and would try ONNX, TensorFlow and others on what is not its own.
            raise ArtifactError(f"{path.name} is no graph of OpenVINO's", REMEDY)
        model = ov.Core().read_model(path, path.with_suffix(".bin"))
    except (RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ArtifactError(f"{path.name} cannot be read ({reason})", REMEDY) from error
    if not _is_backbone(model):
        raise ArtifactError(f"{path.name} does not make features of pictures", REMEDY)
    return model


def write_graph(model: ov.Model, path: Path) -> None:
    """Write `path` (.xml) and its .bin; the same graph gives the same bytes.

    OpenVINO names a node by how many its process has made before it; names by place make the file reproducible.
    """
    import openvino as ov

    for place, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{place}")
    ov.save_model(model, path, compress_to_fp16=False)


def quantise(model: ov.Model, pictures: Sequence[Pictures]) -> ov.Model:
    """int8 weights and activations, ranges taken from pictures, each [1, 224, 224, 3].

    Post-training quantisation of NNCF with its defaults for convolutional networks: weights per channel and symmetric,
    activations per tensor, then a correction of each layer's mean ("fast bias correction").
    """
    import logging
    from contextlib import redirect_stdout
    from io import StringIO

    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    with redirect_stdout(StringIO()):  # its progress bars; stdout is for results, and nobody else prints meanwhile
        return nncf.quantize(model, nncf.Dataset(list(pictures)), subset_size=len(pictures))


def backbone_graph(weights: Weights) -> ov.Model:
    """ResNet50 up to its pooled features, batch norms folded into the convolutions, normalisation included."""
    import openvino as ov
    from openvino import opset13 as op

    pictures = op.parameter([-1, CROP, CROP, 3], np.uint8, name="pictures")
    x = op.convert(pictures, np.float32)
    x = op.subtract(x, (IMAGENET_MEAN * 255).reshape(1, 1, 1, 3))
    x = op.divide(x, (IMAGENET_STD * 255).reshape(1, 1, 1, 3))
    x = op.transpose(x, np.array([0, 3, 1, 2]))
    x = op.relu(_convolution(x, weights, "conv1", "bn1", stride=2))
    x = op.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for block in block_names():
        x = _bottleneck(x, weights, block)
    features = op.reduce_mean(x, np.array([2, 3]), keep_dims=False)
    pictures.output(0).set_names({"pictures"})
    features.output(0).set_names({"features"})
    return ov.Model([features], [pictures], "resnet50")


def _is_backbone(model: ov.Model) -> bool:
    """Whether it takes uint8 [n, 224, 224, 3] and gives float32 [n, 2048]."""
    import openvino as ov

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return False
    pictures, features = model.input(), model.output()
    types = (pictures.element_type, features.element_type) == (ov.Type.u8, ov.Type.f32)
    shapes = (pictures.partial_shape, features.partial_shape)
    return types and shapes == (ov.PartialShape([-1, CROP, CROP, 3]), ov.PartialShape([-1, FEATURES]))


def _bottleneck(x: Any, weights: Weights, block: str) -> Any:
    from openvino import opset13 as op

    first = block.endswith(".0")
    stride = 2 if first and not block.startswith("layer1") else 1
    strides = {"conv1": (stride, 1, 1), "conv2": (1, stride, 1)}[weights.stride]
    y = x
    for number, step in enumerate(strides, 1):
        y = _convolution(y, weights, f"{block}.conv{number}", f"{block}.bn{number}", step)
        y = op.relu(y) if number < 3 else y
    if first:
        x = _convolution(x, weights, f"{block}.downsample.0", f"{block}.downsample.1", stride)
    return op.relu(op.add(y, x))


def _convolution(x: Any, weights: Weights, convolution: str, norm: str, stride: int = 1) -> Any:
    """A convolution and the batch norm after it, as one: kernel × γ/√(σ²+ε), then β − μ × γ/√(σ²+ε)."""
    from openvino import opset13 as op

    tensors = weights.tensors
    scale: Array = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + np.float32(TORCH_EPSILON))
    shift: Array = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    kernel = tensors[f"{convolution}.weight"]
    pad = [kernel.shape[2] // 2] * 2
    y = op.convolution(x, kernel * scale.reshape(-1, 1, 1, 1), [stride] * 2, pad, pad, [1, 1])
    return op.add(y, shift.reshape(1, -1, 1, 1))
