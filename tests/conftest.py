"""Fixtures that several tests share. Real parts throughout: real weights, real training, a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kennel import artifact
from kennel.artifact import Artifact
from kennel.hyperparameters import Hyperparameters
from kennel.pictures.drawings import BREEDS, draw_set
from kennel.serving.server import free_port, running
from kennel.serving.settings import ServerSettings
from kennel.training.job import Job
from kennel.training.run import train
from kennel.weights.sources import pretrained

if TYPE_CHECKING:
    from fixtures_shared import Shared

pytest_plugins = [
    "fixtures_shared",
    "fixtures_artifact",
    "fixtures_by_hand",
    "fixtures_containers",
    "fixtures_function",
    "fixtures_lambda",
    "fixtures_local",
]

PICTURES = {"train": 12, "valid": 4, "test": 4}
PHOTOGRAPHED = 8
PHOTOGRAPHS = {"train": 6, "valid": 3, "test": 5}
FEW = {"train": 3, "valid": 2, "test": 2}
FIGURE = "figure"
LONGEST = [
    f"test_{name}.py"
    for name in (
        "stranger",
        "interruption",
        "containers",
        "compare_runs",
        "training",
        "photographs",
        "doctor",
        "story",
        "runners",
        "cli",
        "local_machines",
    )
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where KENNEL_NO_SKIPS is set, a skipped test is a failed one: CI has to have every part."""
    report = yield
    if os.environ.get("KENNEL_NO_SKIPS") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take a file at a time, so the long ones come first: none is left with one at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests told."""
    reports = [
        each for found in terminalreporter.stats.values() for each in found if getattr(each, "when", "") == "call"
    ]
    figures = [text for each in reports for name, text in each.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell a figure; it is printed at the end, whichever worker measured it."""
    return lambda line: request.node.user_properties.append((FIGURE, line))


@pytest.fixture(scope="session")
def drawings(shared: Shared) -> Path:
    """A drawn data set: 4 breeds, 12 / 4 / 4 pictures each."""
    return shared.once("drawings", lambda folder: draw_set(folder, PICTURES, seed=1, breeds=BREEDS[:4]))


@pytest.fixture(scope="session")
def few(shared: Shared) -> Path:
    """A drawn data set for trainings that start from nothing: to quantise for it takes half as long."""
    return shared.once("few", lambda folder: draw_set(folder, FEW, seed=2, breeds=BREEDS[:4]))


@pytest.fixture(scope="session")
def cache(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of these tests' own, with the real pretrained weights in it (fetched once per user, not per run)."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(shared.once("weights", _fetch), folder / "weights", copy_function=os.link)
    return folder


def _fetch(folder: Path) -> None:
    from kennel.files import cache_dir

    pretrained("auto")
    shutil.copytree(cache_dir("weights"), folder, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def job(drawings: Path, cache: Path, shared: Shared) -> Job:
    """A finished training on the drawn set; what it computed is in the cache."""

    def run(out: Path) -> None:
        train(_job(drawings, out, out / "cache"), Hyperparameters(epochs=5, batch_size=16))

    made = shared.once("job", run)
    shutil.copytree(made / "cache", cache / "training", dirs_exist_ok=True)
    return _job(drawings, made, cache / "training")


def _job(data: Path, out: Path, cache: Path) -> Job:
    return Job(data, out / "model", out / "output", out / "checkpoints", cache)


@pytest.fixture(scope="session")
def server(job: Job, worker: int) -> Iterator[str]:
    """The address of a real server of that artifact."""
    settings = ServerSettings(job.model, port=free_port(18080 + 10 * worker))
    with running(settings):
        yield f"http://127.0.0.1:{settings.port}"


@pytest.fixture(scope="session")
def photographs(drawings: Path, shared: Shared) -> Path:
    """8 breeds × 6 / 3 / 5 of a data set of photographs; the drawn set where none is named."""
    source = os.environ.get("KENNEL_PHOTOGRAPHS")

    def copy(folder: Path) -> None:
        for split, count in PHOTOGRAPHS.items():
            for label in sorted((Path(str(source)) / split).iterdir())[:PHOTOGRAPHED]:
                (folder / split / label.name).mkdir(parents=True)
                for path in sorted(label.iterdir())[:count]:
                    shutil.copy(path, folder / split / label.name)

    return shared.once("photographs", copy) if source else drawings


@pytest.fixture(scope="session")
def trained(photographs: Path, cache: Path, shared: Shared) -> Artifact:
    """A classifier of them; what it computed is in the cache."""

    def run(out: Path) -> None:
        train(_job(photographs, out, out / "cache"), Hyperparameters())

    made = shared.once("trained", run)
    shutil.copytree(made / "cache", cache / "training", dirs_exist_ok=True)
    return artifact.load(made / "model")
