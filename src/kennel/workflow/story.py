"""`kennel run`: data → channels → features → tuning → the best again → endpoint, scaled → function → a prediction.

Every name comes from content and from the run's own name, and each step looks first at what exists: so a process that
was ended at any moment is resumed by doing all steps again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from kennel.cloud import bucket, endpoint, function, names, prices, registry, scaling, storage, training, tuning, watch
from kennel.cloud.debugger import Debugging
from kennel.cloud.endpoint import EndpointPlan
from kennel.cloud.events import Event, TrialEnded
from kennel.cloud.function_requests import plan_of
from kennel.cloud.iam.apply import ensure
from kennel.cloud.package import package
from kennel.cloud.scaling_requests import plan_of as scaling_of
from kennel.cloud.session import Cloud
from kennel.cloud.storage import S3Uri
from kennel.cloud.training import FEATURES_JOB, TrainingPlan
from kennel.cloud.tuning import TuningPlan
from kennel.errors import KennelError, Stopped
from kennel.files import write_atomically
from kennel.hyperparameters import parse
from kennel.pictures import dataset
from kennel.pictures.dataset import DataSet
from kennel.weights import Weights, serialise
from kennel.weights.sources import pretrained
from kennel.workflow import data as pictures
from kennel.workflow import debugging
from kennel.workflow.pages import tuning_page
from kennel.workflow.stage import STEPS, Inputs, Kind, Stage, Step, Summary, line_of


class Story:
    """One run. Its steps are to be done in order; `tell` does them."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._cloud, self._progress = stage, stage.cloud, stage.progress
        self._settings = stage.cloud.settings
        self._roles: dict[str, str] = {}
        self.summary = Summary(stage.cloud.side, addresses={"run": str(stage.out)})
        self._job = ""

    def tell(self, until: Step = "predict") -> Summary:
        """All steps up to and including `until`. Raises KennelError; Stopped passes through."""
        record = self._stage.record
        for step in STEPS[: STEPS.index(until) + 1]:
            started = time.monotonic()
            getattr(self, step)()
            self.summary.seconds[step] = time.monotonic() - started
        if until == STEPS[-1]:
            replace(record, finished=True).write(self._stage.out)
        return self.summary

    def upload(self) -> None:
        """Pictures packed, weights and all into the bucket; what is there already is not sent again."""
        data, weights = self._data(), self._weights()
        packed = pictures.packed(data, self._stage.out / "packed", self._progress)
        with self._progress.step("bucket and roles"):
            bucket.ensure_bucket(self._cloud)
            self._roles["training"] = ensure(self._cloud, "training")
            self._roles["endpoint"] = ensure(self._cloud, "endpoint")
        content = names.digest(data.digest)
        splits = {
            split: str(
                storage.upload_folder(
                    self._cloud, packed / split, self._key(names.DATA, content, split), self._progress
                )
            )
            for split in data.splits
        }
        uri = self._upload_weights(weights)
        digest = names.digest(data.digest, weights.digest, weights.stride)
        self._inputs = Inputs(splits, uri, digest, len(data.splits["train"]))
        self.summary.photo = pictures.held_back(data, self._stage.out)

    def features(self) -> None:
        """A job that computes the frozen backbone's features; its output is a channel of every job that follows."""
        if not self._settings.features_once:
            return
        fixed = parse(self._settings.training.hyperparameters)
        name = names.name(self._settings.project, "features", self._inputs.digest, fixed.views, self._image("training"))
        plan = replace(
            self._plan(name, {"views": str(fixed.views)}),
            machines=self._settings.training.model_copy(update={"instances": 1}),  # hosts share no disk
            environment=FEATURES_JOB,
            compression="NONE",
            checkpoints=str(self._uri(names.CHECKPOINTS, name)),
        )
        done = self._train("features job", plan)
        self._inputs = replace(self._inputs, features=str(done["ModelArtifacts"]["S3ModelArtifacts"]))

    def tune(self) -> None:
        """The search; its page is in the run's folder."""
        name = names.tuning_name(self._settings.project, self._inputs.digest, self._stage.record.name)
        plan = TuningPlan(self._plan(name, self._fixed()), self._settings.tuning)
        name = tuning.start(self._cloud, plan)
        with self._waiting("tuning job", name, tuning.trial_count(self._settings.tuning)) as tell:
            watch.tuning(self._cloud, name, tell)
        self.summary.best = tuning.best(self._cloud, name)
        for trial in tuning.trials(self._cloud, name):
            self._count(training.describe(self._cloud, trial.job) or {})
        self._write_page(name)

    def train(self) -> None:
        """The best trial once more, by itself."""
        best = self.summary.best
        given = self._fixed() | (dict(best.hyperparameters) if best else {})
        name = names.name(self._settings.project, "train", self._inputs.digest, self._stage.record.name, given)
        checkpoints = str(self._uri(names.CHECKPOINTS, name))
        plan = replace(self._plan(name, given), checkpoints=checkpoints, debugging=self._debugging(given))
        done = self._train("training job", plan)
        self._job = str(done["TrainingJobName"])
        self.summary.metrics = {each["MetricName"]: each["Value"] for each in done.get("FinalMetricDataList", [])}
        self.summary.addresses |= {"artifact": done["ModelArtifacts"]["S3ModelArtifacts"], "training job": self._job}
        if plan.debugging:
            self._write_debugger_page()

    def deploy(self) -> None:
        """The artifact behind the endpoint, which goes on answering by an earlier one until the new one does."""
        plan = self._endpoint_plan()
        done = endpoint.deploy(self._cloud, plan)
        with self._waiting("endpoint", plan.name, None) as tell:
            for each in done.unscaled:
                self._progress.say(f"{each} is not scaled until this is done: AWS lets no machine change that is")
            watch.endpoint(self._cloud, plan.name, tell, config=done.config)
        self.summary.addresses["endpoint"] = plan.name
        price = self._hourly(plan.instance_type)
        self.summary.hourly = None if price is None else price * plan.instances

    def scale(self) -> None:
        """Its number of instances follows the load, as kennel.toml says; where that says no, it does so no more."""
        name, asked = self._settings.endpoint_name, self._settings.scaling
        with self._progress.step(f"scaling of {name}"):
            if asked.enabled:
                wanted = scaling.difference(self._cloud, scaling_of(self._settings))
            else:
                wanted = scaling.leftovers(self._cloud, name)
            scaling.carry_out(self._cloud, wanted, self._progress.say)
        if asked.enabled:
            price = self._hourly(self._settings.endpoint.instance_type)
            self.summary.more = None if price is None else price * (asked.max - self._settings.endpoint.instances)
            bounds = f"{asked.min} to {asked.max} instances"
            self.summary.scaling = f"{bounds}, {asked.target:g} invocations a minute each"

    def function(self) -> None:
        """What the public asks, in front of the endpoint; its address shows a page."""
        role = ensure(self._cloud, "function")
        plan = plan_of(self._settings, role, package())
        with self._progress.step(f"function {plan.name}"):
            done = function.deploy(self._cloud, plan, self._progress.say)
        self.summary.addresses["function"] = done.url
        known = prices.load().provisioned(self._cloud.region, plan.memory_mb, plan.provisioned)
        if self._cloud.side == "aws":
            costs = (self.summary.hourly, known)
            self.summary.hourly = None if None in costs else sum(each or 0.0 for each in costs)

    def predict(self) -> None:
        """Ask the endpoint about the picture that was held back."""
        photo = self.summary.photo
        if photo is None:
            raise KennelError("there is no picture to ask about", "Run the story from its start")
        with self._progress.step("ask for a prediction"):
            self.summary.answer = endpoint.invoke(self._cloud, self._settings.endpoint_name, photo.path.read_bytes())

    def _data(self) -> DataSet:
        named = self._stage.record.data
        source = Path(named) if named else pictures.drawn(self._stage.out / "drawings", self._progress)
        with self._progress.step("read the data set"):
            return dataset.load(source)

    def _weights(self) -> Weights:
        with self._progress.step("pretrained weights"):
            return pretrained()

    def _upload_weights(self, weights: Weights) -> str:
        """The channel's folder, the same for every data set."""
        folder = self._key(names.WEIGHTS, names.digest(weights.digest, weights.stride))
        with tempfile.NamedTemporaryFile(prefix="kennel-") as file:
            file.write(serialise(weights))
            file.flush()
            storage.upload_file(self._cloud, Path(file.name), f"{folder}/resnet50.safetensors", self._progress)
        return str(S3Uri(self._cloud.bucket, f"{folder}/"))

    def _plan(self, name: str, given: dict[str, str]) -> TrainingPlan:
        return TrainingPlan(
            name=name,
            image=self._image("training"),
            role=self._roles["training"],
            channels=self._inputs.channels(),
            output=str(self._uri(names.JOBS)),
            machines=self._settings.training,
            hyperparameters=given,
            tags=tuple(self._settings.tags()),
        )

    def _debugging(self, given: Mapping[str, str]) -> Debugging | None:
        settings = self._settings.debugger
        if not settings.enabled:
            return None
        return Debugging(settings, self._cloud.region, parse(given).steps_per_epoch(self._inputs.pictures))

    def _write_debugger_page(self) -> None:
        """What the rules found, with what they found it in, beside the run's other pages."""
        path, folder = self._stage.out / "debugger.html", self._stage.out / "debugger"
        try:
            judged = debugging.of_job(self._cloud, self._job, folder, self._progress)
        except KennelError as error:  # a job of an earlier time may have none of it; the artifact is what matters
            self._progress.say(f"no debugger page: {error}")
            return
        debugging.write_page(self._job, judged, path)
        self.summary.addresses["debugger page"] = str(path)

    def _endpoint_plan(self) -> EndpointPlan:
        settings, artifact = self._settings, self.summary.addresses["artifact"]
        image = self._image("serving")
        made_of = (artifact, image)
        return EndpointPlan(
            name=settings.endpoint_name,
            model=names.name(settings.project, "model", *made_of),
            config=names.name(settings.project, "config", *made_of, settings.endpoint.model_dump()),
            image=image,
            artifact=artifact,
            role=self._roles["endpoint"],
            instance_type=settings.endpoint.instance_type,
            instances=settings.endpoint.instances,
            startup_s=settings.endpoint.startup_s,
            scaled=settings.scaling.enabled,
            tags=tuple(settings.tags()),
        )

    def _train(self, title: str, plan: TrainingPlan) -> dict[str, Any]:
        """The final description of the job that does this plan."""
        name = training.start(self._cloud, plan)
        with self._waiting("training job", name, None, title) as tell:
            done = watch.training(self._cloud, name, tell)
        self._count(done)
        return done

    def _count(self, job: Mapping[str, Any]) -> None:
        """Add what a job cost. A features job of an earlier run counts too: this one would have needed it."""
        machines = job.get("ResourceConfig", {})
        hours = job.get("BillableTimeInSeconds", 0) * machines.get("InstanceCount", 1) / 3600
        price = self._hourly(machines.get("InstanceType", ""))
        known = price is not None and self.summary.spent is not None
        self.summary.spent = (self.summary.spent or 0) + hours * (price or 0) if known else None

    def _hourly(self, instance_type: str) -> float | None:
        if self._cloud.side == "local":
            return 0.0
        return prices.load().hourly(self._cloud.region, instance_type)

    @contextmanager
    def _waiting(self, kind: Kind, name: str, total: int | None, title: str = "") -> Iterator[Callable[[Event], None]]:
        """Events become progress. A signal ends the wait; what is waited for goes on, unless the user says no."""
        try:
            with self._progress.step(f"{title or kind} {name}", total) as advance:

                def tell(event: Event) -> None:
                    if isinstance(event, TrialEnded):
                        advance(1)
                    if line := line_of(event):
                        self._progress.say(line)

                yield tell
        except Stopped:
            if kind in _STOP and self._stage.interrupted(kind, name):
                _STOP[kind](self._cloud, name)
            raise

    def _write_page(self, name: str) -> None:
        path = self._stage.out / "tuning.html"
        write_atomically(path, tuning_page(self._cloud, name).encode())
        self.summary.addresses |= {"tuning job": name, "tuning page": str(path)}

    def _fixed(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._settings.training.hyperparameters.items()}

    def _image(self, kind: Literal["training", "serving"]) -> str:
        return registry.image_uri(self._cloud, getattr(self._settings.images, kind))

    def _key(self, *parts: str) -> str:
        return names.prefix(self._settings, *parts)

    def _uri(self, *parts: str) -> S3Uri:
        return S3Uri(self._cloud.bucket, self._key(*parts))


_STOP: dict[Kind, Callable[[Cloud, str], None]] = {
    "training job": training.stop,
    "tuning job": tuning.stop,
}
