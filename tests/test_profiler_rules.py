"""The two profiler rules at their thresholds and patience, by values worked out by hand, on synthesised traces of a GPU
(there is none here), and what they say without one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from kennel.debugger.profile import Profile
from kennel.debugger.profiler_rules import DEFAULTS, evaluate, parameters_of
from kennel.debugger.verdict import Verdict
from kennel.errors import SettingError
from profiles import START, profile, series

OWN = {"patience": "10", "window": "10"}


def low(values: list[float], over: bool = True, **parameters: str) -> Verdict:
    return evaluate("LowGPUUtilization", {**OWN, **parameters}, profile({"gpu0": values}), over)


def cpu(busy: list[float], gpu: list[float], over: bool = True, **parameters: str) -> Verdict:
    return evaluate("CPUBottleneck", {"patience": "10", **parameters}, profile({"cpu0": busy, "gpu0": gpu}), over)


def test_the_defaults_are_the_published_ones() -> None:
    assert parameters_of("LowGPUUtilization", {}) == {
        "threshold_p95": 70, "threshold_p5": 10, "window": 500, "patience": 1000, "scan_interval_us": 60_000_000,
    }  # fmt: skip
    assert parameters_of("CPUBottleneck", {"rule_to_invoke": "CPUBottleneck"}) == DEFAULTS["CPUBottleneck"]
    assert DEFAULTS["CPUBottleneck"]["threshold"] == 50


@pytest.mark.parametrize(("count", "status"), [(1000, "NoIssuesFound"), (1001, "IssuesFound")])
def test_low_utilisation_is_judged_from_one_value_beyond_the_patience(count: int, status: str) -> None:
    verdict = evaluate("LowGPUUtilization", {}, profile({"gpu0": [0.0] * count}), True)
    assert (verdict.status, verdict.applies) == (status, count > 1000)
    if verdict.evidence:
        assert (verdict.evidence.subject, verdict.evidence.value, verdict.evidence.threshold) == ("gpu0", 0.0, 70.0)
        assert verdict.evidence.time == START + 0.5 * 1001
        assert verdict.remedy
    else:
        assert "1000" in verdict.words


@pytest.mark.parametrize(("high", "status"), [(69.9, "IssuesFound"), (70.0, "NoIssuesFound"), (70.1, "NoIssuesFound")])
def test_the_95th_percentile_decides(high: float, status: str) -> None:
    verdict = low([high] * 11)
    assert (verdict.status, verdict.applies) == (status, True)


def test_percentiles_are_interpolated_between_values() -> None:
    """Of 0, 10, …, 90, 100 the 95th percentile is 95 and the 5th 5: rank 0.95 × 10 = 9.5."""
    ramp = [10.0 * n for n in range(11)]
    verdict = low(ramp, window="11")
    assert verdict.evidence is not None
    assert verdict.evidence.value == pytest.approx(5.0)
    assert verdict.evidence.threshold == 10
    assert low(ramp, window="11", threshold_p5="5").status == "NoIssuesFound"
    verdict = low(ramp, window="11", threshold_p95="95.1")
    assert verdict.evidence is not None
    assert verdict.evidence.value == pytest.approx(95.0)


@pytest.mark.parametrize(("lowest", "status"), [(9.9, "IssuesFound"), (10.0, "NoIssuesFound")])
def test_a_gpu_that_works_by_fits_and_starts_is_found(lowest: float, status: str) -> None:
    """Two low values of 20: the 5th percentile is at rank 0.95, between them."""
    verdict = low([lowest] * 2 + [100.0] * 18, window="20")
    assert verdict.status == status
    assert ("fits and starts" in verdict.words) == (status == "IssuesFound")


def test_only_the_window_counts() -> None:
    assert low([0.0] * 30 + [90.0] * 10).status == "NoIssuesFound"
    assert low([0.0] * 30 + [90.0] * 10, window="40").status == "IssuesFound"


def test_the_rule_looks_once_a_minute_and_its_verdict_never_turns_back() -> None:
    """Low in the first 70 s: the look after 60 s (120 values and the first) finds it; later values change nothing."""
    values = [0.0] * 140 + [90.0] * 460
    states = [low(values[:count], over=False).status for count in (120, 121, 122, 140, 300, 600)]
    assert states == ["InProgress", "InProgress", *["IssuesFound"] * 4]
    verdict = low(values)
    assert verdict.evidence is not None
    assert verdict.evidence.time == START + 0.5 * 121
    assert low([90.0] * 130 + [0.0] * 40 + [90.0] * 130).status == "NoIssuesFound"  # between two looks
    assert low([90.0] * 130 + [0.0] * 40 + [90.0] * 130, scan_interval_us="1000000").status == "IssuesFound"


def test_one_idle_gpu_of_several_is_enough_and_named_with_its_node() -> None:
    given = (series("gpu0", [90.0] * 11), series("gpu0", [90.0] * 11, "algo-2"), series("gpu1", [1.0] * 11, "algo-2"))
    verdict = evaluate("LowGPUUtilization", OWN, Profile(given), True)
    assert verdict.evidence is not None
    assert verdict.evidence.subject == "algo-2 gpu1"


@pytest.mark.parametrize(
    ("bottlenecks", "count", "status"),
    [
        (500, 1000, "NoIssuesFound"),
        (1000, 1000, "NoIssuesFound"),
        (500, 1001, "NoIssuesFound"),
        (501, 1001, "IssuesFound"),
    ],
)
def test_cpu_bottleneck_is_judged_beyond_patience_and_threshold(bottlenecks: int, count: int, status: str) -> None:
    """500 of 1001 are 49.95 %, 501 are 50.05 %. The busy half comes last, so that only the end decides."""
    busy, idle = [95.0] * bottlenecks, [20.0] * (count - bottlenecks)
    found = evaluate(
        "CPUBottleneck", {}, profile({"cpu0": idle + busy, "gpu0": [90.0] * len(idle) + [5.0] * len(busy)}), True
    )
    assert found.status == status
    if found.evidence:
        assert (found.evidence.subject, found.evidence.threshold) == ("cpu0", 50)
        assert found.evidence.value == pytest.approx(100 * 501 / 1001)


@pytest.mark.parametrize(
    ("core", "gpu", "status"),
    [(90.1, 9.9, "IssuesFound"), (90.0, 9.9, "NoIssuesFound"), (90.1, 10.0, "NoIssuesFound")],
)
def test_busy_is_above_90_and_starved_below_10(core: float, gpu: float, status: str) -> None:
    assert cpu([core] * 11, [gpu] * 11).status == status


def test_both_must_hold_in_the_same_sample() -> None:
    alternating = [95.0, 20.0] * 10
    assert cpu(alternating, [50.0, 5.0] * 10).status == "NoIssuesFound"
    assert cpu(alternating, [5.0, 50.0] * 10, threshold="49").status == "IssuesFound"


def test_one_busy_core_of_many_is_a_bottleneck() -> None:
    given = {f"cpu{number}": [99.0 if number == 7 else 3.0] * 20 for number in range(32)}
    verdict = evaluate("CPUBottleneck", {"patience": "10"}, profile({**given, "gpu0": [2.0] * 20}), True)
    assert verdict.evidence is not None
    assert verdict.evidence.subject == "cpu7"
    assert "cpu7 most often" in verdict.words


def test_a_busy_host_does_not_starve_the_gpu_of_another() -> None:
    given = (
        series("cpu0", [99.0] * 20), series("gpu0", [90.0] * 20),
        series("cpu0", [10.0] * 20, "algo-2"), series("gpu0", [2.0] * 20, "algo-2"),
    )  # fmt: skip
    assert evaluate("CPUBottleneck", {"patience": "10"}, Profile(given), True).status == "NoIssuesFound"


def test_while_the_training_runs_a_verdict_is_in_progress_until_it_is_found() -> None:
    assert cpu([95.0] * 300, [5.0] * 300, over=False).status == "IssuesFound"
    assert cpu([95.0] * 100, [5.0] * 100, over=False).status == "InProgress"  # the first look is after a minute
    assert cpu([5.0] * 300, [95.0] * 300, over=False).status == "InProgress"
    assert cpu([5.0] * 300, [95.0] * 300).status == "NoIssuesFound"


@pytest.mark.parametrize("rule", sorted(DEFAULTS))
def test_without_a_gpu_no_issue_is_found_and_the_words_say_why(rule: str) -> None:
    busy = profile({"cpu0": [99.0] * 3000, "cpu1": [95.0] * 1000 + [2.0] * 2000})
    verdict = evaluate(rule, {}, busy, True)
    assert (verdict.status, verdict.applies) == ("NoIssuesFound", False)
    assert "no GPU" in verdict.words
    assert evaluate(rule, {}, busy, False).status == "InProgress"
    if rule == "CPUBottleneck":
        assert "in 100 % of the samples, cpu0 most often" in verdict.words


@pytest.mark.parametrize("rule", sorted(DEFAULTS))
@pytest.mark.parametrize("over", [True, False])
def test_an_empty_profile_finds_nothing(rule: str, over: bool) -> None:
    verdict = evaluate(rule, {}, Profile(), over)
    assert (verdict.status, verdict.applies) == ("NoIssuesFound" if over else "InProgress", False)


def test_gaps_are_neither_busy_nor_starved() -> None:
    """The GPU has a value in every second sample only; the others count as samples without a bottleneck."""
    every = profile({"cpu0": [95.0] * 40})
    sparse = series("gpu0", [1.0] * 20, interval=1.0)
    found = evaluate("CPUBottleneck", {"patience": "10"}, Profile((*every.series, sparse)), True)
    assert found.status == "NoIssuesFound"
    assert "50.0 %" in found.words


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("LowGPUUtilization", {"threshold_p95": "101"}), ("LowGPUUtilization", {"threshold_p5": "nan"}),
        ("LowGPUUtilization", {"window": "0"}), ("LowGPUUtilization", {"patience": "-1"}),
        ("LowGPUUtilization", {"patience": "1.5"}), ("CPUBottleneck", {"scan_interval_us": "1e6"}),
        ("CPUBottleneck", {"threshold": ""}), ("CPUBottleneck", {"window": "5"}),
        ("CPUBottleneck", {"patience": "9" * 5000}),
    ],
)  # fmt: skip
def test_bad_parameters_are_an_error_with_a_remedy(rule: str, given: Mapping[str, str]) -> None:
    with pytest.raises(SettingError) as caught:
        parameters_of(rule, given)
    assert caught.value.remedy
    verdict = evaluate(rule, given, Profile(), True)
    assert (verdict.status, verdict.evidence) == ("Error", None)
    assert verdict.remedy == caught.value.remedy


def test_a_long_training_is_judged_in_a_moment() -> None:
    """Three quarters of an hour at 500 ms, with the smallest scan that can be asked for: one at each value."""
    rng = np.random.default_rng(0)
    values = rng.uniform(80, 100, 5000)
    assert low(list(values), scan_interval_us="1").status == "NoIssuesFound"
    assert not math.isnan(values.sum())
