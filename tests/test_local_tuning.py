"""Tuning jobs of the local AWS, with training jobs whose values are a known function of their hyperparameters."""

from __future__ import annotations

import copy
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kennel.aws.shapes import answer_problems, problems
from kennel.local.errors import Refused, invalid
from kennel.local.parts import Changes, Document, House
from kennel.local.tags import TagStore
from kennel.local.tuning import TuningJobs

ROLE = "arn:aws:iam::123456789012:role/kennel-training"
CALLED = {
    "create": "CreateHyperParameterTuningJob",
    "describe": "DescribeHyperParameterTuningJob",
    "list": "ListHyperParameterTuningJobs",
    "stop": "StopHyperParameterTuningJob",
    "delete": "DeleteHyperParameterTuningJob",
    "trials": "ListTrainingJobsForHyperParameterTuningJob",
}
WAIT_S = 30.0
Play = Callable[[Mapping[str, str]], Sequence[float]]
"""Hyperparameters → what a training job prints of its objective. Raises RuntimeError where the job shall fail."""


class SetClock:
    """Time as a test sets it."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class OneRole:
    def check_assumable(self, role_arn: str, principal: str, source_arn: str = "") -> None:
        if role_arn != ROLE:
            raise invalid(f"Could not assume role {role_arn}.")


class KnownTrainings:
    """Training jobs that end at once with what `play` says; while `held`, they run until `finish`."""

    def __init__(self, house: House, play: Play, held: bool = False) -> None:
        self._house, self._play, self._held = house, play, held
        self._jobs: dict[str, Document] = {}
        self._printed: dict[str, list[float]] = {}
        self._lock = threading.RLock()
        self.requests: list[Document] = []
        self.most_at_once, self.most = 0, 1000

    def create(self, request: Document, tuning_job_arn: str | None = None) -> Document:
        assert problems("sagemaker", "CreateTrainingJob", request) == []
        with self._lock:
            name, now = request["TrainingJobName"], self._house.clock.now()
            assert name not in self._jobs
            if len(self._jobs) >= self.most:
                raise invalid("S3 bucket kennel does not exist.")
            self.requests.append(copy.deepcopy(request))
            arn = self._house.arn(f"training-job/{name}")
            job = {"TrainingJobName": name, "TrainingJobArn": arn, "HyperParameters": request["HyperParameters"]}
            job |= {"CreationTime": now, "TrainingJobStatus": "InProgress", "TuningJobArn": tuning_job_arn}
            self._jobs[name], self._printed[name] = job, []
            self.most_at_once = max(self.most_at_once, len(self.running()))
            if not self._held:
                self.finish(name)
        return {"TrainingJobArn": arn}

    def describe(self, name: str) -> Document:
        with self._lock:
            if name not in self._jobs:
                raise invalid("Requested resource not found.")
            return copy.deepcopy(self._jobs[name])

    def stop(self, name: str) -> Document:
        if self.describe(name)["TrainingJobStatus"] != "InProgress":
            raise invalid("The request was rejected.")
        self.end(name, "Stopped")
        return {}

    def values(self, name: str, metric: str) -> list[tuple[float, float]]:
        assert metric == "valid:accuracy"
        with self._lock:
            return list(enumerate(self._printed.get(name, ())))

    def names_of(self, tuning_job_arn: str) -> list[str]:
        with self._lock:
            return sorted(name for name, each in self._jobs.items() if each["TuningJobArn"] == tuning_job_arn)

    def running(self) -> list[str]:
        with self._lock:
            return [name for name, each in self._jobs.items() if each["TrainingJobStatus"] == "InProgress"]

    def print(self, name: str, *values: float) -> None:
        with self._lock:
            self._printed[name].extend(values)
        self._house.changes.tell()

    def finish(self, name: str) -> None:
        try:
            self.print(name, *self._play(self.describe(name)["HyperParameters"]))
            self.end(name, "Completed")
        except RuntimeError as error:
            self.end(name, "Failed", str(error))

    def end(self, name: str, status: str, reason: str = "") -> None:
        with self._lock:
            now = self._house.clock.now()
            self._jobs[name].update(TrainingJobStatus=status, TrainingStartTime=now, TrainingEndTime=now)
            if reason:
                self._jobs[name]["FailureReason"] = reason
        self._house.changes.tell()


class Place:
    """A local AWS with tuning jobs only."""

    def __init__(self, home: Path, play: Play, held: bool = False) -> None:
        changes, self.clock = Changes(), SetClock()
        unused: Any = None
        self.house = House(
            account="123456789012", region="us-east-1", home=home, url="http://127.0.0.1", clock=self.clock,
            objects=unused, logs=unused, cloudwatch=unused, roles=OneRole(), runners=unused, changes=changes,
            tags=TagStore(home / "tags", changes), closing=threading.Event(),
        )  # fmt: skip
        self.trainings = KnownTrainings(self.house, play, held)
        self.service = TuningJobs(self.house, self.trainings)

    def call(self, called: str, **request: Any) -> Document:
        """As the server's door does it: checked both ways."""
        operation = CALLED[called]
        assert problems("sagemaker", operation, request) == []
        answer = self.service.operations()[operation](copy.deepcopy(request))
        assert answer_problems("sagemaker", operation, answer) == []
        return answer

    def describe(self, name: str = "dogs") -> Document:
        return self.call("describe", HyperParameterTuningJobName=name)

    def trials(self, name: str = "dogs", **how: Any) -> list[Document]:
        found: list[Document] = self.call("trials", HyperParameterTuningJobName=name, MaxResults=100, **how)[
            "TrainingJobSummaries"
        ]
        return found

    def until(self, holds: Callable[[], Any]) -> None:
        seen, end = 0, time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < end
            seen = self.house.changes.wait(seen, 0.05)

    def ended(self, name: str = "dogs") -> Document:
        self.until(lambda: self.describe(name)["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"))
        return self.describe(name)

    def run(self, request: Document) -> Document:
        self.call("create", **request)
        return self.ended(request["HyperParameterTuningJobName"])

    def close(self) -> None:
        self.house.closing.set()
        self.house.changes.tell()
        self.service.close()

    def started_again(self) -> None:
        """The server was killed, its files and the training jobs are there."""
        self.close()
        self.house = replace(self.house, closing=threading.Event())
        self.service = TuningJobs(self.house, self.trainings)
        self.service.resume()


