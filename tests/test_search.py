"""What a tuning job tries next, and which trials it ends early."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kennel.local.tuning.early_stopping import hyperband_stops, median_stops, rungs
from kennel.local.tuning.search import Choice, Number, Scale, Search, Seen, Space, Strategy, grid, space_of

RATE = {"rate": Number(1e-4, 1.0, "logarithmic")}


def tried(search: Search, count: int) -> list[dict[str, str]]:
    """What a search asks for when nothing is known of any trial."""
    seen: list[Seen] = []
    for _ in range(count):
        asked = search.next(seen)
        assert asked is not None
        seen.append(Seen(asked))
    return [dict(each.tuned) for each in seen]


def test_a_grid_covers_every_combination_once_and_in_order() -> None:
    space = {"rate": Choice(("0.1", "0.01")), "size": Choice(("32", "64", "128"))}
    search = Search(space, "Grid", True, 1)
    found = tried(search, 6)
    assert found == grid(space)
    assert found[:2] == [{"rate": "0.1", "size": "32"}, {"rate": "0.1", "size": "64"}]
    assert len({tuple(each.values()) for each in found}) == 6
    assert search.next([Seen(each) for each in found]) is None


def test_a_grid_asks_again_for_a_combination_that_is_missing() -> None:
    space = {"rate": Choice(("1", "2", "3"))}
    assert Search(space, "Grid", True, 1).next([Seen({"rate": "1"}), Seen({"rate": "3"})]) == {"rate": "2"}


def test_a_logarithmic_range_is_searched_logarithmically() -> None:
    exponents = sorted(math.log10(float(each["rate"])) for each in tried(Search(RATE, "Random", True, 3), 60))
    assert median(exponents) == pytest.approx(-2, abs=0.5)
    assert sum(each < -2 for each in exponents) in range(20, 41)


def test_a_linear_range_is_searched_evenly() -> None:
    found = [float(each["x"]) for each in tried(Search({"x": Number(10, 20)}, "Random", True, 3), 60)]
    assert fmean(found) == pytest.approx(15, abs=1)
    assert 10 <= min(found) < max(found) <= 20


def test_a_reverse_logarithmic_range_is_finest_near_its_upper_end() -> None:
    space = {"momentum": Number(0.0, 0.9999, "reverse")}
    found = [float(each["momentum"]) for each in tried(Search(space, "Random", True, 3), 60)]
    assert 0.97 < median(found) < 0.997
    assert 0 <= min(found) < max(found) <= 0.9999


def test_integers_stay_integers_within_their_range() -> None:
    space = {"layers": Number(1, 100, "logarithmic", whole=True)}
    found = [each["layers"] for each in tried(Search(space, "Random", True, 3), 30)]
    assert all(each.isdecimal() and 1 <= int(each) <= 100 for each in found)


@pytest.mark.parametrize(
    ("low", "high", "scaling", "scale"),
    [
        ("0.001", "0.1", "Auto", "logarithmic"),
        ("0.001", "0.1", None, "logarithmic"),
        ("0.001", "0.099", "Auto", "linear"),
        ("0", "100", "Auto", "linear"),
        ("-1", "1", "Auto", "linear"),
        ("0.001", "0.1", "Linear", "linear"),
        ("1", "2", "Logarithmic", "logarithmic"),
        ("0", "0.9", "ReverseLogarithmic", "reverse"),
    ],
)
def test_scaling_auto_is_logarithmic_for_wide_positive_ranges(
    low: str, high: str, scaling: str | None, scale: str
) -> None:
    given = {"Name": "x", "MinValue": low, "MaxValue": high} | ({"ScalingType": scaling} if scaling else {})
    found = space_of({"ContinuousParameterRanges": [given]})["x"]
    assert isinstance(found, Number)
    assert found.scale == scale


def test_the_same_seed_tries_the_same_and_another_seed_does_not() -> None:
    assert tried(Search(RATE, "Bayesian", True, 5), 4) == tried(Search(RATE, "Bayesian", True, 5), 4)
    assert tried(Search(RATE, "Random", True, 5), 4) != tried(Search(RATE, "Random", True, 6), 4)


def test_a_small_space_is_not_drawn_from_twice_while_something_is_left() -> None:
    space: Space = {"a": Choice(("1", "2")), "b": Number(1, 2, whole=True)}
    found = tried(Search(space, "Random", True, 2), 4)
    assert len({tuple(each.values()) for each in found}) == 4


BOUNDS = st.floats(-1e9, 1e9)


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    """A range that the API accepts."""
    scale: Scale = draw(st.sampled_from(["linear", "logarithmic", "reverse"]))
    bounds = {"linear": BOUNDS, "logarithmic": st.floats(1e-9, 1e9), "reverse": st.floats(0, 0.999999)}[scale]
    low, high = sorted(draw(st.tuples(bounds, bounds)))
    if scale != "reverse" and draw(st.booleans()):
        return Number(math.ceil(low), max(math.ceil(low), math.floor(high)), scale, whole=True)
    return Number(low, high, scale)


@settings(max_examples=60, deadline=None)
@given(numbers(), st.integers(0, 2**32), st.sampled_from(["Random", "Bayesian"]))
def test_whatever_is_tried_lies_in_its_range_and_can_be_learned_from(
    one: Number, seed: int, strategy: Strategy
) -> None:
    search = Search({"x": one, "kind": Choice(("a", "b"))}, strategy, True, seed)
    seen: list[Seen] = []
    for number in range(6):
        asked = search.next(seen)
        assert asked is not None
        assert one.low <= float(asked["x"]) <= one.high
        assert not one.whole or int(asked["x"]) == float(asked["x"])
        seen.append(Seen(asked, float(number)))


def best_of(strategy: str, seed: int, count: int = 24) -> float:
    """The least of a smooth bowl that a search finds."""
    space = {"x": Number(-5, 5), "y": Number(-5, 5)}
    seen: list[Seen] = []
    for _ in range(count):
        asked = Search(space, strategy, False, seed).next(seen)  # type: ignore[arg-type]
        assert asked is not None
        seen.append(Seen(asked, (float(asked["x"]) - 1) ** 2 + (float(asked["y"]) + 2) ** 2))
    return min(each.value for each in seen if each.value is not None)


def test_a_bayesian_search_finds_a_better_value_than_a_random_one() -> None:
    bayesian = [best_of("Bayesian", seed) for seed in range(5)]
    random = [best_of("Random", seed) for seed in range(5)]
    assert median(bayesian) < median(random)


def test_running_failed_and_foreign_trials_do_not_disturb_a_bayesian_search() -> None:
    space: Space = {
        "rate": Number(1e-4, 1.0, "logarithmic"),
        "size": Choice(("32", "64")),
        "m": Number(0, 0.99, "reverse"),
    }
    seen = [
        Seen({"rate": "0.01", "size": "32", "m": "0.99"}, 0.5),
        Seen({"rate": "0.02", "size": "64", "m": "0.0"}, running=True),
        Seen({"rate": "0.03", "size": "64", "m": "0.5"}),
    ]
    earlier = [Seen({"rate": "7", "size": "32", "m": "0.5"}, 0.9), Seen({"size": "128"}, 0.9), Seen({}, 1.0)]
    asked = Search(space, "Bayesian", True, 1).next(seen, earlier)
    assert asked is not None
    assert set(asked) == set(space)


def test_what_earlier_searches_found_is_gone_on_from() -> None:
    earlier = [Seen({"x": str(x / 10)}, -abs(x / 10 - 8)) for x in range(0, 101, 4)]
    search = Search({"x": Number(0, 10)}, "Bayesian", True, 1)
    found = [search.next([Seen({"x": "1"}, -7.0)] * more, earlier) for more in range(6)]
    assert median(abs(float(each["x"]) - 8) for each in found if each) < 1.5


def test_no_job_is_stopped_before_several_have_completed() -> None:
    assert not median_stops([0.0], [[1.0], [1.0]], maximize=True)
    assert median_stops([0.0], [[1.0], [1.0], [1.0]], maximize=True)
    assert not median_stops([0.0], [[1.0], [1.0], []], maximize=True)


def test_a_job_without_a_value_is_not_stopped() -> None:
    assert not median_stops([], [[1.0], [1.0], [1.0]], maximize=True)


def test_the_best_so_far_is_held_against_the_median_of_averages_up_to_the_same_step() -> None:
    completed = [[0.2, 0.4, 9.0], [0.4, 0.6, 9.0], [0.6, 0.8, 9.0]]  # averages of two steps: 0.3, 0.5, 0.7
    assert median_stops([0.1, 0.49], completed, maximize=True)
    assert not median_stops([0.1, 0.5], completed, maximize=True)
    assert not median_stops([0.51, 0.1], completed, maximize=True)
    assert median_stops([0.51, 0.6], completed, maximize=False)
    assert not median_stops([0.5, 0.6], completed, maximize=False)


def test_a_job_that_printed_less_counts_with_all_it_printed() -> None:
    assert median_stops([0.0, 0.4, 0.4], [[0.5], [0.5], [0.5]], maximize=True)


def test_hyperbands_brackets_begin_at_later_rungs() -> None:
    assert [rungs(number, 1, 27) for number in range(5)] == [[1, 3, 9], [3, 9], [9], [], [1, 3, 9]]
    assert rungs(0, 2, 2) == []
    assert all(late == early * 3 for early, late in pairwise(rungs(0, 2, 200)))


def test_hyperband_keeps_the_best_third_of_a_rung() -> None:
    others = [(4, [0.9]), (8, [0.8])]
    assert hyperband_stops([0.7], 0, others, 1, 27, maximize=True)
    assert hyperband_stops([0.85], 0, others, 1, 27, maximize=True)
    assert not hyperband_stops([0.95], 0, others, 1, 27, maximize=True)
    assert not hyperband_stops([0.7], 0, others, 1, 27, maximize=False)
    assert not hyperband_stops([0.7], 0, others[:1], 1, 27, maximize=True)


def test_hyperband_does_not_stop_below_the_least_or_at_the_most_steps_but_beyond_them() -> None:
    others = [(3, [0.9] * 9), (6, [0.9] * 9)]
    assert not hyperband_stops([0.1], 0, others, 2, 9, maximize=True)
    assert not hyperband_stops([0.1] * 9, 2, others, 2, 9, maximize=True)
    assert hyperband_stops([0.1] * 10, 2, others, 2, 9, maximize=True)
    assert hyperband_stops([0.1] * 8, 0, others, 1, 9, maximize=True)
    assert not hyperband_stops([0.1] * 9, 0, others, 1, 9, maximize=True)
