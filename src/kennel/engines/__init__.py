"""Engines: what turns pictures into the backbone's features, behind one small interface.

The head is no engine's business: it is one matrix product in float32 (`Classifier`), the same for every engine.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Pictures = np.ndarray[Any, np.dtype[np.uint8]]
"""uint8 [n, 224, 224, 3], RGB, not normalised."""
Features = np.ndarray[Any, np.dtype[np.float32]]
"""float32 [n, 2048]."""
Scores = np.ndarray[Any, np.dtype[np.float32]]
"""float32 [n, labels], each row a softmax: it sums to 1."""


class Engine(Protocol):
    """A backbone that is ready to work. One caller at a time."""

    name: str
    """Short and stable: "float32", "int8", "torch-cuda"; it stands on cards and in health lines."""

    def features(self, pictures: Pictures) -> Features:
        """uint8 [n, 224, 224, 3] → float32 [n, 2048]; a picture's features do not depend on its neighbours."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last layer. weight: float32 [labels, 2048], bias: float32 [labels]."""

    weight: Features
    bias: np.ndarray[Any, np.dtype[np.float32]]

    def scores(self, features: Features) -> Scores:
        """float32 [n, 2048] → softmax scores [n, labels]."""
        logits = features @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores: Scores = powers / powers.sum(axis=1, keepdims=True)
        return scores


@dataclass(frozen=True, slots=True)
class Classifier:
    """An engine and a head: pictures → scores."""

    engine: Engine
    head: Head

    def scores(self, pictures: Pictures) -> Scores:
        """uint8 [n, 224, 224, 3] → float32 [n, labels]."""
        return self.head.scores(self.engine.features(pictures))


def has_gpu() -> bool:
    """Whether torch is installed and sees a GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
