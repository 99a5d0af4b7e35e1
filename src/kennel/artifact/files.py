"""Writing, finding, checking and proving an artifact's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from kennel.artifact.card import Card
from kennel.engines import Classifier, Head, Pictures, Scores
from kennel.errors import ArtifactError
from kennel.files import forget_drafts, sha256_of, write_atomically
from kennel.pictures.decode import CROP, PREPROCESSING
from kennel.weights import FEATURES, Weights, digest_of, expected_shapes

CARD = "model.json"
NETWORK = "network.safetensors"
INT8 = "backbone-int8.xml"
INT8_DATA = "backbone-int8.bin"
PROOF = "proof.safetensors"
FILES = (NETWORK, INT8, INT8_DATA, PROOF)

MAX_BYTES = 1 << 30
MAX_CARD_BYTES = 32 << 20
MAX_HEADER_BYTES = 1 << 18
"""Of an archive, for everything in it that is not a file's content."""
TOLERANCE = {"float32": 0.01, "int8": 0.05, "torch-cuda": 0.02, "torch-cpu": 0.01}
"""How far a proof picture's scores may lie from those on record. Kernels differ a little from CPU to CPU; an engine
that is broken (int8 saturating without VNNI, say) is off by far more."""
REMEDY = "Train again, or fetch the artifact again"


@dataclass(frozen=True, slots=True)
class Proof:
    """pictures: uint8 [n, 224, 224, 3]; scores: engine's name → float32 [n, labels]."""

    pictures: Pictures
    scores: Mapping[str, Scores]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact whose files were checked. The head and the proof are in memory, the backbone is read when wanted."""

    folder: Path
    card: Card
    head: Head
    proof: Proof

    @property
    def int8(self) -> Path:
        """The quantised backbone's file."""
        return self.folder / INT8

    def weights(self) -> Weights:
        """The float32 backbone, 94 MB."""
        with safe_open(self.folder / NETWORK, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in expected_shapes()}
        return Weights(tensors, self.card.stride, "artifact", digest_of(tensors, self.card.stride))


def write(folder: Path, card: Card, weights: Weights, head: Head, int8: Path, proof: Proof) -> Artifact:
    """Write an artifact into `folder`, the card last; what `load` would give, without reading it all again."""
    make_room(folder)
    tensors = {**weights.tensors, "fc.weight": head.weight, "fc.bias": head.bias}
    write_atomically(folder / NETWORK, _saved(tensors))
    write_atomically(folder / INT8, int8.read_bytes())
    write_atomically(folder / INT8_DATA, int8.with_suffix(".bin").read_bytes())
    arrays: dict[str, Any] = {"pictures": proof.pictures}
    arrays |= {f"scores/{name}": each for name, each in proof.scores.items()}
    write_atomically(folder / PROOF, _saved(arrays))
    signed = card.model_copy(update={"files": {name: sha256_of(folder / name) for name in FILES}})
    write_atomically(folder / CARD, (signed.model_dump_json(indent=1) + "\n").encode())
    return Artifact(folder, signed, head, proof)


def make_room(folder: Path) -> None:
    """See that an artifact can be written into `folder`; what a killed writer left there goes. Raises ArtifactError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CARD, *FILES):
        forget_drafts(folder / name)
    _refuse_strangers(folder)


def find(path: Path) -> Path:
    """The artifact's folder or archive, by itself or inside what `kennel train --out` made. Raises ArtifactError."""
    for candidate in (path, path / "model"):
        if (candidate / CARD).is_file():
            return candidate
    if path.is_file():
        return path
    if not path.exists():
        raise ArtifactError(f"nothing at {path}", "Make an artifact: kennel train --data FOLDER --out OUT")
    raise ArtifactError(f"{path} is no artifact: it has no {CARD}", "Make one: kennel train --data FOLDER --out OUT")