def accuracy(hyperparameters: Mapping[str, str]) -> Sequence[float]:
    """Best at a rate of 0.01, and worse in the end than before."""
    value = 1 - abs(math.log10(float(hyperparameters["rate"])) + 2) / 10
    return [value / 2, value + 0.5, value]


def failing(hyperparameters: Mapping[str, str]) -> Sequence[float]:
    raise RuntimeError("AlgorithmError: no, exit code: 1")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def place(play: Play = accuracy, held: bool = False) -> Place:
        made.append(Place(tmp_path / str(len(made)), play, held))
        return made[-1]

    yield place
    for each in made:
        each.close()


def request(name: str = "dogs", most: int | None = 6, at_once: int = 2, **config: Any) -> Document:
    ranges = {
        "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.0001", "MaxValue": "1"}],
        "CategoricalParameterRanges": [{"Name": "size", "Values": ["32", "64"]}],
    }
    limits = {"MaxParallelTrainingJobs": at_once} | ({} if most is None else {"MaxNumberOfTrainingJobs": most})
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "valid:accuracy"},
            "ResourceLimits": limits,
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"epochs": "3"},
            "AlgorithmSpecification": {
                "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training:latest",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "valid:accuracy", "Regex": "accuracy=([0-9.]+)"}],
            },
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": "s3://kennel/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
        "Tags": [{"Key": "project", "Value": "kennel"}],
    }


def grid(*values: str, most: int | None = None, **config: Any) -> Document:
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": list(values)}]}
    return request(most=most, Strategy="Grid", ParameterRanges=ranges, **config)


@pytest.mark.parametrize("strategy", ["Random", "Bayesian", "Hyperband"])
def test_a_tuning_job_starts_as_many_trials_as_it_may_and_tells_the_best(
    make: Callable[..., Place], strategy: str
) -> None:
    place = make()
    job = place.run(request(Strategy=strategy))
    trials = place.trials()
    values = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in trials]
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 6, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    assert job["BestTrainingJob"] == trials[values.index(max(values))]
    assert "OverallBestTrainingJob" not in job
    assert job["HyperParameterTuningEndTime"] == job["LastModifiedTime"] == place.clock.time


