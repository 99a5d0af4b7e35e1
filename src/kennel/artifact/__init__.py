"""The artifact: what training leaves and serving takes. It is data, and nothing in it can run.

A folder, or the same as model.tar.gz:

    model.json             the card: labels, preprocessing, hyperparameters, metrics, evaluation, provenance, digests
    network.safetensors    the whole network, float32, torchvision's names
    backbone-int8.xml/.bin the quantised backbone, OpenVINO's form
    proof.safetensors      a few test pictures with the scores each engine gave when the artifact was made

The card is written last and holds the sha256 of every other file: a folder without a card, or whose files differ, is
no artifact. Files that do not belong are refused (the model server would run a MANIFEST.json or code/ found there).
"""

from kennel.artifact.archive import opened, pack, unpack
from kennel.artifact.card import Card, EngineCard, EngineName, Evaluation, Preprocessing
from kennel.artifact.files import (
    CARD,
    FILES,
    INT8,
    INT8_DATA,
    NETWORK,
    PROOF,
    REMEDY,
    Artifact,
    Proof,
    find,
    load,
    make_room,
    prove,
    read_card,
    write,
)

__all__ = [
    "CARD",
    "FILES",
    "INT8",
    "INT8_DATA",
    "NETWORK",
    "PROOF",
    "REMEDY",
    "Artifact",
    "Card",
    "EngineCard",
    "EngineName",
    "Evaluation",
    "Preprocessing",
    "Proof",
    "find",
    "load",
    "make_room",
    "opened",
    "pack",
    "prove",
    "read_card",
    "unpack",
    "write",
]
