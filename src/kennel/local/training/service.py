"""SageMaker's training jobs as a service of the local AWS."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from kennel.local.documents import Documents
from kennel.local.errors import Refused, invalid
from kennel.local.listed import listed
from kennel.local.parts import Document, House, Operation
from kennel.local.training import requests, rules, states
from kennel.local.training.channels import parted
from kennel.local.training.execution import Execution, folder_of
from kennel.machine import cores

AT_ONCE = 4
"""Jobs that run at the same time at most; fewer on fewer cores."""
SHOWN = ("TrainingEndTime", "LastModifiedTime", "TrainingJobStatus", "SecondaryStatus")
JOIN_S = 30.0


class TrainingJobs:
    """Implements parts.Service; the tuning jobs start their trials through it too."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._jobs = Documents(house.home / "training-jobs", house.changes)
        self._slots = threading.Semaphore(max(1, min(AT_ONCE, cores())))
        self._meeting = threading.Semaphore(1)  # as processes, jobs of several hosts would all meet at one port
        self._running: dict[str, Execution] = {}
        self._lock = threading.Lock()

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": lambda request: self.describe(request["TrainingJobName"]),
            "ListTrainingJobs": self.listing,
            "StopTrainingJob": lambda request: self.stop(request["TrainingJobName"]),
            "DeleteTrainingJob": self.delete,
        }

    def create(self, request: Document, tuning_job_arn: str | None = None) -> Document:
        """CreateTrainingJob. tuning_job_arn: of the tuning job whose trial it is. Raises Refused."""
        requests.check(request)
        arn = self._house.arn(f"training-job/{request['TrainingJobName']}")
        self._house.roles.check_assumable(request["RoleArn"], "sagemaker.amazonaws.com", arn)
        self._check_bucket("S3OutputPath", request["OutputDataConfig"]["S3OutputPath"])
        for member in ("DebugHookConfig", "ProfilerConfig"):
            if uri := request.get(member, {}).get("S3OutputPath"):
                self._check_bucket(f"S3OutputPath in {member}", uri)
        name, now = request["TrainingJobName"], self._house.clock.now()
        job = requests.description(request, arn, tuning_job_arn, now)
        rules.begin(job, self._house.arn, now)
        states.enter(job, "Starting", now)
        if not self._jobs.add(name, job):
            raise requests.taken(name, arn)
        tags = request.get("Tags", [])
        self._house.tags.add(arn, tags)
        self._start(job, requests.schedule(tags) if job["EnableManagedSpotTraining"] else [])
        return {"TrainingJobArn": arn}

    def describe(self, name: str) -> Document:
        """DescribeTrainingJob; metrics also while it runs. Raises Refused."""
        job = self._jobs.get(name)
        if job is None:
            raise invalid("Requested resource not found.")
        if (running := self._running.get(name)) and job["TrainingJobStatus"] not in states.OVER:
            job["FinalMetricDataList"] = running.readings.last()
        return {key: value for key, value in job.items() if not key.startswith("_")}

    def listing(self, request: Document) -> Document:
        # there are no warm pools and no training plans
        none = "WarmPoolStatusEquals" in request or "TrainingPlanArnEquals" in request
        jobs = [] if none else self._jobs.all()
        return listed(jobs, request, "TrainingJobSummaries", "TrainingJob", SHOWN, descending=False)

    def stop(self, name: str) -> Document:
        """StopTrainingJob: SIGTERM, and two minutes. Raises Refused."""
        job = self.describe(name)
        if job["TrainingJobStatus"] in states.OVER:
            status = job["TrainingJobStatus"]
            raise invalid(f"The request was rejected because the training job is in status {status}.")
        now = self._house.clock.now()

        def stopping(job: Document) -> None:
            if job["TrainingJobStatus"] == "InProgress":
                states.enter(job, "Stopping", now)

        self._jobs.change(name, stopping)
        if running := self._running.get(name):
            running.wish("stop")
        return {}

    def delete(self, request: Document) -> Document:
        """DeleteTrainingJob: forget one that has ended; what it left in S3 stays. Raises Refused."""
        name = request["TrainingJobName"]
        if (job := self.describe(name))["TrainingJobStatus"] not in states.OVER:
            raise invalid(f"The training job {name} is in status {job['TrainingJobStatus']}; stop it first.")
        self._jobs.remove(name)
        self._house.tags.remove(job["TrainingJobArn"])
        return {}

    def interrupt(self, name: str) -> None:
        """Take a running spot job its instance, as happens on AWS. Raises Refused."""
        job = self.describe(name)
        if not job["EnableManagedSpotTraining"]:
            raise invalid(f"{name} is no spot job (EnableManagedSpotTraining), so nothing interrupts it.")
        running = self._running.get(name)
        if job["SecondaryStatus"] != "Training" or running is None:
            raise invalid(f"{name} is {job['SecondaryStatus']}; only a job that is Training can be interrupted.")
        running.wish("interrupt")

    def values(self, name: str, metric: str) -> list[tuple[float, float]]:
        """(epoch seconds, value) of a metric so far, the oldest first; live while the job runs."""
        if running := self._running.get(name):
            return running.readings.values(metric)
        kept = (self._jobs.get(name) or {}).get("_values", {}).get(metric, [])
        return [(time, value) for time, value in kept]

    def names_of(self, tuning_job_arn: str) -> list[str]:
        """The training jobs of a tuning job, in the order of their creation."""
        mine = [each for each in self._jobs.all() if each.get("TuningJobArn") == tuning_job_arn]
        return [each["TrainingJobName"] for each in sorted(mine, key=_by_age)]

    def resume(self) -> None:
        """After a start: jobs that ran when an earlier server ended failed with it, but for spot jobs, which go on."""
        now = self._house.clock.now()
        for job in sorted(self._jobs.all(), key=_by_age):
            if job["TrainingJobStatus"] not in states.OVER:
                self._resume(job, now)
        shutil.rmtree(self._house.home / "jobs", ignore_errors=True)
        for job in sorted(self._jobs.all(), key=_by_age):
            if job["TrainingJobStatus"] not in states.OVER:
                self._start(job, [])

    def _resume(self, job: Document, now: float) -> None:
        name, seen = job["TrainingJobName"], min(now, _last_sign(job, folder_of(self._house, job["TrainingJobName"])))

        def again(job: Document) -> None:
            states.enter(job, "Interrupted", seen)
            states.enter(job, "Starting", now)

        def over(how: states.Ended, reason: str = "") -> None:
            def ended(job: Document) -> None:
                states.end(job, how, seen, reason)
                rules.end(job, rules.CUT_OFF, seen)

            self._jobs.change(name, ended)

        if job["TrainingJobStatus"] == "Stopping":
            over("Stopped")
        elif job["EnableManagedSpotTraining"] and "CheckpointConfig" in job:
            self._jobs.change(name, again)
        else:
            over("Failed", LOST)

    def close(self) -> None:
        """End what runs, quickly; its state is told by the next server."""
        with self._lock:
            running = list(self._running.values())
        for each in running:
            each.wish("close")
        for each in running:
            each.join(JOIN_S)

    def _start(self, job: Document, interruptions: list[float]) -> None:
        name, several = job["TrainingJobName"], job["ResourceConfig"]["InstanceCount"] > 1
        places = [self._meeting, self._slots] if several else [self._slots]
        made = Execution(self._house, self._jobs, name, places, interruptions, self._over)
        with self._lock:
            self._running[name] = made
        made.start()
        if self._house.closing.is_set():  # one that came too late for close() to see it
            made.wish("close")
        if (self._jobs.get(name) or {}).get("TrainingJobStatus") == "Stopping":  # asked before it could be told
            made.wish("stop")

    def _over(self, execution: Execution) -> None:
        with self._lock:
            if self._running.get(execution.name) is execution:
                del self._running[execution.name]
        self._house.changes.tell()

    def _check_bucket(self, name: str, uri: str) -> None:
        bucket, _ = parted(uri)
        try:
            self._house.objects.list(bucket, "\0")  # no key begins so: only whether there is such a bucket
        except Refused as refused:
            raise invalid(f"S3 bucket {bucket} of {name} {uri} does not exist. {refused.message}") from refused


LOST = (
    "InternalServerError: The local AWS ended while the job ran. Its log lines and checkpoints up to then are kept; "
    "create the job again."
)


def _last_sign(job: Document, folder: Path) -> float:
    """Until when a job is known to have run, after a server that was killed: the last line in its log, say."""
    times = [job["LastModifiedTime"], job.get("_seen", 0.0), *(each.stat().st_mtime for each in folder.glob("*.log"))]
    return float(max(times))


def _by_age(job: Document) -> tuple[float, str]:
    return job["CreationTime"], job["TrainingJobName"]
