"""One training job, done: attempts until one is not interrupted, what it leaves kept in S3.

A thread a job. Every state is on disk before the next step begins, so a server that is killed tells the truth when it
is started again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from kennel.errors import KennelError
from kennel.local.documents import Documents
from kennel.local.errors import Refused
from kennel.local.parts import Document, House
from kennel.local.tail import Tail
from kennel.local.training import layout, outputs, rules, states
from kennel.local.training.attempt import LOOK_EVERY_S, Asked, Attempt, Outcome, Wish, nothing_left
from kennel.local.training.channels import DataMissing
from kennel.local.training.readings import Readings
from kennel.local.training.rules import RuleJob
from kennel.local.work import Runner

log = logging.getLogger(__name__)

GROUP = NAMESPACE = "/aws/sagemaker/TrainingJobs"
ENDS: dict[Wish | None, states.Ended] = {
    None: "Completed",
    "stop": "Stopped",
    "runtime": "MaxRuntimeExceeded",
    "wait": "MaxWaitTimeExceeded",
}
NO_IMAGE = "Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."


class Execution:
    """Does one job. places: what it needs of each one of, to run; interruptions: seconds of training after which a spot
    instance is lost; over: told at its end."""

    def __init__(
        self,
        house: House,
        jobs: Documents,
        name: str,
        places: Sequence[threading.Semaphore],
        interruptions: Sequence[float],
        over: Callable[[Execution], None],
    ) -> None:
        self._jobs, self.name, self._places = jobs, name, places
        self._interruptions, self._over = list(interruptions), over
        self._asked, self._wish = threading.Event(), threading.Lock()
        self._wished: Wish | None = None
        self._folder = folder_of(house, name)
        self._job = jobs.get(name) or {}
        self._house = house.acting_as(self._job["RoleArn"], self._job["TrainingJobArn"])
        self._trained = states.trained(self._job)
        self._since = house.clock.now()
        self.readings = Readings(self._job["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wish(self, wish: Wish) -> None:
        """Ask it to end early. A wish is never taken back; a stop, or the server's end, outdoes an interruption."""
        with self._wish:
            if self._wished in (None, "interrupt") or wish == "close":
                self._wished = wish
            self._asked.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        how, reason = self._done()
        try:
            nothing_left(self._folder)
        except OSError as error:
            log.warning("%s: its files cannot be removed: %s", self.name, error)
        if how is None:
            self._change(lambda job: states.sign(job, self._house.clock.now()))
        else:
            self._end(how, reason)
        self._over(self)

    def _done(self) -> tuple[states.Ended | None, str]:
        """Do it: how it ended and why; None where the server ends first, which leaves the state as it was."""
        try:
            with ExitStack() as held:
                mine = all(held.enter_context(self._place(each)) for each in self._places)
                outcome = self._attempts() if mine else Outcome(self._wished, ran=False)
                return self._finished(outcome)
        except Refused as refused:
            reason = f"ClientError: {refused.message}"
        except DataMissing as missing:
            reason = str(missing)
        except KennelError as error:
            reason = f"ClientError: {error}"
        except Exception:
            log.exception("training job %s", self.name)
            reason = INTERNAL
        return (None, "") if self._wished == "close" else ("Failed", reason)

    @contextmanager
    def _place(self, places: threading.Semaphore) -> Iterator[bool]:
        """One of these places; False when it shall end before it got one."""
        got = False
        while not got and self._wished is None:
            got = places.acquire(timeout=LOOK_EVERY_S)
        try:
            yield got
        finally:
            if got:
                places.release()

    def _attempts(self) -> Outcome:
        """Until it ends other than by an interruption."""
        self._since = self._house.clock.now()
        runner = self._runner(self._job["AlgorithmSpecification"]["TrainingImage"])
        hosts = runner.hosts(self._job["ResourceConfig"]["InstanceCount"])
        tails = [self._tail(number, host) for number, host in enumerate(hosts)]
        while True:
            outcome = self._attempt(runner, hosts, tails)
            if outcome.wish != "interrupt":
                return outcome
            if (wish := self._again()) is not None:
                return Outcome(wish, ran=False)
            self._enter("Interrupted")
            self._enter("Starting")

    def _runner(self, image: str) -> Runner:
        try:
            return self._house.runners.choose(image)
        except Refused as refused:
            log.warning("%s: %s", self.name, refused.message)
            raise Refused(refused.code, f"{NO_IMAGE} {refused.message}") from refused

    def _again(self) -> Wish | None:
        """An interruption is over; whether it has to end for another reason meanwhile."""
        with self._wish:
            if self._wished == "interrupt":
                self._wished = None
                self._asked.clear()
        return self._wished or self._over_time(0)

    def _attempt(self, runner: Runner, hosts: list[str], tails: list[Tail]) -> Outcome:
        now = self._jobs.get(self.name) or self._job  # with what has happened to it since
        attempt = Attempt(self._house, now, runner, hosts, self._folder)
        self._enter("Downloading")
        attempt.prepare()
        if (wish := self._wished or self._over_time(0)) is not None:
            return Outcome(wish, ran=False)
        asked = Asked(self._due, lambda: self._wished == "close", self._asked)
        with closing(RuleJob(self._house, self._job, self._folder / hosts[0], self._change, self._stop)) as judge:
            judge.start()
            try:
                outcome = attempt.run(asked, [*tails, judge.tail], self._begin)
            finally:
                self._trained += attempt.trained
            if outcome.wish not in ("interrupt", "close"):
                judge.finish()
            return outcome

    def _stop(self) -> None:
        """A rule found an issue that shall end the job."""
        self._enter("Stopping")
        self.wish("stop")

    def _due(self, trained: float) -> Wish | None:
        """trained: seconds, in the attempt under way."""
        if self._wished is not None:
            return self._wished
        if (wish := self._over_time(trained)) is not None:
            return wish
        if self._interruptions and trained >= self._interruptions[0]:
            self._interruptions.pop(0)
            return "interrupt"
        return None

    def _over_time(self, trained: float) -> Wish | None:
        condition = self._job["StoppingCondition"]
        if self._trained + trained > condition["MaxRuntimeInSeconds"]:
            return "runtime"
        if self._house.clock.now() - self._since > condition.get("MaxWaitTimeInSeconds", float("inf")):
            return "wait"
        return None

    def _finished(self, outcome: Outcome) -> tuple[states.Ended | None, str]:
        """Keep what the job left, also of one that failed, as SageMaker does."""
        if outcome.wish == "close":
            return None, ""
        if outcome.wish in ("runtime", "wait"):
            self._enter("Stopping")
        if outcome.ran:
            self._enter("Uploading")
            self._keep(outcome)
        return ("Failed", outcome.reason) if outcome.reason else (ENDS[outcome.wish], "")

    def _keep(self, outcome: Outcome) -> None:
        try:
            outputs.keep(self._job, self._folder, self._house.objects)
        except Refused as refused:
            if not outcome.reason:  # why it failed is worth more than that this could not be kept
                raise Refused(refused.code, f"Artifact upload failed: {refused.message}") from refused

    def _tail(self, number: int, host: str) -> Tail:
        """Lines go to CloudWatch Logs, the metrics in them to CloudWatch."""
        instance = f"{self.name}/algo-{number + 1}"
        stream = f"{instance}-{int(self._job['CreationTime'])}"

        def write(lines: Sequence[tuple[float, str]]) -> None:
            self._house.logs.write(GROUP, stream, lines)
            for time, line in lines:
                for metric, value in self.readings.read(time, line):
                    self._house.cloudwatch.put(NAMESPACE, metric, value, {"TrainingJobName": self.name}, "None", time)

        return Tail(layout.log_of(self._folder / host), write)

    def _begin(self) -> None:
        self._change(lambda job: states.begin_training(job, self._house.clock.now()))

    def _enter(self, secondary: str) -> None:
        self._change(lambda job: states.enter(job, secondary, self._house.clock.now()))

    def _end(self, how: states.Ended, reason: str) -> None:
        def last(job: Document) -> None:
            job["FinalMetricDataList"] = self.readings.last()
            job["_values"] = self.readings.newest()
            now = self._house.clock.now()
            states.end(job, how, now, reason)
            rules.end(job, rules.CUT_OFF, now)

        while True:
            try:
                self._change(last)
            except OSError as error:  # a full disk must not let it seem to run for ever
                log.warning("%s: its end cannot be kept: %s", self.name, error)
            else:
                return
            if self._house.clock.wait(self._house.closing, LOOK_EVERY_S):
                return

    def _change(self, how: states.Alter) -> None:
        self._jobs.change(self.name, how)


def folder_of(house: House, name: str) -> Path:
    """A job's files while it runs."""
    return house.home / "jobs" / name
