"""A features job and the trainings that read what it left: the same artifact, nothing computed twice."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kennel import artifact
from kennel.contract import Contract
from kennel.engines import Classifier, Features, Pictures
from kennel.engines.openvino import float32_engine, int8_engine
from kennel.engines.torch import TorchEngine
from kennel.hyperparameters import Hyperparameters
from kennel.pictures import dataset, store
from kennel.progress import Printer, Progress
from kennel.training import given
from kennel.training.features import FeatureCache, compute
from kennel.training.features_job import compute_features
from kennel.training.job import Job
from kennel.training.run import train
from kennel.weights import random_weights

WANTED = Hyperparameters(epochs=5, batch_size=16)
"""As the `job` that all tests share was trained."""


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Counting(TorchEngine):
    """The torch engine, counting pictures."""

    seen = 0

    def features(self, pictures: Pictures) -> Features:
        self.seen += len(pictures)
        return super().features(pictures)


def reading(job: Job, out: Path, channel: Path, **changes: Any) -> Job:
    """The same job into another folder, with a cache of its own and the channel."""
    made = Job(job.data, out / "model", out / "output", out / "checkpoints", out / "cache", channel)
    return replace(made, **changes)


@pytest.fixture(scope="module")
def job(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job that all tests share, with a cache as it left it: to the shared one, others have added since."""
    cache = tmp_path_factory.mktemp("cache") / "training"
    shutil.copytree(job.model.parent / "cache", cache)
    return replace(job, cache=cache)


@pytest.fixture(scope="module")
def channel(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a features job leaves; the `job` computed all of it already, into the same cache."""
    made = replace(job, model=tmp_path_factory.mktemp("features") / "model")
    compute_features(made, WANTED)
    return made.model


@pytest.fixture(scope="module")
def inputs(job: Job, channel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job's channels: a packed store whose training and validation pictures are away, weights, features."""
    folder = tmp_path_factory.mktemp("inputs") / "data"
    for split, pictures in dataset.load(job.data).splits.items():
        store.pack(pictures, folder / split, workers=2)
    for path in [*(folder / "train").glob("*.safetensors"), *(folder / "valid").glob("*.safetensors")]:
        path.unlink()
    (folder / "weights").mkdir()
    shutil.copytree(channel, folder / "features", copy_function=os.link)
    return folder


def test_a_channel_says_what_it_is(job: Job, channel: Path) -> None:
    about, data = given.describe(channel), dataset.load(job.data)
    assert about is not None
    assert about.data == data.digest
    assert about.views == 2
    assert about.pictures == {split: len(pictures) for split, pictures in data.splits.items()}
    assert set(files_of(channel / "int8")) == set(about.files)
    assert {path.name for path in channel.iterdir()} == {"features", "int8", "features.json"}


def test_a_training_that_reads_the_channel_leaves_the_artifact_of_one_that_computed_everything(
    job: Job, inputs: Path, tmp_path: Path
) -> None:
    """No training picture is there, so none is read; and the channel stays as it was."""
    before = tree(inputs)
    trial = reading(job, tmp_path, inputs / "features", data=inputs)
    train(trial, WANTED)
    assert files_of(trial.model) == files_of(job.model)
    assert trial.report.read_bytes() == job.report.read_bytes()
    assert tree(inputs) == before
    assert not trial.cache.exists()


def test_no_engine_is_made_where_all_features_are_there(job: Job, inputs: Path, cache: Path, tmp_path: Path) -> None:
    trial = reading(job, tmp_path, inputs / "features", data=inputs)
    program = (
        "import sys\nfrom pathlib import PosixPath\nfrom kennel.training.job import Debugging, Job\n"
        "from kennel.training.run import train\nfrom kennel.hyperparameters import Hyperparameters\n"
        f"train({trial!r}, Hyperparameters(epochs=1))\n"
        "print([name for name in ('openvino', 'nncf', 'torchvision', 'pandas', 'smdebug') if name in sys.modules])"
    )
    environment = os.environ | {"KENNEL_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_proofs_scores_are_those_of_engines_that_see_the_pictures(job: Job) -> None:
    """Though they come from kept features, and the int8 ones were computed by several threads."""
    made = artifact.load(job.model)
    engines = float32_engine(made.weights()), int8_engine(made.int8, threads=1)
    for engine in engines:
        scores = Classifier(engine, made.head).scores(made.proof.pictures)
        assert np.array_equal(scores, made.proof.scores[engine.name])


def test_a_damaged_shard_in_the_channel_is_left_alone_and_computed_into_the_cache(
    job: Job, channel: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "channel"
    shutil.copytree(channel, damaged)
    smallest = min((damaged / "features").rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    smallest.write_bytes(smallest.read_bytes()[:1000])
    before, trial = tree(damaged), reading(job, tmp_path, damaged)
    train(trial, WANTED)
    assert files_of(trial.model) == files_of(job.model)
    assert tree(damaged) == before
    assert [path.name for path in trial.cache.rglob("*.safetensors")] == [smallest.name]


def test_a_quantised_backbone_that_is_not_what_the_channel_says_is_not_taken(channel: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "channel"
    shutil.copytree(channel, damaged)
    files = sorted((damaged / "int8").iterdir())
    assert given.is_whole(damaged, files)
    files[0].write_bytes(files[0].read_bytes()[:-1])
    assert not given.is_whole(damaged, files)
    files[0].unlink()
    assert not given.is_whole(damaged, files)


def test_more_views_than_the_channel_has_are_computed_and_the_others_are_not(drawings: Path, tmp_path: Path) -> None:
    pictures, weights = dataset.load(drawings).splits["valid"][:4], random_weights()
    engine = Counting(weights, "cpu")
    compute(pictures, 2, engine, FeatureCache(tmp_path / "given", weights.digest, "torch-cpu"), workers=1)
    cache = FeatureCache(tmp_path / "own", weights.digest, "torch-cpu", tmp_path / "given")
    compute(pictures, 3, engine, cache, workers=1)
    assert engine.seen == 12
    assert len(cache.collect(pictures, 3).pictures) == 4


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"weights": "f" * 64}, "other weights;"),
        ({"data": "f" * 64}, "other data;"),
        ({"engine": "torch-cuda-2.8", "views": 1}, "other engine, views;"),
        ({"views": 9}, ""),
        ({}, ""),
    ],
)
def test_a_channel_that_is_made_for_something_else_is_one_line(
    channel: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object], named: str
) -> None:
    about = given.describe(channel)
    assert about is not None
    given.leave(tmp_path, [], [], about.model_copy(update=changes))
    with caplog.at_level(logging.INFO):
        given.tell_difference(tmp_path, about)
    assert [named in line for line in caplog.messages] == ([True] if named else [])


