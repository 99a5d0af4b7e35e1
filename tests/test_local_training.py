"""Training jobs in the local AWS, with small scripts as real processes in the image's place."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import fixtures_house
from fixtures_house import Book, Folder, exit_code, house_in
from kennel.aws import shapes
from kennel.errors import KennelError
from kennel.local.clock import FastClock, WallClock
from kennel.local.errors import Refused
from kennel.local.listed import listed
from kennel.local.parts import Clock, Document, House
from kennel.local.tail import CHUNK, Tail
from kennel.local.training import TrainingJobs, states
from kennel.local.training.channels import DataMissing, fetch, name_of, parted, shard
from kennel.local.training.checkpoints import Checkpoints
from kennel.local.training.outputs import files_below, pack
from kennel.local.training.readings import KEPT, KEPT_AFTERWARDS, Readings, number
from kennel.local.training.requests import check, schedule
from kennel.local.within import StoredObject
from kennel.local.work import Work

ROLE = "arn:aws:iam::123456789012:role/training"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
FOREVER = "import time\nprint('on', flush=True)\nwhile True: time.sleep(0.02)\n"
HEAD = "import json, os, signal, sys, time\nfrom pathlib import Path\nroot = Path(os.environ['ROOT'])\n"


class Process:
    """Implements work.Running."""

    address = None

    def __init__(self, process: subprocess.Popen[bytes], work: Work) -> None:
        self.process, self.work = process, work

    def exit_code(self) -> int | None:
        return exit_code(self.process)

    def out_of_memory(self) -> bool:
        return "OOM" in self.work.environment

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.process.wait()


class Processes(fixtures_house.Processes[Process]):
    """Implements work.Runner and work.Runners: `sh:…` and `py:…` in the environment variable SCRIPT."""

    def start(self, work: Work) -> Process:
        if (work.image == "unstartable" and self.alive()) or work.image == "never":
            raise KennelError("it cannot be started", "Do something")
        kind, _, script = work.environment["SCRIPT"].partition(":")
        command = ["/bin/sh", "-c", script] if kind == "sh" else [sys.executable, "-S", "-c", HEAD + script]
        environment = {**os.environ, **work.environment, "ROOT": str(work.root), "HOST": work.host}
        with work.log.open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=work.root, start_new_session=True
            )
        self.started.append(Process(process, work))
        return self.started[-1]


@dataclass
class World:
    """A house with its training jobs, and a client of them."""

    house: House
    jobs: TrainingJobs
    runner: Processes
    book: Book

    @property
    def s3(self) -> Path:
        return self.house.home / "s3"

    def __call__(self, operation: str, **request: Any) -> Document:
        assert shapes.problems("sagemaker", operation, request) == []
        answer = self.jobs.operations()[operation](request)
        assert shapes.answer_problems("sagemaker", operation, answer) == []
        json.dumps(answer)
        return answer

    def refusal(self, operation: str, **request: Any) -> str:
        return self.refusal_of(lambda: self.jobs.operations()[operation](request))

    def refusal_of(self, call: Callable[[], object]) -> str:
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == "ValidationException"
        return refused.value.message

    def start(self, script: str, name: str = "job", **more: Any) -> str:
        self("CreateTrainingJob", **request(script, name, **more))
        return name

    def describe(self, name: str = "job") -> Document:
        found = self("DescribeTrainingJob", TrainingJobName=name)
        check_transitions(found)
        return found

    def ended(self, name: str = "job") -> Document:
        eventually(lambda: self.describe(name)["TrainingJobStatus"] in states.OVER)
        eventually(lambda: name not in self.jobs._running)
        assert not (self.house.home / "jobs" / name).exists()
        return self.describe(name)

    def done(self, script: str, name: str = "job", **more: Any) -> Document:
        return self.ended(self.start(script, name, **more))

    def training(self, name: str = "job") -> None:
        """Wait until it has printed `on`."""
        eventually(lambda: any(name in stream and text == "on" for _, stream, text in list(self.book.lines)))

    def archive(self, key: str) -> dict[str, bytes]:
        with tarfile.open(self.s3 / "bucket" / key) as tar:
            assert all(each.isfile() for each in tar)
            return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def request(script: str, name: str = "job", **more: Any) -> Document:
    hosts = more.pop("hosts", 1)
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": more.pop("image", "image"), "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "Environment": {"SCRIPT": script, **more.pop("environment", {})},
    } | more


SPOT: Document = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
    "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
}


def channel(name: str = "train", uri: str = "s3://bucket/data/train", **more: str) -> Document:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **more}}}


def eventually(true: Callable[[], bool], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def check_transitions(job: Document) -> None:
    """They follow each other without gap, and only the last may be open."""
    found = job["SecondaryStatusTransitions"]
    assert [set(each) >= {"Status", "StartTime", "StatusMessage"} for each in found] == [True] * len(found)
    assert all(one["StartTime"] <= one["EndTime"] == other["StartTime"] for one, other in pairwise(found))
    assert ("EndTime" in found[-1]) == (job["TrainingJobStatus"] in states.OVER)
    assert found[-1]["Status"] == job["SecondaryStatus"]


def path_of(job: Document) -> list[str]:
    return [each["Status"] for each in job["SecondaryStatusTransitions"]]


@contextmanager
def world_in(home: Path, clock: Clock | None = None) -> Iterator[World]:
    (home / "s3/bucket").mkdir(parents=True, exist_ok=True)
    runner, book = Processes(), Book()
    house = house_in(home, runner, book, clock)
    jobs = TrainingJobs(house)
    jobs.resume()
    try:
        yield World(house, jobs, runner, book)
        house.closing.set()
        jobs.close()
        assert runner.alive() == []
        assert list(home.glob("jobs/*")) == []
    finally:
        runner.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Its grace of two minutes is over in 0.6 s."""
    with world_in(tmp_path, FastClock(200)) as world:
        yield world


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SUCCESS = """
hyper = json.loads((root / "input/config/hyperparameters.json").read_text())
print("lr", hyper["lr"])
print("loss=2.5;", flush=True)
print("loss=1.5;\\nloss=nan;", file=sys.stderr)
print("no end", end="")
(root / "model/a").mkdir()
(root / "model/a/weights").write_text("w" * 1000)
(root / "model/model.json").write_text("{}")
(root / "output/data/report").write_text("r")
os.link(root / "model/model.json", root / "model/again.json")
os.symlink("/etc/hostname", root / "model/away")
"""
METRICS: Document = {
    "AlgorithmSpecification": {
        "TrainingImage": "image",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*?);"}],
    }
}


