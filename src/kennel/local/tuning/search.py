"""What to try next. Every answer follows from the seed and the trials there are, so a search needs no state of its own.

Scaling Auto is logarithmic where a range starts above 0 and spans two powers of ten, and linear elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kennel.local.parts import Document

STARTUP_TRIALS = 4
"""Of a Bayesian search: drawn at random before what they show is followed."""
WIDE = 100.0
MOST_WHOLE = 2**53
"""A float, which ranges are calculated in, holds every integer up to here."""
DRAWS = 20
"""So often something new is asked for where what was drawn has been tried already."""
Scale = Literal["linear", "logarithmic", "reverse"]
Strategy = Literal["Bayesian", "Random", "Hyperband", "Grid"]


@dataclass(frozen=True, slots=True)
class Number:
    """A range of numbers."""

    low: float
    high: float
    scale: Scale = "linear"
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A categorical range."""

    values: tuple[str, ...]


Space = Mapping[str, Number | Choice]


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial that was started. value: the objective's, None where it printed none or still runs."""

    tuned: Mapping[str, str]
    value: float | None = None
    running: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """A search over a space."""

    space: Space
    strategy: Strategy
    maximize: bool
    seed: int

    def next(self, seen: Sequence[Seen], earlier: Sequence[Seen] = ()) -> dict[str, str] | None:
        """Values for one more trial, as strings; None when a grid has been tried whole.

        earlier: trials of other searches to learn from. A space that is small may be drawn from twice.
        """
        tried = [dict(each.tuned) for each in seen]
        if self.strategy == "Grid":
            return next((each for each in grid(self.space) if each not in tried), None)
        drawn: dict[str, str] = {}
        for draw in range(DRAWS):
            drawn = self._drawn([*earlier, *seen], f"{self.seed}/{len(seen)}/{draw}")
            if drawn not in tried:
                break
        return drawn

    def _drawn(self, seen: Sequence[Seen], seed: str) -> dict[str, str]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction = "maximize" if self.maximize else "minimize"
        study = optuna.create_study(direction=direction, sampler=_sampler(self.strategy, number_of(seed)))
        distributions = {name: _distribution(each) for name, each in self.space.items()}
        if self.strategy != "Random":
            for each in seen:
                _tell(study, self.space, distributions, each)
        asked = study.ask(distributions)
        return {name: _written(each, asked.params[name]) for name, each in self.space.items()}


def space_of(ranges: Document) -> dict[str, Number | Choice]:
    """ParameterRanges as a space. Raises ValueError for what is no number."""
    space: dict[str, Number | Choice] = {}
    for each in ranges.get("ContinuousParameterRanges", []):
        space[each["Name"]] = _number(_real(each["MinValue"]), _real(each["MaxValue"]), each, False)
    for each in ranges.get("IntegerParameterRanges", []):
        space[each["Name"]] = _number(_whole(each["MinValue"]), _whole(each["MaxValue"]), each, True)
    for each in ranges.get("CategoricalParameterRanges", []):
        space[each["Name"]] = Choice(tuple(dict.fromkeys(each["Values"])))
    return space


def grid(space: Space) -> list[dict[str, str]]:
    """All combinations of a space of categories, the last range varying fastest."""
    choices = [each.values for each in space.values() if isinstance(each, Choice)]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*choices)]


def combinations(space: Space) -> float:
    """Infinite with a continuous range that is not one point."""
    return math.prod(_count(each) for each in space.values())


def number_of(text: str) -> int:
    """A seed from any text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _count(one: Number | Choice) -> float:
    if isinstance(one, Choice):
        return len(one.values)
    if one.whole:
        return one.high - one.low + 1
    return math.inf if one.high > one.low else 1


def _real(text: str) -> float:
    return float(_plain(text))


def _whole(text: str) -> int:
    value = int(_plain(text))
    if abs(value) > MOST_WHOLE:
        raise ValueError(text)
    return value


def _plain(text: str) -> str:
    """Python also reads `1_000` and ` 1 `; AWS does not."""
    if "_" in text or text != text.strip():
        raise ValueError(text)
    return text


def _number(low: float, high: float, given: Document, whole: bool) -> Number:
    scaling = given.get("ScalingType", "Auto")
    if scaling == "ReverseLogarithmic":
        return Number(low, high, "reverse", whole)
    wide = low > 0 and high / low >= WIDE
    logarithmic = scaling == "Logarithmic" or (scaling == "Auto" and wide)
    return Number(low, high, "logarithmic" if logarithmic else "linear", whole)


def _sampler(strategy: Strategy, seed: int) -> Any:
    import optuna

    if strategy == "Random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed
        )


def _distribution(one: Number | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(one, Choice):
        return CategoricalDistribution(one.values)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.scale == "logarithmic")
    if one.scale == "reverse":  # fine near the upper end: logarithmic in the distance from 1
        return FloatDistribution(1 - one.high, 1 - one.low, log=True)
    return FloatDistribution(one.low, one.high, log=one.scale == "logarithmic")


def _tell(study: Any, space: Space, distributions: Mapping[str, Any], seen: Seen) -> None:
    """What lies outside the space (of an earlier search) and what failed teaches nothing."""
    from optuna.trial import TrialState, create_trial

    params = _params(space, seen.tuned)
    if params is None or (seen.value is None and not seen.running):
        return
    state = TrialState.RUNNING if seen.running else TrialState.COMPLETE
    value = None if seen.running else seen.value
    study.add_trial(create_trial(state=state, value=value, params=params, distributions=dict(distributions)))


def _params(space: Space, tuned: Mapping[str, str]) -> dict[str, Any] | None:
    """As the distributions have them; None for what is not in the space."""
    params: dict[str, Any] = {}
    for name, one in space.items():
        text = tuned.get(name)
        if isinstance(one, Choice):
            if text not in one.values:
                return None
            params[name] = text
            continue
        try:
            value = float(text or "")
        except ValueError:
            return None
        if not one.low <= value <= one.high or (one.whole and value != int(value)):
            return None
        params[name] = int(value) if one.whole else _inside(one, 1 - value if one.scale == "reverse" else value)
    return params


def _inside(one: Number, value: float) -> float:
    """1 - (1 - x) is x but for the last digit."""
    return min(max(value, 1 - one.high), 1 - one.low) if one.scale == "reverse" else value


def _written(one: Number | Choice, value: Any) -> str:
    if isinstance(one, Choice):
        return str(value)
    if one.whole:
        return str(int(value))
    return repr(min(max(1 - value if one.scale == "reverse" else float(value), one.low), one.high))