def test_a_channel_without_a_description_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / given.ABOUT).write_text("{")
    given.tell_difference(tmp_path, given.About(weights="", engine="", data="", views=1))
    assert len(caplog.messages) == 1
    assert given.ABOUT in caplog.messages[0]


def test_a_features_job_that_is_done_again_leaves_the_same_and_computes_nothing(
    job: Job, channel: Path, tmp_path: Path
) -> None:
    kept, lines = tree(job.cache), list[str]()
    compute_features(replace(job, model=tmp_path / "model"), WANTED, progress=Progress(Printer(lines.append)))
    assert {name: content for name, (_, content) in tree(tmp_path / "model").items()} == {
        name: content for name, (_, content) in tree(channel).items()
    }
    assert tree(job.cache) == kept
    assert lines[-1] == f"features of 80 pictures are in {tmp_path / 'model'}"


class TestUnderTheContract:
    """The real sagemaker-training toolkit, its root moved."""

    def root(self, folder: Path, hosts: tuple[str, ...] = ("algo-1",)) -> Contract:
        config = folder / "input/config"
        config.mkdir(parents=True)
        (config / "hyperparameters.json").write_text(json.dumps({"epochs": "5", "batch_size": "16"}))
        (config / "resourceconfig.json").write_text(
            json.dumps({"current_host": "algo-1", "hosts": hosts, "network_interface_name": "lo"})
        )
        (config / "inputdataconfig.json").write_text("{}")
        return Contract(folder)

    def run(self, contract: Contract, cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
        started = os.environ | {
            "KENNEL_CACHE": str(cache),
            "SAGEMAKER_BASE_DIR": str(contract.root),
            "SAGEMAKER_TRAINING_MODULE": "kennel.training.sagemaker:main",
        }
        program = Path(sys.executable).parent / "train"
        return subprocess.run([program], env=started | more, capture_output=True, text=True, check=False)

    def test_a_features_jobs_model_is_the_channel_of_a_training_job(
        self, job: Job, cache: Path, tmp_path: Path
    ) -> None:
        first, second = self.root(tmp_path / "first"), self.root(tmp_path / "second")
        shutil.copytree(job.data, first.data)
        shutil.copytree(job.cache, first.checkpoints / "cache", copy_function=os.link)
        done = self.run(first, cache, KENNEL_JOB="features")
        assert done.returncode == 0, done.stderr
        assert "features of train: 48 of 48" in done.stdout
        shutil.copytree(job.data, second.data)
        shutil.copytree(first.model, second.features)
        done = self.run(second, cache, KENNEL_JOB="train")
        assert done.returncode == 0, done.stderr
        assert "the channel" not in done.stderr
        assert files_of(second.model) == files_of(job.model)
        assert not (second.checkpoints / "cache").exists()

    def test_an_unknown_job_is_in_the_failure_file(self, cache: Path, tmp_path: Path) -> None:
        contract = self.root(tmp_path)
        assert self.run(contract, cache, KENNEL_JOB="holiday").returncode == 1
        assert "KENNEL_JOB is 'holiday'. Set it to train or features" in contract.failure.read_text()

    def test_a_features_job_on_several_hosts_is_refused(self, cache: Path, tmp_path: Path) -> None:
        contract = self.root(tmp_path, hosts=("algo-1", "algo-2"))
        assert self.run(contract, cache, KENNEL_JOB="features").returncode == 1
        assert "one host, this one has 2" in contract.failure.read_text()
