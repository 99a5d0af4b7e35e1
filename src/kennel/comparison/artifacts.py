"""What is in an artifact, as digests; and how far two are apart. They are read as any artifact: strictly, no pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from kennel.artifact import CARD, FILES, Artifact, opened
from kennel.comparison.recorded import Made, Share, Strict, Word, bounded
from kennel.engines import Head, Scores
from kennel.files import sha256_of

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Apart(Strict):
    """same: `files`: every file bit for bit; `head`: the head's tensors are, some file is not; `no`: neither.

    Distances are the largest absolute ones, None where shapes differ; scores: of the proof's pictures, by engine.
    """

    same: Literal["files", "head", "no"]
    differ: Annotated[tuple[Word, ...], Field(max_length=32)] = ()
    weight: Distance | None = None
    bias: Distance | None = None
    scores: dict[Word, Distance] = Field(default={}, max_length=8)
    accuracy: Share | None = None


def made_of(path: Path) -> Made:
    """path: a folder, or a model.tar.gz. Raises ArtifactError, DataError where its card tells what cannot be."""
    with opened(path) as found, bounded("a card that can be compared"):
        return _made(found)


def apart(one: Path, other: Path) -> Apart:
    """Raises ArtifactError, DataError where a card tells what cannot be."""
    with opened(one) as first, opened(other) as second, bounded("a card that can be compared"):
        files = [_files(each) for each in (first, second)]
        differ = sorted(name for name in files[0] if files[0][name] != files[1][name])
        heads = [_digest(each.head) for each in (first, second)]
        same: Literal["files", "head", "no"] = "files" if not differ else "head" if heads[0] == heads[1] else "no"
        return Apart(
            same=same,
            differ=tuple(differ),
            weight=_distance(first.head.weight, second.head.weight),
            bias=_distance(first.head.bias, second.head.bias),
            scores=_scores(first.proof.scores, second.proof.scores),
            accuracy=abs(first.card.evaluation.accuracy - second.card.evaluation.accuracy),
        )


def _made(found: Artifact) -> Made:
    card = found.card
    return Made(
        files=_files(found),
        head=_digest(found.head),
        labels=len(card.labels),
        pictures=card.evaluation.pictures,
        accuracy=card.evaluation.accuracy,
        top5_accuracy=card.evaluation.top5_accuracy,
        engines={name: each.accuracy for name, each in card.engines.items()},
        best_epoch=card.best_epoch,
        device=str(card.provenance.get("device", ""))[:100],
    )


def _files(found: Artifact) -> dict[str, str]:
    return {name: sha256_of(found.folder / name) for name in (CARD, *FILES)}


def _digest(head: Head) -> str:
    """Of both tensors, shapes included."""
    digest = hashlib.sha256()
    for tensor in (head.weight, head.bias):
        digest.update(f"{tensor.shape}{tensor.dtype}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _scores(one: Mapping[str, Scores], other: Mapping[str, Scores]) -> dict[str, float]:
    """Of the engines that both have on record, over pictures in their order."""
    found = {name: _distance(one[name], other[name]) for name in sorted(one.keys() & other.keys())}
    return {name: each for name, each in found.items() if each is not None}


def _distance(one: Any, other: Any) -> float | None:
    """None where the shapes differ, or a value is no number."""
    if one.shape != other.shape:
        return None
    found = float(np.abs(one.astype(np.float64) - other).max(initial=0.0))
    return found if np.isfinite(found) else None
