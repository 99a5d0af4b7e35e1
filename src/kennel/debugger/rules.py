"""Debugger's four rules about tensors, as pure functions of what was recorded.

The definitions and defaults are those of the SageMaker developer guide, "List of Debugger built-in rules"; AWS's own
code is closed. Where the guide leaves room, we read it so:

* An *evaluation* is one pass over the validation pictures: its mean loss, against the mean of the training losses that
  were recorded since the pass before. The patience of Overfit and Overtraining counts evaluations, and `start_step`
  training steps.
* Overtraining fires when neither loss improves any more. While the training loss does, that is Overfit's matter.
* PoorWeightInitialization looks at the first `steps` training steps that were recorded, and fires for any one of its
  three reasons.

A loss, or a figure of a tensor, that is no number never makes a rule fire by itself, with one exception: a loss that is
no number has not decreased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from kennel.debugger.parameters import Parameters, compiled
from kennel.debugger.recorded import Loss, Recorded, Statistics, Tensors
from kennel.debugger.verdict import Evidence, Status, Verdict
from kennel.errors import SettingError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

REMEDIES = {
    "VanishingGradient": (
        "Use activations that do not saturate (ReLU) and weights initialised for them, or normalisation or shortcuts "
        "between layers"
    ),
    "Overfit": "Raise weight_decay, take more views or pictures, or train for fewer epochs",
    "Overtraining": "Train for fewer epochs: the artifact keeps the best one, the rest is paid for nothing",
    "PoorWeightInitialization": (
        "Initialise with zero mean and a variance by layer width (He, Xavier), or lower learning_rate"
    ),
}


class VanishingGradientParameters(Parameters):
    threshold: Positive = 1e-7


class OverfitParameters(Parameters):
    start_step: Annotated[int, Field(ge=0)] = 0
    patience: Count = 1
    ratio_threshold: Positive = 0.1
    tensor_regex: str = ".*"


class OvertrainingParameters(Parameters):
    patience_train: Count = 5
    patience_validation: Count = 10
    delta: Positive = 0.01


class PoorWeightInitializationParameters(Parameters):
    activation_inputs_regex: str = ".*relu_input"
    threshold: Positive = 10.0
    distribution_range: Positive = 0.001
    patience: Count = 5
    steps: Count = 10


def evaluate(rule: str, given: Mapping[str, str], recorded: Recorded) -> Verdict:
    """What the rule concludes so far. given: RuleParameters.

    A parameter that cannot be taken, or nothing recorded at all by the end, is a verdict too: Error.
    """
    try:
        return JUDGES[rule](PARAMETERS[rule].parse(given), recorded)
    except SettingError as error:
        return Verdict(rule, "Error", str(error))


def parameters_of(rule: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Defaults, and what RuleParameters says instead. Raises SettingError in one line."""
    return PARAMETERS[rule].parse(given).model_dump()


def vanishing_gradient(parameters: VanishingGradientParameters, recorded: Recorded) -> Verdict:
    """Fires where the mean absolute value of a gradient is below `threshold`, at the first such step."""
    rule, threshold = "VanishingGradient", parameters.threshold
    seen = [pair for pair in _by_step(recorded.gradients) if math.isfinite(pair[1].mean_abs)]
    if not seen:
        return _nothing(rule, "gradient", recorded.over)
    gone = next((pair for pair in seen if pair[1].mean_abs < threshold), None)
    name, least = gone or min(seen, key=lambda pair: pair[1].mean_abs)
    evidence = Evidence(name, least.mean_abs, threshold, least.own)
    if gone:
        words = f"at step {least.own} the mean absolute gradient of {name} is {least.mean_abs:.2g}"
        return _fired(rule, f"{words}, below {threshold:g}", evidence)
    words = f"the smallest mean absolute gradient is {least.mean_abs:.2g} ({name}, step {least.own})"
    return _not_fired(rule, f"{words}; it vanishes below {threshold:g}", evidence, recorded.over)


def overfit(parameters: OverfitParameters, recorded: Recorded) -> Verdict:
    """Fires when (validation loss − training loss) / training loss is above `ratio_threshold` for `patience`
    evaluations in a row."""
    rule, most = "Overfit", parameters.ratio_threshold
    points = [each for each in evaluations(recorded) if each.own >= parameters.start_step]
    if not points:
        return _nothing(rule, "pair of training and validation losses", recorded.over)
    row = 0
    for each in points:
        row = row + 1 if each.ratio > most else 0
        if row >= parameters.patience:
            words = (
                f"after step {each.own} the validation loss ({each.valid:.4g}) is {each.ratio:.0%} above the mean "
                f"training loss since the evaluation before ({each.train:.4g})"
            )
            times = f", {row} evaluations in a row" if row > 1 else ""
            evidence = Evidence("loss", each.ratio, most, each.own)
            return _fired(rule, f"{words}{times}; the limit is {most:.3g}", evidence)
    worst = max(points, key=lambda each: each.ratio)
    above = f"at most {worst.ratio:.0%} above" if worst.ratio > 0 else "never above"
    words = f"the validation loss is {above} the mean training loss (after step {worst.own})"
    return _not_fired(
        rule, f"{words}; the limit is {most:.0%}", Evidence("loss", worst.ratio, most, worst.own), recorded.over
    )


