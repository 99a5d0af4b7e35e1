"""Which trials are not worth going on with, by the values of the objective they printed so far. Pure.

A step is one printed value; values are listed from the first step on.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

LEAST_COMPLETED = 3
"""Jobs that must have completed before the median of them says something."""
KEPT = 3
"""Of Hyperband: one in so many goes on at each rung, and rungs are so many times apart."""
Values = Sequence[float]


def median_stops(values: Values, completed: Sequence[Values], maximize: bool) -> bool:
    """SageMaker's Auto: whether the best so far is worse than the median of the averages of the completed jobs.

    Averages are those up to the same step; a job that printed fewer values counts with all of its own.
    """
    ended = [each for each in completed if each]
    if not values or len(ended) < LEAST_COMPLETED:
        return False
    middle = median(fmean(each[: len(values)]) for each in ended)
    return max(values) < middle if maximize else min(values) > middle


def rungs(number: int, least: int, most: int) -> list[int]:
    """The steps at which Hyperband looks at a trial: brackets, by the trial's number in turn, start at later rungs."""
    steps = []
    step = max(1, least)
    while step < most:
        steps.append(step)
        step *= KEPT
    return steps[number % (len(steps) + 1) :]


def hyperband_stops(
    values: Values, number: int, others: Sequence[tuple[int, Values]], least: int, most: int, maximize: bool
) -> bool:
    """Whether a trial is not among the best third at the last rung that it reached, or runs beyond the most steps.

    others: (number, values) of the other trials of any bracket. A trial at its last step is left to end by itself.
    """
    if len(values) >= most:
        return len(values) > most
    reached = [step for step in rungs(number, least, most) if step <= len(values)]
    if not reached:
        return False
    rung, sign = reached[-1], 1 if maximize else -1
    there = [sign * each[rung - 1] for other, each in others if len(each) >= rung and rung in rungs(other, least, most)]
    better = sum(each > sign * values[rung - 1] for each in there)
    count = len(there) + 1
    return count >= KEPT and better >= count // KEPT
