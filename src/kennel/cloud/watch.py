"""Waiting for what SageMaker does: training jobs, tuning jobs, endpoints; told as events while it happens.

What is new between two descriptions `events` decides; here a loop asks, follows the logs, and waits longer where AWS
asks for it. Ending the wait (Ctrl-C) ends nothing on AWS; to wait again is to call again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kennel.cloud.events import (
    OVER,
    Description,
    Event,
    endpoint_events,
    rules_told,
    training_events,
    trial_events,
    tuning_events,
)
from kennel.cloud.failures import JobFailed, from_client_error
from kennel.cloud.logs import Follower
from kennel.cloud.scaling import scaled, traffic
from kennel.cloud.scaling_events import Look, MinuteTold, ScalingEvent, news
from kennel.cloud.scaling_events import minutes as minutes_of
from kennel.cloud.session import SLOW, Cloud, code_of

Sleep = Callable[[float], None]

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints/"
SETTLED = frozenset({"InService", "Failed", "OutOfService", "UpdateRollbackFailed"})
"""Of endpoints."""
RULES_WORK = frozenset({"InProgress", "Stopping"})
POLL_S = {"local": 0.5, "aws": 5.0}
LONGEST_S = 60.0
SCALING_POLL_S = {"local": 1.0, "aws": 15.0}
"""Eight requests a look, and what is looked at changes by the minute."""
SETTLE = {"local": timedelta(), "aws": timedelta(seconds=60)}
"""Until CloudWatch has all of a minute; the local AWS puts it there at once when it is over."""
LOST_TIMES = 8
"""So often in a row nobody may answer; with AWS's pace that is five minutes."""


Tell = Callable[[Event], None]


def training(
    cloud: Cloud, name: str, tell: Tell, poll_s: float | None = None, sleep: Sleep = time.sleep
) -> dict[str, Any]:
    """Wait for a training job, its log with it; its final description. Raises JobFailed, also where it was stopped."""
    sagemaker, seen = cloud.client("sagemaker"), _Seen()
    log = Follower(cloud.client("logs"), TRAINING_LOGS, f"{name}/", tell)

    def look() -> bool:
        now = sagemaker.describe_training_job(TrainingJobName=name)
        _tell_all(tell, training_events(seen.description, now))
        seen.description = now
        return log.read() == 0 and now["TrainingJobStatus"] in OVER and seen.quiet()

    _until(look, _pace(cloud, poll_s, sleep))
    return _ended_well(f"training job {name}", seen.description, "TrainingJobStatus", log.last)


def rules(
    cloud: Cloud, name: str, tell: Tell, poll_s: float | None = None, sleep: Sleep = time.sleep
) -> dict[str, Any]:
    """Tell whatever a training job's rules say anew, until they and the job have ended; its description then."""
    sagemaker, seen = cloud.client("sagemaker"), _Seen()

    def look() -> bool:
        now = sagemaker.describe_training_job(TrainingJobName=name)
        told = rules_told(now)
        before = rules_told(seen.description)
        _tell_all(tell, [each for each in told if each not in before])
        seen.description = now
        return now["TrainingJobStatus"] in OVER and all(each.status not in RULES_WORK for each in told)

    _until(look, _pace(cloud, poll_s, sleep))
    return dict(seen.description)


def tuning(
    cloud: Cloud, name: str, tell: Tell, poll_s: float | None = None, sleep: Sleep = time.sleep
) -> dict[str, Any]:
    """Wait for a tuning job; its final description. Raises JobFailed, unless it was stopped and yet has a best job."""
    sagemaker, seen = cloud.client("sagemaker"), _Seen()
    before: list[Description] = []

    def look() -> bool:
        now = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        over = now["HyperParameterTuningJobStatus"] in OVER
        found = trials(cloud, name)
        _tell_all(tell, tuning_events(seen.description, now))
        _tell_all(tell, trial_events(before, found, over))
        seen.description, before[:] = now, found
        return over

    _until(look, _pace(cloud, poll_s, sleep))
    if seen.description["HyperParameterTuningJobStatus"] == "Stopped" and "BestTrainingJob" in seen.description:
        return dict(seen.description)
    return _ended_well(f"tuning job {name}", _with_a_trials_reason(seen.description, before),
                       "HyperParameterTuningJobStatus", _log_of_failed(cloud, before))  # fmt: skip


def endpoint(
    cloud: Cloud,
    name: str,
    tell: Tell,
    poll_s: float | None = None,
    sleep: Sleep = time.sleep,
    config: str | None = None,
) -> dict[str, Any]:
    """Wait until an endpoint is made or updated; its description. Raises JobFailed.

    config: the endpoint configuration that shall be live; another one means that the update was rolled back.
    """
    sagemaker, seen = cloud.client("sagemaker"), _Seen()
    log = Follower(cloud.client("logs"), ENDPOINT_LOGS + name, "", tell)

    def look() -> bool:
        now = sagemaker.describe_endpoint(EndpointName=name)
        if not seen.description and now["EndpointStatus"] != "Creating":
            log.since = now["LastModifiedTime"].timestamp()  # what the instances said before is not news
        _tell_all(tell, endpoint_events(seen.description, now))
        seen.description = now
        log.read()
        return now["EndpointStatus"] in SETTLED

    _until(look, _pace(cloud, poll_s, sleep))
    return _in_service(name, seen.description, config, log.last)


