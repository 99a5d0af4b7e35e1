"""From a trained network to an artifact: the int8 backbone, both engines measured on the test split, proof, card."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from kennel.artifact import EngineCard, EngineName, Proof
from kennel.engines import Classifier, Pictures
from kennel.engines.openvino import backbone_graph, int8_engine, quantise, write_graph
from kennel.files import write_atomically
from kennel.pictures.dataset import Picture
from kennel.training.features import read_crops
from kennel.weights import Weights

CALIBRATION_PICTURES = 200
PROOF_PICTURES = 8
MAX_LOST_POINTS = 0.5
"""int8 serves by default as long as it loses at most this many percentage points of test accuracy."""


@dataclass(frozen=True, slots=True)
class Int8:
    """A quantised backbone in the cache. digest: of everything it was made from."""

    path: Path
    digest: str


def int8_backbone(weights: Weights, train: Sequence[Picture], folder: Path, workers: int) -> Int8:
    """The int8 form of `weights`, calibrated on pictures spread over the training split; made once, then kept."""
    chosen = spread(train, CALIBRATION_PICTURES)
    parts = [weights.digest, weights.stride, version("nncf"), version("openvino"), *(picture.key for picture in chosen)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    path = folder / f"{digest[:24]}.xml"
    if not path.exists():
        _quantise_into(path, weights, read_crops(chosen, workers))
    return Int8(path, digest)


def spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """`count` of the pictures, evenly over their order (so over the labels); all when there are fewer."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[place * len(pictures) // count] for place in range(count)]


def compare_engines(float32: float, int8: float) -> tuple[dict[str, EngineCard], EngineName]:
    """The engines' cards from their test accuracies, and which one serves by default on a CPU."""
    lost = round((float32 - int8) * 100, 6)
    cards = {
        "float32": EngineCard(accuracy=float32, lost_points=0.0),
        "int8": EngineCard(accuracy=int8, lost_points=lost),
    }
    return cards, "int8" if lost <= MAX_LOST_POINTS else "float32"


def make_proof(test: Sequence[Picture], float32: Classifier, int8: Path, workers: int) -> Proof:
    """A few test pictures with the scores of both engines. The int8 engine runs as it will in a server: one thread."""
    pictures = read_crops(spread(test, PROOF_PICTURES), workers)
    quantised = Classifier(int8_engine(int8, threads=1), float32.head)
    return Proof(pictures, {"float32": float32.scores(pictures), "int8": quantised.scores(pictures)})


def _quantise_into(path: Path, weights: Weights, pictures: Pictures) -> None:
    graph = quantise(backbone_graph(weights), np.split(pictures, len(pictures)))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        write_graph(graph, draft)
        # The .xml last: it is what says that the pair is whole.
        for suffix in (".bin", ".xml"):
            write_atomically(path.with_suffix(suffix), draft.with_suffix(suffix).read_bytes())
