"""A real training job of the local AWS held against a real training by hand, by the command as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kennel import artifact
from kennel.cloud.iam.acting import prepared
from kennel.cloud.session import Cloud, connect
from kennel.debugger.profiler_settings import ProfilerSettings
from kennel.hyperparameters import parse as hyperparameters_of
from kennel.local.background import start_in_background, stop
from kennel.progress import Progress
from kennel.settings import Settings, load
from kennel.training.job import Debugging, Job
from kennel.training.run import train
from kennel.workflow import both_ways, record
from kennel.workflow.story import Stage
from recordings import DIGEST

SETTINGS = """
[training.hyperparameters]
epochs = 4
batch_size = 4
[local]
port = 0
runner = "process"
"""
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training@{DIGEST}"
RUN = "kennel-ec2-1a2b3c4d"
PROGRAM = Path(sys.executable).parent / "kennel"


@dataclass(frozen=True, slots=True)
class InImages:
    """Both ways in containers of the training image. found: what the command told."""

    folder: Path
    found: dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings, the local AWS's home, and the run's folder."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "kennel.toml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def settings(place: Path) -> Settings:
    return load(place / "kennel.toml")


@pytest.fixture(scope="module")
def cloud(place: Path, settings: Settings, cache: Path) -> Iterator[Cloud]:
    """The local AWS, as its owner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KENNEL_CACHE", str(cache))
        found = start_in_background(place / "home", 0, "us-east-1", "process")
        yield connect("local", settings, found.url, (found.access_key_id, found.secret_access_key))
        stop(place / "home")


@pytest.fixture(scope="module")
def both(cloud: Cloud, place: Path, few: Path) -> str:
    """The training job's name; the run by hand is in the bucket. Both trained for real, on the same packed pictures."""
    prepared(cloud)
    ways = both_ways.BothWays(Stage(cloud, record.new("local", few), place, Progress()), cloud)
    ways.upload()
    plan = replace(ways.job_plan(), image=IMAGE)
    job = str(ways._train("SageMaker", plan)["TrainingJobName"])
    by_hand(cloud, place, dict(plan.hyperparameters), {each.name: each.uri for each in plan.channels})
    return job


def by_hand(cloud: Cloud, place: Path, given: dict[str, str], channels: dict[str, str]) -> None:
    """What ec2/train.sh does, without its container; what it leaves, where it leaves it."""
    out, begun = place / "hand", datetime.now(UTC)
    debugging = Debugging(None, profiler=ProfilerSettings(out / "output/profiler", interval=200))
    job = Job(place / "packed", out / "model", out / "output", out / "checkpoints", out / "cache", debugging=debugging)
    with closing(debugging.sampler()):
        train(job, hyperparameters_of(given))
    artifact.pack(job.model, out / "model.tar.gz")
    ended = datetime.now(UTC)
    status = {
        "version": 1, "run": RUN, "state": "Completed", "phase": "upload", "reason": "", "attempt": 1,
        "phases": [{"name": "train", "attempt": 1, "begun": begun.isoformat(),
                    "seconds": (ended - begun).total_seconds()}],
        "image": IMAGE, "data": channels["train"].removesuffix("train/"), "weights": channels["weights"],
        "hyperparameters": given,
        "machine": {"instance_id": "", "instance_type": "", "region": "", "zone": "", "spot": False, "gpus": "",
                    "cores": 2, "launched": (begun - timedelta(seconds=30)).isoformat()},
        "begun": begun.isoformat(), "ended": ended.isoformat(),
    }  # fmt: skip
    put(cloud, "status.json", json.dumps(status).encode())
    put(cloud, "model.tar.gz", (out / "model.tar.gz").read_bytes())
    for path in (out / "output/profiler").rglob("*.json"):
        put(cloud, path.relative_to(out).as_posix(), path.read_bytes())


def put(cloud: Cloud, name: str, content: bytes) -> None:
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key=f"kennel/ec2/{RUN}/{name}", Body=content)