def overtraining(parameters: OvertrainingParameters, recorded: Recorded) -> Verdict:
    """Fires when the training loss has not improved by more than `delta` for `patience_train` evaluations, nor the
    validation loss for `patience_validation`."""
    rule, patience = "Overtraining", parameters.patience_validation
    points = evaluations(recorded)
    if not points:
        return _nothing(rule, "pair of training and validation losses", recorded.over)
    train = waits([each.train for each in points], parameters.delta)
    valid = waits([each.valid for each in points], parameters.delta)
    for each, waited_train, waited_valid in zip(points, train, valid, strict=True):
        if waited_train >= parameters.patience_train and waited_valid >= patience:
            words = (
                f"by step {each.own} the validation loss has not improved by more than {parameters.delta:g} for "
                f"{waited_valid} evaluations, nor the mean training loss for {waited_train}"
            )
            return _fired(rule, words, Evidence("validation loss", waited_valid, patience, each.own))
    longest = max(range(len(points)), key=lambda number: valid[number])
    waited = f"the validation loss went {valid[longest]} evaluations at most"
    words = f"{waited} without an improvement of more than {parameters.delta:g}"
    evidence = Evidence("validation loss", valid[longest], patience, points[longest].own)
    return _not_fired(rule, f"{words}; the limit is {patience}", evidence, recorded.over)


