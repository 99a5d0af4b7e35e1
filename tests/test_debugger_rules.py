"""Debugger's four tensor rules against values worked out by hand: at each threshold, one step before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from kennel.debugger.recorded import Loss, Phase, Recorded, Statistics
from kennel.debugger.rules import PARAMETERS, evaluate, evaluations, waits
from kennel.debugger.verdict import Verdict

NAN, INF = math.nan, math.inf


def figures(own: int, **known: Any) -> Statistics:
    given: dict[str, Any] = {"mean_abs": 1.0, "variance": 1.0, "p5": -1.0, "p95": 1.0, "finite": True, **known}
    return Statistics(step=own, own=own, **given)


def gradients(*means: float, over: bool = True) -> Recorded:
    return Recorded(
        gradients={"gradient/w": tuple(figures(n, mean_abs=mean) for n, mean in enumerate(means))}, over=over
    )


def losses(*pairs: tuple[Sequence[float], Sequence[float]], over: bool = True) -> Recorded:
    """Pairs of (training losses, validation losses), an epoch each."""
    found: list[Loss] = []
    counts: dict[Phase, int] = {"train": 0, "valid": 0}
    for epoch in pairs:
        phases: tuple[Phase, Phase] = ("train", "valid")
        for phase, values in zip(phases, epoch, strict=True):
            for value in values:
                found.append(Loss(len(found), counts[phase], phase, value))
                counts[phase] += 1
    return Recorded(tuple(found), over=over)


def epochs(train: Sequence[float], valid: Sequence[float], over: bool = True) -> Recorded:
    return losses(*(((t,), (v,)) for t, v in zip(train, valid, strict=True)), over=over)


def judged(rule: str, recorded: Recorded, **given: object) -> Verdict:
    return evaluate(rule, {name: str(value) for name, value in given.items()}, recorded)


# VanishingGradient: the mean absolute gradient below 1e-7


@pytest.mark.parametrize(
    ("mean", "fires"), [(1.1e-7, False), (1e-7, False), (0.99e-7, True), (0.0, True), (NAN, False), (INF, False)]
)
def test_a_gradient_vanishes_below_the_threshold_not_at_it(mean: float, fires: bool) -> None:
    assert judged("VanishingGradient", gradients(1.0, mean)).fired is fires


def test_the_first_step_and_the_tensor_that_vanished_are_named() -> None:
    recorded = Recorded(
        gradients={
            "gradient/deep": (figures(0, mean_abs=1e-3), figures(4, mean_abs=1e-9), figures(8, mean_abs=1e-9)),
            "gradient/top": (figures(0, mean_abs=1e-3), figures(8, mean_abs=1e-12)),
        }
    )
    verdict = judged("VanishingGradient", recorded)
    assert verdict.evidence is not None
    assert (verdict.evidence.subject, verdict.evidence.step, verdict.evidence.value) == ("gradient/deep", 4, 1e-9)
    assert verdict.remedy


def test_the_threshold_is_a_parameter() -> None:
    assert judged("VanishingGradient", gradients(0.01), threshold=0.02).fired
    assert not judged("VanishingGradient", gradients(0.01), threshold=0.01).fired


def test_a_healthy_gradient_still_tells_how_near_it_came() -> None:
    verdict = judged("VanishingGradient", gradients(1.0, 2e-6, 1.0))
    assert verdict.evidence is not None
    assert (verdict.status, verdict.evidence.step, verdict.evidence.value) == ("NoIssuesFound", 1, 2e-6)


# Overfit: (validation − training) / training above 0.1 for `patience` evaluations in a row


@pytest.mark.parametrize(("valid", "fires"), [(1.1, False), (1.125, True), (1.0, False), (0.5, False)])
def test_overfit_is_above_the_ratio_not_at_it(valid: float, fires: bool) -> None:
    assert judged("Overfit", epochs([1.0], [valid]), ratio_threshold=0.1 + 1e-9).fired is fires


def test_overfit_compares_the_means_of_all_batches_since_the_last_evaluation() -> None:
    verdict = judged("Overfit", losses(((9.0, 9.0), (1.0,)), ((0.5, 1.5), (1.0, 1.5))))
    assert verdict.fired
    assert verdict.evidence is not None
    assert verdict.evidence.value == pytest.approx(0.25)  # (1.25 − 1.0) / 1.0
    assert verdict.evidence.step == 3


@pytest.mark.parametrize(("patience", "fires"), [(2, True), (3, False)])
def test_overfit_waits_for_its_patience_in_a_row(patience: int, fires: bool) -> None:
    recorded = epochs([1, 1, 1, 1, 1], [2, 1, 2, 2, 1])
    verdict = judged("Overfit", recorded, patience=patience)
    assert verdict.fired is fires
    if fires:
        assert verdict.evidence is not None
        assert verdict.evidence.step == 3


@pytest.mark.parametrize(("start", "fires"), [(1, True), (2, False)])
def test_overfit_looks_from_the_start_step_on(start: int, fires: bool) -> None:
    assert judged("Overfit", epochs([1, 1, 1], [9, 9, 1]), start_step=start).fired is fires


def test_a_training_loss_of_zero_is_overfit_where_the_validation_loss_is_not() -> None:
    assert judged("Overfit", epochs([0.0], [0.1])).fired
    assert not judged("Overfit", epochs([0.0], [0.0])).fired


def test_an_evaluation_under_way_is_not_judged_yet() -> None:
    assert judged("Overfit", epochs([1.0], [9.0], over=False)).status == "InProgress"
    goes_on = losses(((1.0,), (9.0,)), ((1.0,), ()), over=False)
    assert judged("Overfit", goes_on).fired


def test_an_evaluation_without_a_training_loss_before_it_is_none() -> None:
    assert evaluations(losses(((), (9.0,)), ((1.0,), (1.0,)))) == evaluations(losses(((1.0,), (1.0,))))


# Overtraining: no improvement by more than 0.01 for 5 evaluations in training and 10 in validation


@pytest.mark.parametrize(("evaluations_after_the_best", "fires"), [(9, False), (10, True), (11, True)])
def test_overtraining_waits_ten_evaluations_for_the_validation_loss(
    evaluations_after_the_best: int, fires: bool
) -> None:
    flat = [0.5] * (1 + evaluations_after_the_best)
    verdict = judged("Overtraining", epochs(flat, flat))
    assert verdict.fired is fires
    if fires:
        assert verdict.evidence is not None
        assert (verdict.evidence.step, verdict.evidence.value) == (10, 10)


@pytest.mark.parametrize(("train_waits", "fires"), [(4, False), (5, True)])
def test_overtraining_waits_five_evaluations_for_the_training_loss(train_waits: int, fires: bool) -> None:
    falling = [2.0 - 0.1 * number for number in range(11 - train_waits)]
    train = falling + [falling[-1]] * train_waits
    assert judged("Overtraining", epochs(train, [0.5] * 11)).fired is fires


@pytest.mark.parametrize(("gain", "waited"), [(0.5, 1), (0.51, 0), (0.49, 1), (-1.0, 1)])
def test_an_improvement_has_to_be_larger_than_delta(gain: float, waited: int) -> None:
    assert waits([4.0, 4.0 - gain], 0.5) == [0, waited]


def test_small_improvements_add_up_against_the_best() -> None:
    assert waits([4.0, 3.75, 3.375], 0.5) == [0, 1, 0]


def test_while_the_training_loss_still_falls_it_is_not_overtraining() -> None:
    train = [4.0 - 0.1 * number for number in range(15)]
    assert not judged("Overtraining", epochs(train, [0.5] * 15)).fired


# PoorWeightInitialization: variances of activation inputs, range of gradients, a loss that stays


def initial(variances: tuple[float, ...] = (1.0, 1.0), spread: float = 1.0, own: int = 0) -> Recorded:
    return Recorded(
        tuple(Loss(n, n, "train", 5.0 - n) for n in range(own + 1)),
        gradients={"gradient/w": (figures(own, p5=0.0, p95=spread),)},
        activations={f"{n}.relu_input_0": (figures(own, variance=each),) for n, each in enumerate(variances)},
        over=True,
    )


@pytest.mark.parametrize(
    ("variances", "fires"),
    [((1.0, 10.0), False), ((1.0, 10.1), True), ((10.1, 1.0), True), ((1.0, 3.0, 10.1), True), ((5.0,), False),
     ((0.0, 1.0), False), ((NAN, 1.0), False), ((INF, 1.0), False), ((), False)],
)  # fmt: skip
def test_variances_may_differ_by_the_threshold_and_no_more(variances: tuple[float, ...], fires: bool) -> None:
    assert judged("PoorWeightInitialization", initial(variances)).fired is fires


@pytest.mark.parametrize(("spread", "fires"), [(0.001, False), (0.00099, True), (0.0, True), (NAN, False)])
def test_a_gradients_percentiles_may_not_be_closer_than_the_range(spread: float, fires: bool) -> None:
    assert judged("PoorWeightInitialization", initial(spread=spread)).fired is fires


@pytest.mark.parametrize(
    ("values", "fires", "step"),
    [([5, 5, 5, 5, 5, 4], False, None), ([5, 5, 5, 5, 5, 5], True, 5), ([5, 6, 7, 8, 9, 4], False, None),
     ([5, 4, 4, 4, 4, 4, 4], True, 6), ([5, NAN, NAN, NAN, NAN, NAN], True, 5), ([5, 5, 5, 5], False, None)],
)  # fmt: skip
def test_the_loss_has_to_find_a_new_minimum_within_the_patience(
    values: list[float], fires: bool, step: int | None
) -> None:
    recorded = Recorded(tuple(Loss(n, n, "train", value) for n, value in enumerate(values)), over=True)
    verdict = judged("PoorWeightInitialization", recorded)
    assert verdict.fired is fires
    if fires:
        assert verdict.evidence is not None
        assert verdict.evidence.step == step


@pytest.mark.parametrize(("own", "fires"), [(9, True), (10, False)])
def test_only_the_first_steps_are_looked_at(own: int, fires: bool) -> None:
    assert judged("PoorWeightInitialization", initial(spread=0.0, own=own)).fired is fires


def test_the_regex_says_which_layers_are_compared() -> None:
    recorded = initial((1.0, 100.0))
    assert not judged("PoorWeightInitialization", recorded, activation_inputs_regex="0.relu_input_0").fired


def test_of_several_reasons_the_earliest_is_told() -> None:
    recorded = Recorded(
        tuple(Loss(n, n, "train", 5.0) for n in range(8)),
        gradients={"gradient/w": (figures(2, p5=0.0, p95=0.0),)},
        over=True,
    )
    verdict = judged("PoorWeightInitialization", recorded)
    assert verdict.evidence is not None
    assert (verdict.evidence.subject, verdict.evidence.step) == ("gradient/w", 2)


# What all rules have in common


@pytest.mark.parametrize("rule", PARAMETERS)
def test_nothing_recorded_is_in_progress_and_then_an_error(rule: str) -> None:
    assert judged(rule, Recorded()).status == "InProgress"
    ended = judged(rule, Recorded(over=True))
    assert ended.status == "Error"
    assert "was recorded" in ended.words
    assert ended.remedy


@pytest.mark.parametrize("rule", PARAMETERS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_values_that_are_no_numbers_lead_to_a_verdict(rule: str, value: float) -> None:
    nothing = figures(0, mean_abs=NAN, variance=NAN, p5=NAN, p95=NAN, finite=False)
    recorded = Recorded(
        losses(((value, value), (value,)), ((1.0,), (value,))).losses,
        gradients={"gradient/w": (nothing,)},
        activations={"relu_input": (nothing,)},
        over=True,
    )
    assert judged(rule, recorded).status in ("NoIssuesFound", "Error")


@pytest.mark.parametrize("rule", PARAMETERS)
@pytest.mark.parametrize(
    ("given", "told"),
    [({"nonsense": "1"}, "has no parameter 'nonsense'"), ({"base_trial": "x"}, ""), ({"scan_interval_us": "1"}, "")],
)
def test_parameters_are_the_published_ones(rule: str, given: dict[str, str], told: str) -> None:
    verdict = evaluate(rule, {"rule_to_invoke": rule, **given}, gradients(1.0, over=False))
    assert (verdict.status == "Error") is bool(told)
    assert told in verdict.words


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [("VanishingGradient", "threshold", "-1"), ("Overfit", "patience", "0"), ("Overfit", "ratio_threshold", "nan"),
     ("Overtraining", "delta", "a lot"), ("PoorWeightInitialization", "steps", "2.5")],
)  # fmt: skip
def test_a_value_that_cannot_be_taken_is_told_in_one_line(rule: str, name: str, value: str) -> None:
    verdict = judged(rule, Recorded(), **{name: value})
    assert verdict.status == "Error"
    assert verdict.words.startswith(f"{rule}: {name} = ")
    assert "\n" not in verdict.words


def test_a_regex_that_is_none_is_told() -> None:
    verdict = judged("PoorWeightInitialization", initial(), activation_inputs_regex="(")
    assert (verdict.status, "no regular expression" in verdict.words) == ("Error", True)


def test_the_defaults_are_the_published_ones() -> None:
    defaults = {rule: kind().model_dump() for rule, kind in PARAMETERS.items()}
    assert defaults["VanishingGradient"] == {"threshold": 1e-7}
    assert defaults["Overtraining"] == {"patience_train": 5, "patience_validation": 10, "delta": 0.01}
    overfit = {"start_step": 0, "patience": 1, "ratio_threshold": 0.1, "tensor_regex": ".*"}
    assert defaults["Overfit"] == overfit
    assert defaults["PoorWeightInitialization"] == {
        "activation_inputs_regex": ".*relu_input",
        "threshold": 10.0,
        "distribution_range": 0.001,
        "patience": 5,
        "steps": 10,
    }
