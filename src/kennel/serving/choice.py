"""Which engine answers: the artifact's default where it proves itself, float32 where it does not."""

from __future__ import annotations

import logging

from kennel import artifact
from kennel.artifact import Artifact
from kennel.engines import Classifier, Engine, has_gpu
from kennel.engines.openvino import float32_engine, int8_engine
from kennel.errors import ArtifactError, SettingError

log = logging.getLogger(__name__)

ENGINES = ("auto", "int8", "float32", "torch")


def proven(found: Artifact, wanted: str = "auto", threads: int = 1) -> Classifier:
    """A classifier whose answers on the proof pictures are those on record. Raises ArtifactError when none is.

    wanted: one of ENGINES. "auto" takes torch on a GPU, else the card's default; int8 that fails its proof gives way
    to float32, and says so.
    """
    if wanted not in ENGINES:
        raise SettingError(f"unknown engine {wanted!r}", f"Known are {', '.join(ENGINES)}")
    name = wanted if wanted != "auto" else "torch" if has_gpu() else found.card.default_engine
    classifier = Classifier(_engine(found, name, threads), found.head)
    try:
        distance = artifact.prove(classifier, found.proof)
    except ArtifactError as error:
        if wanted != "auto" or name != "int8":
            raise
        log.warning("%s; serving float32 instead", error.message)
        return proven(found, "float32", threads)
    log.info("engine %s proven: the largest distance of a score is %.4f", classifier.engine.name, distance)
    return classifier


def _engine(found: Artifact, name: str, threads: int) -> Engine:
    if name == "int8":
        return int8_engine(found.int8, threads, streams=1)
    if name == "float32":
        return float32_engine(found.weights(), threads, streams=1)
    from kennel.engines.torch import TorchEngine

    return TorchEngine(found.weights(), "cuda" if has_gpu() else "cpu")