def read_card(folder: Path) -> Card:
    """The card of an artifact's folder. Raises ArtifactError."""
    path = folder / CARD
    if not path.is_file() or path.is_symlink():
        raise ArtifactError(f"{folder} is no artifact: it has no {CARD}", REMEDY)
    if path.stat().st_size > MAX_CARD_BYTES:
        raise ArtifactError(f"{path} is too large to be a card", REMEDY)
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ArtifactError(f"{path} is no card: {where}: {first['msg'].lower()}", REMEDY) from error
    if card.preprocessing.name != PREPROCESSING:
        raise ArtifactError(f"the artifact was made for preprocessing {card.preprocessing.name!r}", REMEDY)
    return card


def load(folder: Path) -> Artifact:
    """Read and check an artifact's folder: the card, each file's digest, names, shapes. Raises ArtifactError."""
    card = read_card(folder)
    _check_files(folder, card)
    try:
        head = _read_head(folder / NETWORK, len(card.labels))
        proof = load_file(folder / PROOF)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"the artifact cannot be read ({error})", REMEDY) from error
    return Artifact(folder, card, head, _proof(proof, card))


def prove(classifier: Classifier, proof: Proof) -> float:
    """Run the proof pictures; the largest distance of a score from that on record. Raises ArtifactError if too far."""
    name = classifier.engine.name
    expected = proof.scores["int8" if name == "int8" else "float32"]
    distance = float(np.abs(classifier.scores(proof.pictures) - expected).max())
    if not distance <= TOLERANCE[name]:  # also when it is not a number
        raise ArtifactError(
            f"engine {name} does not answer as when the artifact was made: a score is off by {distance:.3f}", REMEDY
        )
    return distance


def _saved(arrays: Mapping[str, Any]) -> bytes:
    """As safetensors, which by itself writes an array's memory as it lies, whatever its strides say."""
    return save({name: np.ascontiguousarray(each) for name, each in arrays.items()})


def _check_files(folder: Path, card: Card) -> None:
    _refuse_strangers(folder)
    for name in FILES:
        path = folder / name
        if not path.is_file() or path.is_symlink():
            raise ArtifactError(f"the artifact has no {name}", REMEDY)
        if sha256_of(path) != card.files.get(name):
            raise ArtifactError(f"{name} is not the file that the card was written for", REMEDY)


def _refuse_strangers(folder: Path) -> None:
    strangers = sorted({each.name for each in folder.iterdir()} - {CARD, *FILES})
    if strangers:
        raise ArtifactError(f"{folder} holds {strangers[0]!r}, which no artifact has", "Take it out of the folder")


def _read_head(path: Path, labels: int) -> Head:
    """The last layer, after every tensor's shape and type was checked without reading it."""
    shapes = expected_shapes() | {"fc.weight": (labels, FEATURES), "fc.bias": (labels,)}
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        for name, shape in shapes.items():
            slice_ = file.get_slice(name) if name in names else None
            if slice_ is None or tuple(slice_.get_shape()) != shape or slice_.get_dtype() != "F32":
                raise ArtifactError(f"{path.name}: {name} is missing or not float32 {list(shape)}", REMEDY)
        return Head(file.get_tensor("fc.weight"), file.get_tensor("fc.bias"))


def _proof(arrays: Mapping[str, Any], card: Card) -> Proof:
    scores = {name.removeprefix("scores/"): each for name, each in arrays.items() if name.startswith("scores/")}
    pictures = arrays.get("pictures", np.empty(0))
    whole = (
        pictures.ndim == 4 and len(pictures) and pictures.shape[1:] == (CROP, CROP, 3) and pictures.dtype == np.uint8
    )
    expected = (len(pictures), len(card.labels))
    if not whole or set(scores) != {"int8", "float32"} or any(each.shape != expected for each in scores.values()):
        raise ArtifactError(f"{PROOF} does not hold pictures and scores for {len(card.labels)} labels", REMEDY)
    return Proof(pictures, scores)