def test_a_job_that_succeeds_leaves_its_model_its_output_its_log_and_its_metrics(world: World) -> None:
    job = world.done(f"py:{SUCCESS}", HyperParameters={"lr": "0.1"}, **METRICS)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert path_of(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/job/output/model.tar.gz"
    model = {"a/weights": b"w" * 1000, "model.json": b"{}", "again.json": b"{}"}
    assert world.archive("out/job/output/model.tar.gz") == model
    assert world.archive("out/job/output/output.tar.gz") == {"report": b"r"}
    (metric,) = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 1.5)
    assert [value for _, value in world.jobs.values("job", "loss")] == [2.5, 1.5]
    assert world.book.texts() == ["lr 0.1", "loss=2.5;", "loss=1.5;", "loss=nan;", "no end"]
    (where,) = {(group, stream) for group, stream, _ in world.book.lines}
    assert where == ("/aws/sagemaker/TrainingJobs", f"job/algo-1-{int(job['CreationTime'])}")
    assert [each[:4] for each in world.book.data] == [
        ("/aws/sagemaker/TrainingJobs", "loss", value, {"TrainingJobName": "job"}) for value in (2.5, 1.5)
    ]
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    for folder, mode, at in (("one", 0o600, 1), ("two", 0o664, 2)):
        for name in ("b", "a/c"):
            path = write(tmp_path / folder / name, name)
            path.chmod(mode)
            os.utime(path, (at, at))
        pack(tmp_path / folder, tmp_path / f"{folder}.tar.gz")
    one, two = (gzip.decompress((tmp_path / f"{name}.tar.gz").read_bytes()) for name in ("one", "two"))
    assert one == two


def test_a_folder_that_was_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret/key")
    (tmp_path / "model").symlink_to(tmp_path / "secret")
    assert list(files_below(tmp_path / "model")) == []


def test_an_uncompressed_model_is_kept_as_a_prefix(world: World) -> None:
    config = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
    job = world.done("sh:mkdir model/a; echo w >model/a/b; echo o >output/data/o", OutputDataConfig=config)
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/job/output/model/"
    found = [each.key for each in world.house.objects.list("bucket", "out/")]
    assert found == ["out/job/output/model/a/b", "out/job/output/output/o"]


def test_a_job_that_leaves_no_model_has_an_empty_archive_and_no_output(world: World) -> None:
    assert world.done("sh:true")["TrainingJobStatus"] == "Completed"
    assert world.archive("out/job/output/model.tar.gz") == {}
    assert [each.key for each in world.house.objects.list("bucket", "")] == ["out/job/output/model.tar.gz"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sh:printf 'no data\\n' >output/failure; exit 1", "AlgorithmError: no data, exit code: 1"),
        ("sh:exit 3", "AlgorithmError: See job logs for more information, exit code: 3"),
        ("sh:kill -SEGV $$", "AlgorithmError: See job logs for more information, exit code: 139"),
        ("sh:kill -KILL $$", "AlgorithmError: See job logs for more information, exit code: 137"),
    ],
)
def test_a_job_that_fails_says_why(world: World, script: str, reason: str) -> None:
    job = world.done(f"{script}")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == reason
    assert path_of(job) == ["Starting", "Downloading", "Training", "Uploading", "Failed"]


def test_what_a_failed_job_left_is_kept_too(world: World) -> None:
    world.done("sh:echo w >model/partial; exit 1")
    assert world.archive("out/job/output/model.tar.gz") == {"partial": b"w\n"}


def test_a_job_that_the_kernel_ended_for_memory_says_so(world: World) -> None:
    job = world.done("sh:exit 137", environment={"OOM": "1"})
    assert "instance type with more memory" in job["FailureReason"]


