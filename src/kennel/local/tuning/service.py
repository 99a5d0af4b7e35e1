"""SageMaker's hyperparameter tuning jobs as a service of the local AWS."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any

from kennel.local.documents import Documents
from kennel.local.errors import Refused, invalid
from kennel.local.listed import PAGE, listed
from kennel.local.parts import Document, House, Operation
from kennel.local.tuning import requests, trials
from kennel.local.tuning.driver import Driver, Trainings

DESCRIBED = ("HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition", "WarmStartConfig")
"""Members of the request that DescribeHyperParameterTuningJob repeats."""
SHOWN = (
    "HyperParameterTuningJobStatus", "Strategy", "TrainingJobStatusCounters", "ObjectiveStatusCounters",
    "ResourceLimits", "LastModifiedTime",
)  # fmt: skip
JOIN_S = 10.0


class TuningJobs:
    """Implements parts.Service."""

    def __init__(self, house: House, trainings: Trainings) -> None:
        self._house, self._trainings = house, trainings
        self._jobs = Documents(house.home / "tuning-jobs", house.changes)
        self._drivers: list[Driver] = []
        self._lock = threading.Lock()

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "ListHyperParameterTuningJobs": self.listing,
            "StopHyperParameterTuningJob": self.stop,
            "DeleteHyperParameterTuningJob": self.delete,
            "ListTrainingJobsForHyperParameterTuningJob": self.list_trials,
        }

    def create(self, request: Document) -> Document:
        """CreateHyperParameterTuningJob. Raises Refused."""
        name = request["HyperParameterTuningJobName"]
        arn = self._house.arn(f"hyper-parameter-tuning-job/{name}")
        if self._jobs.get(name):
            raise requests.taken(arn)
        requests.check(request)
        requests.check_parents(request, {each: self._jobs.get(each) for each in requests.parent_names(request)})
        self._house.roles.check_assumable(request["TrainingJobDefinition"]["RoleArn"], "sagemaker.amazonaws.com", arn)
        now = self._house.clock.now()
        job: Document = {member: request[member] for member in DESCRIBED if member in request}
        job.update(HyperParameterTuningJobArn=arn, HyperParameterTuningJobStatus="InProgress", _trials=[])
        job.update(CreationTime=now, LastModifiedTime=now)
        self._house.tags.add(arn, request.get("Tags", []))
        if not self._jobs.add(name, job):
            raise requests.taken(arn)
        self._start(name)
        return {"HyperParameterTuningJobArn": arn}

    def describe(self, request: Document) -> Document:
        """DescribeHyperParameterTuningJob. Raises Refused."""
        job = self._found(request)
        told = {member: value for member, value in job.items() if not member.startswith("_")}
        told |= trials.counters(job["_trials"])
        maximize = _maximize(job)
        told["TuningJobCompletionDetails"] = {
            "NumberOfTrainingJobsObjectiveNotImproving": trials.since_best(job["_trials"], maximize)
        }
        until = job.get("HyperParameterTuningEndTime", self._house.clock.now())
        told["ConsumedResources"] = {"RuntimeInSeconds": int(until - job["CreationTime"])}
        if best := trials.best(job["_trials"], maximize):
            told["BestTrainingJob"] = best
        if overall := self._overall_best(job):
            told["OverallBestTrainingJob"] = overall
        return told

    def listing(self, request: Document) -> Document:
        """ListHyperParameterTuningJobs, by name unless asked otherwise."""
        jobs = {each["HyperParameterTuningJobName"]: each | _summary(each) for each in self._jobs.all()}
        ordered = {"SortBy": "Name", "SortOrder": "Ascending", **request}
        member = "HyperParameterTuningJobSummaries"
        page = listed(list(jobs.values()), ordered, member, "HyperParameterTuningJob", SHOWN)
        for each in page[member]:
            if ended := jobs[each["HyperParameterTuningJobName"]].get("HyperParameterTuningEndTime"):
                each["HyperParameterTuningEndTime"] = ended
        return page

    def stop(self, request: Document) -> Document:
        """StopHyperParameterTuningJob: its trials are stopped, then it is. Raises Refused."""
        job, now = self._found(request), self._house.clock.now()
        if (status := job["HyperParameterTuningJobStatus"]) in trials.OVER:
            raise invalid(f"The request was rejected because the hyperparameter tuning job is in status {status}.")

        def stopping(job: Document) -> None:
            if job["HyperParameterTuningJobStatus"] == "InProgress":
                job.update(HyperParameterTuningJobStatus="Stopping", LastModifiedTime=now)

        self._jobs.change(job["HyperParameterTuningJobName"], stopping)
        return {}

    def delete(self, request: Document) -> Document:
        """DeleteHyperParameterTuningJob: forget one that has ended; its training jobs stay. Raises Refused."""
        job = self._found(request)
        if (status := job["HyperParameterTuningJobStatus"]) not in trials.OVER:
            raise invalid(f"The request was rejected because the hyperparameter tuning job is in status {status}.")
        self._jobs.remove(job["HyperParameterTuningJobName"])
        self._house.tags.remove(job["HyperParameterTuningJobArn"])
        return {}

    def list_trials(self, request: Document) -> Document:
        """ListTrainingJobsForHyperParameterTuningJob, by name unless asked otherwise. Raises Refused."""
        order = request.get("SortBy", "Name")
        status = request.get("StatusEquals")
        found = [
            each
            for each in self._found(request)["_trials"]
            if status in (None, each["TrainingJobStatus"])
            and (order != "FinalObjectiveMetricValue" or trials.value_of(each) is not None)
        ]
        backwards, most = request.get("SortOrder") == "Descending", request.get("MaxResults", PAGE)
        found.sort(key=lambda each: _place(each, order), reverse=backwards)
        if token := request.get("NextToken"):
            last = _last(token, order)
            found = [
                each for each in found if (_place(each, order) < last if backwards else _place(each, order) > last)
            ]
        page: Document = {"TrainingJobSummaries": found[:most]}
        if len(found) > most:
            told = json.dumps([order, *_place(found[most - 1], order)])
            page["NextToken"] = base64.urlsafe_b64encode(told.encode()).decode()
        return page

    def resume(self) -> None:
        """Go on with those that were under way."""
        for job in self._jobs.all():
            if job["HyperParameterTuningJobStatus"] not in trials.OVER:
                self._start(job["HyperParameterTuningJobName"])

    def close(self) -> None:
        """The drivers leave when the house closes; what they know is on disk."""
        with self._lock:
            drivers = list(self._drivers)
        for each in drivers:
            each.join(JOIN_S)

    def _start(self, name: str) -> None:
        driver = Driver(self._house, self._jobs, self._trainings, name)
        with self._lock:
            self._drivers = [*(each for each in self._drivers if each.alive()), driver]
            driver.start()

    def _found(self, request: Document) -> Document:
        name = request["HyperParameterTuningJobName"]
        job = self._jobs.get(name)
        if job is None:
            raise Refused(
                "ResourceNotFound",
                f"Amazon SageMaker can't find a tuning job with the name {name}. Make sure you have the right name "
                "and Region.",
            )
        return job

    def _overall_best(self, job: Document) -> Document | None:
        """With a warm start on the same data: the best of this job and of its parents."""
        if job.get("WarmStartConfig", {}).get("WarmStartType") != "IdenticalDataAndAlgorithm":
            return None
        names = [*requests.parent_names(job), job["HyperParameterTuningJobName"]]
        jobs = [each for each in (self._jobs.get(name) for name in names) if each]
        return trials.best(
            [
                {**trial, "TuningJobName": each["HyperParameterTuningJobName"]}
                for each in jobs
                for trial in each["_trials"]
            ],
            _maximize(job),
        )


def _maximize(job: Document) -> bool:
    return bool(job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Maximize")


def _summary(job: Document) -> Document:
    config = job["HyperParameterTuningJobConfig"]
    return {
        "Strategy": config["Strategy"],
        "ResourceLimits": config["ResourceLimits"],
        **trials.counters(job["_trials"]),
    }


def _place(trial: Document, order: str) -> tuple[Any, str]:
    if order == "FinalObjectiveMetricValue":
        return trials.value_of(trial), trial["TrainingJobName"]
    member = {"Status": "TrainingJobStatus", "CreationTime": "CreationTime"}.get(order, "TrainingJobName")
    return trial[member], trial["TrainingJobName"]


def _last(token: str, order: str) -> tuple[Any, str]:
    """The place of the last trial of a page: those that came to the list or left it since do not matter."""
    try:
        by, value, name = json.loads(base64.urlsafe_b64decode(token))
        if by != order or isinstance(value, str) != (order in ("Name", "Status")):
            raise ValueError(by)
    except (ValueError, TypeError) as error:
        raise invalid("The NextToken is not one of this list.") from error
    return value, name
