"""Random weights, their int8 form and an artifact of them, made once a run without training."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kennel import artifact
from kennel.artifact import Card, EngineCard, Evaluation, Proof
from kennel.engines import Classifier, Head, Pictures
from kennel.engines.openvino import backbone_graph, float32_engine, int8_engine, quantise, write_graph
from kennel.pictures.decode import crop
from kennel.pictures.drawings import BREEDS, draw
from kennel.weights import FEATURES, Weights, random_weights

if TYPE_CHECKING:
    from fixtures_shared import Shared

LABELS = ["005.Alaskan_malamute", "016.Beagle", "057.Dalmatian"]


@dataclass(frozen=True)
class Ingredients:
    """What an artifact is written from."""

    card: Card
    weights: Weights
    head: Head
    int8: Path
    proof: Proof

    def write(self, folder: Path) -> None:
        """`artifact.write` of all of them."""
        artifact.write(folder, self.card, self.weights, self.head, self.int8, self.proof)


def drawn_crops(count: int, seed: int = 0) -> Pictures:
    """Drawn dogs as the network sees them: uint8 [count, 224, 224, 3]."""
    found = []
    for number in range(count):
        buffer = io.BytesIO()
        draw(BREEDS[number % len(BREEDS)], seed + number).save(buffer, "PNG")
        found.append(crop(buffer.getvalue()))
    return np.stack(found)


@pytest.fixture(scope="session")
def crops() -> Pictures:
    """Eight drawn dogs."""
    return drawn_crops(8)


@pytest.fixture(scope="session")
def dogs() -> Pictures:
    """Three other drawn dogs."""
    return drawn_crops(3, seed=50)


@pytest.fixture(scope="session")
def weights() -> Weights:
    """Random weights, which stride as torchvision's do."""
    return random_weights(1)


@pytest.fixture(scope="session")
def int8_graph(weights: Weights, crops: Pictures, shared: Shared) -> Path:
    """The int8 form of `weights`, calibrated on `crops`; about 15 seconds on two cores."""

    def make(folder: Path) -> None:
        write_graph(quantise(backbone_graph(weights), np.split(crops, len(crops))), folder / "backbone.xml")

    return shared.once("int8", make) / "backbone.xml"


@pytest.fixture(scope="session")
def ingredients(weights: Weights, crops: Pictures, int8_graph: Path) -> Ingredients:
    draw = np.random.default_rng(2)
    head = Head(
        (draw.standard_normal((len(LABELS), FEATURES)) * 0.01).astype(np.float32),
        draw.standard_normal(len(LABELS)).astype(np.float32),
    )
    engines = {"float32": float32_engine(weights), "int8": int8_engine(int8_graph)}
    proof = Proof(crops[:4], {name: Classifier(engine, head).scores(crops[:4]) for name, engine in engines.items()})
    return Ingredients(card(), weights, head, int8_graph, proof)


@pytest.fixture(scope="session")
def made(ingredients: Ingredients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole artifact. Tests that change something take a `copied` one."""
    folder = tmp_path_factory.mktemp("artifact") / "model"
    ingredients.write(folder)
    return folder


def card() -> Card:
    """A card as training writes it, of a classifier that was never trained."""
    return Card(
        labels=LABELS,
        stride="conv2",
        hyperparameters={"learning_rate": 0.01, "epochs": 5, "head": "linear"},
        best_epoch=3,
        metrics={"valid:accuracy": 0.5},
        evaluation=Evaluation(pictures=3, accuracy=1.0, top5_accuracy=1.0, confusion=np.eye(3, dtype=int).tolist()),
        engines={
            "float32": EngineCard(accuracy=1.0, lost_points=0.0),
            "int8": EngineCard(accuracy=1.0, lost_points=0.0),
        },
        default_engine="int8",
        provenance={"kennel": "0", "data": {"digest": "0" * 64, "pictures": 3}},
    )
