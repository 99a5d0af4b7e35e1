"""The card, model.json: what an artifact says of itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kennel.pictures.decode import CROP, PREPROCESSING, SIDE
from kennel.weights import Stride

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
