"""Trainings made sick on purpose, for real: recorded by smdebug's hook in our loop, read back, and judged.

One per tensor rule, and what the other rules say of it. A healthy one on photographs is in test_photographs.py, the
profiler's two are in test_profiler_*.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kennel.debugger.configuration import ACTIVATION_INPUTS, collections
from kennel.debugger.recorder import Recorder
from kennel.debugger.rules import PARAMETERS, evaluate
from kennel.debugger.trial import Reader
from kennel.debugger.verdict import Verdict
from kennel.hyperparameters import Hyperparameters
from kennel.training.checkpoint import Checkpoint
from kennel.training.features import SplitFeatures
from kennel.training.observer import Observer
from kennel.training.sources import FeatureSource, Slice
from kennel.training.trainer import fit
from kennel.training.world import World

LABELS = ("0", "1", "2", "3")
DIMENSIONS, WIDTH = 16, 32
Initialise = Callable[[torch.Tensor], object]
ALONE = World(0, 1, 0, 1, torch.device("cpu"))


@dataclass(frozen=True)
class Row:
    """All that a source asks of a picture whose features are there."""

    label: str


def split(rows: int, seed: int, learnable: bool = True) -> SplitFeatures:
    """Clouds around a centre for each label; not learnable: the labels are dealt out by chance."""
    random = np.random.default_rng(seed)
    numbers = np.arange(rows) % len(LABELS)
    centres = np.random.default_rng(1).normal(size=(len(LABELS), DIMENSIONS))
    features = 0.6 * centres[numbers] + random.normal(size=(rows, DIMENSIONS))
    given = numbers if learnable else random.permutation(numbers)
    return SplitFeatures(features.astype(np.float32)[:, None], tuple(Row(LABELS[each]) for each in given), ())  # type: ignore[misc]


class Deep(nn.Module):
    """Layers with an activation behind each, named as ResNet50 names its own."""

    def __init__(
        self, layers: int, activation: Callable[[], nn.Module], initialise: Callable[[torch.Tensor], object]
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH if number else DIMENSIONS, WIDTH) for number in range(layers))
        self.activations = nn.ModuleDict({f"{number}_relu": activation() for number in range(layers)})
        self.out = nn.Linear(WIDTH, len(LABELS))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            initialise(layer.weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        for layer, activation in zip(self.layers, self.activations.values(), strict=True):
            rows = activation(layer(rows))
        logits: torch.Tensor = self.out(rows)
        return logits


def he(weight: torch.Tensor) -> object:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def judged(module: nn.Module, rows: Sequence[SplitFeatures], folder: Path, **given: object) -> dict[str, Verdict]:
    """Train by our loop with the default recording, and judge by the published defaults."""
    hyperparameters = Hyperparameters.model_validate(given)
    source = FeatureSource(rows[0], rows[1], LABELS, hyperparameters.batch_size, 0, Slice())
    observer = Observer(Recorder({"CollectionConfigurations": collections(source.steps())}, folder / "tensors"))
    (folder / "checkpoints").mkdir()
    fit(module, source, hyperparameters, Checkpoint.within(folder / "checkpoints", "x"), ALONE, observer=observer)
    observer.close()
    recorded = Reader(folder / "tensors", ACTIVATION_INPUTS).read()
    assert recorded.over
    ours = {"PoorWeightInitialization": {"activation_inputs_regex": ACTIVATION_INPUTS}}
    return {rule: evaluate(rule, ours.get(rule, {}), recorded) for rule in PARAMETERS}


def fired(verdicts: dict[str, Verdict]) -> set[str]:
    assert {each.status for each in verdicts.values()} <= {"IssuesFound", "NoIssuesFound"}
    return {rule for rule, each in verdicts.items() if each.fired}


def at(verdict: Verdict) -> tuple[str, int | None]:
    assert verdict.evidence is not None
    return verdict.evidence.subject, verdict.evidence.step


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_gradients_that_vanish_behind_twelve_sigmoids(tmp_path: Path) -> None:
    sick = Deep(12, nn.Sigmoid, lambda weight: nn.init.uniform_(weight, -0.2, 0.2))
    found = judged(sick, (split(600, 2), split(400, 3)), tmp_path, epochs=3, batch_size=64)
    # the range of such gradients is one of PoorWeightInitialization's own three signs
    assert fired(found) == {"VanishingGradient", "PoorWeightInitialization"}
    tensor, step = at(found["VanishingGradient"])
    assert tensor.startswith("gradient/Deep_layers.0.")
    assert step == 0


def test_a_tiny_noisy_training_set_is_overfit(tmp_path: Path) -> None:
    rows = (split(24, 2, learnable=False), split(200, 3, learnable=False))
    found = judged(nn.Linear(DIMENSIONS, 4), rows, tmp_path, epochs=8, batch_size=8, learning_rate=0.03)
    assert fired(found) == {"Overfit"}
    assert at(found["Overfit"]) == ("loss", 5)  # after the second epoch of three steps


def test_far_too_many_epochs_are_overtraining(tmp_path: Path) -> None:
    rows = (split(8000, 2), split(8000, 3))
    found = judged(nn.Linear(DIMENSIONS, 4), rows, tmp_path, epochs=26, batch_size=128, learning_rate=0.01)
    assert fired(found) == {"Overtraining"}
    evidence = found["Overtraining"].evidence
    assert evidence is not None
    assert evidence.step is not None
    assert evidence.value >= 10  # whichever loss waits last
    assert 10 <= evidence.step // 63 < 25  # an epoch has 63 steps; ten wait for the validation loss


def test_hugely_scaled_initial_weights_are_poor(tmp_path: Path) -> None:
    sick = Deep(3, nn.ReLU, he)
    with torch.no_grad():
        next(sick.layers[1].parameters()).mul_(100)
    found = judged(sick, (split(600, 2), split(400, 3)), tmp_path, epochs=3, batch_size=64)
    assert "PoorWeightInitialization" in fired(found)
    layers, step = at(found["PoorWeightInitialization"])
    assert layers == "activations.2_relu_input_0 : activations.0_relu_input_0"  # behind the scaled layer
    assert step == 0


def test_all_equal_initial_weights_are_poor(tmp_path: Path) -> None:
    sick = Deep(3, nn.ReLU, lambda weight: nn.init.constant_(weight, 0.1))
    found = judged(sick, (split(600, 2), split(400, 3)), tmp_path, epochs=3, batch_size=64)
    assert "PoorWeightInitialization" in fired(found)
    assert at(found["PoorWeightInitialization"])[1] == 0


def test_of_a_healthy_deep_network_no_rule_fires(tmp_path: Path) -> None:
    found = judged(Deep(3, nn.ReLU, he), (split(2000, 2), split(400, 3)), tmp_path, epochs=2, batch_size=64)
    assert fired(found) == set()