def poor_weight_initialization(parameters: PoorWeightInitializationParameters, recorded: Recorded) -> Verdict:
    """Fires in the first `steps` recorded steps where the variances of activation inputs differ by more than the factor
    `threshold` between layers, where the 5th and the 95th percentile of a gradient are closer than
    `distribution_range`, or when the loss finds no new minimum for `patience` steps."""
    rule = "PoorWeightInitialization"
    losses = [each for each in recorded.losses if each.phase == "train"]
    own = {each.own for each in losses} | {each.own for _, each in _by_step(recorded.gradients)}
    first = sorted(own)[: parameters.steps]
    if not first:
        return _nothing(rule, "loss or gradient", recorded.over)
    found = [*_variances(parameters, recorded, first), *_ranges(parameters, recorded, first)]
    found += _flat(parameters, [each for each in losses if each.own in first])
    if not found:
        return _nothing(rule, "loss, gradient or activation input", recorded.over)
    if fired := [each for each in found if each.fired]:
        return min(fired, key=lambda each: _step(each.evidence))
    words = f"nothing is wrong with the first {len(first)} recorded steps"
    near = next((each.evidence for each in found), None)
    return _not_fired(rule, "; ".join([words, *(each.words for each in found)]), near, recorded.over)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One pass over the validation pictures. own: training steps done before; train, valid: mean losses."""

    own: int
    train: float
    valid: float

    @property
    def ratio(self) -> float:
        """(valid − train) / train."""
        if self.train == 0:
            return math.inf if self.valid > 0 else 0.0
        return (self.valid - self.train) / self.train


def evaluations(recorded: Recorded) -> list[Evaluation]:
    """All that are complete and numbers, in order. The last is complete once training goes on after it, or is over."""
    found, train, valid, own = [], list[float](), list[float](), 0
    for each in (*recorded.losses, None):
        if valid and (each.phase == "train" if each else recorded.over):
            if train:
                found.append(Evaluation(own, sum(train) / len(train), sum(valid) / len(valid)))
            train, valid = [], []
        if each is not None and each.phase == "valid":
            valid.append(each.value)
        elif each is not None:
            train.append(each.value)
            own = each.own
    return [each for each in found if math.isfinite(each.train + each.valid)]


def waits(losses: Sequence[float], delta: float) -> list[int]:
    """For each loss, how many came since the last that was better than the best before it by more than `delta`."""
    best, waited, found = math.inf, 0, []
    for loss in losses:
        better = best == math.inf or best - loss > delta
        best, waited = (loss, 0) if better else (best, waited + 1)
        found.append(waited)
    return found


def _variances(
    parameters: PoorWeightInitializationParameters, recorded: Recorded, first: Sequence[int]
) -> Iterator[Verdict]:
    """The step with the largest ratio, or the first that is too large. A layer of no variance at all has no ratio."""
    wanted = compiled(parameters.activation_inputs_regex)
    layers = {name: each for name, each in recorded.activations.items() if wanted.match(name)}
    ratios = []
    for own in first:
        at_step = [
            (each.variance, name)
            for name, series in layers.items()
            for each in series
            if each.own == own and each.variance > 0 and math.isfinite(each.variance)
        ]
        if len(at_step) > 1:
            (least, low), (most, high) = min(at_step), max(at_step)
            ratios.append(Evidence(f"{high} : {low}", most / least, parameters.threshold, own))
    if not ratios:
        return
    decisive = next((each for each in ratios if each.value > parameters.threshold), max(ratios, key=_value))
    layer_words = f"the variances of activation inputs differ by the factor {decisive.value:.3g} ({decisive.subject})"
    yield _found(decisive, decisive.value > parameters.threshold, f"{layer_words} at step {decisive.step}")


def _ranges(
    parameters: PoorWeightInitializationParameters, recorded: Recorded, first: Sequence[int]
) -> Iterator[Verdict]:
    spread = [
        Evidence(name, each.p95 - each.p5, parameters.distribution_range, each.own)
        for name, each in _by_step(recorded.gradients)
        if each.own in first and math.isfinite(each.p95 - each.p5)
    ]
    if not spread:
        return
    narrow = [each for each in spread if each.value < parameters.distribution_range]
    decisive = narrow[0] if narrow else min(spread, key=_value)
    words = f"the middle 90 % of {decisive.subject} span {decisive.value:.2g} at step {decisive.step}"
    yield _found(decisive, bool(narrow), words)


def _flat(parameters: PoorWeightInitializationParameters, losses: Sequence[Loss]) -> list[Verdict]:
    best, waited, longest = math.inf, 0, 0
    for each in losses:
        best, waited = (each.value, 0) if each.value < best else (best, waited + 1)
        longest = max(longest, waited)
        if waited >= parameters.patience:
            words = f"the loss has not fallen for {waited} recorded steps by step {each.own}"
            return [_found(Evidence("loss", waited, parameters.patience, each.own), True, words)]
    if not losses:
        return []
    words = f"the loss went {longest} recorded steps at most without falling"
    return [_found(Evidence("loss", longest, parameters.patience, losses[-1].own), False, words)]


def _found(evidence: Evidence, fired: bool, words: str) -> Verdict:
    """One of the three reasons of PoorWeightInitialization."""
    rule = "PoorWeightInitialization"
    return _fired(rule, words, evidence) if fired else Verdict(rule, "NoIssuesFound", words, evidence)


def _fired(rule: str, words: str, evidence: Evidence) -> Verdict:
    return Verdict(rule, "IssuesFound", _sentence(words), evidence, REMEDIES[rule])


def _not_fired(rule: str, words: str, evidence: Evidence | None, over: bool) -> Verdict:
    return Verdict(rule, _so_far(over), _sentence(words), evidence)


def _nothing(rule: str, what: str, over: bool) -> Verdict:
    """No data that a verdict could come from."""
    if not over:
        return Verdict(rule, "InProgress", f"No {what} has been recorded yet.")
    remedy = "Record it: see DebugHookConfig's collections"
    return Verdict(rule, "Error", f"No {what} that is a number was recorded.", remedy=remedy)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _so_far(over: bool) -> Status:
    return "NoIssuesFound" if over else "InProgress"


def _by_step(tensors: Tensors) -> list[tuple[str, Statistics]]:
    """(name, figures) of all tensors, by step, then name."""
    pairs = [(name, each) for name, series in tensors.items() for each in series]
    return sorted(pairs, key=lambda pair: (pair[1].step, pair[0]))


def _value(evidence: Evidence) -> float:
    return evidence.value


def _step(evidence: Evidence | None) -> int:
    return evidence.step if evidence and evidence.step is not None else 0


PARAMETERS: dict[str, type[Parameters]] = {
    "VanishingGradient": VanishingGradientParameters,
    "Overfit": OverfitParameters,
    "Overtraining": OvertrainingParameters,
    "PoorWeightInitialization": PoorWeightInitializationParameters,
}
"""SageMaker's names of the rules, and what each can be told."""
JUDGES: dict[str, Callable[[Any, Recorded], Verdict]] = {
    "VanishingGradient": vanishing_gradient,
    "Overfit": overfit,
    "Overtraining": overtraining,
    "PoorWeightInitialization": poor_weight_initialization,
}
