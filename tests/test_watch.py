"""Waiting: what is new between two descriptions, logs followed line by line, patience, and how failures are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.server import ThreadedMotoServer

from kennel.cloud import watch
from kennel.cloud.events import (
    Event,
    InstancesChanged,
    StatusChanged,
    TrialEnded,
    TrialStarted,
    endpoint_events,
    hyperparameters_of,
    seconds_of,
    training_events,
    trial_events,
    tuning_events,
)
from kennel.cloud.failures import JobFailed
from kennel.cloud.logs import Follower, LogLine, Notice
from kennel.cloud.session import Cloud
from kennel.errors import KennelError
from kennel.settings import Settings

GROUP = "/aws/sagemaker/TrainingJobs"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def job(*transitions: tuple[str, str], status: str = "InProgress", **more: Any) -> dict[str, Any]:
    listed = [{"Status": name, "StatusMessage": message} for name, message in transitions]
    secondary = transitions[-1][0] if transitions else "Starting"
    return {
        "TrainingJobName": "dogs",
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": listed,
        **more,
    }


def trial(
    name: str, status: str = "InProgress", objective: str = "Pending", value: float | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "TrainingJobName": name,
        "TrainingJobStatus": status,
        "ObjectiveStatus": objective,
        "TunedHyperParameters": {"learning_rate": "0.01", "batch_size": '"64"'},
    }
    if value is not None:
        made["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "valid:accuracy", "Value": value}
    return made


# --- what is new ------------------------------------------------------------------------------------------------


def test_every_transition_is_told_once_also_those_between_two_looks() -> None:
    first = job(("Starting", "Launching"))
    later = job(("Starting", "Launching"), ("Downloading", "d"), ("Training", "t"))
    assert training_events({}, first) == [StatusChanged("dogs", "Starting", "Launching")]
    assert [each.status for each in training_events(first, later) if isinstance(each, StatusChanged)] == [
        "Downloading",
        "Training",
    ]
    assert training_events(later, later) == []


def test_a_new_message_of_the_same_status_is_told() -> None:
    before, now = job(("Starting", "Starting the training job")), job(("Starting", "Insufficient capacity, retrying!"))
    assert training_events(before, now) == [StatusChanged("dogs", "Starting", "Insufficient capacity, retrying!")]


def test_a_spot_job_that_starts_again_is_told() -> None:
    before = job(("Starting", ""), ("Training", ""))
    now = job(("Starting", ""), ("Training", ""), ("Interrupted", "i"), ("Starting", ""))
    assert [each.status for each in training_events(before, now) if isinstance(each, StatusChanged)] == [
        "Interrupted",
        "Starting",
    ]


def test_trials_are_told_when_they_start_and_end() -> None:
    tuned = {"batch_size": "64", "learning_rate": "0.01"}
    first = [trial("t-1")]
    then = [trial("t-1", "Completed", "Succeeded", 0.8), trial("t-2")]
    assert trial_events([], first, False) == [TrialStarted("t-1", tuned)]
    assert trial_events(first, then, False) == [TrialEnded("t-1", "Completed", 0.8, tuned), TrialStarted("t-2", tuned)]
    assert trial_events(then, then, False) == []


def test_a_trial_ends_when_its_objective_is_known_or_never_will_be() -> None:
    running, waiting = [trial("t-1")], [trial("t-1", "Completed", "Pending")]
    known = [trial("t-1", "Completed", "Succeeded", 0.9)]
    assert trial_events(running, waiting, False) == []
    assert len(trial_events(waiting, known, False)) == 1
    assert len(trial_events(waiting, waiting, True)) == 1
    assert trial_events(known, known, True) == []


def test_a_tuning_job_tells_its_status_once() -> None:
    now = {"HyperParameterTuningJobName": "t", "HyperParameterTuningJobStatus": "InProgress"}
    assert tuning_events({}, now) == [StatusChanged("t", "InProgress", "")]
    assert tuning_events(now, now) == []


def test_an_endpoint_tells_status_and_instances() -> None:
    variant = {"VariantName": "all", "CurrentInstanceCount": 1, "DesiredInstanceCount": 2}
    creating = {"EndpointName": "dogs", "EndpointStatus": "Creating"}
    serving = {"EndpointName": "dogs", "EndpointStatus": "InService", "ProductionVariants": [variant]}
    assert endpoint_events({}, creating) == [StatusChanged("dogs", "Creating", "")]
    assert endpoint_events(creating, serving) == [StatusChanged("dogs", "InService", ""), InstancesChanged("all", 1, 2)]
    assert endpoint_events(serving, serving) == []


def test_values_lose_the_quotes_that_aws_gives_categories() -> None:
    assert hyperparameters_of(trial("t")) == {"batch_size": "64", "learning_rate": "0.01"}
    times = {"TrainingStartTime": NOON, "TrainingEndTime": NOON + timedelta(seconds=90)}
    assert seconds_of(times) == 90
    assert seconds_of({}) is None


# --- logs, against moto -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def logs(moto: str) -> Iterator[Any]:
    client = boto3.client(
        "logs", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    yield client
    for group in client.describe_log_groups()["logGroups"]:
        client.delete_log_group(logGroupName=group["logGroupName"])


def write(logs: Any, stream: str, *texts: str, at: datetime | None = None) -> None:
    """at: CloudWatch refuses old lines, so the default is now."""
    time = int((at or datetime.now(UTC)).timestamp() * 1000)
    for make, request in (
        (logs.create_log_group, {"logGroupName": GROUP}),
        (logs.create_log_stream, {"logGroupName": GROUP, "logStreamName": stream}),
    ):
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            make(**request)
    events = [{"timestamp": time + index, "message": text} for index, text in enumerate(texts)]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


class Heard(list[Any]):
    """What was told."""

    @property
    def lines(self) -> list[str]:
        return [each.text for each in self if isinstance(each, LogLine)]

    @property
    def statuses(self) -> list[str]:
        return [each.status for each in self if isinstance(each, StatusChanged)]


def test_a_log_that_does_not_exist_yet_is_no_error(logs: Any) -> None:
    heard = Heard()
    follower = Follower(logs, GROUP, "dogs/", heard.append)
    assert follower.read() == 0
    write(logs, "dogs/algo-1-1", "hello")
    assert follower.read() == 1
    assert heard.lines == ["hello"]


def test_a_stream_that_is_still_empty_is_read_when_it_fills(logs: Any) -> None:
    heard = Heard()
    follower = Follower(logs, GROUP, "dogs/", heard.append)
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="dogs/algo-1-1")
    assert [follower.read(), follower.read()] == [0, 0]
    for number in range(3):
        write(logs, "dogs/algo-1-1", str(number))
        assert follower.read() == 1
    assert heard.lines == ["0", "1", "2"]


def test_no_line_comes_twice_and_none_is_lost_with_two_hosts(logs: Any) -> None:
    heard = Heard()
    follower = Follower(logs, GROUP, "dogs/", heard.append)
    for look in range(4):
        write(logs, "dogs/algo-1-1", f"one {look} a", f"one {look} b")
        if look > 1:
            write(logs, "dogs/algo-2-1", f"two {look}")
        follower.read()
        follower.read()
    assert [text for text in heard.lines if text.startswith("one")] == [f"one {n} {c}" for n in range(4) for c in "ab"]
    assert [text for text in heard.lines if text.startswith("two")] == ["two 2", "two 3"]
    assert {each.stream for each in heard} == {"algo-1-1", "algo-2-1"}


def test_another_jobs_lines_are_not_ours(logs: Any) -> None:
    heard = Heard()
    write(logs, "dogs-2/algo-1-1", "other")
    write(logs, "dogs/algo-1-1", "ours")
    Follower(logs, GROUP, "dogs/", heard.append).read()
    assert heard.lines == ["ours"]


def test_a_log_of_many_pages_is_read_to_its_end(logs: Any) -> None:
    heard = Heard()
    for start in range(0, 2500, 500):
        write(logs, "dogs/algo-1-1", *(f"line {number}" for number in range(start, start + 500)))
    follower = Follower(logs, GROUP, "dogs/", heard.append)
    assert follower.read() == 2500
    assert len(set(heard.lines)) == 2500
    assert follower.read() == 0
    assert len(follower.last) == 20


def test_lines_before_a_moment_can_be_left_out(logs: Any) -> None:
    heard, now = Heard(), datetime.now(UTC)
    write(logs, "dogs/algo-1-1", "old", at=now - timedelta(hours=1))
    write(logs, "dogs/algo-1-1", "new", at=now)
    follower = Follower(logs, GROUP, "dogs/", heard.append)
    follower.since = (now - timedelta(minutes=1)).timestamp()
    follower.read()
    assert heard.lines == ["new"]


def test_who_may_not_read_logs_is_told_once_and_waits_on() -> None:
    heard = Heard()
    follower = Follower(Denied(), GROUP, "dogs/", heard.append)
    assert [follower.read(), follower.read()] == [0, 0]
    assert len(heard) == 1
    assert isinstance(heard[0], Notice)


# --- the wait, against a stand-in for SageMaker -----------------------------------------------------------------


class Denied:
    """CloudWatch Logs to somebody without permission."""

    def get_paginator(self, operation: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)


class SageMaker:
    """Answers with what is written down, one description a look; an exception is raised."""

    def __init__(self, answers: list[Any], trials: list[list[dict[str, Any]]] | None = None) -> None:
        self.answers, self.trials = answers, trials or [[]]

    def describe_training_job(self, **request: Any) -> Any:
        return self._next(self.answers)

    describe_hyper_parameter_tuning_job = describe_endpoint = describe_training_job

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, **request: Any) -> Any:
        return [{"TrainingJobSummaries": self._next(self.trials)}]

    @staticmethod
    def _next(script: list[Any]) -> Any:
        answer = script.pop(0) if len(script) > 1 else script[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


def cloud(sagemaker: SageMaker, logs: Any, side: Any = "local") -> Cloud:
    return Cloud(side, "us-east-1", "123456789012", Settings(), {"sagemaker": sagemaker, "logs": logs}.__getitem__)


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "DescribeTrainingJob")


def wait(what: Callable[..., dict[str, Any]], made: Cloud, **more: Any) -> tuple[dict[str, Any], Heard, list[float]]:
    heard, slept = Heard(), list[float]()
    return what(made, "dogs", heard.append, sleep=slept.append, **more), heard, slept


def test_a_training_job_is_waited_for_with_its_log_to_the_last_line(logs: Any) -> None:
    def ended() -> dict[str, Any]:
        write(logs, "dogs/algo-1-1", "epoch 1")
        return job(("Training", ""), ("Completed", "done"), status="Completed")

    def late() -> dict[str, Any]:
        write(logs, "dogs/algo-1-1", "written after the end")
        return job(("Training", ""), ("Completed", "done"), status="Completed")

    script = [job(("Training", "")), ended, late, job(("Training", ""), ("Completed", "done"), status="Completed")]
    found, heard, slept = wait(watch.training, cloud(SageMaker(script), logs))
    assert found["TrainingJobStatus"] == "Completed"
    assert heard.statuses == ["Training", "Completed"]
    assert heard.lines == ["epoch 1", "written after the end"]
    assert set(slept) == {0.5}


def test_aws_is_asked_every_five_seconds(logs: Any) -> None:
    script = [job(("Training", "")), job(("Completed", ""), status="Completed")]
    assert set(wait(watch.training, cloud(SageMaker(script), logs, "aws"))[2]) == {5.0}


def test_throttling_is_answered_by_waiting_longer_and_telling_nothing_twice(logs: Any) -> None:
    script = [
        job(("Training", "")),
        *[throttled()] * 12,
        job(("Training", "")),
        job(("Completed", ""), status="Completed"),
    ]
    _, heard, slept = wait(watch.training, cloud(SageMaker(script), logs, "aws"))
    assert slept[1:6] == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert slept[-1] == 5.0
    assert heard.statuses == ["Training", "Completed"]


def test_a_network_that_comes_back_ends_nothing(logs: Any) -> None:
    lost = EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/")
    script = [lost, lost, job(("Completed", ""), status="Completed")]
    assert wait(watch.training, cloud(SageMaker(script), logs))[0]["TrainingJobStatus"] == "Completed"


def test_a_network_that_stays_away_is_an_error_in_one_line(logs: Any) -> None:
    lost = EndpointConnectionError(endpoint_url="http://127.0.0.1:4600/")
    with pytest.raises(KennelError, match="kennel local up"):
        wait(watch.training, cloud(SageMaker([lost]), logs))


def test_a_refusal_is_not_tried_again(logs: Any) -> None:
    refusal = ClientError({"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}, "D")
    slept: list[float] = []
    with pytest.raises(KennelError, match="Requested resource not found"):
        watch.training(cloud(SageMaker([refusal]), logs), "dogs", lambda event: None, sleep=slept.append)
    assert slept == []


def test_a_failed_job_carries_its_reason_its_last_lines_and_the_cause(logs: Any) -> None:
    write(logs, "dogs/algo-1-1", "epoch 1", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    reason = "AlgorithmError: framework error: \nTraceback (most recent call last):, exit code: 1"
    script = [job(("Failed", "Training job failed"), status="Failed", FailureReason=reason)]
    with pytest.raises(JobFailed) as error:
        wait(watch.training, cloud(SageMaker(script), logs))
    assert error.value.reason == reason
    assert error.value.log[0] == "epoch 1"
    assert "smaller batch_size" in error.value.remedy


@pytest.mark.parametrize(
    ("secondary", "remedy"), [("MaxRuntimeExceeded", "max_runtime_s"), ("MaxWaitTimeExceeded", "max_wait_s")]
)
def test_a_job_that_was_stopped_says_by_what(logs: Any, secondary: str, remedy: str) -> None:
    script = [job((secondary, ""), status="Stopped")]
    with pytest.raises(JobFailed, match="training job dogs was stopped") as error:
        wait(watch.training, cloud(SageMaker(script), logs))
    assert remedy in error.value.remedy


def tuning_job(status: str, **more: Any) -> dict[str, Any]:
    return {"HyperParameterTuningJobName": "dogs", "HyperParameterTuningJobStatus": status, **more}


def test_a_tuning_job_tells_its_trials(logs: Any) -> None:
    done = [trial("dogs-001", "Completed", "Succeeded", 0.8)]
    script = SageMaker([tuning_job("InProgress"), tuning_job("Completed")], [[trial("dogs-001")], done])
    found, heard, _ = wait(watch.tuning, cloud(script, logs))
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    kinds = [type(each).__name__ for each in heard]
    assert kinds == ["StatusChanged", "TrialStarted", "StatusChanged", "TrialEnded"]


def test_a_tuning_job_that_failed_tells_a_trials_reason_and_log(logs: Any) -> None:
    write(logs, "dogs-001/algo-1-1", "the last words")
    failed = trial("dogs-001", "Failed", "Failed") | {
        "FailureReason": "AlgorithmError: no pictures. Add some, exit code: 1"
    }
    script = SageMaker([tuning_job("Failed", FailureReason="All training jobs failed.")], [[failed]])
    with pytest.raises(JobFailed, match=r"no pictures\. Add some") as error:
        wait(watch.tuning, cloud(script, logs))
    assert error.value.log == ("the last words",)


def test_a_stopped_tuning_job_with_a_best_job_is_good_enough(logs: Any) -> None:
    script = SageMaker([tuning_job("Stopped", BestTrainingJob={"TrainingJobName": "dogs-001"})])
    assert wait(watch.tuning, cloud(script, logs))[0]["HyperParameterTuningJobStatus"] == "Stopped"
    with pytest.raises(JobFailed, match="was stopped"):
        wait(watch.tuning, cloud(SageMaker([tuning_job("Stopped")]), logs))


def serving(status: str, config: str = "dogs-1", **more: Any) -> dict[str, Any]:
    return {
        "EndpointName": "dogs",
        "EndpointStatus": status,
        "EndpointConfigName": config,
        "LastModifiedTime": NOON,
        **more,
    }


def test_an_endpoint_is_waited_for(logs: Any) -> None:
    script = SageMaker([serving("Creating"), serving("InService")])
    found, heard, _ = wait(watch.endpoint, cloud(script, logs), config="dogs-1")
    assert found["EndpointStatus"] == "InService"
    assert heard.statuses == ["Creating", "InService"]


def test_an_endpoint_that_fails_and_one_that_was_rolled_back_are_failures(logs: Any) -> None:
    reason = "The primary container for production variant all did not pass the ping health check."
    with pytest.raises(JobFailed, match="startup_s"):
        wait(watch.endpoint, cloud(SageMaker([serving("Failed", FailureReason=reason)]), logs))
    script = SageMaker([serving("Updating"), serving("RollingBack"), serving("InService")])
    with pytest.raises(JobFailed, match="was rolled back"):
        wait(watch.endpoint, cloud(script, logs), config="dogs-2")


def test_ctrl_c_ends_the_wait_and_nothing_else(logs: Any) -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch.training(cloud(SageMaker([job(("Training", ""))]), logs), "dogs", interrupt)
