"""What is recorded of a training: DebugHookConfig's collections, made for the four rules and no more.

| collection | for | how often |
|---|---|---|
| losses | Overfit, Overtraining, PoorWeightInitialization | 20 times an epoch, every validation batch |
| gradients | VanishingGradient | 4 times an epoch, as mean absolute value and variance, not in full |
| weights | the report's heat map, beside the gradients | as gradients |
| first_steps | PoorWeightInitialization | the first 10 training steps, in full: percentiles need all values |

Intervals follow from the steps of an epoch, so a small training is recorded as closely as it needs, and a large one
not more. benchmarks/bench_debugger.py has what it costs.
"""

from __future__ import annotations

from typing import Any

LOSSES_PER_EPOCH, GRADIENTS_PER_EPOCH, FIRST_STEPS = 20, 4, 10
FIRST = "first_steps"
ACTIVATION_INPUTS = r".*relu_input|^Linear_output_0$"
"""What goes into ReLUs; for a head alone, whose one activation is the loss's softmax, its logits.

Names are those that smdebug gives to modules: `network.layer4.0.relu_input_0`; a module that is the whole network is
named after its class.
"""
LOSS = "CrossEntropyLoss"
"""Makes `CrossEntropyLoss_output_0`, which smdebug's collection `losses` takes by its name."""
FIGURES = "abs_mean,variance"
NEVER = "1000000000"
"""An interval that no training reaches: step 0 is a multiple of any, so a phase is left out by start_step."""


def collections(steps_per_epoch: int) -> list[dict[str, Any]]:
    """CollectionConfigurations for a training of so many steps an epoch."""
    losses, figures = (max(1, steps_per_epoch // each) for each in (LOSSES_PER_EPOCH, GRADIENTS_PER_EPOCH))
    seldom = {"train.save_interval": str(figures), "reductions": FIGURES, **_not_in_validation()}
    first = {
        "include_regex": f"{ACTIVATION_INPUTS}|^gradient/|^{LOSS}_output",
        "train.save_interval": "1",
        "train.end_step": str(FIRST_STEPS),
        **_not_in_validation(),
    }
    return [
        _collection("losses", {"train.save_interval": str(losses), "eval.save_interval": "1"}),
        _collection("gradients", seldom),
        _collection("weights", seldom),
        _collection(FIRST, first),
    ]


def everything() -> list[dict[str, Any]]:
    """Every tensor at every step: what recording costs at most."""
    return [_collection("everything", {"include_regex": ".*", "save_interval": "1"})]


def _not_in_validation() -> dict[str, str]:
    return {"eval.save_interval": NEVER, "eval.start_step": NEVER}


def _collection(name: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {"CollectionName": name, "CollectionParameters": parameters}
