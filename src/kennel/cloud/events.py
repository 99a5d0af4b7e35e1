"""What happens to jobs and endpoints, as values; and what is new between two descriptions of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kennel.cloud.logs import LogLine, Notice

Description = Mapping[str, Any]
OVER = frozenset({"Completed", "Failed", "Stopped"})
"""Statuses of training jobs and tuning jobs that have ended."""


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """status: SageMaker's (secondary) status; message: its own words for it."""

    name: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A training job of a tuning job."""

    name: str
    hyperparameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """value: of the objective, None where there is none; `Stopped` is also what early stopping leaves."""

    name: str
    status: str
    value: float | None
    hyperparameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InstancesChanged:
    """How many instances of a variant answer, of how many that shall."""

    variant: str
    current: int
    desired: int


@dataclass(frozen=True, slots=True)
class RuleTold:
    """What a Debugger or profiler rule of a training job says. status: SageMaker's; details: its own words."""

    rule: str
    status: str
    details: str


Event = StatusChanged | LogLine | Notice | TrialStarted | TrialEnded | InstancesChanged | RuleTold
RULE_STATUSES = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")


def training_events(before: Description, now: Description) -> list[Event]:
    """What happened to a training job between two descriptions ({} before the first): every transition, once.

    SageMaker rewrites the message of the transition under way; each wording is an event. Of its rules, each status
    beside InProgress.
    """
    old, new = _transitions(before), _transitions(now)
    entered = [told for index, told in enumerate(new) if old[index : index + 1] != [told]]
    known = {each.rule: each.status for each in rules_told(before)}
    judged = [each for each in rules_told(now) if known.get(each.rule, "InProgress") != each.status]
    return [*(StatusChanged(now["TrainingJobName"], *told) for told in entered), *judged]


def rules_told(description: Description) -> list[RuleTold]:
    """What a training job's rules say."""
    found = [each for member in RULE_STATUSES for each in description.get(member, [])]
    return [
        RuleTold(each["RuleConfigurationName"], each["RuleEvaluationStatus"], each.get("StatusDetails", ""))
        for each in found
    ]


def tuning_events(before: Description, now: Description) -> list[Event]:
    """A tuning job has one status and no messages of its own."""
    status = now["HyperParameterTuningJobStatus"]
    if before.get("HyperParameterTuningJobStatus") == status:
        return []
    return [StatusChanged(now["HyperParameterTuningJobName"], status, "")]


def trial_events(before: Sequence[Description], now: Sequence[Description], over: bool) -> list[Event]:
    """Trials that are new, and those that ended. A trial's objective may come later than its end, and is waited for
    unless the tuning job is over."""
    known = {each["TrainingJobName"]: each for each in before}
    events: list[Event] = []
    for each in now:
        name, old = each["TrainingJobName"], known.get(each["TrainingJobName"])
        if old is None:
            events.append(TrialStarted(name, hyperparameters_of(each)))
        if _has_ended(each, over) and not (old and _has_ended(old, False)):
            events.append(TrialEnded(name, each["TrainingJobStatus"], objective_of(each), hyperparameters_of(each)))
    return events


def endpoint_events(before: Description, now: Description) -> list[Event]:
    """A new status, and other numbers of instances."""
    events: list[Event] = []
    if before.get("EndpointStatus") != now["EndpointStatus"]:
        events.append(StatusChanged(now["EndpointName"], now["EndpointStatus"], now.get("FailureReason", "")))
    old = {each["VariantName"]: _instances(each) for each in before.get("ProductionVariants", [])}
    variants = now.get("ProductionVariants", [])
    changed = [each for each in variants if old.get(each["VariantName"]) != _instances(each)]
    return events + [InstancesChanged(each["VariantName"], *_instances(each)) for each in changed]


def hyperparameters_of(trial: Description) -> dict[str, str]:
    """What was tuned in a trial. AWS puts values of categorical ranges in quotes."""
    return {key: value.strip('"') for key, value in sorted(trial.get("TunedHyperParameters", {}).items())}


def objective_of(trial: Description) -> float | None:
    """The value of the objective that a trial ended with."""
    found = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
    return float(found["Value"]) if found else None


def seconds_of(trial: Description) -> float | None:
    """How long a trial trained."""
    started, ended = trial.get("TrainingStartTime"), trial.get("TrainingEndTime")
    if not isinstance(started, datetime) or not isinstance(ended, datetime):
        return None
    return (ended - started).total_seconds()


def _transitions(description: Description) -> list[tuple[str, str]]:
    listed = description.get("SecondaryStatusTransitions", [])
    return [(each["Status"], each.get("StatusMessage", "")) for each in listed]


def _has_ended(trial: Description, over: bool) -> bool:
    return trial["TrainingJobStatus"] in OVER and (over or trial.get("ObjectiveStatus") != "Pending")


def _instances(variant: Description) -> tuple[int, int]:
    return variant.get("CurrentInstanceCount", 0), variant.get("DesiredInstanceCount", 0)
