"""The debugger's page: healthy, sick, hostile, enormous, and with every part missing."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kennel.debugger.advice import Budget, Facts
from kennel.debugger.profile import Profile
from kennel.debugger.recorded import Loss, Recorded, Statistics
from kennel.debugger.verdict import Evidence, Status, Verdict
from kennel.reports.debugger import RULES, page
from kennel.reports.debugger_plots import POINTS, frame, thinned
from kennel.reports.debugger_words import headline, outcome, outside, summary
from kennel.workflow.debugging import title_of
from profiles import profile, series, steps
from test_report_tuning import HOSTILE, checked

FIRED = Verdict(
    "VanishingGradient", "IssuesFound", "The gradient of fc.weight is too small.",
    Evidence("fc.weight", 3.1e-8, 1e-7, step=40), "Use another activation",
)  # fmt: skip


def fine(rule: str, status: Status = "NoIssuesFound") -> Verdict:
    return Verdict(rule, status, f"{rule} is fine.")


def figures(step: int, mean: float) -> Statistics:
    return Statistics(step, step, mean, mean**2, -mean, mean, math.isfinite(mean))


def recorded(count: int = 60, tensors: int = 3) -> Recorded:
    losses = tuple(
        Loss(step, step, "valid" if step % 10 == 9 else "train", 2.0 / (1 + step / 20)) for step in range(count)
    )
    given = {
        f"layer{number}.weight": tuple(figures(step, 10.0 ** -(number % 9)) for step in range(0, count, 5))
        for number in range(tensors)
    }
    given["fc.weight"] = tuple(figures(step, 1e-6 / (1 + step)) for step in range(0, count, 5))
    return Recorded(losses, given, given, {}, True)


def recorded_profile(gpu: float = 5.0, waiting: float = 0.4) -> Profile:
    return profile({"cpu0": [97.0] * 100, "cpu1": [5.0] * 100, "gpu0": [gpu] * 100}, [steps(waiting)])


def test_a_sick_training_shows_the_verdict_first_with_all_that_decided() -> None:
    given = [fine(rule) for rule in RULES[1:]] + [FIRED]
    found = checked(page("job", given, recorded(), recorded_profile(), Facts(workers=1)))
    words = " ".join(found.words.split())
    assert "6 rules judged this training. 1 found an issue: VanishingGradient." in words
    assert words.index("The gradient of fc.weight is too small.") < words.index("Overfit is fine.")
    assert "step 40 where fc.weight value 3.1e-08 limit 1e-07" in words
    assert words.index("Use another activation.") < words.index("More workers in the loader (now 1)")
    assert "The data loader is the bottleneck: 80 % of the loop's time was waiting for data." in words
    assert "waiting for data 80 %" in words
    assert found.tags.count("svg") == 4
    assert words.count("VanishingGradient") >= 4  # summary, verdict, loss curve, heat map


def test_a_healthy_training_is_told_that_nothing_is_wrong() -> None:
    found = checked(page("job", [fine(rule) for rule in RULES], recorded(), recorded_profile(85.0, 0.005)))
    words = " ".join(found.words.split())
    assert "6 rules judged this training. No issue was found." in words
    assert "Nothing: no rule found anything" in words
    assert "The GPU was hardly ever below 50 %." in words
    assert "Not asked for" not in words


def test_nothing_at_all_is_a_page_too() -> None:
    words = " ".join(checked(page("job", [])).words.split())
    for said in (
        "No rule was asked for.",
        "No loss was recorded.",
        "No gradient or weight was recorded.",
        "No profile",
        "Whether the data loader is the bottleneck is unknown: no step times were recorded.",
    ):
        assert said in words


@pytest.mark.parametrize("given", [Recorded(), recorded(2, 1)])
@pytest.mark.parametrize(
    "measured",
    [
        Profile(),
        profile({}, [steps(0.1)]),
        profile({"cpu0": [1.0]}),
        profile({"cpu0": [1.0, 2.0]}, [steps(0.1, count=1)]),
        profile({"gpu0": [5.0] * 30}),
        profile({"cpu0": [5.0] * 700}, [steps(0.0, count=700)]),
    ],
)
def test_any_part_may_be_missing(given: Recorded, measured: Profile) -> None:
    checked(page("job", [FIRED, fine("Overfit", "InProgress")], given, measured))


def test_values_that_are_no_numbers_are_marked() -> None:
    bad = (figures(0, 0.1), figures(5, math.nan), figures(10, math.inf), figures(15, 0.0))
    losses = (Loss(0, 0, "train", 1.0), Loss(1, 1, "train", math.nan), Loss(2, 2, "train", math.inf))
    words = checked(page("job", [], Recorded(losses, {"fc.bias": bad, "none": ()}))).words
    assert "not all numbers" in words
    assert "no number" in words
    only = Recorded((Loss(0, 0, "train", math.nan),), {"fc.bias": bad[1:2]})
    assert "No loss was recorded." in checked(page("job", [], only)).words


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_become_markup(name: str) -> None:
    verdict = Verdict(name, "IssuesFound", name, Evidence(name, 1.0, 2.0, step=3), name)
    tensors = {name: (figures(0, 0.1), figures(5, 0.2))}
    measured = Profile((series("gpu0", [5.0] * 30, node=name),), (steps(0.1, node=name),), (name,))
    given = Recorded((Loss(0, 0, "train", 1.0), Loss(9, 9, "train", 2.0)), tensors, tensors)
    assert name in checked(page(name, [verdict], given, measured)).words


def test_names_are_not_typeset_by_matplotlib() -> None:
    name = r"$\nonsense_{$"
    tensors = {name: (figures(0, 0.1), figures(5, 0.2))}
    verdict = replace(FIRED, rule=name, evidence=Evidence(name, 1.0, 2.0, step=5))
    measured = Profile((replace(series("gpu0", [5.0] * 30), name=name),))
    found = checked(page("job", [verdict], Recorded((Loss(5, 5, "train", 1.0),), tensors), measured))
    assert found.words.count(name) >= 6


def test_a_long_training_of_a_deep_network_stays_a_page() -> None:
    losses = tuple(Loss(step, step, "train", 1.0 + math.sin(step)) for step in range(5000))
    tensors = {f"layer{number}.weight": tuple(figures(step, 0.1) for step in range(600)) for number in range(160)}
    rng = np.random.default_rng(0)
    noise = {f"cpu{number}": rng.uniform(0, 100, 5000) for number in range(16)}
    measured = profile({**noise, "gpu0": rng.uniform(0, 100, 5000)}, [steps(0.1, count=5000)])
    assert len(page("job", [FIRED], Recorded(losses, tensors), measured)) < 1_500_000


def test_the_same_figures_give_the_same_page() -> None:
    first, second = (page("job", [FIRED], recorded(), recorded_profile()) for _ in range(2))
    assert first == second


def test_the_summary_is_in_words() -> None:
    assert summary([fine("Overfit")]) == "1 rule judged this training. No issue was found."
    assert summary([fine("Overfit", "Error"), fine("Overtraining", "InProgress"), FIRED]) == (
        "2 rules judged this training. 1 found an issue: VanishingGradient. Overfit could not be evaluated. "
        "The training is not over yet."
    )
    idle = replace(fine("CPUBottleneck"), applies=False)
    assert (
        summary([fine("Overfit"), idle]) == "1 rule judged this training, 1 had nothing to judge. No issue was found."
    )
    assert "issue" not in summary([idle])


def test_what_had_nothing_to_judge_is_neither_good_nor_bad() -> None:
    assert outcome(replace(fine("CPUBottleneck"), applies=False)) == ("not applicable", "open")
    assert outcome(replace(fine("CPUBottleneck", "InProgress"), applies=False))[1] == "open"
    assert outcome(fine("CPUBottleneck")) == ("no issue", "good")


@pytest.mark.parametrize(
    ("rule", "value", "mark"),
    [
        ("Overfit", 0.079, "no issue"), ("Overfit", 0.081, "close"), ("Overfit", 0.12, "close"),
        ("VanishingGradient", 0.09, "no issue"),
    ],
)  # fmt: skip
def test_a_value_within_a_fifth_of_its_limit_is_close(rule: str, value: float, mark: str) -> None:
    verdict = replace(fine(rule), evidence=Evidence("loss", value, 0.1, step=5))
    assert outcome(verdict)[0] == mark
    assert ("Close to the limit: Overfit." in summary([verdict])) == (mark == "close")
    assert outcome(replace(verdict, status="IssuesFound"))[0] == "issue found"


def trained(*valid: float, over: bool = True) -> Recorded:
    """A step of training and a pass over the validation pictures, again and again."""
    losses = [
        loss
        for own, value in enumerate(valid)
        for loss in (Loss(2 * own, own, "train", 2.0), Loss(2 * own + 1, own, "valid", value))
    ]
    return Recorded(tuple(losses), over=over)


def test_the_best_evaluation_is_told_with_what_came_after_it() -> None:
    said = "Validation loss was best (1) after step 1 of 4"
    assert headline(trained(3.0, 1.0, 2.0, 1.5), 4) == f"{said}; the 2 steps after it gained nothing."
    assert "have gained nothing so far" in headline(trained(3.0, 1.0, 2.0, 1.5, over=False), 4)
    assert headline(trained(3.0, 1.0), 4) == f"{said}, at the last of 2 evaluations."
    assert headline(Recorded(), 0) == ""
    assert "best 1" in page("job", [], trained(3.0, 1.0, 2.0))


def test_what_is_outside_of_the_loop_is_said_where_it_is_most_of_the_time() -> None:
    assert "Most of the time (80 %)" in outside(Budget(0.0, 10.0, 0.0, 40.0, 5))
    assert outside(Budget(0.0, 10.0, 0.0, 1.0, 5)).startswith("Outside of the loop is reading the data")


@pytest.mark.parametrize(("tensors", "told"), [(3, "log scale)"), (4, "colour on a log scale")])
def test_a_few_tensors_are_lines_and_more_a_heat_map(tensors: int, told: str) -> None:
    given = {f"fc{number}": (figures(0, 0.1), figures(5, 0.2)) for number in range(tensors)}
    assert f"gradients: mean absolute value ({told}" in page("job", [], Recorded((), given))


def test_a_page_is_named_after_the_job_or_the_folder_that_says_which_training_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "dogs" / "output" / "tensors"
    folder.mkdir(parents=True)
    assert {title_of(str(each)) for each in (folder, folder.parent, folder.parent.parent)} == {"dogs"}
    assert title_of("kennel-train-1a2b3c4d") == "kennel-train-1a2b3c4d"


def test_all_plots_over_steps_share_an_axis() -> None:
    given = Recorded((Loss(0, 7, "train", 1.0),), {"fc": (figures(0, 0.1), figures(9, 0.1))})
    assert frame(given).end == 10
    assert frame(Recorded()).end == 1


def test_several_hosts_have_a_part_each() -> None:
    given = Profile(tuple(series("cpu0", [5.0] * 30, f"algo-{number}") for number in range(1, 12)))
    words = checked(page("job", [], None, given)).words
    assert "algo-8" in words
    assert "3 more hosts are not shown." in words
    assert not re.search("algo-9", words)


def test_lines_are_thinned_to_means_and_gaps_stay_gaps() -> None:
    at, values = thinned(np.array([float(n) for n in range(4 * POINTS)]), np.tile([1.0, 3.0, np.nan, 5.0], POINTS))
    assert (len(at), at[0], values[0]) == (POINTS, 1.5, 3.0)
    assert np.isnan(thinned(np.zeros(2 * POINTS), np.full(2 * POINTS, np.nan))[1]).all()
