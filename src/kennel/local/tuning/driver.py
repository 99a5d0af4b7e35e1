"""One tuning job, done: a thread that starts its trials, follows their values, ends those that are worse, and ends.

What it knows it keeps in the tuning job's document (`_trials`), so that another server goes on where it left.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from kennel.local.documents import Documents
from kennel.local.errors import Refused
from kennel.local.parts import Document, House
from kennel.local.tuning import requests, trials
from kennel.local.tuning.early_stopping import hyperband_stops, median_stops
from kennel.local.tuning.search import Seen

Alter = Callable[[Document], None]
log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""At least; a change of any resource is looked at at once."""
RETRIED = 5
"""Trials lost by the service that are replaced without using up the limit."""
ATTEMPTS = 5
"""Ended trials of which one must have succeeded for more to be started."""


class Trainings(Protocol):
    """What is needed of the training jobs."""

    def create(self, request: Document, tuning_job_arn: str | None = None) -> Document: ...

    def describe(self, name: str) -> Document: ...

    def stop(self, name: str) -> Document: ...

    def values(self, name: str, metric: str) -> Sequence[tuple[float, float]]:
        """(epoch seconds, value), the oldest first; live while it runs."""

    def names_of(self, tuning_job_arn: str) -> list[str]: ...


class Driver:
    """Does one tuning job."""

    def __init__(self, house: House, jobs: Documents, trainings: Trainings, name: str) -> None:
        self._house, self._jobs, self._trainings, self._name = house, jobs, trainings, name
        job = jobs.get(name) or {}
        self._job = job
        self._config = job["HyperParameterTuningJobConfig"]
        self._objective = self._config["HyperParameterTuningJobObjective"]
        self._maximize = self._objective["Type"] == "Maximize"
        self._search = requests.search_of(job)
        self._earlier = self._parents_trials()
        self._trials: dict[str, Document] = {each["TrainingJobName"]: each for each in job["_trials"]}
        self._printed: dict[str, list[float]] = {}  # by trials that have ended
        self._refused = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._find()
            seen = self._house.changes.wait(0, 0)
            while not self._house.closing.is_set() and not self._step():
                seen = self._house.changes.wait(seen, LOOK_EVERY_S)
        except Exception:
            log.exception("tuning job %s", self._name)
            self._stop_all()  # nobody waits for them
            self._end("Failed", "InternalServerError: We encountered an internal error. Please try again.")

    def _find(self) -> None:
        """Trials that an earlier server started and did not come to note. Not those of an earlier job of this name."""
        for name in self._trainings.names_of(self._job["HyperParameterTuningJobArn"]):
            found = self._trainings.describe(name)
            if found["CreationTime"] >= self._job["CreationTime"]:
                self._note(found)

    def _step(self) -> bool:
        """Look, and do what is due; whether the tuning job is over."""
        self._look()
        job = self._job = self._jobs.get(self._name) or {}
        ending = self._ending(job)
        if ending is None:
            self._stop_the_worse()
            self._launch()
            self._keep()
            return False
        status, reason = ending
        if any(trials.running(each) for each in self._trials.values()):
            self._stop_all()
            self._keep()
            return False
        self._end(status, reason)
        return True

    def _look(self) -> None:
        for name, trial in list(self._trials.items()):
            if not trials.running(trial):
                continue
            try:
                self._note(self._trainings.describe(name))
            except Refused:  # ended and deleted between two looks
                self._trials[name] = {**trial, "TrainingJobStatus": "Stopped", "ObjectiveStatus": "Failed"}

    def _note(self, training: Document) -> None:
        values = self._values(training["TrainingJobName"])
        noted = trials.summary(training, self._search.space, self._objective, values)
        if definition := self._job["TrainingJobDefinition"].get("DefinitionName"):
            noted["TrainingJobDefinitionName"] = definition
        self._trials[training["TrainingJobName"]] = noted

    def _ending(self, job: Document) -> tuple[str, str] | None:
        """(status, reason of a failure) that it shall come to, once its trials have ended."""
        if job["HyperParameterTuningJobStatus"] == "Stopping":
            return "Stopped", ""
        if self._refused:
            return "Failed", self._refused
        here = list(self._trials.values())
        all_ended = not any(trials.running(each) for each in here) and not self._more()
        if all_ended and (reason := failure(here)):
            return "Failed", reason
        limit = self._config["ResourceLimits"].get("MaxRuntimeInSeconds")
        if limit is not None and self._house.clock.now() - job["CreationTime"] >= limit:
            return "Stopped", ""
        return ("Completed", "") if all_ended or reached(self._config, here) else None

    def _more(self) -> bool:
        """Whether another trial may be started, apart from how many run at once."""
        here = list(self._trials.values())
        ended = [each for each in here if not trials.running(each) and not trials.retryable(each)]
        if len(ended) >= ATTEMPTS and failure(ended):
            return False
        lost = sum(trials.retryable(each) for each in here)
        return len(here) - min(lost, RETRIED) < requests.most_trials(self._config)

    def _next(self) -> dict[str, str] | None:
        return self._search.next(trials.seen(self._trials.values()), self._earlier)

    def _launch(self) -> None:
        """As many as there is room for now; how those end decides, at the next step, whether there are more."""
        running = sum(trials.running(each) for each in self._trials.values())
        for _ in range(self._config["ResourceLimits"]["MaxParallelTrainingJobs"] - running):
            tuned = self._next() if self._more() else None
            if tuned is None or self._house.closing.is_set():
                return
            name = requests.trial_name(self._name, len(self._trials) + 1, self._job["CreationTime"])
            request = requests.trial_request(self._job, name, tuned)
            if tags := self._house.tags.of(self._job["HyperParameterTuningJobArn"]):
                request["Tags"] = tags
            try:
                self._trainings.create(request, self._job["HyperParameterTuningJobArn"])
            except Refused as refused:
                self._refused = f"ClientError: {refused.message}"
                return
            self._note(self._trainings.describe(name))

    def _stop_the_worse(self) -> None:
        if self._config["Strategy"] == "Hyperband":
            self._stop_by_hyperband()
        elif self._config.get("TrainingJobEarlyStoppingType", "Off") == "Auto":
            self._stop_by_median()

    def _stop_by_median(self) -> None:
        completed = [self._values(name) for name in self._names("Completed")]
        for name in self._names("InProgress"):
            if median_stops(self._values(name), completed, self._maximize):
                self._stop(name)

    def _stop_by_hyperband(self) -> None:
        least, most = requests.resources(self._job)
        values = [(number, self._values(name)) for number, name in enumerate(self._trials)]
        for number, name in enumerate(self._trials):
            others = [each for each in values if each[0] != number]
            running = self._trials[name]["TrainingJobStatus"] == "InProgress"
            if running and hyperband_stops(values[number][1], number, others, least, most, self._maximize):
                self._stop(name)

    def _stop_all(self) -> None:
        for name in self._names("InProgress"):
            self._stop(name)

    def _stop(self, name: str) -> None:
        with suppress(Refused):  # it ended meanwhile
            self._trainings.stop(name)
            self._note(self._trainings.describe(name))

    def _names(self, status: str) -> list[str]:
        return [name for name, each in self._trials.items() if each["TrainingJobStatus"] == status]

    def _values(self, name: str) -> list[float]:
        if name in self._printed:
            return self._printed[name]
        over = name in self._trials and not trials.running(self._trials[name])
        values = [value for _, value in self._trainings.values(name, self._objective["MetricName"])]
        if over:
            self._printed[name] = values
        return values

    def _parents_trials(self) -> list[Seen]:
        """What was fixed in a parent may be searched here."""
        parents = [self._jobs.get(name) for name in requests.parent_names(self._job)]
        return [
            each
            for parent in parents
            if parent
            for each in trials.seen(parent["_trials"], requests.static_of(parent))
            if not each.running
        ]

    def _keep(self) -> None:
        """Only what is new is written: each change wakes all who wait."""
        told = list(self._trials.values())
        if told != self._job["_trials"]:
            self._change(lambda job: job.update(_trials=told))

    def _end(self, status: str, reason: str) -> None:
        now, told = self._house.clock.now(), list(self._trials.values())

        def over(job: Document) -> None:
            job.update(HyperParameterTuningJobStatus=status, HyperParameterTuningEndTime=now, _trials=told)
            if reason:
                job["FailureReason"] = reason

        self._change(over)

    def _change(self, how: Alter) -> None:
        def altered(job: Document) -> None:
            how(job)
            job["LastModifiedTime"] = self._house.clock.now()

        self._job = self._jobs.change(self._name, altered) or self._job


def failure(ended: Sequence[Document]) -> str:
    """FailureReason, as SageMaker words it, of a tuning job with these trials; empty where one has an objective."""
    told = [each for each in ended if not trials.retryable(each)]
    if any(trials.value_of(each) is not None for each in told):
        return ""
    if any(each["TrainingJobStatus"] == "Completed" for each in told):
        return (
            f"No objective metrics found after running {len(told)} training jobs. Please ensure that the custom "
            "algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    if len(told) < ATTEMPTS:
        return "All training jobs failed. Please take a look at the training job failures to get more details."
    return (
        f"No training job succeeded after {len(told)} attempts. Please take a look at the training job failures to "
        "get more details."
    )


def reached(config: Document, here: Sequence[Document]) -> bool:
    """Whether a completion criterion holds."""
    criteria = config.get("TuningJobCompletionCriteria", {})
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    target, best = criteria.get("TargetObjectiveMetricValue"), trials.best(here, maximize)
    value = trials.value_of(best) if best else None
    if target is not None and value is not None and (value == target or trials.better(value, target, maximize)):
        return True
    most = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    return most is not None and trials.since_best(here, maximize) >= most
