"""A training job's description as it moves through its states. Pure: each function alters the description it is given.

Times are epoch seconds. The messages are SageMaker's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from kennel.local.parts import Document

Alter = Callable[[Document], None]
Ended = Literal["Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"]

MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "Training job interrupted. Trying to find new capacity",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
STATUS = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "Stopping": "Stopping",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
}
"""Secondary status → TrainingJobStatus; InProgress for all others."""
TOO_LATE = ("Starting", "Pending", "Downloading", "Training", "Interrupted", "Stopping")
"""What a job does not enter any more once it is Stopping."""
OVER = ("Completed", "Failed", "Stopped")
LONGEST_REASON = 1024


def enter(job: Document, secondary: str, now: float) -> None:
    """The next secondary status: the transition under way ends, another begins; one that ends the job ends at once."""
    if job.get("TrainingJobStatus") == "Stopping" and secondary in TOO_LATE:
        return
    transitions, now = job.setdefault("SecondaryStatusTransitions", []), _not_before(job, now)
    if transitions and "EndTime" not in transitions[-1]:
        transitions[-1]["EndTime"] = now
    transition = {"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]}
    status = STATUS.get(secondary, "InProgress")
    # a stop that was asked for is not forgotten while the job still uploads
    if not (job.get("TrainingJobStatus") == "Stopping" and status == "InProgress"):
        job["TrainingJobStatus"] = status
    if status in OVER:
        transition["EndTime"] = now
    transitions.append(transition)
    job["SecondaryStatus"], job["LastModifiedTime"] = secondary, now


def begin_training(job: Document, now: float) -> None:
    """TrainingStartTime is that of the first start; a spot job may start several times."""
    job.setdefault("TrainingStartTime", now)
    enter(job, "Training", now)


def end(job: Document, how: Ended, now: float, reason: str = "") -> None:
    """One that was asked to stop is Stopped, however well it ended. What an interruption cost is not billed."""
    now = _not_before(job, now)
    if how == "Completed" and job["TrainingJobStatus"] == "Stopping":
        how = "Stopped"
    if "TrainingStartTime" in job:
        job["TrainingEndTime"] = now
        spent = now - job["TrainingStartTime"]
        job["TrainingTimeInSeconds"] = max(1, round(spent))
        job["BillableTimeInSeconds"] = max(1, round(spent - interrupted(job, now)))
    if reason:
        job["FailureReason"] = reason[:LONGEST_REASON]
    enter(job, how, now)


def trained(job: Document) -> float:
    """Seconds of Training so far, of transitions that are over."""
    over = [each for each in job.get("SecondaryStatusTransitions", []) if each["Status"] == "Training"]
    return sum(float(each["EndTime"] - each["StartTime"]) for each in over if "EndTime" in each)


def was_interrupted(job: Document) -> bool:
    """Whether an earlier instance of the job was lost."""
    return any(each["Status"] == "Interrupted" for each in job.get("SecondaryStatusTransitions", []))


def interrupted(job: Document, now: float) -> float:
    """Seconds between the losses of instances and the training on the next ones, after the job's first training."""
    total, since = 0.0, None
    for each in job.get("SecondaryStatusTransitions", []):
        if each["Status"] == "Interrupted" and since is None and each["StartTime"] >= job["TrainingStartTime"]:
            since = each["StartTime"]
        elif each["Status"] == "Training" and since is not None:
            total, since = total + each["StartTime"] - since, None
    return total if since is None else total + now - since


def sign(job: Document, now: float) -> None:
    """The server ends; so far the job is known to have run."""
    job["_seen"] = now


def _not_before(job: Document, now: float) -> float:
    """Clocks are set back at times; a job's history is not."""
    return max(now, float(job.get("LastModifiedTime", now)))


def failure_reason(told: str, exit_code: int | None, out_of_memory: bool) -> str:
    """FailureReason as SageMaker forms it from the failure file (or without one), the exit code, and what killed it."""
    if out_of_memory:
        return (
            "AlgorithmError: Please use an instance type with more memory, or reduce the size of training data "
            "processed on an instance., exit code: 137"
        )
    text = told.strip() or "See job logs for more information"
    ending = f", exit code: {exit_code}"
    return f"AlgorithmError: {text[: LONGEST_REASON - len(ending) - len('AlgorithmError: ')]}{ending}"
