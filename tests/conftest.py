"""Fixtures that several tests share. Real parts throughout: real weights, real training, a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from kennel.artifact import Artifact
from kennel.hyperparameters import Hyperparameters
from kennel.pictures.drawings import BREEDS, draw_set
from kennel.serving.server import free_port, running
from kennel.serving.settings import ServerSettings
from kennel.training.job import Job
from kennel.training.run import train
from kennel.weights.sources import pretrained

pytest_plugins = ["fixtures_artifact", "fixtures_containers", "fixtures_function", "fixtures_lambda", "fixtures_local"]

PICTURES = {"train": 12, "valid": 4, "test": 4}
PHOTOGRAPHS = {"train": 20, "valid": 5, "test": 5}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where KENNEL_NO_SKIPS is set, a skipped test is a failed one: CI has to have every part."""
    report = yield
    if os.environ.get("KENNEL_NO_SKIPS") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set: 4 breeds, 12 / 4 / 4 pictures each."""
    folder = tmp_path_factory.mktemp("data") / "drawings"
    draw_set(folder, PICTURES, seed=1, breeds=BREEDS[:4])
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of these tests' own, with the real pretrained weights in it (fetched once per user, not per run)."""
    from kennel.files import cache_dir

    pretrained("auto")
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(cache_dir("weights"), folder / "weights")
    return folder


@pytest.fixture(scope="session")
def job(drawings: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished training on the drawn set."""
    out = tmp_path_factory.mktemp("trained")
    made = Job(drawings, out / "model", out / "output", out / "checkpoints", cache / "training")
    train(made, Hyperparameters(epochs=5, batch_size=16))
    return made


@pytest.fixture(scope="session")
def server(job: Job) -> Iterator[str]:
    """The address of a real server of that artifact."""
    settings = ServerSettings(job.model, port=free_port(18080))
    with running(settings):
        yield f"http://127.0.0.1:{settings.port}"


@pytest.fixture(scope="session")
def photographs(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 breeds × 20 / 5 / 5 of a data set of photographs; the drawn set where none is named."""
    source = os.environ.get("KENNEL_PHOTOGRAPHS")
    if not source:
        return drawings
    folder = tmp_path_factory.mktemp("photographs")
    for split, count in PHOTOGRAPHS.items():
        for label in sorted((Path(source) / split).iterdir())[:10]:
            (folder / split / label.name).mkdir(parents=True)
            for path in sorted(label.iterdir())[:count]:
                shutil.copy(path, folder / split / label.name)
    return folder


@pytest.fixture(scope="session")
def trained(photographs: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    out = tmp_path_factory.mktemp("trained")
    job = Job(photographs, out / "model", out / "output", out / "checkpoints", cache / "training")
    found = train(job, Hyperparameters())
    assert found is not None
    return found
