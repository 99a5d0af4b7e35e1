"""What is recorded of a training: DebugHookConfig's collections, made for the four rules and no more.

| collection | for | how often |
|---|---|---|
| losses | Overfit, Overtraining, PoorWeightInitialization | the first 10 steps, 3 times an epoch, all of validation |
| gradients | VanishingGradient | once an epoch, as mean absolute value and variance, not in full |
| weights | the report's heat map, beside the gradients | as gradients |
| first_gradients | PoorWeightInitialization | steps 0, 4 and 9, in full: percentiles need all values |
| activation_inputs | PoorWeightInitialization | the first 10 steps, as variance: in full they would be gigabytes |

A training loss that is saved is the mean of all since the last one that was, so few of them tell enough.

Intervals follow from the steps of an epoch, so a small training is recorded as closely as it needs, and a large one
not more. benchmarks/bench_debugger.py has what it costs.
"""

from __future__ import annotations

from typing import Any

LOSSES_PER_EPOCH, LOSSES_A_GRADIENT = 3, 3
"""A step that is saved at all costs most; what more is saved with it, little."""
FIRST_STEPS, FIRST_GRADIENTS = "0,1,2,3,4,5,6,7,8,9", "0,4,9"
ACTIVATION_INPUTS = r".*relu_input|^Linear_output_0$"
"""What goes into ReLUs; for a head alone, whose one activation is the loss's softmax, its logits.

Names are those that smdebug gives to modules: `network.layer4.0.relu_input_0`; a module that is the whole network is
named after its class.
"""
LOSS = "CrossEntropyLoss"
"""Makes `CrossEntropyLoss_output_0`, which smdebug's collection `losses` takes by its name."""
FIGURES = "abs_mean,variance"
NEVER = "1000000000"
"""A step that no training reaches, where a collection begins that takes certain steps only."""


def collections(steps_per_epoch: int) -> list[dict[str, Any]]:
    """CollectionConfigurations for a training of so many steps an epoch."""
    losses = max(1, steps_per_epoch // LOSSES_PER_EPOCH)
    seldom = {"train.save_interval": str(LOSSES_A_GRADIENT * losses), "eval.start_step": NEVER, "reductions": FIGURES}
    first = {"include_regex": "^gradient/", "train.save_steps": FIRST_GRADIENTS, "start_step": NEVER}
    inputs = {"include_regex": ACTIVATION_INPUTS, "train.save_steps": FIRST_STEPS, "start_step": NEVER}
    return [
        _collection(
            "losses",
            {"train.save_interval": str(losses), "train.save_steps": FIRST_STEPS, "eval.save_interval": "1"},
        ),
        _collection("gradients", seldom),
        _collection("weights", seldom),
        _collection("first_gradients", first),
        _collection("activation_inputs", inputs | {"reductions": FIGURES}),
    ]


def everything() -> list[dict[str, Any]]:
    """Every tensor at every step: what recording costs at most."""
    return [_collection("everything", {"include_regex": ".*", "save_interval": "1"})]


def _collection(name: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {"CollectionName": name, "CollectionParameters": parameters}
