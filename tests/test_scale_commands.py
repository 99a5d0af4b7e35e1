"""`kennel scale simulate` and `kennel scale measure` as a user meets them, and an endpoint asked by plain boto3."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_scaling import Fast
from kennel.capacity import measured
from kennel.cloud import asking
from kennel.cloud.session import Cloud, connect
from kennel.errors import KennelError, ServerError
from kennel.settings import Settings
from kennel.training.job import Job
from test_cli import kennel

QUICK = ["--step-s", "1", "--for", "40"]


def test_a_spike_is_simulated_and_shown(tmp_path: Path) -> None:
    done = kennel("scale", "simulate", "--base", "10", "--peak", "200", "--for", "10m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"25/180/300 +met", done.stdout)
    assert "always 3" in done.stdout
    assert "assumed: 60 ms" in done.stderr
    assert (tmp_path / "scaling.html").read_text().count("<svg") == 4


def test_a_sweep_says_what_is_cheapest(tmp_path: Path) -> None:
    several = ["--sweep", "--targets", "25,800", "--out-cooldowns", "180", "--in-cooldowns", "0,300", "--hours", "2"]
    done = kennel("scale", "simulate", "--peak", "1500", *several, "--page", "p.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The cheapest of those is" in done.stdout
    assert "Other settings" in (tmp_path / "p.html").read_text()


def test_a_trace_is_simulated_for_machines(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w") as file:
        csv.writer(file).writerows([["minute", "invocations"], *[[minute, 90] for minute in range(30)]])
    done = kennel("scale", "simulate", "--trace", "t.csv", "--json", "--start-s", "60", "--no-function", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["minutes"]["requests"] == [90] * 30
    assert found["minutes"]["instances"][-1] == 3
    assert found["asked"]["setting"] == "25/180/300"
    assert {each["setting"] for each in found["others"]} == {"always 1", "always 3"}


def test_any_part_of_an_hour_is_simulated(tmp_path: Path) -> None:
    done = kennel("scale", "simulate", "--hours", "0.33333333333", "--json", cwd=tmp_path)
    assert len(json.loads(done.stdout)["minutes"]["requests"]) == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "/nowhere.csv"], "cannot read /nowhere.csv"),
        (["--measured", "/nowhere.json"], "cannot read /nowhere.json"),
        (["--measured", "x", "--service-ms", "5"], "--measured goes without"),
        (["--for", "soon"], "'soon' is no length of time"),
        (["--min", "3", "--max", "2"], "--max 2 is less than --min 3"),
        (["--sweep", "--targets", "a,b"], "is no list of numbers"),
        (["--sweep", "--targets", ",".join(map(str, range(1, 500)))], "1 to 5000 settings"),
        (["--goal-percentile", "100"], "a goal is"),
        (["--target", "0"], "a target is"),
        (["--service-ms", "nan"], "a service time is"),
        (["--base", "inf"], "base is not within"),
        (["--service-ms", "0"], "a service time is"),
        (["--concurrency", "0"], "an instance works on 1 to"),
        (["--executions", "0"], "a function's concurrency is 1 to"),
        (["--trace", "/dev/zero"], "cannot read /dev/zero"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = kennel("scale", "simulate", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


def test_an_artifact_is_measured_and_what_was_found_is_simulated(job: Job, tmp_path: Path) -> None:
    done = kennel("scale", "measure", "--artifact", job.model, "--goal-ms", "5000", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = measured.read(tmp_path / "measured.json")
    assert found.complete
    assert found.subject.kind == "artifact"
    assert len(found.subject.revision) == 64
    assert found.steps
    assert sum(each.errors for each in found.steps) == 0
    assert "a second at most" in done.stdout
    assert "Rates that were held" in (tmp_path / "measured.html").read_text()
    simulated = kennel("scale", "simulate", "--measured", "measured.json", cwd=tmp_path)
    assert simulated.returncode == 0, simulated.stderr
    assert "measured of artifact" in simulated.stderr


def test_ctrl_c_gives_what_was_measured(job: Job, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "kennel"
    command = [str(program), "scale", "measure", "--artifact", str(job.model), "--for", "300"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any(line.startswith("at most") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert "ended early" in stderr
    assert "ended before its time" in stdout
    assert not measured.read(tmp_path / "measured.json").complete


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--artifact", "/nowhere"], "nothing at /nowhere"),
        (["--artifact", "x", "--on", "aws"], "--artifact is served here"),
        (["--artifact", "x", "--picture", "/nowhere.jpg"], "no picture at /nowhere.jpg"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = kennel("scale", "measure", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fast]:
    server = Fast(tmp_path_factory.mktemp("measured"), 1)
    yield server
    server.stop()


def cloud_of(server: Fast) -> Cloud:
    keys = server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_SECRET_ACCESS_KEY"]
    return connect("local", Settings(), server.environment["AWS_ENDPOINT_URL"], keys)


def test_an_endpoint_with_one_instance_is_asked_and_its_refusals_have_a_word(local: Fast) -> None:
    local.endpoint("one")
    cloud = cloud_of(local)
    asked = asking.single(cloud, "one")
    assert (asked.instance_type, asked.config) == ("ml.m5.large", "one")
    assert len(asked.revision) == 32
    assert asking.still_single(cloud, "one")
    assert asking.asker(cloud, "one", b"x")() == ""
    assert asking.asker(cloud, "one", b"status 500")().startswith("ModelError")


def test_an_endpoint_with_several_instances_is_not_measured(local: Fast) -> None:
    local.endpoint("several", instances=2)
    cloud = cloud_of(local)
    with pytest.raises(KennelError, match="2 instances"):
        asking.single(cloud, "several")
    assert not asking.still_single(cloud, "several")


def test_an_endpoint_that_is_not_there_is_told(local: Fast) -> None:
    with pytest.raises(KennelError, match="nobody"):
        asking.single(cloud_of(local), "nobody")
    with pytest.raises(KennelError) as error:
        asking.single(cloud_of(local), "a" * 100)
    assert not isinstance(error.value, ServerError)
