"""Runs an image as SageMaker runs a training job: `docker run IMAGE train`, /opt/ml mounted, no network."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from kennel.containers import Ended, Engine
from kennel.doctor import Check, Checks, outcome
from kennel.pictures.drawings import BREEDS, draw_set

STOP_SECONDS = 120
"""SageMaker kills a training container this long after SIGTERM."""
BEGUN_SECONDS = 3
TRAIN_SECONDS = 600
TRAIN = ["train"]


@dataclass(frozen=True, slots=True)
class Job:
    """One training job's files. root: what is mounted at /opt/ml."""

    engine: Engine
    reference: str
    root: Path
    weights: Path | None

    def prepare(self, hyperparameters: dict[str, str], data: Path | None) -> None:
        """Configuration files and channels, as SageMaker writes them."""
        config, channels = self.root / "input/config", self.root / "input/data"
        for folder in (config, channels, self.root / "model", self.root / "output/data", self.root / "checkpoints"):
            folder.mkdir(parents=True, exist_ok=True)
        names = [each.name for each in sorted(data.iterdir()) if each.is_dir()] if data else ["train"]
        if data:
            shutil.copytree(data, channels, dirs_exist_ok=True)
        (channels / "train").mkdir(exist_ok=True)
        if self.weights:
            (channels / "weights").mkdir(exist_ok=True)
            shutil.copy(self.weights, channels / "weights")
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        _write(config / "hyperparameters.json", hyperparameters)
        _write(config / "resourceconfig.json", hosts)
        _write(config / "inputdataconfig.json", dict.fromkeys(names, channel))

    def options(self) -> dict[str, Any]:
        return {"volumes": [f"{self.root}:/opt/ml"], "network_mode": "none", "shm_size": "1g"}

    def run(self) -> Ended:
        """From start to end."""
        with self.engine.running(self.reference, TRAIN, **self.options()) as container:
            return self.engine.ended(container, TRAIN_SECONDS)

    def failure(self) -> str:
        path = self.root / "output/failure"
        return path.read_text(errors="replace").strip() if path.is_file() else ""


def check(
    engine: Engine, reference: str, scratch: Path, weights: Path | None, patience: float = STOP_SECONDS
) -> Checks:
    """A job that must fail, one that is stopped and must end within `patience` seconds, one that must end well."""
    data = scratch / "drawings"
    draw_set(data, {"train": 4, "valid": 2, "test": 2}, breeds=BREEDS[:3])
    yield from _check_failure(Job(engine, reference, scratch / "failing", weights))
    yield from _check_stop(Job(engine, reference, scratch / "stopped", weights), data, patience)
    yield from _check_success(Job(engine, reference, scratch / "training", weights), data)


def _check_failure(job: Job) -> Checks:
    """Without data, and with a hyperparameter nobody knows: no image can end that well."""
    job.prepare({"kennel-doctor-unknown": "1"}, None)
    ended = job.run()
    job.engine.owned(job.root, job.reference)
    remedy = "End with a code other than 0 when training fails, or SageMaker calls the job Completed"
    yield outcome("failed job: exit code", ended.code not in (0, None), _code(ended), remedy)
    reason = job.failure()
    remedy = "Write the reason to /opt/ml/output/failure; it becomes the job's FailureReason"
    yield outcome("failed job: failure file", bool(reason), _line(reason) or "missing", remedy)


def _check_stop(job: Job, data: Path, patience: float) -> Checks:
    """SIGTERM as soon as the container prints something: process 1 must take it, and end in time."""
    job.prepare({}, data)
    with job.engine.running(job.reference, TRAIN, **job.options()) as container:
        begun = _until_it_prints(job.engine, container)
        job.engine.terminate(container)
        ended = job.engine.ended(container, patience)
    job.engine.owned(job.root, job.reference)
    if not begun:
        yield Check("stopped job: SIGTERM", "fail", f"ended by itself: {_last(ended.log)}", "Read what it printed")
        return
    seen = f"{_code(ended)} {ended.seconds:.1f} s after SIGTERM"
    remedy = f"Handle SIGTERM in process 1 (exec form, no shell): SageMaker kills after {STOP_SECONDS} s"
    yield outcome("stopped job: SIGTERM", ended.code not in (None, 0), seen, remedy)


def _check_success(job: Job, data: Path) -> Checks:
    job.prepare({}, data)
    ended = job.run()
    job.engine.owned(job.root, job.reference)
    seen = f"{_code(ended)} after {ended.seconds:.0f} s" + (f": {_last(ended.log)}" if ended.code else "")
    yield outcome("training job", ended.code == 0, seen, "See what it printed; without a network it may lack --weights")
    left = sorted(path.name for path in (job.root / "model").iterdir())
    yield outcome("artifact", bool(left), ", ".join(left[:5]) or "/opt/ml/model is empty", "Write to /opt/ml/model")


def _until_it_prints(engine: Engine, container: Container, within: float = 60) -> bool:
    """Until a container has printed something, and a little longer: libraries warn before a program has begun.

    False when it ended by then.
    """
    until = time.monotonic() + within
    while time.monotonic() < until and not engine.log(container).strip():
        time.sleep(0.1)
    time.sleep(BEGUN_SECONDS)
    container.reload()
    return bool(container.status == "running")


def _code(ended: Ended) -> str:
    return "still running" if ended.code is None else f"exit code {ended.code}"


def _last(log: str) -> str:
    return _line(log.strip().splitlines()[-1]) if log.strip() else "it printed nothing"


def _line(text: str) -> str:
    return " ".join(text.split())[:160]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
