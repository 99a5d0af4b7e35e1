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

from kennel.errors import SettingError
from kennel.pictures import dataset
from kennel.settings import Settings
from kennel.workflow import record
from kennel.workflow.both_ways import market_of, with_spot

PROGRAM = Path(sys.executable).parent / "kennel"
SETTINGS = """
[training.hyperparameters]
epochs = 5
[tuning]
batch_size = [4, 8]
[local]
port = 0
runner = "process"
"""


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Iterator[dict[str, str]]:
    """An environment of its own: settings, cache and the local AWS's home."""
    (tmp_path / "kennel.toml").write_text(SETTINGS)
    found = os.environ | {
        "KENNEL_CACHE": str(cache), "KENNEL_LOCAL_HOME": str(tmp_path / "home"), "COLUMNS": "160", "NO_COLOR": "1"
    }  # fmt: skip
    yield found
    subprocess.run([PROGRAM, "local", "down"], cwd=tmp_path, env=found, capture_output=True, check=False)


def kennel(folder: Path, place: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, check=False)


@pytest.fixture
def data(few: Path, tmp_path: Path) -> Path:
    """A set in which the very picture that would be asked about is broken."""
    folder = tmp_path / "data"
    shutil.copytree(few, folder)
    pictures = dataset.load(folder).splits["test"]
    broken = pictures[len(pictures) // 2].path
    assert broken is not None
    broken.write_bytes(b"no picture")
    return folder


def test_the_story_interrupted_and_resumed_ends_with_a_prediction(
    data: Path, place: dict[str, str], tmp_path: Path
) -> None:
    arguments = [str(PROGRAM), "run", "--data", str(data), "--jobs", "2"]
    options = {"cwd": tmp_path, "env": place, "stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(arguments, **options)  # type: ignore[call-overload]
    assert any("tuning job kennel-tune" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait() == 130, said
    assert "goes on without this command" in said
    assert "the local AWS runs on" in said

    done = kennel(tmp_path, place, "run", "--resume", "--json")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["answer"]["predictions"][0]["probability"] > 0.25
    assert 0.25 < summary["metrics"]["test:accuracy"] <= 1
    assert set(summary["seconds"]) == {"upload", "features", "tune", "train", "deploy", "scale", "function", "predict"}
    assert summary["scaling"] == "1 to 3 instances, 25 invocations a minute each"
    assert summary["best"]["job"].startswith(summary["addresses"]["tuning job"])
    assert "<svg" in Path(tmp_path / summary["addresses"]["tuning page"]).read_text()

    status = json.loads(kennel(tmp_path, place, "local", "status", "--json").stdout)
    assert len(status["tuning_jobs"]) == 1
    assert [each["status"] for each in status["training_jobs"]] == ["Completed"] * 4  # features, 2 trials, the best
    assert [each["status"] for each in status["endpoints"]] == ["InService"]
    shown = kennel(tmp_path, place, "status")
    assert "InService" in shown.stdout, shown.stderr
    assert "1–3" in shown.stdout
    assert "unchanged" in kennel(tmp_path, place, "scale", "apply").stderr

    asked = kennel(tmp_path, place, "function", "invoke", summary["photo"]["path"], "--json")
    assert json.loads(asked.stdout)["predictions"] == summary["answer"]["predictions"], asked.stderr

    assert "still billed" not in kennel(tmp_path, place, "teardown", "--everything", "--yes").stdout
    assert kennel(tmp_path, place, "teardown", "--verify").returncode == 0
    assert kennel(tmp_path, place, "local", "down").returncode == 0
    assert "no local AWS is running" in kennel(tmp_path, place, "local", "status").stderr


def test_a_resumed_run_is_the_one_that_was_begun(tmp_path: Path) -> None:
    begun = record.begin(tmp_path, "aws", None, jobs=20)
    assert record.resumed(tmp_path, "aws") == begun
    assert begun.jobs == 20
    with pytest.raises(SettingError, match="unfinished run"):
        record.begin(tmp_path, "aws", None, jobs=None)
    with pytest.raises(SettingError, match="on aws"):
        record.resumed(tmp_path, "local")
    with pytest.raises(SettingError, match="no run"):
        record.resumed(tmp_path / "other", "aws")


def test_a_comparison_that_was_interrupted_goes_on_by_the_same_command_and_one_that_was_made_begins_anew(
    tmp_path: Path,
) -> None:
    assert record.both(tmp_path, "aws", tmp_path / "dogs") != record.both(tmp_path, "aws", tmp_path / "dogs")
    begun = record.both(tmp_path, "aws", tmp_path / "dogs").write(tmp_path, record.BOTH)
    assert record.both(tmp_path, "aws", tmp_path / "dogs") == begun
    with pytest.raises(SettingError, match="both may still run"):
        record.both(tmp_path, "aws", tmp_path / "cats")
    with pytest.raises(SettingError, match="on demand, of") as error:
        record.both(tmp_path, "aws", tmp_path / "dogs", market_of(with_spot(Settings())))
    assert f"--data {tmp_path}/dogs --on aws;" in error.value.remedy
    assert record.read(tmp_path) is None, "kennel run takes nothing of it"
    record.end_both(tmp_path)
    assert record.both(tmp_path, "aws", tmp_path / "dogs").name != begun.name
