"""The artifact: what training leaves and serving takes. It is data, and nothing in it can run.

A folder, or the same as model.tar.gz:

    model.json             the card: labels, preprocessing, hyperparameters, metrics, evaluation, provenance, digests
    network.safetensors    the whole network, float32, torchvision's names
    backbone-int8.xml/.bin the quantised backbone, OpenVINO's form
    proof.safetensors      a few test pictures with the scores each engine gave when the artifact was made

The card is written last and holds the sha256 of every other file: a folder without a card, or whose files differ, is
no artifact. Files that do not belong are refused (the model server would run a MANIFEST.json or code/ found there).
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from kennel.engines import Classifier, Head, Pictures, Scores
from kennel.errors import ArtifactError
from kennel.files import sha256_of, write_atomically
from kennel.pictures.decode import CROP, PREPROCESSING, SIDE
from kennel.weights import FEATURES, Stride, Weights, digest_of, expected_shapes

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


EngineName = Literal["int8", "float32"]


class EngineCard(BaseModel):
    """accuracy: share of test pictures right, lost_points: what is lost against float32, in percentage points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: float
    lost_points: float


class Evaluation(BaseModel):
    """On the test split by float32. confusion[i][j]: pictures of label i that were taken for label j."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int
    accuracy: float
    top5_accuracy: float
    confusion: list[list[int]]


class Preprocessing(BaseModel):
    """name decides every pixel (`kennel.pictures.decode`); the numbers are for a reader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = PREPROCESSING
    side: int = SIDE
    crop: int = CROP


class Card(BaseModel):
    """model.json. The same training gives the same card, byte for byte: it holds no times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    labels: list[str] = Field(min_length=2)
    architecture: Literal["resnet50"] = "resnet50"
    stride: Stride
    preprocessing: Preprocessing = Preprocessing()
    hyperparameters: dict[str, str | int | float]
    best_epoch: int
    metrics: dict[str, float]
    evaluation: Evaluation
    engines: dict[str, EngineCard]
    default_engine: EngineName
    provenance: dict[str, Any]
    files: dict[str, str] = {}


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


def write(folder: Path, card: Card, weights: Weights, head: Head, int8: Path, proof: Proof) -> None:
    """Write an artifact into `folder`, the card last."""
    tensors = {**weights.tensors, "fc.weight": head.weight, "fc.bias": head.bias}
    write_atomically(folder / NETWORK, _saved(tensors))
    write_atomically(folder / INT8, int8.read_bytes())
    write_atomically(folder / INT8_DATA, int8.with_suffix(".bin").read_bytes())
    arrays: dict[str, Any] = {"pictures": proof.pictures}
    arrays |= {f"scores/{name}": each for name, each in proof.scores.items()}
    write_atomically(folder / PROOF, _saved(arrays))
    signed = card.model_copy(update={"files": {name: sha256_of(folder / name) for name in FILES}})
    write_atomically(folder / CARD, (signed.model_dump_json(indent=1) + "\n").encode())


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


def unpack(archive: Path, folder: Path) -> Path:
    """A model.tar.gz into `folder`: only the files an artifact has, bounded in size. Raises ArtifactError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive) as file:
            _unpack(_Granted(file), folder)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{archive.name} cannot be unpacked ({error})", REMEDY) from error
    return find(folder)


def pack(folder: Path, archive: Path) -> None:
    """The folder as model.tar.gz, the same bytes for the same artifact."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=1) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        for name in (CARD, *FILES):
            tar.add(folder / name, name, filter=_plain)


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
    strangers = sorted({each.name for each in folder.iterdir()} - {CARD, *FILES})
    if strangers:
        raise ArtifactError(f"{folder} holds {strangers[0]!r}, which no artifact has", "Take it out of the folder")
    for name in FILES:
        path = folder / name
        if not path.is_file() or path.is_symlink():
            raise ArtifactError(f"the artifact has no {name}", REMEDY)
        if sha256_of(path) != card.files.get(name):
            raise ArtifactError(f"{name} is not the file that the card was written for", REMEDY)


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


class _Granted(io.BufferedIOBase):
    """A decompressed archive that may be read as far as was granted.

    What a tar reader takes in on a header's word alone (long names, extended headers, a list of holes) could
    otherwise be any size.
    """

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = MAX_HEADER_BYTES

    def grant(self, size: int) -> None:
        """Let `size` bytes more be read."""
        self._left += size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file. Raises tarfile.ReadError when more is read than was granted."""
        data = self._file.read(-1 if size is None else size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError("its headers are too large")
        return data


def _unpack(stream: _Granted, folder: Path) -> None:
    left, seen = MAX_BYTES, set[str]()
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir() and name in ("", "."):
                continue
            if not member.isfile() or name not in {CARD, *FILES} - seen:
                raise tarfile.ReadError(f"{member.name!r} is no file of an artifact, or there twice")
            if not 0 <= member.size <= left:
                raise tarfile.ReadError(f"{name} is too large")
            left -= member.size
            seen.add(name)
            stream.grant(member.size)
            _copy_member(tar, member, folder / name)


def _copy_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    with path.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode = 0, 0, 0, "", "", 0o644
    return member
