"""The trials of a tuning job as SageMaker tells of them: summaries, counters, the best. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kennel.local.parts import Document
from kennel.local.tuning.search import Seen

OVER = ("Completed", "Failed", "Stopped")
STAMPS = ("TrainingStartTime", "TrainingEndTime", "FailureReason")


def summary(job: Document, names: Iterable[str], objective: Document, values: Sequence[float]) -> Document:
    """HyperParameterTrainingJobSummary of a training job. names: of what is tuned.

    As on SageMaker the final objective is the last value that a job printed, not its best one.
    """
    told: Document = {
        name: job[name] for name in ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingJobStatus")
    }
    told |= {name: job[name] for name in STAMPS if name in job}
    told["TunedHyperParameters"] = {name: job["HyperParameters"][name] for name in names}
    told["ObjectiveStatus"] = _objective_status(job["TrainingJobStatus"], values)
    if told["ObjectiveStatus"] == "Succeeded":
        told["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": values[-1]}
    return told


def _objective_status(status: str, values: Sequence[float]) -> str:
    if status not in OVER:
        return "Pending"
    return "Succeeded" if values and status != "Failed" else "Failed"


def value_of(trial: Document) -> float | None:
    """The final objective."""
    found = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
    return float(found["Value"]) if found else None


def running(trial: Document) -> bool:
    return trial["TrainingJobStatus"] not in OVER


def retryable(trial: Document) -> bool:
    """Whether it failed by no fault of its own: the service did."""
    failed = trial["TrainingJobStatus"] == "Failed"
    return failed and str(trial.get("FailureReason", "")).startswith("InternalServerError")


def seen(trials: Iterable[Document], static: Mapping[str, str] | None = None) -> list[Seen]:
    """What a search learns from; what may be retried was not seen. static: what all these trials had in common."""
    return [
        Seen({**(static or {}), **each["TunedHyperParameters"]}, value_of(each), running(each))
        for each in trials
        if not retryable(each)
    ]


def best(trials: Iterable[Document], maximize: bool) -> Document | None:
    """The completed one with the best objective, the earliest of equals."""
    found: Document | None = None
    for each in trials:
        value = value_of(each)
        if each["TrainingJobStatus"] != "Completed" or value is None:
            continue
        if found is None or better(value, value_of(found), maximize):
            found = each
    return found


def better(value: float, other: float | None, maximize: bool) -> bool:
    return other is None or (value > other if maximize else value < other)


def since_best(trials: Sequence[Document], maximize: bool) -> int:
    """How many ended after the last that was better by 1 % or more: NumberOfTrainingJobsObjectiveNotImproving."""
    ended = [each for each in trials if each["TrainingJobStatus"] == "Completed" and value_of(each) is not None]
    values = [value_of(each) for each in sorted(ended, key=lambda each: each.get("TrainingEndTime", 0))]
    since, held = 0, None
    for value in values:
        least = None if held is None else held + abs(held) / 100 * (1 if maximize else -1)
        if value is not None and (least is None or value == least or better(value, least, maximize)):
            since, held = 0, value
        else:
            since += 1
    return since


def counters(trials: Sequence[Document]) -> Document:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    statuses = [_counted_as(each) for each in trials]
    objectives = [each["ObjectiveStatus"] for each in trials]
    return {
        "TrainingJobStatusCounters": _counts(
            statuses, ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        ),
        "ObjectiveStatusCounters": _counts(objectives, ("Succeeded", "Pending", "Failed")),
    }


def _counted_as(trial: Document) -> str:
    if running(trial):
        return "InProgress"
    if trial["TrainingJobStatus"] != "Failed":
        return str(trial["TrainingJobStatus"])
    return "RetryableError" if retryable(trial) else "NonRetryableError"


def _counts(found: Sequence[str], names: Sequence[str]) -> Mapping[str, int]:
    return {name: found.count(name) for name in names}