def kennel(place: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "compare", *arguments]
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1", "KENNEL_LOCAL_HOME": str(place / "home")}
    environment |= more
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_both_ways_make_the_same_artifact_bit_for_bit_and_the_page_says_so(both: str, place: Path) -> None:
    done = kennel(place, both, RUN, "--out", "compared", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["apart"] == {
        "same": "files", "differ": [], "weight": 0.0, "bias": 0.0, "scores": {"float32": 0.0, "int8": 0.0},
        "accuracy": 0.0}  # fmt: skip
    job, hand = found["sagemaker"], found["ec2"]
    assert job["artifact"] == hand["artifact"]
    assert job["phases"]["pull"] is None
    assert job["phases"]["train"] > 1
    assert job["phases"]["data"] is not None
    assert hand["phases"]["provision"] == pytest.approx(30, abs=0.1)
    assert hand["instance_type"] == "g4dn.xlarge", "it told none, and is priced as what the job asked for"
    for run in (job, hand):
        assert run["utilisation"]["samples"] > 3
        assert run["utilisation"]["cpu"]["mean"] > 0
        assert run["utilisation"]["before_loop"] > 0
    assert "Both made the same artifact, bit for bit." in (place / "compared/comparison.html").read_text()
    assert "nothing was billed here" in (place / "compared/comparison.html").read_text()


def test_debugger_is_off_so_that_both_do_the_same_work(both: str, cloud: Cloud) -> None:
    job = cloud.client("sagemaker").describe_training_job(TrainingJobName=both)
    assert "ProfilerConfig" in job
    assert "DebugHookConfig" not in job
    assert not job.get("ProfilerRuleConfigurations")


def test_a_record_of_an_earlier_comparison_scales_the_time_of_its_instance_type(both: str, place: Path) -> None:
    done = kennel(place, both, RUN, "--out", "first", "--json")
    other = json.loads((place / "first/ec2.json").read_text()) | {"instance_type": "m5.xlarge"}
    (place / "m5.json").write_text(json.dumps(other))
    done = kennel(place, both, RUN, "--run", "m5.json", "--out", "second")
    assert done.returncode == 0, done.stderr
    rows = (place / "second/comparison.html").read_text().split("<details>")[0]
    assert "m5.xlarge</th><td>eu-central-1" in rows


def test_an_artifact_that_is_gone_leaves_the_rest_to_be_compared(both: str, cloud: Cloud, place: Path) -> None:
    s3, key = cloud.client("s3"), f"kennel/ec2/{RUN}/model.tar.gz"
    content = s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=cloud.bucket, Key=key)
    try:
        done = kennel(place, both, RUN, "--out", "gone")
        assert done.returncode == 0, done.stderr
        assert f"is not known: {RUN} left no artifact" in done.stdout
        put(cloud, "model.tar.gz", b"no archive")
        assert "cannot be unpacked" in kennel(place, both, RUN, "--out", "bad").stdout
    finally:
        put(cloud, "model.tar.gz", content)


def test_what_is_not_there_is_named(both: str, place: Path) -> None:
    for arguments, said in (
        ((both, "kennel-ec2-none"), "there is no run kennel-ec2-none"),
        (("kennel-train-none", RUN), "there is no training job kennel-train-none"),
    ):
        done = kennel(place, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
    shutil.rmtree(place / "gone", ignore_errors=True)


@pytest.fixture(scope="module")
def in_images(training_image: str, few: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> InImages:
    """As whoever may launch, and whoever may train: by their roles. The machine is the local AWS's."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "kennel.toml").write_text(
        f'images = {{ training = "{training_image}" }}\n{SETTINGS.replace("process", "docker")}'
    )
    done = kennel(folder, "--data", str(few), "--json", KENNEL_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    return InImages(folder, json.loads(done.stdout))


def test_both_ways_from_nothing_in_the_same_image(in_images: InImages) -> None:
    found = in_images.found
    assert found["apart"]["same"] == "files"
    job, hand = found["sagemaker"], found["ec2"]
    assert job["image_digest"] == hand["image_digest"] != ""
    assert hand["instance_type"] == "g4dn.xlarge"
    assert all(hand["phases"][name] is not None for name in ("provision", "pull", "data", "train", "upload"))
    assert hand["facts"]["ends itself"]["value"] is True
    assert job["utilisation"]["samples"] > 3
    assert hand["utilisation"]["samples"] > 3
    assert "Both made the same artifact, bit for bit." in (in_images.folder / "compare/comparison.html").read_text()


def test_interrupted_both_ways_it_ends_with_the_same_artifact(
    in_images: InImages, few: Path, cache: Path, tmp_path: Path
) -> None:
    """Spot: the job's instance is taken while it computes features, the machine by hand while it trains."""
    shutil.copy(in_images.folder / "kennel.toml", tmp_path)
    command = [str(PROGRAM), "compare", "--data", str(few), "--spot", "--keep", "--json"]
    place = os.environ | {"KENNEL_CACHE": str(cache), "KENNEL_LOCAL_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}
    options = {"cwd": tmp_path, "env": place, "text": True}
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:  # type: ignore[call-overload]
            said = "".join(_interrupting(process.stderr, options))
            found = json.loads(process.stdout.read())
        assert process.returncode == 0, said
    finally:
        subprocess.run([PROGRAM, "local", "down"], capture_output=True, check=False, **options)  # type: ignore[call-overload]
    assert found["sagemaker"]["interruptions"] == 1, said
    assert found["ec2"]["interruptions"] == 1, said
    assert found["sagemaker"]["spot"]
    assert found["ec2"]["spot"]
    assert found["apart"]["same"] == "files"
    assert found["ec2"]["artifact"] == in_images.found["ec2"]["artifact"], "which nobody has interrupted"


def _interrupting(lines: Iterator[str], options: dict[str, Any]) -> Iterator[str]:
    """What is said; each is interrupted when it has begun to work, once."""
    left = {"SageMaker": "features of train", "by hand": ": train, InProgress"}
    doing = ""
    for line in lines:
        yield line
        doing = next((way for way in ("SageMaker", "by hand") if line.startswith(f"{way} kennel-")), doing)
        if doing in left and left[doing] in line:
            del left[doing]
            asked = [str(PROGRAM), "local", "status", "--json"]
            found = json.loads(subprocess.run(asked, capture_output=True, check=True, **options).stdout)
            kinds = {"SageMaker": "training_jobs", "by hand": "machines"}
            (name,) = [each["name"] for each in found[kinds[doing]] if each["status"] in ("InProgress", "running")]
            subprocess.run([str(PROGRAM), "local", "interrupt", name], capture_output=True, check=True, **options)