def scaling(
    cloud: Cloud,
    name: str,
    tell: Callable[[ScalingEvent], None],
    minutes: int | None = None,
    sleep: Sleep = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Tell what an endpoint's scaling does, and the traffic that it goes by, for so many minutes (None: for ever).

    Raises KennelError where it is not scaled (any more).
    """
    begun = now()
    before: list[Look] = []

    def look() -> bool:
        moment = now()
        found = Look(scaled(cloud, name), _minutes(cloud, name, moment))
        for event in news(before[-1] if before else None, found):
            tell(event)
        before[:] = [found]
        return minutes is not None and moment - begun >= timedelta(minutes=minutes)

    _until(look, _pace(cloud, SCALING_POLL_S[cloud.side], sleep))


def _minutes(cloud: Cloud, name: str, now: datetime) -> tuple[MinuteTold, ...]:
    """The minutes of the last quarter of an hour whose numbers are there by now."""
    start = now - timedelta(minutes=15)
    several, one = (traffic(cloud, name, each, start, now) for each in ("Invocations", "InvocationsPerInstance"))
    return minutes_of(several, one, now - SETTLE[cloud.side])


def until(cloud: Cloud, look: Callable[[], bool], poll_s: float | None = None, sleep: Sleep = time.sleep) -> None:
    """Look until there is nothing to wait for, longer apart where AWS asks for it. Raises KennelError."""
    _until(look, _pace(cloud, poll_s, sleep))


def trials(cloud: Cloud, name: str) -> list[Description]:
    """The training jobs of a tuning job, the oldest first, as SageMaker summarises them."""
    pages = cloud.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    request = {"HyperParameterTuningJobName": name, "SortBy": "CreationTime", "SortOrder": "Ascending"}
    return [each for page in pages.paginate(**request) for each in page["TrainingJobSummaries"]]


class _Seen:
    """What the last look showed. A job's last lines may reach its log after its end: one more look that brings
    nothing is asked for."""

    def __init__(self) -> None:
        self.description: Description = {}
        self._looks = 0

    def quiet(self) -> bool:
        self._looks += 1
        return self._looks > 1


class _Pace:
    """How long to wait between two looks: longer while AWS asks for fewer requests or nobody answers."""

    def __init__(self, poll_s: float, sleep: Sleep) -> None:
        self._poll_s, self._sleep = poll_s, sleep
        self._factor, self._lost = 1.0, 0

    def ease(self) -> None:
        self._factor, self._lost = 1.0, 0

    def slow_down(self, lost: bool) -> bool:
        """Whether there is any patience left."""
        self._factor, self._lost = self._factor * 2, self._lost + lost
        return self._lost < LOST_TIMES

    def wait(self) -> None:
        self._sleep(min(self._poll_s * self._factor, max(LONGEST_S, self._poll_s)))


def _pace(cloud: Cloud, poll_s: float | None, sleep: Sleep) -> _Pace:
    return _Pace(POLL_S[cloud.side] if poll_s is None else poll_s, sleep)


def _until(look: Callable[[], bool], pace: _Pace) -> None:
    """Look until there is nothing to wait for. A look that fails is made again, so it may tell only what is new."""
    from botocore.exceptions import BotoCoreError, ClientError

    while True:
        try:
            if look():
                return
            pace.ease()
        except (ClientError, BotoCoreError) as error:
            throttled = isinstance(error, ClientError) and code_of(error) in SLOW
            if not (throttled or _passes(error)) or not pace.slow_down(lost=not throttled):
                raise from_client_error(error) from error
        pace.wait()


def _passes(error: Any) -> bool:
    """Nobody answered, or AWS had an error of its own: worth another try."""
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NotConnected

    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    return isinstance(error, (NotConnected, HTTPClientError))


def _tell_all(tell: Tell, events: Sequence[Event]) -> None:
    for event in events:
        tell(event)


def _ended_well(what: str, now: Description, member: str, log: Sequence[str]) -> dict[str, Any]:
    if now[member] == "Completed":
        return dict(now)
    if now[member] == "Failed":
        raise JobFailed(what, now.get("FailureReason", ""), log)
    raise JobFailed(what, now.get("FailureReason", "") or _why_stopped(now), log, "was stopped")


def _why_stopped(now: Description) -> str:
    """The secondary status, where it says more than that."""
    status = str(now.get("SecondaryStatus", ""))
    return status if status.startswith("Max") else ""


def _in_service(name: str, now: Description, config: str | None, log: Sequence[str]) -> dict[str, Any]:
    reason = now.get("FailureReason", "")
    if now["EndpointStatus"] != "InService":
        raise JobFailed(f"endpoint {name}", reason, log)
    if config is not None and now["EndpointConfigName"] != config:
        raise JobFailed(f"endpoint {name}", reason, log, "was rolled back to what it served before")
    return dict(now)


def _with_a_trials_reason(now: Description, found: Sequence[Description]) -> Description:
    """A tuning job that failed says only that its jobs did; the first of them says why."""
    reasons = [each["FailureReason"] for each in found if each.get("FailureReason")]
    if now["HyperParameterTuningJobStatus"] != "Failed" or not reasons:
        return now
    return {**now, "FailureReason": reasons[0]}


def _log_of_failed(cloud: Cloud, found: Sequence[Description]) -> Sequence[str]:
    """The last lines of the first trial that failed, as far as they can be had."""
    failed = [each["TrainingJobName"] for each in found if each["TrainingJobStatus"] == "Failed"]
    if not failed:
        return ()
    log = Follower(cloud.client("logs"), TRAINING_LOGS, f"{failed[0]}/", lambda event: None)
    log.read()
    return log.last
