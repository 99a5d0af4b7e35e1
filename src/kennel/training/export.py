"""What an artifact needs beside the trained head: the int8 backbone, and which engine serves by default."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from kennel.artifact import EngineCard, EngineName
from kennel.engines import Pictures
from kennel.engines.openvino import backbone_graph, quantise, write_graph
from kennel.files import write_atomically
from kennel.pictures.dataset import Picture
from kennel.training import given
from kennel.training.features import read_crops
from kennel.training.job import Job
from kennel.weights import Weights

CALIBRATION_PICTURES = 200
PROOF_PICTURES = 8
MAX_LOST_POINTS = 0.5
"""int8 serves by default as long as it loses at most this many percentage points of test accuracy."""


@dataclass(frozen=True, slots=True)
class Int8:
    """A quantised backbone in the cache or the channel. digest: of everything it was made from."""

    path: Path
    digest: str

    @property
    def files(self) -> tuple[Path, Path]:
        return self.path, self.path.with_suffix(".bin")


def int8_backbone(weights: Weights, train: Sequence[Picture], job: Job, workers: int) -> Int8:
    """The int8 form of `weights`, calibrated on pictures spread over the training split; made once, then kept."""
    chosen = spread(train, CALIBRATION_PICTURES)
    parts = [weights.digest, weights.stride, version("nncf"), version("openvino"), *(picture.key for picture in chosen)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    place = Path(given.INT8) / f"{digest[:24]}.xml"
    made = Int8(job.cache / place, digest)
    if made.path.exists():
        return made
    if job.given and given.is_whole(job.given, (found := Int8(job.given / place, digest)).files):
        return found
    _quantise_into(made.path, weights, read_crops(chosen, workers)[1])
    return made


def proof_pictures(test: Sequence[Picture]) -> list[Picture]:
    """The test pictures that go into the artifact."""
    return spread(test, PROOF_PICTURES)


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


def _quantise_into(path: Path, weights: Weights, pictures: Pictures) -> None:
    graph = quantise(backbone_graph(weights), np.split(pictures, len(pictures)))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        write_graph(graph, draft)
        # The .xml last: it is what says that the pair is whole.
        for suffix in (".bin", ".xml"):
            write_atomically(path.with_suffix(suffix), draft.with_suffix(suffix).read_bytes())
