"""The command line as a user meets it: in a process of its own, by what it prints and its exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kennel.cli.app import app
from kennel.pictures import dataset
from kennel.training.job import Job


def kennel(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "kennel"
    values = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | environment
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, env=values, cwd=cwd, check=False
    )


COMMANDS = [
    "",
    "train",
    "debug",
    "serve",
    "predict",
    "run",
    "status",
    "teardown",
    "data",
    "data fetch",
    "data check",
    "data pack",
    "data draw",
]
COMMANDS += ["local", "local up", "local down", "local status", "local env", "local interrupt"]
COMMANDS += ["function", "function deploy", "function invoke", "function url", "function logs"]
COMMANDS += ["scale", "scale apply", "scale status", "scale watch", "scale remove"]
COMMANDS += ["scale simulate", "scale measure"]
COMMANDS += ["compare"]
COMMANDS += ["artifact", "artifact show", "artifact prove", "artifact pack"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """In this process: there are many, and it takes each its time to start."""
    done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="kennel")
    assert done.exit_code == 0
    assert f"Usage: kennel {command}".rstrip() in done.stdout


def test_the_program_has_help() -> None:
    done = kennel("--help")
    assert done.returncode == 0
    assert "Usage: kennel" in done.stdout


def test_help_needs_no_torch() -> None:
    """The command line starts fast because heavy libraries are imported where they are used."""
    heavy = "('torch', 'openvino', 'matplotlib', 'scipy')"
    code = f"import sys, kennel.cli.app; print([each for each in {heavy} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "check", "/nowhere"], "no folder at /nowhere"),
        (["data", "check", "."], "is no data set"),
        (["data", "fetch", "x", "--from", "/nowhere.zip"], "/nowhere.zip"),
        (["train", "--data", "/nowhere", "--out", "out"], "no folder at /nowhere"),
        (["train", "--data", ".", "--out", "out", "--set", "epochs=0"], "epochs"),
        (["train", "--data", ".", "--out", "out", "--set", "epoch=3"], "unknown hyperparameter 'epoch'"),
        (["train", "--data", ".", "--out", "out", "--set", "epochs"], "is not name=value"),
        (["serve", "--artifact", "/nowhere"], "nothing at /nowhere"),
        (["serve", "--artifact", "."], "is no artifact"),
        (["artifact", "show", "/nowhere"], "nothing at /nowhere"),
        (["predict", "/nowhere.jpg"], "no picture at /nowhere.jpg"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy_and_exit_code_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = kennel(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["serve", "--artifact", "x", "--port", "99999"]])
def test_a_wrong_command_line_is_told_without_a_traceback(arguments: list[str], tmp_path: Path) -> None:
    done = kennel(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_predict_without_a_server_says_how_to_start_one(drawings: Path) -> None:
    photo = next((drawings / "test").rglob("*.jpg"))
    done = kennel("predict", photo, "--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "kennel serve --artifact" in done.stderr


def test_predict_shows_breeds_bars_and_percentages(server: str, job: Job) -> None:
    photo = dataset.load(job.data).splits["test"][5]
    done = kennel("predict", str(photo.path), "--url", server, "--top", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 3
    assert photo.label.split(".")[1].replace("_", " ") in lines[0]
    assert re.search(r"█.*\d+\.\d %", lines[0])


def test_predict_by_the_artifact_alone_gives_the_servers_answer(server: str, job: Job) -> None:
    photo = str(dataset.load(job.data).splits["test"][2].path)
    asked = json.loads(kennel("predict", photo, "--url", server, "--json").stdout)
    alone = json.loads(kennel("predict", photo, "--artifact", job.model, "--json").stdout)
    assert asked == alone


def test_a_file_that_is_no_picture_is_refused_in_words(server: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    done = kennel("predict", tmp_path / "note.txt", "--url", server)
    assert done.returncode == 2
    assert "not a picture" in done.stderr


def test_check_prints_a_table_or_json_and_writes_a_contact_sheet(drawings: Path, tmp_path: Path) -> None:
    shutil.copytree(drawings, tmp_path / "data")
    broken = next((tmp_path / "data/train").rglob("*.jpg"))
    broken.write_bytes(b"no picture")
    done = kennel("data", "check", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot be used" in done.stdout
    assert "contact sheet" in (tmp_path / "data-contact-sheet.html").read_text().lower()
    found = json.loads(kennel("data", "check", "data", "--json", cwd=tmp_path).stdout)
    assert [each["problem"] for each in found["unusable"]] == ["unknown"]


def test_pack_leaves_a_store_that_is_a_data_set(drawings: Path, tmp_path: Path) -> None:
    done = kennel("data", "pack", drawings, tmp_path / "packed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "packed")
    assert dataset.load(tmp_path / "packed").digest == dataset.load(drawings).digest


def test_show_prints_the_card_and_packed_it_is_the_same(job: Job, tmp_path: Path) -> None:
    done = kennel("artifact", "show", job.model)
    assert "test:accuracy" in done.stdout
    assert "serves by default" in done.stdout
    packed = kennel("artifact", "pack", job.model, tmp_path / "model.tar.gz")
    assert packed.returncode == 0, packed.stderr
    shown = [kennel("artifact", "show", each, "--json").stdout for each in (job.model, tmp_path / "model.tar.gz")]
    assert shown[0] == shown[1]
    assert json.loads(shown[0])["labels"]


def test_an_artifact_proves_itself(job: Job) -> None:
    done = kennel("artifact", "prove", job.model, "--engine", "float32")
    assert done.stdout.strip() == "proven by engine float32"


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "pack", "DATA", "/proc/nowhere"],
        ["data", "check", "DATA", "--sheet", "/proc/nowhere.html"],
        ["train", "--data", "DATA", "--out", "/proc/nowhere"],
    ],
)
def test_what_the_system_refuses_is_one_line(drawings: Path, arguments: list[str], cache: Path) -> None:
    done = kennel(*[str(drawings) if each == "DATA" else each for each in arguments], KENNEL_CACHE=str(cache))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "/proc/" in done.stderr


def test_brackets_in_a_path_are_shown_as_they_are(drawings: Path, tmp_path: Path) -> None:
    done = kennel("data", "pack", drawings, tmp_path / "out[new][/x]")
    assert done.stdout.strip() == str(tmp_path / "out[new][/x]")


def test_the_version_is_told() -> None:
    done = kennel("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "kennel")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["./nowhere"], "there is no folder ./nowhere"),
        (["."], "holds neither tensors"),
        (["job", "--set", "Overfit.patience=2"], "--set is for folders"),
        ([".", "--set", "Overfit"], "is not RULE.name=value"),
        ([".", "--set", "Nonsense.patience=2"], "debugger.rules.Nonsense"),
    ],
)
def test_debug_tells_in_one_line_what_it_cannot_take(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = kennel("debug", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