def test_a_trial_is_the_definition_with_its_own_values(make: Callable[..., Place]) -> None:
    place = make()
    job = place.run(request())
    created = place.trainings.requests
    for number, (each, told) in enumerate(zip(created, place.trials(), strict=True), 1):
        assert re.fullmatch(rf"dogs-{number:03d}-[0-9a-f]{{8}}", each["TrainingJobName"])
        assert each["HyperParameters"] == {
            "epochs": "3", "_tuning_objective_metric": "valid:accuracy", **told["TunedHyperParameters"],
        }  # fmt: skip
        assert set(told["TunedHyperParameters"]) == {"rate", "size"}
        assert each["Tags"] == [{"Key": "project", "Value": "kennel"}]
        definition = job["TrainingJobDefinition"]
        members = set(definition) - {"StaticHyperParameters"}
        assert {member: each[member] for member in members} == {member: definition[member] for member in members}


def test_the_final_objective_is_the_last_value_printed(make: Callable[..., Place]) -> None:
    place = make(lambda _: [0.3, 0.9, 0.4])
    found = place.run(request())["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
    assert found == {"Type": "Maximize", "MetricName": "valid:accuracy", "Value": 0.4}


def test_a_minimized_objective_has_the_least_as_best(make: Callable[..., Place]) -> None:
    place = make(lambda given: [float(given["rate"])])
    objective = {"Type": "Minimize", "MetricName": "valid:accuracy"}
    job = place.run(grid("0.3", "0.1", "0.2", HyperParameterTuningJobObjective=objective))
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.1"}


def test_a_grid_tries_every_combination_once(make: Callable[..., Place]) -> None:
    place = make()
    job = place.run(grid("0.1", "0.01", "0.001"))
    assert [each["TunedHyperParameters"]["rate"] for each in place.trials()] == ["0.1", "0.01", "0.001"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.01"}


def test_no_more_trials_run_at_once_than_allowed(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request(most=5, at_once=3))
    for _ in range(5):
        place.until(place.trainings.running)
        place.trainings.finish(place.trainings.running()[0])
    assert place.ended()["TrainingJobStatusCounters"]["Completed"] == 5
    assert place.trainings.most_at_once == 3


def test_a_stop_ends_the_trials_and_then_the_tuning_job(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request())
    place.until(lambda: len(place.trials()) == 2)
    place.trainings.finish(place.trainings.running()[0])
    place.until(lambda: len(place.trials()) == 3)
    place.call("stop", HyperParameterTuningJobName="dogs")
    job = place.ended()
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"] | {"Completed": 1, "Stopped": 2} == job["TrainingJobStatusCounters"]
    assert job["BestTrainingJob"]["TrainingJobStatus"] == "Completed"
    with pytest.raises(Refused, match="in status Stopped"):
        place.call("stop", HyperParameterTuningJobName="dogs")


def test_a_tuning_job_fails_when_no_trial_succeeds(make: Callable[..., Place]) -> None:
    job = make(failing).run(request(most=3))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 3
    assert "BestTrainingJob" not in job


def test_a_tuning_job_gives_up_after_five_attempts(make: Callable[..., Place]) -> None:
    place = make(failing)
    job = place.run(request(most=50, at_once=1))
    assert job["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert len(place.trials()) == 5


def test_five_failed_attempts_start_no_more_and_let_the_others_end(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request(most=50, at_once=6))
    place.until(lambda: len(place.trials()) == 6)
    *bad, last = place.trainings.running()
    for name in bad:
        place.trainings.end(name, "Failed", "AlgorithmError: no, exit code: 1")
    place.until(lambda: place.describe()["TrainingJobStatusCounters"]["NonRetryableError"] == 5)
    assert place.trainings.running() == [last]
    place.trainings.finish(last)
    place.until(lambda: len(place.trials()) > 6)
    assert place.describe()["HyperParameterTuningJobStatus"] == "InProgress"


def test_a_tuning_job_fails_when_no_trial_prints_the_objective(make: Callable[..., Place]) -> None:
    job = make(lambda _: []).run(request(at_once=1))
    assert job["FailureReason"].startswith("No objective metrics found after running 5 training jobs.")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 5}


def test_a_trial_that_cannot_be_created_fails_the_tuning_job_and_ends_the_others(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.trainings.most = 1
    place.call("create", **request())
    job = place.ended()
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"] == "ClientError: S3 bucket kennel does not exist."
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert place.trainings.running() == []


def test_some_failed_trials_do_not_fail_a_tuning_job(make: Callable[..., Place]) -> None:
    def play(given: Mapping[str, str]) -> Sequence[float]:
        return failing(given) if given["rate"] == "0.1" else accuracy(given)

    job = make(play).run(grid("0.1", "0.01"))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}


def test_trials_that_the_service_lost_are_replaced(make: Callable[..., Place]) -> None:
    lost = iter([True, True])

    def play(given: Mapping[str, str]) -> Sequence[float]:
        if next(lost, False):
            raise RuntimeError("InternalServerError: The local AWS ended while the job ran.")
        return accuracy(given)

    place = make(play)
    job = place.run(grid("0.1", "0.01"))
    counters = job["TrainingJobStatusCounters"]
    assert (counters["RetryableError"], counters["Completed"]) == (2, 2)
    assert {each["TunedHyperParameters"]["rate"] for each in place.trials(StatusEquals="Completed")} == {"0.1", "0.01"}


def test_a_service_that_loses_every_trial_ends_the_tuning_job(make: Callable[..., Place]) -> None:
    def play(given: Mapping[str, str]) -> Sequence[float]:
        raise RuntimeError("InternalServerError: again")

    job = make(play).run(request(most=2))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["TrainingJobStatusCounters"]["RetryableError"] == 7


def test_a_server_started_again_goes_on_where_it_left(make: Callable[..., Place]) -> None:
    straight = make()
    straight.run(request(at_once=1))
    place = make(held=True)
    place.call("create", **request(at_once=1))
    for number in range(1, 7):
        place.until(partial(_runs_alone, place, number))
        place.started_again()
        place.trainings.finish(place.trainings.running()[0])
    assert place.ended()["HyperParameterTuningJobStatus"] == "Completed"
    told = [each["TunedHyperParameters"] for each in place.trials()]
    assert told == [each["TunedHyperParameters"] for each in straight.trials()]


def _runs_alone(place: Place, number: int) -> bool:
    return len(place.trials()) == number and len(place.trainings.running()) == 1


def test_a_stop_that_a_killed_server_did_not_finish_is_finished(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request())
    place.until(lambda: len(place.trials()) == 2)
    place.close()
    place.call("stop", HyperParameterTuningJobName="dogs")
    assert place.describe()["HyperParameterTuningJobStatus"] == "Stopping"
    place.started_again()
    assert place.ended()["HyperParameterTuningJobStatus"] == "Stopped"
    assert place.trainings.running() == []


def test_early_stopping_ends_a_trial_that_is_worse_than_the_median(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request(most=4, at_once=4, TrainingJobEarlyStoppingType="Auto"))
    place.until(lambda: len(place.trials()) == 4)
    *good, bad = place.trainings.running()
    for name in good:
        place.trainings.print(name, 0.5, 0.6)
        place.trainings.end(name, "Completed")
    place.trainings.print(bad, 0.1)
    job = place.ended()
    assert (job["TrainingJobStatusCounters"]["Completed"], job["TrainingJobStatusCounters"]["Stopped"]) == (3, 1)
    assert place.trials(StatusEquals="Stopped")[0]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.1


def test_hyperband_ends_trials_that_are_not_among_the_best_third(make: Callable[..., Place]) -> None:
    place = make(held=True)
    strategy = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}}  # one rung, every other trial
    place.call("create", **request(most=5, at_once=5, Strategy="Hyperband", StrategyConfig=strategy))
    place.until(lambda: len(place.trials()) == 5)
    names = place.trainings.running()
    for name, value in zip(names[::2], (0.9, 0.2, 0.1), strict=True):
        place.trainings.print(name, value)
    place.until(lambda: len(place.trials(StatusEquals="Stopped")) == 2)
    for name in place.trainings.running():
        place.trainings.finish(name)
    assert place.ended()["TrainingJobStatusCounters"]["Completed"] == 3


