"""A real training job of the local AWS held against a real training by hand, by the command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kennel.cloud.session import Cloud, connect
from kennel.local.home import state
from kennel.settings import load

SETTINGS = """
images = {{ training = "{image}" }}
[training.hyperparameters]
epochs = 4
batch_size = 4
[local]
port = 0
runner = "docker"
"""
PROGRAM = Path(sys.executable).parent / "kennel"


@dataclass(frozen=True, slots=True)
class Place:
    """Where both ways are trained: settings, the local AWS's home, and what the command leaves."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment, "text": True}

    def kennel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(PROGRAM), *arguments], capture_output=True, check=False, **self.options)


@dataclass(frozen=True, slots=True)
class Both:
    """A job and a run by hand that have ended. found: what the command told."""

    place: Place
    found: dict[str, Any]

    @property
    def names(self) -> tuple[str, str]:
        return self.found["sagemaker"]["name"], self.found["ec2"]["name"]

    def compare(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.place.kennel("compare", *self.names, *options)


@pytest.fixture(scope="module")
def place(training_image: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "kennel.toml").write_text(SETTINGS.format(image=training_image))
    own = {"COLUMNS": "160", "NO_COLOR": "1", "KENNEL_LOCAL_HOME": str(folder / "home"), "KENNEL_CACHE": str(cache)}
    found = Place(folder, os.environ | own)
    yield found
    found.kennel("local", "down")


@pytest.fixture(scope="module")
def both(place: Place, few: Path) -> Both:
    """As whoever may launch, and whoever may train: by their roles. The machine is the local AWS's."""
    done = place.kennel("compare", "--data", str(few), "--json")
    assert done.returncode == 0, done.stderr
    assert "no local AWS is running" in place.kennel("local", "status").stderr, "it was started for this alone"
    place.kennel("local", "up").check_returncode()
    return Both(place, json.loads(done.stdout))


@pytest.fixture(scope="module")
def cloud(both: Both) -> Cloud:
    """The local AWS, as its owner."""
    found = state(both.place.folder / "home")
    assert found is not None
    settings = load(both.place.folder / "kennel.toml")
    return connect("local", settings, found.url, (found.access_key_id, found.secret_access_key))


def test_both_ways_from_nothing_make_the_same_artifact_bit_for_bit_and_the_page_says_so(both: Both) -> None:
    found = both.found
    assert found["apart"] == {
        "same": "files", "differ": [], "weight": 0.0, "bias": 0.0, "scores": {"float32": 0.0, "int8": 0.0},
        "accuracy": 0.0}  # fmt: skip
    job, hand = found["sagemaker"], found["ec2"]
    assert job["artifact"] == hand["artifact"]
    assert job["image_digest"] == hand["image_digest"] != ""
    assert job["phases"]["pull"] is None
    assert job["phases"]["train"] > 1
    assert job["phases"]["data"] is not None
    assert all(hand["phases"][name] is not None for name in ("provision", "pull", "data", "train", "upload"))
    assert hand["instance_type"] == "g4dn.xlarge"
    assert hand["facts"]["ends itself"]["value"] is True
    for run in (job, hand):
        assert run["utilisation"]["samples"] > 3
        assert run["utilisation"]["cpu"]["mean"] > 0
        assert run["utilisation"]["before_loop"] > 0
    page = (both.place.folder / "compare/comparison.html").read_text()
    assert "Both made the same artifact, bit for bit." in page
    assert "nothing was billed here" in page


def test_by_their_names_the_same_is_found_again(both: Both) -> None:
    done = both.compare("--out", "again", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {key: found[key] for key in ("sagemaker", "ec2", "apart")} == {
        key: both.found[key] for key in ("sagemaker", "ec2", "apart")
    }


def test_debugger_is_off_so_that_both_do_the_same_work(both: Both, cloud: Cloud) -> None:
    job = cloud.client("sagemaker").describe_training_job(TrainingJobName=both.names[0])
    assert "ProfilerConfig" in job
    assert "DebugHookConfig" not in job
    assert not job.get("ProfilerRuleConfigurations")


def test_a_record_of_an_earlier_comparison_scales_the_time_of_its_instance_type(both: Both) -> None:
    folder = both.place.folder
    other = json.loads((folder / "compare/ec2.json").read_text()) | {"instance_type": "m5.xlarge"}
    (folder / "m5.json").write_text(json.dumps(other))
    done = both.compare("--run", "m5.json", "--out", "scaled")
    assert done.returncode == 0, done.stderr
    rows = (folder / "scaled/comparison.html").read_text().split("<details>")[0]
    assert "m5.xlarge</th><td>eu-central-1" in rows


def test_an_artifact_that_is_gone_leaves_the_rest_to_be_compared(both: Both, cloud: Cloud) -> None:
    s3, run = cloud.client("s3"), both.names[1]
    place = {"Bucket": cloud.bucket, "Key": f"kennel/ec2/{run}/model.tar.gz"}
    content = s3.get_object(**place)["Body"].read()
    s3.delete_object(**place)
    try:
        done = both.compare("--out", "gone")
        assert done.returncode == 0, done.stderr
        assert f"is not known: {run} left no artifact" in done.stdout
        s3.put_object(**place, Body=b"no archive")
        assert "cannot be unpacked" in both.compare("--out", "bad").stdout
    finally:
        s3.put_object(**place, Body=content)


def test_what_is_not_there_is_named(both: Both) -> None:
    for arguments, said in (
        ((both.names[0], "kennel-ec2-none"), "there is no run kennel-ec2-none"),
        (("kennel-train-none", both.names[1]), "there is no training job kennel-train-none"),
    ):
        done = both.place.kennel("compare", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_interrupted_both_ways_it_ends_with_the_same_artifact(both: Both, few: Path) -> None:
    """Spot: the job's instance is taken while it computes features, the machine by hand while it trains."""
    place = both.place
    command = [str(PROGRAM), "compare", "--data", str(few), "--spot", "--out", "spot", "--keep", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **place.options) as process:
        assert process.stdout
        assert process.stderr
        said = "".join(_interrupting(process.stderr, place))
        found = json.loads(process.stdout.read())
    assert process.returncode == 0, said
    assert found["sagemaker"]["interruptions"] == 1, said
    assert found["ec2"]["interruptions"] == 1, said
    assert found["sagemaker"]["spot"]
    assert found["ec2"]["spot"]
    assert found["apart"]["same"] == "files"
    assert found["ec2"]["artifact"] == both.found["ec2"]["artifact"], "which nobody has interrupted"


def _interrupting(lines: Iterator[str], place: Place) -> Iterator[str]:
    """What is said; each is interrupted when it has begun to work, once."""
    left = {"SageMaker": "features of train", "by hand": ": train, InProgress"}
    doing = ""
    for line in lines:
        yield line
        doing = next((way for way in ("SageMaker", "by hand") if line.startswith(f"{way} kennel-")), doing)
        if doing in left and left[doing] in line:
            del left[doing]
            found = json.loads(place.kennel("local", "status", "--json").stdout)
            kinds = {"SageMaker": "training_jobs", "by hand": "machines"}
            (name,) = [each["name"] for each in found[kinds[doing]] if each["status"] in ("InProgress", "running")]
            place.kennel("local", "interrupt", name).check_returncode()
