"""`kennel compare --data`: the same training both ways, from nothing: uploaded once, given to SageMaker and a machine.

Both get the same image, pictures, weights and hyperparameters, the profiler and no Debugger, so that they do the same
work. On AWS they run at once; on the local AWS one after the other, since they would share this machine's cores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from kennel.cloud import instance, instance_plan, names
from kennel.cloud.by_hand import ByHand
from kennel.cloud.debugger import Debugging
from kennel.cloud.instance_requests import LAST_MINUTES, InstancePlan
from kennel.cloud.prices import Estimate, Line, Prices
from kennel.cloud.session import Cloud
from kennel.cloud.training import TrainingPlan, start
from kennel.errors import KennelError, Stopped
from kennel.hyperparameters import parse
from kennel.settings import Settings
from kennel.workflow.record import BOTH
from kennel.workflow.stage import Stage
from kennel.workflow.story import Story


@dataclass(frozen=True, slots=True)
class Names:
    """Of the training job and of the run by hand."""

    job: str
    run: str


class BothWays(Story):
    """One training, twice. launcher: who launches machines; the stage's cloud starts jobs."""

    def __init__(self, stage: Stage, launcher: Cloud) -> None:
        super().__init__(stage)
        self._launcher = launcher

    def train_both(self) -> Names:
        """From pictures to both artifacts. Raises KennelError; Stopped passes through, and both go on."""
        self.upload()
        plan, hand = self.job_plan(), self.run_plan()
        self._stage.record.write(self._stage.out, BOTH)
        if self._cloud.side == "local":
            job = str(self._train("SageMaker", plan)["TrainingJobName"])
            return Names(job, self._by_hand(hand))
        job = start(self._cloud, plan)
        hand = instance.next_try(self._launcher, hand)
        instance.launch(self._launcher, hand)
        self._progress.say(f"{job} and {hand.run} both run; if this is interrupted, the same command goes on")
        self._train("SageMaker", replace(plan, name=job))
        return Names(job, self._by_hand(hand))

    def job_plan(self) -> TrainingPlan:
        """The training job: whole, since there is no features job by hand; on one instance. Call `upload` first."""
        given, settings = self._fixed(), self._settings
        name = names.name(settings.project, "train", self._inputs.digest, self._stage.record.name, given)
        steps = parse(given).steps_per_epoch(self._inputs.pictures)
        plan = self._plan(name, given)
        return replace(
            plan,
            machines=settings.training.model_copy(update={"instances": 1}),
            checkpoints=str(self._uri(names.CHECKPOINTS, name)),
            debugging=Debugging(settings.debugger, self._cloud.region, steps, tensors=False),
        )

    def run_plan(self) -> InstancePlan:
        """The machine by hand, given the same. Raises KennelError where it could not have the same image."""
        given, settings = self._fixed(), self._settings
        run = names.name(settings.project, names.EC2, self._inputs.digest, self._stage.record.name, given)
        folder = self._inputs.splits["train"].removesuffix("train/")
        asked = instance_plan.named(self._cloud, folder, self._inputs.weights, given)
        return instance_plan.plan_of(self._cloud, asked, run)

    def _by_hand(self, plan: InstancePlan) -> str:
        """Launched where it is not yet, and waited for; the run's name."""
        plan = instance.next_try(self._launcher, plan)
        try:
            done = self._done(plan)
        except Stopped:
            if self._stage.interrupted("run by hand", plan.run):
                instance.end(self._launcher, plan.run)
            raise
        if done.state != "Completed":
            logs = f"See: kennel ec2 logs {plan.run} --on {self._cloud.side}; the same command tries again"
            raise KennelError(f"{plan.run} ended as {done.state}: {done.reason}", logs)
        return plan.run

    def _done(self, plan: InstancePlan) -> ByHand:
        """Its machines' work, to the end: spot machines that were taken are launched again."""
        with self._progress.step(f"by hand {plan.run}"):
            done = self._machine(plan)
            while plan.spot and done.interrupted and done.attempt < names.TRIES:
                self._progress.say(f"{plan.run} was interrupted and is launched again")
                done = self._machine(plan)
        return done

    def _machine(self, plan: InstancePlan) -> ByHand:
        """One machine's work: it goes on from the checkpoints of the one before."""
        instance.launch(self._launcher, plan)
        return instance.wait(self._launcher, plan.run, lambda told: self._progress.say(_line(told)))


def with_spot(settings: Settings) -> Settings:
    """Both on spot."""
    training = settings.training
    wait = max(training.max_wait_s, training.max_runtime_s)
    return settings.model_copy(
        update={
            "training": training.model_copy(update={"spot": True, "max_wait_s": wait}),
            "ec2": settings.ec2.model_copy(update={"spot": True}),
        }
    )


def market_of(settings: Settings) -> str:
    """`on spot`, `on demand`, or who is where."""
    job, hand = ("on spot" if each else "on demand" for each in (settings.training.spot, settings.ec2.spot))
    return job if job == hand else f"the job {job}, the machine {hand}"


def estimate(settings: Settings, side: Literal["aws", "local"], prices: Prices) -> Estimate:
    """What both cost at most: each for as long as its limits let it, a machine by hand with its last minutes."""
    if side == "local":
        return Estimate((Line("everything", "on this machine"),), ("local: nothing is billed",), prices.as_of)
    job, hand = settings.training, settings.ec2
    managed = prices.job(settings.region, job.instance_type, job.volume_gb)
    machine = prices.machine(settings.region, hand.instance_type, hand.volume_gb)
    rows = (
        ("training job", job.instance_type, job.max_runtime_s, managed),
        ("by hand", hand.instance_type, hand.max_runtime_s + LAST_MINUTES * 60, machine),
    )
    lines = [
        Line(what, f"{kind}, {limit / 60:g} min at most", None, None if price is None else price * limit / 3600)
        for what, kind, limit, price in rows
    ]
    notes = ["at most: both run until their time limits, on demand", "not counted: taxes, free tier, S3, transfers"]
    if hand.spot:
        notes.append("nor: a machine that EC2 takes back is launched again, each with a time limit of its own")
    return Estimate(tuple(lines), tuple(notes), prices.as_of)


def _line(told: ByHand) -> str:
    words = f"{told.run}: {told.phase}, {told.state}" + (f", machine {told.instance}" if told.instance else "")
    return f"{words}: {told.reason}" if told.reason else words