def test_a_target_that_is_reached_completes_the_tuning_job(make: Callable[..., Place]) -> None:
    place = make()
    job = place.run(request(most=50, at_once=1, TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 0.5}))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(place.trials()) == 1


def test_trials_that_improve_nothing_complete_the_tuning_job(make: Callable[..., Place]) -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    place = make(lambda _: [0.5])
    job = place.run(request(most=50, at_once=1, TuningJobCompletionCriteria=criteria))
    assert job["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 3}
    assert len(place.trials()) == 4


def test_a_tuning_job_ends_when_its_time_is_up(make: Callable[..., Place]) -> None:
    place = make(held=True)
    limits = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 120}
    place.call("create", **request(ResourceLimits=limits))
    place.until(lambda: len(place.trials()) == 1)
    place.clock.time += 120
    place.house.changes.tell()
    job = place.ended()
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["ConsumedResources"] == {"RuntimeInSeconds": 120}
    assert place.trainings.running() == []


def test_a_warm_start_on_the_same_data_also_tells_the_best_of_its_parents(make: Callable[..., Place]) -> None:
    place = make()
    parent = place.run(grid("0.01", "0.1"))
    child = grid("0.1", "1") | {"HyperParameterTuningJobName": "more"}
    child["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "dogs"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    job = place.run(child)
    assert job["WarmStartConfig"] == child["WarmStartConfig"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.1"}
    assert job["OverallBestTrainingJob"] == {**parent["BestTrainingJob"], "TuningJobName": "dogs"}


def test_a_bayesian_search_begins_with_what_its_parents_found(make: Callable[..., Place]) -> None:
    place = make()
    place.run(request(most=30, at_once=5))
    child = request("more", most=4, at_once=1, Strategy="Bayesian")
    child["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "dogs"}],
        "WarmStartType": "TransferLearning",
    }
    job = place.run(child)
    assert "OverallBestTrainingJob" not in job
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] > 0.95


def test_what_a_parent_held_fixed_is_learned_from_too(make: Callable[..., Place]) -> None:
    place = make()
    ranges = {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.0001", "MaxValue": "1"}]}
    parent = request(most=30, at_once=5, ParameterRanges=ranges)
    parent["TrainingJobDefinition"]["StaticHyperParameters"]["size"] = "32"
    place.run(parent)
    child = request("more", most=4, at_once=1, Strategy="Bayesian")
    child["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "dogs"}],
        "WarmStartType": "TransferLearning",
    }
    place.run(child)
    rates = [math.log10(float(each["TunedHyperParameters"]["rate"])) for each in place.trials("more")]
    assert all(abs(rate + 2) < 1 for rate in rates)  # of four decades


def test_a_warm_start_with_as_many_but_other_hyperparameters_is_refused(make: Callable[..., Place]) -> None:
    place = make()
    place.run(request())
    child = request("more")
    child["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "dogs"}],
        "WarmStartType": "TransferLearning",
    }
    child["TrainingJobDefinition"]["StaticHyperParameters"] = {"seed": "1"}
    with pytest.raises(Refused, match="names is not the same across current and parent"):
        place.call("create", **child)


@pytest.mark.parametrize("how", ["missing", "running", "objective", "image", "hyperparameters", "twice"])
def test_a_warm_start_that_does_not_fit_is_refused(make: Callable[..., Place], how: str) -> None:
    place = make(held=how == "running")
    place.call("create", **request())
    if how != "running":
        place.ended()
    child = request("more")
    parents = [{"HyperParameterTuningJobName": "cats" if how == "missing" else "dogs"}] * (1 + (how == "twice"))
    child["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": parents,
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    if how == "objective":
        child["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] = "Minimize"
    if how == "image":
        child["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] += "2"
    if how == "hyperparameters":
        child["TrainingJobDefinition"]["StaticHyperParameters"]["more"] = "1"
    words = {"missing": "does not exist", "running": "terminal", "twice": "each once"}.get(
        how, "parent tuning job dogs"
    )
    with pytest.raises(Refused, match=words):
        place.call("create", **child)


def test_trials_are_listed_a_page_at_a_time_in_the_order_asked_for(make: Callable[..., Place]) -> None:
    place = make()
    place.run(request(most=7))
    names: list[str] = []
    token: dict[str, str] = {}
    for size in (3, 3, 1):
        page = place.call("trials", HyperParameterTuningJobName="dogs", MaxResults=3, **token)
        assert len(page["TrainingJobSummaries"]) == size
        names += [each["TrainingJobName"] for each in page["TrainingJobSummaries"]]
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert names == sorted(names)
    assert not token
    found = place.trials(SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    values = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in found]
    assert values == sorted(values, reverse=True)
    assert found[0] == place.describe()["BestTrainingJob"]
    with pytest.raises(Refused, match="NextToken"):
        place.trials(NextToken="bm90aGluZw==")


def test_pages_go_on_where_a_trial_has_left_the_list(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request(most=4, at_once=4))
    place.until(lambda: len(place.trials()) == 4)
    names = [each["TrainingJobName"] for each in place.trials()]
    asked = {"HyperParameterTuningJobName": "dogs", "StatusEquals": "InProgress", "MaxResults": 2}
    page = place.call("trials", **asked)
    place.trainings.finish(names[1])
    place.until(lambda: len(place.trials(StatusEquals="InProgress")) == 3)
    rest = place.call("trials", **asked, NextToken=page["NextToken"])
    assert [each["TrainingJobName"] for each in rest["TrainingJobSummaries"]] == names[2:]
    with pytest.raises(Refused, match="NextToken"):
        place.call("trials", **asked, SortBy="CreationTime", NextToken=page["NextToken"])


def test_trials_without_an_objective_are_not_listed_by_it(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request())
    place.until(lambda: len(place.trials()) == 2)
    assert place.trials(SortBy="FinalObjectiveMetricValue") == []
    assert place.trials(StatusEquals="Completed") == []
    assert {each["ObjectiveStatus"] for each in place.trials(SortBy="Status")} == {"Pending"}


def test_tuning_jobs_are_listed_described_and_deleted(make: Callable[..., Place]) -> None:
    place = make()
    for name in ("b", "a"):
        place.run(request(name))
    found = place.call("list")["HyperParameterTuningJobSummaries"]
    assert [each["HyperParameterTuningJobName"] for each in found] == ["a", "b"]
    assert found[0]["TrainingJobStatusCounters"]["Completed"] == 6
    assert "HyperParameterTuningEndTime" in found[0]
    assert place.house.tags.of(found[0]["HyperParameterTuningJobArn"]) == [{"Key": "project", "Value": "kennel"}]
    place.call("delete", HyperParameterTuningJobName="a")
    assert place.house.tags.of(found[0]["HyperParameterTuningJobArn"]) == []
    for called in ("describe", "stop", "delete", "trials"):
        with pytest.raises(Refused, match="can't find") as refused:
            place.call(called, HyperParameterTuningJobName="a")
        assert refused.value.code == "ResourceNotFound"


def test_a_tuning_job_named_like_a_deleted_one_has_trials_of_its_own(make: Callable[..., Place]) -> None:
    place = make()
    place.run(request(most=2))
    place.call("delete", HyperParameterTuningJobName="dogs")
    place.clock.time += 1
    place.run(request(most=3))
    assert len(place.trials()) == 3
    assert len(place.trainings.requests) == 5


def test_a_tuning_job_that_runs_is_not_deleted(make: Callable[..., Place]) -> None:
    place = make(held=True)
    place.call("create", **request())
    with pytest.raises(Refused, match="in status InProgress"):
        place.call("delete", HyperParameterTuningJobName="dogs")


def test_a_name_that_is_taken_is_refused(make: Callable[..., Place]) -> None:
    place = make()
    place.run(request())
    with pytest.raises(Refused) as refused:
        place.call("create", **request())
    assert refused.value.code == "ResourceInUse"


def continuous(low: str, high: str, scaling: str = "Linear") -> Document:
    return {"ContinuousParameterRanges": [one("rate", low, high, scaling)]}


def one(name: str, low: str, high: str, scaling: str = "Linear") -> Document:
    return {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scaling}


MANY = [one(f"x{number}", "0", "1") for number in range(16)]
HYPERBAND = {"HyperbandStrategyConfig": {"MinResource": 5, "MaxResource": 3}}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"ParameterRanges": continuous("1", "0.5")}, "must not be greater"),
        ({"ParameterRanges": continuous("low", "1")}, "must be numbers"),
        ({"ParameterRanges": continuous("nan", "1")}, "finite"),
        ({"ParameterRanges": continuous("1_0", "20")}, "must be numbers"),
        ({"ParameterRanges": continuous(" 1", "2")}, "must be numbers"),
        ({"ParameterRanges": {"IntegerParameterRanges": [one("n", "1", "9" * 250)]}}, "must be numbers"),
        ({"ParameterRanges": continuous("0", "1", "Logarithmic")}, "greater than 0"),
        ({"ParameterRanges": continuous("0", "1", "ReverseLogarithmic")}, "0 <= x < 1.0"),
        ({"ParameterRanges": {"IntegerParameterRanges": [one("n", "1.5", "3")]}}, "must be numbers"),
        ({"ParameterRanges": {"IntegerParameterRanges": [one("n", "0", "9", "ReverseLogarithmic")]}}, "not supported"),
        ({"ParameterRanges": {"IntegerParameterRanges": [one("n", "1", "3")]}}, r"\[3.0\].*\[6\]"),
        ({"ParameterRanges": {"IntegerParameterRanges": [one("epochs", "1", "99")]}}, "both static and tunable"),
        ({"ParameterRanges": continuous("0", "1") | {"IntegerParameterRanges": [one("rate", "1", "9")]}}, "unique"),
        (
            {"ParameterRanges": {
                "ContinuousParameterRanges": MANY,
                "IntegerParameterRanges": [each | {"Name": each["Name"] + "n"} for each in MANY],
            }},
            "limit of 30",
        ),
        ({"ParameterRanges": {}}, "at least one"),
        ({"Strategy": "Grid"}, "Only categorical"),
        ({"StrategyConfig": HYPERBAND}, "cannot be specified with the strategy Random"),
        ({"Strategy": "Hyperband", "StrategyConfig": HYPERBAND}, "must not exceed"),
        ({"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}, "must be Off"),
        ({"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}}, "less than or equal"),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 2}}, "MaxNumberOfTrainingJobs is required"),
        ({"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "loss"}}, "A metric is required"),
        ({"TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}}, "convergence"),
    ],
)  # fmt: skip
def test_a_configuration_that_aws_refuses_is_refused(make: Callable[..., Place], config: Document, words: str) -> None:
    with pytest.raises(Refused, match=words):
        make().call("create", **request(**config))


def test_more_trials_than_a_tuning_job_can_have_are_refused_at_once(make: Callable[..., Place]) -> None:
    many = [{"Name": f"x{number}", "Values": [str(value) for value in range(30)]} for number in range(30)]
    for asked in (
        request(most=751),
        request(most=None, Strategy="Grid", ParameterRanges={"CategoricalParameterRanges": many}),
    ):
        with pytest.raises(Refused, match="750 training jobs at most") as refused:
            make().call("create", **asked)
        assert refused.value.code == "ResourceLimitExceeded"


def test_a_grid_with_another_number_of_trials_is_refused(make: Callable[..., Place]) -> None:
    with pytest.raises(Refused, match=r"\[5\] must equal .* \[2\]"):
        make().call("create", **grid("0.1", "0.2", most=5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/other"}, "Could not assume role"),
        ({"ResourceConfig": None}, "Exactly one of ResourceConfig"),
        ({"HyperParameterRanges": continuous("0", "1")}, "HyperParameterRanges of a definition"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
    ],
)
def test_a_definition_that_aws_refuses_is_refused(make: Callable[..., Place], change: Document, words: str) -> None:
    asked = request()
    definition = asked["TrainingJobDefinition"] | change
    asked["TrainingJobDefinition"] = {name: value for name, value in definition.items() if value is not None}
    with pytest.raises(Refused, match=words):
        make().call("create", **asked)


def test_a_request_has_one_definition(make: Callable[..., Place]) -> None:
    asked = request()
    definition = asked.pop("TrainingJobDefinition")
    with pytest.raises(Refused, match="must specify either"):
        make().call("create", **asked)
    with pytest.raises(Refused, match="both"):
        make().call("create", **asked, TrainingJobDefinition=definition, TrainingJobDefinitions=[definition])
    with pytest.raises(Refused, match="one TrainingJobDefinition only"):
        make().call("create", **asked, TrainingJobDefinitions=[definition])
