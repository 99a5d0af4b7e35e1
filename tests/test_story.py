"""`kennel run` on the local AWS, as a user types it: from nothing to a prediction, ended and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kennel.pictures import dataset

PROGRAM = Path(sys.executable).parent / "kennel"
SETTINGS = """
[training.hyperparameters]
epochs = 3
[tuning]
batch_size = [16, 32]
[local]
port = 0
runner = "process"
"""


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Iterator[dict[str, str]]:
    """An environment of its own: settings, cache and the local AWS's home."""
    (tmp_path / "kennel.toml").write_text(SETTINGS)
    yield os.environ | {
        "KENNEL_CACHE": str(cache), "KENNEL_LOCAL_HOME": str(tmp_path / "home"), "COLUMNS": "160", "NO_COLOR": "1"
    }  # fmt: skip
    subprocess.run([PROGRAM, "local", "down"], cwd=tmp_path, capture_output=True, check=False)


def kennel(folder: Path, place: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, check=False)


def test_the_story_ends_with_a_prediction_and_leaves_nothing_running(
    drawings: Path, place: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(drawings, data)
    pictures = dataset.load(data).splits["test"]
    broken = pictures[len(pictures) // 2].path
    assert broken is not None
    broken.write_bytes(b"no picture")

    done = kennel(tmp_path, place, "run", "--data", str(data), "--jobs", "3", "--json")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["answer"]["predictions"][0]["probability"] > 0.25
    assert summary["photo"]["path"] != str(broken)
    assert 0.25 < summary["metrics"]["test:accuracy"] <= 1
    assert set(summary["seconds"]) == {"upload", "features", "tune", "train", "deploy", "predict"}
    assert summary["best"]["job"].startswith(summary["addresses"]["tuning job"])
    assert "<svg" in Path(tmp_path / summary["addresses"]["tuning page"]).read_text()
    assert kennel(tmp_path, place, "local", "status").returncode == 2


def test_a_run_that_was_killed_is_resumed_and_nothing_is_done_twice(
    drawings: Path, place: dict[str, str], tmp_path: Path
) -> None:
    assert kennel(tmp_path, place, "local", "up").returncode == 0
    command = [str(PROGRAM), "run", "--data", str(drawings), "--jobs", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, env=place, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("tuning job kennel-tune" in line for line in process.stderr)
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = kennel(tmp_path, place, "run", "--resume", "--json")

    assert done.returncode == 0, done.stderr
    status = json.loads(kennel(tmp_path, place, "local", "status", "--json").stdout)
    assert len(status["tuning_jobs"]) == 1
    assert len(status["training_jobs"]) == 4  # features, two trials, the best once more
    assert [each["status"] for each in status["endpoints"]] == ["InService"]
    assert "still billed" not in kennel(tmp_path, place, "teardown", "--everything", "--yes").stdout
    assert json.loads(kennel(tmp_path, place, "local", "status", "--json").stdout)["endpoints"] == []