def test_a_stop_is_a_sigterm_and_what_there_is_so_far_is_kept(world: World) -> None:
    script = "signal.signal(signal.SIGTERM, lambda *_: ((root / 'model/m').write_text('so far'), sys.exit(0)))\n"
    world.start(f"py:{script}{FOREVER}")
    world.training()
    assert world.describe()["SecondaryStatus"] == "Training"
    world("StopTrainingJob", TrainingJobName="job")
    assert world.describe()["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = world.ended()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert path_of(job) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert "FailureReason" not in job
    assert world.archive("out/job/output/model.tar.gz") == {"m": b"so far"}
    assert "status Stopped" in world.refusal("StopTrainingJob", TrainingJobName="job")


def test_a_job_that_does_not_heed_sigterm_is_killed_after_the_grace(world: World) -> None:
    world.start(f"py:{STUBBORN}{FOREVER}")
    world.training()
    asked = world.house.clock.now()
    world("StopTrainingJob", TrainingJobName="job")
    world("StopTrainingJob", TrainingJobName="job")
    job = world.ended()
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["TrainingEndTime"] - asked > 119
    assert world.runner.started[0].exit_code() == 137


def test_a_job_whose_time_is_up_is_stopped_and_keeps_what_there_is(world: World) -> None:
    script = "(root / 'model/m').write_text('so far')\n" + FOREVER
    job = world.done(f"py:{script}", StoppingCondition={"MaxRuntimeInSeconds": 100})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    steps = ["Starting", "Downloading", "Training", "Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert path_of(job) == steps
    assert world.archive("out/job/output/model.tar.gz") == {"m": b"so far"}
    assert job["TrainingTimeInSeconds"] > 90  # of 100; 50 ms of this machine are 10 s of the clock


def test_a_stop_while_the_job_already_uploads_ends_as_stopped() -> None:
    job: Document = {}
    for step in ("Starting", "Downloading"):
        states.enter(job, step, 1.0)
    states.begin_training(job, 2.0)
    states.enter(job, "Uploading", 3.0)
    states.enter(job, "Stopping", 4.0)
    states.end(job, "Completed", 5.0)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")


COUNTING = """
place = root / "checkpoints/count"
count = int(place.read_text()) if place.exists() else 0
print("from", count, sorted(each.name for each in (root / "model").iterdir()), flush=True)
(root / "model" / f"by-{count}").write_text("")
(root / "output/failure").write_text("interrupted")
if count >= LAST:
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: (place.write_text(str(count + 1)), sys.exit(143)))
"""


def test_an_interrupted_spot_job_goes_on_from_its_checkpoints_on_a_new_instance(world: World) -> None:
    world.start(f"py:{COUNTING.replace('LAST', '1')}{FOREVER}", **SPOT)
    world.training()
    world.jobs.interrupt("job")
    job = world.ended()
    assert job["TrainingJobStatus"] == "Completed"
    first = ["Starting", "Downloading", "Training", "Interrupted"]
    assert path_of(job) == [*first, "Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert world.book.texts() == ["from 0 []", "on", "from 1 []"]
    assert world.archive("out/job/output/model.tar.gz") == {"by-1": b""}
    assert (world.s3 / "bucket/checkpoints/count").read_text() == "1"


def test_interruptions_can_be_rehearsed_by_a_tag(world: World) -> None:
    tags = [{"Key": "kennel:interrupt-after", "Value": "60 60"}]
    script = COUNTING.replace("LAST", "2") + FOREVER
    job = world.done(f"py:{script}", Tags=tags, **SPOT)
    assert path_of(job).count("Interrupted") == 2
    assert [each for each in world.book.texts() if each != "on"] == ["from 0 []", "from 1 []", "from 2 []"]
    assert job["TrainingStartTime"] == job["SecondaryStatusTransitions"][2]["StartTime"]
    assert job["TrainingTimeInSeconds"] >= job["BillableTimeInSeconds"] >= 120


def test_the_tag_does_nothing_to_a_job_that_is_no_spot_job(world: World) -> None:
    tags = [{"Key": "kennel:interrupt-after", "Value": "0"}]
    assert world.done("sh:sleep 0.1", Tags=tags)["TrainingJobStatus"] == "Completed"
    assert "no spot job" in world.refusal_of(lambda: world.jobs.interrupt("job"))


def slow_spot(world: World, seconds: float) -> Document:
    """Instances take so many seconds of the fast clock to come."""
    assert isinstance(world.house.objects, Folder)
    world.house.objects.slow["checkpoints/"] = seconds / 200
    tags = [{"Key": "kennel:interrupt-after", "Value": "60"}]
    return {**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 200, "MaxWaitTimeInSeconds": 200}, "Tags": tags}


def test_a_spot_job_that_has_waited_too_long_ends(world: World) -> None:
    job = world.done(f"py:{STUBBORN}{FOREVER}", **slow_spot(world, 100))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert not (world.s3 / "bucket/out").exists()  # its instance was gone


def test_a_spot_job_that_trains_when_its_wait_is_over_keeps_its_model(world: World) -> None:
    script = "(root / 'model/m').write_text('so far')\n" + FOREVER
    job = world.done(f"py:{script}", **slow_spot(world, 40))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert path_of(job)[-3:-1] == ["Stopping", "Uploading"]
    assert world.archive("out/job/output/model.tar.gz") == {"m": b"so far"}


def test_what_an_interruption_cost_is_not_billed() -> None:
    job: Document = {}
    for at, step in enumerate(("Starting", "Downloading")):
        states.enter(job, step, float(at))
    states.begin_training(job, 100.0)
    states.enter(job, "Interrupted", 200.0)
    states.enter(job, "Starting", 210.0)
    states.enter(job, "Downloading", 220.0)
    states.begin_training(job, 230.0)
    assert states.trained(job) == 100
    states.enter(job, "Uploading", 300.0)
    states.end(job, "Completed", 310.0)
    assert (job["TrainingStartTime"], job["TrainingEndTime"]) == (100.0, 310.0)
    assert (job["TrainingTimeInSeconds"], job["BillableTimeInSeconds"]) == (210, 180)
    assert states.trained(job) == 170


def test_a_job_that_is_stopping_begins_nothing_any_more() -> None:
    job: Document = {}
    for step in ("Starting", "Stopping", "Downloading", "Stopping"):
        states.enter(job, step, 1.0)
    states.begin_training(job, 2.0)
    assert (job["TrainingJobStatus"], path_of(job)) == ("Stopping", ["Starting", "Stopping"])


def test_a_clock_that_is_set_back_does_not_turn_a_history_round() -> None:
    job: Document = {}
    states.enter(job, "Downloading", 100.0)
    states.begin_training(job, 110.0)
    states.end(job, "Failed", 50.0, "why")
    check_transitions(job)
    assert (job["TrainingEndTime"], job["TrainingTimeInSeconds"]) == (110.0, 1)


HOSTS = """
told = json.loads((root / "input/config/resourceconfig.json").read_text())
(root / "model" / told["current_host"]).write_text(json.dumps(
    [told["hosts"], told["network_interface_name"], sorted(str(p.relative_to(root / "input/data"))
     for p in (root / "input/data").rglob("*") if p.is_file())]))
(root / "model/common").write_text(told["current_host"])
"""


def test_two_hosts_know_each_other_and_share_the_data(world: World) -> None:
    for name in "abc":
        write(world.s3 / f"bucket/data/train/{name}")
    channels = [channel(S3DataDistributionType="ShardedByS3Key"), channel("valid")]
    job = world.done(f"py:{HOSTS}", hosts=2, InputDataConfig=channels)
    assert job["TrainingJobStatus"] == "Completed"
    model = world.archive("out/job/output/model.tar.gz")
    hosts, valid = ["127.0.0.1", "127.0.0.2"], [f"valid/{name}" for name in "abc"]
    assert json.loads(model["127.0.0.1"]) == [hosts, "lo", ["train/a", "train/c", *valid]]
    assert json.loads(model["127.0.0.2"]) == [hosts, "lo", ["train/b", *valid]]
    assert model["common"] == b"127.0.0.1"


def test_one_host_that_fails_ends_the_others_and_gives_the_reason(world: World) -> None:
    script = "if os.environ['HOST'] == '127.0.0.2':\n (root / 'output/failure').write_text('lost')\n sys.exit(7)\n"
    job = world.done(f"py:{script}{FOREVER}", hosts=2)
    assert job["FailureReason"] == "AlgorithmError: lost, exit code: 7"
    assert [each.exit_code() for each in world.runner.started] == [143, 7]


def test_fast_files_are_shown_and_cannot_change_what_is_in_s3(world: World) -> None:
    write(world.s3 / "bucket/data/train/a", "kept")
    fast = {**channel(), "InputMode": "FastFile"}
    job = world.done("sh:cp input/data/train/a model/a; echo y >input/data/train/a", InputDataConfig=[fast], hosts=2)
    assert job["TrainingJobStatus"] == "Completed"
    assert world.archive("out/job/output/model.tar.gz") == {"a": b"kept"}
    assert (world.s3 / "bucket/data/train/a").read_text() == "kept"
    (only, _) = world.runner.started
    assert only.work.read_only == (only.work.root / "input/data/train",)


def test_missing_data_fails_the_job(world: World) -> None:
    job = world.done("sh:true", InputDataConfig=[channel()])
    assert job["FailureReason"].startswith('ClientError: Data download failed:No S3 objects found under S3 URL "s3://')
    assert path_of(job) == ["Starting", "Downloading", "Failed"]
    job = world.done("sh:true", "other", InputDataConfig=[channel(uri="s3://nothing/x")])
    assert "The specified bucket does not exist" in job["FailureReason"]
    assert not {"TrainingStartTime", "TrainingTimeInSeconds"} & set(job)


@pytest.mark.parametrize("image", ["missing", "never", "unstartable"])
def test_a_job_that_cannot_be_started_fails(world: World, image: str) -> None:
    job = world.done(f"py:{FOREVER}", image=image, hosts=2)
    assert job["FailureReason"].startswith("ClientError: ")
    assert job["FailureReason"].endswith(("Build it", "Do something"))
    assert world.runner.alive() == []


def test_what_aws_refuses_is_refused(world: World) -> None:
    def refused(**more: Any) -> str:
        return world.refusal("CreateTrainingJob", **request("sh:true", **more))

    assert "does not exist" in refused(OutputDataConfig={"S3OutputPath": "s3://nothing/x"})
    assert "Could not assume role" in refused(RoleArn=ROLE.replace("training", "nobody"))
    assert "unique" in refused(InputDataConfig=[channel(), channel()])
    assert "input modes" in refused(InputDataConfig=[{**channel(), "InputMode": "Pipe"}])
    pipe = {"TrainingImage": "image", "TrainingInputMode": "Pipe"}
    assert "input modes" in refused(AlgorithmSpecification=pipe, InputDataConfig=[channel()])
    assert "ManifestFile" in refused(InputDataConfig=[channel(S3DataType="AugmentedManifestFile")])
    assert "MaxWaitTimeInSeconds" in refused(EnableManagedSpotTraining=True)
    wait = {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 9}
    assert "cannot be specified" in refused(StoppingCondition=wait)
    assert "greater than or equal" in refused(StoppingCondition=wait, EnableManagedSpotTraining=True)
    both = {"TrainingImage": "image", "AlgorithmName": "name", "TrainingInputMode": "File"}
    assert "not both" in refused(AlgorithmSpecification=both)
    broken = {**both, "MetricDefinitions": [{"Name": "a", "Regex": "("}]}
    del broken["AlgorithmName"]
    assert "invalid" in refused(AlgorithmSpecification=broken)
    for path in ("/tmp/x", "/opt/ml/../x", "/opt/ml/"):
        assert "below /opt/ml" in refused(CheckpointConfig={"S3Uri": "s3://bucket/c", "LocalPath": path})
    assert "hyperparameters" in refused(HyperParameters={str(each): "" for each in range(101)})
    assert world("ListTrainingJobs")["TrainingJobSummaries"] == []


def test_a_request_is_not_altered_by_what_becomes_of_it(world: World) -> None:
    given = request("sh:true", StoppingCondition={})
    assert "MaxRuntimeInSeconds" in world.jobs.describe(name_after(world, given))["StoppingCondition"]
    assert given["StoppingCondition"] == {}


def name_after(world: World, given: Document) -> str:
    world.jobs.create(given)
    world.ended(given["TrainingJobName"])
    return str(given["TrainingJobName"])


def test_a_second_job_with_the_same_name_is_refused(world: World) -> None:
    world.done("sh:true")
    with pytest.raises(Refused) as refused:
        world.jobs.create(request("sh:true"))
    assert refused.value.code == "ResourceInUse"
    assert "Requested resource not found" in world.refusal("DescribeTrainingJob", TrainingJobName="other")


def test_a_job_that_has_ended_can_be_deleted_and_made_anew(world: World) -> None:
    world.start(f"py:{FOREVER}", Tags=[{"Key": "a", "Value": "b"}])
    arn = world.describe()["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:training-job/job"
    assert world.house.tags.of(arn) == [{"Key": "a", "Value": "b"}]
    assert "stop it first" in world.refusal("DeleteTrainingJob", TrainingJobName="job")
    world("StopTrainingJob", TrainingJobName="job")
    for _ in range(3):
        # at once: what is left of the one before must not harm the next of its name
        eventually(lambda: world.describe()["TrainingJobStatus"] in states.OVER)
        world("DeleteTrainingJob", TrainingJobName="job")
        assert world.house.tags.of(arn) == []
        world.start("sh:echo w >model/m")
    assert world.ended()["TrainingJobStatus"] == "Completed"
    assert world.archive("out/job/output/model.tar.gz") == {"m": b"w\n"}


def test_every_state_is_one_that_aws_could_tell(world: World) -> None:
    """World checks each answer against the shape; a running job has no end."""
    world.start(f"py:{FOREVER}", hosts=2, **SPOT)
    seen = set()
    while (job := world.describe())["SecondaryStatus"] != "Training":
        seen.add(job["SecondaryStatus"])
    assert not {"TrainingEndTime", "BillableTimeInSeconds"} & set(job)
    assert seen <= {"Starting", "Downloading"}
    assert not [name for name in job if name.startswith("_")]


def test_metrics_are_told_while_the_job_runs(world: World) -> None:
    world.start(f"py:print('loss=3;')\n{FOREVER}", **METRICS)
    world.training()
    eventually(lambda: bool(world.describe().get("FinalMetricDataList")))
    assert [value for _, value in world.jobs.values("job", "loss")] == [3.0]
    assert world.jobs.values("job", "other") == world.jobs.values("none", "loss") == []


def test_jobs_are_listed_sorted_filtered_and_by_pages(world: World) -> None:
    names = ["beagle", "akita", "Corgi"]
    for name in names:
        world.done("sh:exit 1" if name == "akita" else "sh:true", name)

    def found(**request: Any) -> list[str]:
        return [each["TrainingJobName"] for each in world("ListTrainingJobs", **request)["TrainingJobSummaries"]]

    assert found() == names
    assert found(SortOrder="Descending") == names[::-1]
    assert found(SortBy="Name", SortOrder="Ascending") == sorted(names)
    assert found(SortBy="Status", SortOrder="Descending") == ["akita", "beagle", "Corgi"]
    assert found(StatusEquals="Failed") == found(NameContains="KIT") == ["akita"]
    assert found(WarmPoolStatusEquals="InUse") == []
    at = world.describe("akita")["CreationTime"]
    assert found(CreationTimeAfter=at) == names[1:]
    assert found(CreationTimeBefore=at) == names[:2]
    first = world("ListTrainingJobs", MaxResults=2)
    assert len(first["TrainingJobSummaries"]) == 2
    assert found(MaxResults=2, NextToken=first["NextToken"]) == names[2:]
    assert "NextToken" in world.refusal("ListTrainingJobs", NextToken="x")
    assert "NextToken" in world.refusal("ListTrainingJobs", NextToken=first["NextToken"], SortBy="Name")


def test_a_job_that_runs_is_listed_without_an_end(world: World) -> None:
    world.start(f"py:{FOREVER}")
    (summary,) = world("ListTrainingJobs")["TrainingJobSummaries"]
    assert "TrainingEndTime" not in summary
    assert summary["TrainingJobStatus"] == "InProgress"


def test_lists_name_their_own_order() -> None:
    documents = [
        {"JobName": name, "JobArn": name, "CreationTime": at, "JobStatus": "Done"}
        for at, name in enumerate(["b", "a", "c"])
    ]

    def names(**more: Any) -> list[str]:
        return [each["JobName"] for each in listed(documents, {}, "Jobs", "Job", (), **more)["Jobs"]]

    assert names() == ["c", "a", "b"]
    assert names(by="Name", descending=False) == ["a", "b", "c"]


def test_the_jobs_of_a_tuning_job_are_found_in_their_order(world: World) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/t"
    for name in ("t-2", "t-1"):
        world.jobs.create(request("sh:true", name), arn)
        assert world.ended(name)["TuningJobArn"] == arn
    world.done("sh:true", "other")
    assert world.jobs.names_of(arn) == ["t-2", "t-1"]


def test_jobs_wait_for_a_place_and_can_be_stopped_while_they_wait(world: World) -> None:
    names = [f"job-{number}" for number in range(6)]
    for name in names:
        world.start(f"py:{FOREVER}", name)
    places = world.jobs._slots._value + len([each for each in names if is_training(world, each)])
    eventually(lambda: world.jobs._slots._value == 0)
    eventually(lambda: len(world.runner.alive()) >= min(places, 1))
    time.sleep(0.3)
    ran = [name for name in names if world.describe(name)["SecondaryStatus"] != "Starting"]
    assert 1 <= len(ran) < len(names)
    for name in names:
        if name not in ran:
            world("StopTrainingJob", TrainingJobName=name)
            assert path_of(world.ended(name)) == ["Starting", "Stopping", "Stopped"]
    assert len(world.runner.started) == len(ran)
    for name in ran:
        world("StopTrainingJob", TrainingJobName=name)
        assert world.ended(name)["TrainingJobStatus"] == "Stopped"


def test_jobs_of_several_hosts_run_one_after_the_other(world: World) -> None:
    for name in ("one", "two", "three"):
        world.start(f"py:{FOREVER}", name, hosts=2)
        if name == "one":
            world.training(name)
    world("StopTrainingJob", TrainingJobName="two")
    assert path_of(world.ended("two")) == ["Starting", "Stopping", "Stopped"]
    assert world.describe("three")["SecondaryStatus"] == "Starting"
    world("StopTrainingJob", TrainingJobName="one")
    world.training("three")
    assert world.ended("one")["TrainingJobStatus"] == "Stopped"


def is_training(world: World, name: str) -> bool:
    return bool(world.describe(name)["SecondaryStatus"] == "Training")


def test_checkpoints_are_kept_while_the_job_runs_but_no_drafts(world: World) -> None:
    write(world.s3 / "bucket/checkpoints/job/old/state", "before")
    script = """
folder = root / "checkpoints/mine"
assert (folder / "old/state").read_text() == "before"
(folder / "new").write_text("during")
(folder / ".draft").write_text("x")
(folder / ".drafts").mkdir()
(folder / ".drafts/x").write_text("x")
(folder / "old/state").unlink()
"""
    place = {"S3Uri": "s3://bucket/checkpoints/job/", "LocalPath": "/opt/ml/checkpoints/mine/"}
    world.start(f"py:{script}{FOREVER}", CheckpointConfig=place)
    kept = world.s3 / "bucket/checkpoints/job"
    eventually((kept / "new").exists)
    assert is_training(world, "job")
    found = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert found == ["new", "old/state"]


def test_a_checkpoint_is_sent_once_it_rests_and_again_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "s3/bucket").mkdir(parents=True)
    sent = tmp_path / "s3/bucket/c/a"
    checkpoints = Checkpoints("s3://bucket/c", tmp_path / "here", Folder(tmp_path / "s3"))
    checkpoints.restore()
    write(tmp_path / "here/a", "1")
    checkpoints.keep()
    assert not sent.exists()
    checkpoints.keep()
    assert sent.read_text() == "1"
    write(tmp_path / "here/a", "22")
    checkpoints.keep()
    assert sent.read_text() == "1"
    checkpoints.keep(last=True)
    assert sent.read_text() == "22"


def test_checkpoints_into_a_bucket_that_is_not_there_fail_the_job(world: World) -> None:
    job = world.done("sh:true", CheckpointConfig={"S3Uri": "s3://nothing/c"})
    assert job["FailureReason"] == "ClientError: The specified bucket does not exist"


def test_a_server_that_ends_leaves_the_truth_for_the_next(tmp_path: Path) -> None:
    clock = FastClock(50)
    with world_in(tmp_path, clock) as world:
        world.start(f"py:{FOREVER}", "plain")
        world.training("plain")
        world.start(f"py:{COUNTING.replace('LAST', '1')}{FOREVER}", "spot", **SPOT)
        world.training("spot")
        kept = world.describe("plain")
    with world_in(tmp_path, clock) as world:
        job = world.ended("plain")
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("InternalServerError: The local AWS ended while the job ran.")
        assert path_of(job) == [*path_of(kept), "Failed"]
        job = world.ended("spot")
        assert job["TrainingJobStatus"] == "Completed"
        assert "Interrupted" in path_of(job)
        assert world.book.texts() == ["from 1 []"]


def test_a_server_that_was_killed_leaves_the_truth_for_the_next(tmp_path: Path) -> None:
    """What a killed server leaves: descriptions as they were, and the jobs' files."""
    with world_in(tmp_path) as world:
        world.done("sh:true", "done")
        kept = {"plain": 0, "spot": 0, "stopping": 0}
        for name in kept:
            world.start(f"py:{FOREVER}", name, **(SPOT if name == "spot" else {}))
            world.training(name)
            if name == "stopping":
                world.jobs._jobs.change(name, lambda job: states.enter(job, "Stopping", time.time()))
            (tmp_path / f"{name}.json").write_text(json.dumps(world.jobs._jobs.get(name)))
            if name != "stopping":
                world("StopTrainingJob", TrainingJobName=name)
            else:
                world.jobs._running[name].wish("stop")
            world.ended(name)
        before = json.dumps(world.jobs.describe("done"))
    later = time.time() + 1000
    for name in kept:
        shutil.move(tmp_path / f"{name}.json", tmp_path / "training-jobs" / f"{name}.json")
        log = write(tmp_path / f"jobs/{name}/127.0.0.1.log")
        os.utime(log, (log.stat().st_mtime + 100, log.stat().st_mtime + 100))
        write(tmp_path / f"jobs/{name}/127.0.0.1/model/stale")

    class Later(WallClock):
        def now(self) -> float:
            return time.time() + 1000

    with world_in(tmp_path, Later()) as world:
        assert world.describe("done") == json.loads(before)
        job = world.ended("plain")
        assert job["TrainingJobStatus"] == "Failed"
        assert 99 <= job["TrainingTimeInSeconds"] <= 110  # until its last sign of life
        assert job["TrainingEndTime"] < later - 800
        assert world.ended("stopping")["TrainingJobStatus"] == "Stopped"
        eventually(lambda: is_training(world, "spot"))
        assert not (tmp_path / "jobs/spot/127.0.0.1/model/stale").exists()
        world("StopTrainingJob", TrainingJobName="spot")
        job = world.ended("spot")
        assert job["TrainingJobStatus"] == "Stopped"
        assert job["BillableTimeInSeconds"] < 120 < 1000 <= job["TrainingTimeInSeconds"]


def test_a_job_that_is_created_while_the_server_ends_does_not_run_on(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        world.house.closing.set()
        world.jobs.create(request(f"py:{FOREVER}"))
        eventually(lambda: not world.jobs._running)
        assert world.jobs.describe("job")["TrainingJobStatus"] == "InProgress"


def test_an_endless_log_does_not_keep_a_job_from_being_stopped(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        world.start(f"sh:exec yes 'loss=1; {'.' * 100}'", **METRICS)
        eventually(lambda: len(world.book.lines) > 1000)
        asked = time.monotonic()
        world("StopTrainingJob", TrainingJobName="job")
        world.ended()
        assert time.monotonic() - asked < 10
        assert len(world.jobs.values("job", "loss")) <= KEPT_AFTERWARDS


def test_a_tail_cuts_lines_without_an_end_and_empties_a_file_that_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    path, tail = tmp_path / "log", Tail(tmp_path / "log", lambda lines: told.extend(text for _, text in lines))
    tail.pump(0)
    with path.open("ab", buffering=0) as file:
        file.write(b"one\r\n\ntw")
        tail.pump(0)
        assert told == ["one"]
        file.write(b"o\n" + b"x" * (2 * CHUNK + 10))
        tail.pump(0)
        assert told[1] == "two"
        assert sum(len(each) for each in told[2:]) >= CHUNK
        assert len(tail._rest) <= CHUNK
        tail.pump(0, last=True)
        assert sum(len(each) for each in told[2:]) == 2 * CHUNK + 10
        del told[:]
        monkeypatch.setattr("kennel.local.tail.LARGEST", 2 * CHUNK)
        file.write(b"rest\n")
        tail.pump(0)
        assert (told, path.stat().st_size) == (["rest"], 0)
        file.write(b"anew\n")
        tail.pump(0)
        assert told[-1] == "anew"
        monkeypatch.setattr("kennel.local.tail.BACKLOG", 1000)
        file.write(b"y\n" * 3 * CHUNK)
        tail.pump(0)
        assert (told[-1], path.stat().st_size) == (f"[{2 * CHUNK} bytes of this log are left out]", 0)


def test_names_in_a_channel_are_those_below_the_prefix() -> None:
    assert name_of("data/train/a/b", "data/train/") == "a/b"
    assert name_of("data/train/a/b", "data/train") == "a/b"
    assert name_of("data/train/a", "data/tr") == "train/a"
    assert name_of("data/a.csv", "data/a.csv") == "a.csv"
    assert name_of("a/b", "") == "a/b"
    assert name_of("train2/b", "train") == "train2/b"
    assert name_of("data/", "data/") == name_of("data/", "data") == ""
    assert parted("s3://bucket") == ("bucket", "")
    assert parted("s3://bucket/a//b/") == ("bucket", "a//b/")


def test_shards_have_every_object_once() -> None:
    objects = [(str(each), StoredObject(str(each), 0, Path())) for each in range(5)]
    shards = [shard(objects, host, 3) for host in range(3)]
    assert [len(each) for each in shards] == [2, 2, 1]
    assert sorted(name for each in shards for name, _ in each) == list("01234")
    assert shard(objects[:1], 1, 2) == []


def test_a_manifest_names_its_files_and_nothing_leads_out_of_a_channel(tmp_path: Path) -> None:
    objects = Folder(tmp_path / "s3")
    for name in ("a", "sub/b", "c"):
        write(tmp_path / f"s3/bucket/data/{name}", name)
    manifest = write(tmp_path / "s3/bucket/manifest", json.dumps([{"prefix": "s3://bucket/data/"}, "a", "sub/b"]))
    given = channel(uri="s3://bucket/manifest", S3DataType="ManifestFile")
    fetch(given, True, tmp_path / "there", objects, 0, 1)
    assert sorted(p.relative_to(tmp_path / "there").as_posix() for p in files_below(tmp_path / "there")) == [
        "a",
        "sub/b",
    ]
    for broken, why in (("[]", "cannot be read"), ('[{"prefix": "s3://bucket/data/"}, "no"]', "key does not exist")):
        manifest.write_text(broken)
        with pytest.raises(DataMissing, match=why):
            fetch(given, False, tmp_path / "broken", objects, 0, 1)
    manifest.write_text('[{"prefix": "s3://bucket/data/"}, "sub/../a"]')
    with pytest.raises(DataMissing, match="leads out"):
        fetch(given, False, tmp_path / "broken", objects, 0, 1)


def test_a_key_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    class Both(Folder):
        def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
            return [StoredObject(key, 1, tmp_path / "x") for key in ("d/a", "d/a/b")]

        def get(self, bucket: str, key: str) -> StoredObject:
            return StoredObject(key, 1, tmp_path / "x")

    write(tmp_path / "x")
    with pytest.raises(DataMissing, match="d/a/b"):
        fetch(channel(uri="s3://bucket/d/"), False, tmp_path / "there", Both(tmp_path), 0, 1)


def test_markers_of_folders_are_no_files(tmp_path: Path) -> None:
    class Marked(Folder):
        def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
            return [StoredObject(key, 0, tmp_path / "x") for key in ("d/", "d/sub/")]

    with pytest.raises(DataMissing, match="No S3 objects"):
        fetch(channel(uri="s3://bucket/d"), False, tmp_path / "there", Marked(tmp_path), 0, 1)
    Checkpoints("s3://bucket/d", tmp_path / "checkpoints", Marked(tmp_path)).restore()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_numbers_are_finite() -> None:
    assert [number(each) for each in ("1", "-1e-3", " 2 ")] == [1.0, -0.001, 2.0]
    assert [number(each) for each in ("nan", "inf", "-inf", "", "x", None)] == [None] * 6


def test_readings_are_those_of_the_first_group_and_bounded() -> None:
    definitions = [{"Name": "a", "Regex": r"a=(\d+)|b"}, {"Name": "whole", "Regex": r"\d+"}]
    readings = Readings(definitions)
    assert readings.read(1.0, "a=1 b a=2") == [("a", 1.0), ("a", 2.0), ("whole", 1.0), ("whole", 2.0)]
    for each in range(KEPT + 5):
        readings.read(2.0, f"a={each}")
    assert len(readings.values("a")) == KEPT
    assert len(readings.newest()["a"]) == KEPT_AFTERWARDS
    assert readings.last()[0] == {"MetricName": "a", "Value": KEPT + 4.0, "Timestamp": 2.0}


def test_failure_reasons_are_never_too_long() -> None:
    assert len(states.failure_reason("x" * 5000, 1, False)) == states.LONGEST_REASON
    assert states.failure_reason("x" * 5000, 1, False).endswith("x, exit code: 1")
    assert states.failure_reason(" \n", 2, False).startswith("AlgorithmError: See job logs")


def test_a_schedule_is_read_from_its_tag() -> None:
    assert schedule([{"Key": "kennel:interrupt-after", "Value": "20 5.5"}]) == [20.0, 5.5]
    assert schedule([{"Key": "other", "Value": "5"}]) == schedule([]) == []


def test_the_least_request_is_refused_in_words() -> None:
    with pytest.raises(Refused, match="algorithm name or a training image"):
        check({})
    with pytest.raises(Refused, match="OutputDataConfig"):
        check({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"}})


def test_a_job_without_instances_is_refused(world: World) -> None:
    assert "InstanceCount" in world.refusal("CreateTrainingJob", **request("sh:true", hosts=0))


def test_a_stop_that_comes_while_the_job_is_being_made_is_heeded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.house.tags, "add", lambda arn, tags: world.jobs.stop("job"))
    world.start(f"py:{FOREVER}")
    assert world.ended()["TrainingJobStatus"] == "Stopped"


def test_links_that_a_job_lays_lead_nowhere(world: World, tmp_path: Path) -> None:
    write(tmp_path / "secret/data/key", "secret")
    write(tmp_path / "secret/failure", "secret")
    script = f"""import shutil
shutil.rmtree(root / "output")
os.symlink("{tmp_path}/secret", root / "output")
if os.environ["HOST"] == "127.0.0.1":
    os.symlink("{tmp_path}/secret", root / "model/x")
    while not (root.parent / "127.0.0.2/model/x/key").exists():
        time.sleep(0.01)
    sys.exit(1)
(root / "model/x").mkdir()
(root / "model/x/key").write_text("planted")
"""
    job = world.done(f"py:{script}", hosts=2)
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 1"
    assert world.archive("out/job/output/model.tar.gz") == {}
    assert not (world.s3 / "bucket/out/job/output/output.tar.gz").exists()
    assert sorted(path.name for path in (tmp_path / "secret").rglob("*")) == ["data", "failure", "key"]


def test_a_failure_file_that_is_a_pipe_is_not_waited_for(world: World) -> None:
    assert "See job logs" in world.done("sh:mkfifo output/failure; exit 1")["FailureReason"]


def test_a_file_of_the_first_host_outdoes_a_folder_of_another(world: World) -> None:
    script = "if os.environ['HOST'] == '127.0.0.1':\n (root / 'model/a').write_text('file')\n"
    script += "else:\n (root / 'model/a').mkdir()\n (root / 'model/a/b').write_text('x')\n"
    assert world.done(f"py:{script}", hosts=2)["TrainingJobStatus"] == "Completed"
    assert world.archive("out/job/output/model.tar.gz") == {"a": b"file"}


def test_why_a_job_failed_is_told_also_when_what_it_left_cannot_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(bucket: str, key: str, source: Path) -> None:
        raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)

    monkeypatch.setattr(world.house.objects, "put", put)
    assert world.done("sh:exit 3")["FailureReason"].endswith("exit code: 3")
    reason = world.done("sh:true", "other")["FailureReason"]
    assert reason == "ClientError: Artifact upload failed: The specified bucket does not exist"


def test_a_full_disk_does_not_make_a_job_seem_to_run_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, full = world.jobs._jobs._keep, [OSError(28, "No space left on device")] * 2

    def keep_later(name: str, job: Document) -> None:
        if job["TrainingJobStatus"] == "Completed" and full:
            raise full.pop()
        keep(name, job)

    monkeypatch.setattr(world.jobs._jobs, "_keep", keep_later)
    assert world.done("sh:true")["TrainingJobStatus"] == "Completed"
    assert full == []


@pytest.mark.parametrize("last", [[[1], "job"], [None, "job"], [0, 5], ["0", "job"], [0]])
def test_a_forged_token_is_refused(world: World, last: list[Any]) -> None:
    world.done("sh:true")
    token = base64.urlsafe_b64encode(json.dumps(["CreationTime", *last]).encode()).decode()
    assert "NextToken" in world.refusal("ListTrainingJobs", NextToken=token)
