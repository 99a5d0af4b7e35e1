"""Rules and what was recorded put together: on any folder, once or as long as a training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kennel.debugger import profiler_rules, rules
from kennel.debugger.advice import Facts
from kennel.debugger.configuration import ACTIVATION_INPUTS
from kennel.debugger.parameters import compiled, rule_of
from kennel.debugger.profile import Profile, ProfileReader
from kennel.debugger.recorded import Recorded
from kennel.debugger.trial import Reader
from kennel.debugger.verdict import Verdict
from kennel.errors import DataError, SettingError

REPORT = "ProfilerReport"
"""SageMaker's rule that judges nothing, but leaves a page."""


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """One rule of a job. name: RuleConfigurationName; parameters: RuleParameters, with rule_to_invoke."""

    name: str
    parameters: Mapping[str, str]

    @property
    def rule(self) -> str:
        """SageMaker's name of the rule; the configuration's own where none is named."""
        try:
            return rule_of(self.parameters)
        except SettingError:
            return self.name


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found: the verdicts by configuration's name, and what they are about. facts: for the advice."""

    verdicts: Mapping[str, Verdict]
    recorded: Recorded
    profile: Profile | None
    facts: Facts | None = None


class Evaluation:
    """Of one training. tensors, profiler: folders, which may not be there yet; None: nothing is recorded there."""

    def __init__(self, configs: Sequence[RuleConfig], tensors: Path | None, profiler: Path | None) -> None:
        self._configs = configs
        self._tensors = Reader(tensors, _activations(configs)) if tensors else None
        self._folder = profiler
        self._profiler: ProfileReader | None = None
        self._recorded = Recorded()

    def judge(self, over: bool = False) -> Judged:
        """All rules on what there is so far. over: whether the training has ended."""
        recorded, broken = self._read(over)
        profile = self._read_profile()
        verdicts = {
            each.name: self._judged(each, recorded, profile, broken, over or recorded.over) for each in self._configs
        }
        return Judged(verdicts, recorded, profile)

    def _judged(
        self, config: RuleConfig, recorded: Recorded, profile: Profile | None, broken: str, over: bool
    ) -> Verdict:
        rule = config.rule
        if rule in rules.PARAMETERS:
            return Verdict(rule, "Error", broken) if broken else rules.evaluate(rule, config.parameters, recorded)
        if rule in profiler_rules.DEFAULTS:
            return profiler_rules.evaluate(rule, config.parameters, profile or Profile(), over)
        if rule == REPORT:
            words = "Its page is written when the training is over."
            return Verdict(rule, "NoIssuesFound" if over else "InProgress", words)
        known = ", ".join([*rules.PARAMETERS, *profiler_rules.DEFAULTS, REPORT])
        return Verdict(rule, "Error", f"There is no rule {rule}. Known are {known}.")

    def _read(self, over: bool) -> tuple[Recorded, str]:
        """What is recorded, and what is wrong with it."""
        if self._tensors is None:
            return replace(self._recorded, over=over), ""
        try:
            self._recorded = self._tensors.read(over)
        except DataError as error:
            return replace(self._recorded, over=over or self._tensors.ended), str(error)
        return self._recorded, ""

    def _read_profile(self) -> Profile | None:
        if self._profiler is None and self._folder and self._folder.is_dir():
            self._profiler = ProfileReader(self._folder)
        return self._profiler.read() if self._profiler else None


def _activations(configs: Sequence[RuleConfig]) -> str:
    """What any PoorWeightInitialization looks at; ours where no rule says. One that is no regex is told by its rule."""
    given = [each.parameters.get("activation_inputs_regex", "") for each in configs]
    wanted: list[str] = []
    for each in filter(None, given):
        with suppress(SettingError):
            wanted.append(f"(?:{compiled(each).pattern})")
    return "|".join(wanted) or ACTIVATION_INPUTS
