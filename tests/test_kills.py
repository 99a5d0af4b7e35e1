"""Kill -9 at any moment: of the server, of its warden, of a job. Nothing is lost, nothing is left, no state lies."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from kennel.files import write_atomically
from kennel.local.background import start_in_background, stop
from kennel.local.home import STATE, state
from kennel.local.warden import HOME, Mark

ROLE = "arn:aws:iam::123456789012:role/training"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
END_S = 30


class Killed:
    """A local AWS in the background, and the ways to end it that it cannot know of."""

    def __init__(self, home: Path) -> None:
        self.home, self.mark = home, Mark.of(home)
        self.start()

    def start(self) -> None:
        self.state = start_in_background(self.home, 0, "us-east-1", "process")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.state.url,
            region_name="us-east-1",
            aws_access_key_id=self.state.access_key_id,
            aws_secret_access_key=self.state.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def kill(self) -> None:
        os.kill(self.state.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.state.pid, 0)

    def kill_warden(self) -> None:
        for each in self.wardens():
            each.kill()

    def wardens(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _said(each, "cmdline") >= {"kennel.local.warden", *self._us}]

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if (HOME, self.mark.home) in _said(each, "environ")]

    def left(self) -> list[object]:
        """What is there of its work, on this machine and in its folder."""
        folders = Path(tempfile.gettempdir()).glob(f"{self.mark.folder_prefix()}*")
        return [*self.processes(), *folders, *(self.home / "jobs").glob("*")]

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client("sagemaker").describe_training_job(TrainingJobName=name)
        return found

    def create_job(self, name: str) -> None:
        """Which fails by itself after a few seconds."""
        self.client("sagemaker").create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": "kennel-training:1", "TrainingInputMode": "File"},
            HyperParameters={"epochs": "none"},
            OutputDataConfig={"S3OutputPath": "s3://bucket/jobs"},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )

    @property
    def _us(self) -> set[str]:
        return {str(self.home)}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    made = Killed(tmp_path_factory.mktemp("killed"))
    made.client("s3").create_bucket(Bucket="bucket")
    made.client("iam").create_role(RoleName="training", AssumeRolePolicyDocument=json.dumps(TRUST))
    yield made
    stop(made.home)


def test_every_upload_that_was_answered_is_there_after_a_kill(aws: Killed) -> None:
    chance, kept = random.Random(1), dict[str, str]()
    for turn in range(2):
        uploads = [Uploads(aws, f"{turn}-{number}") for number in range(3)]
        time.sleep(chance.uniform(0.2, 0.8))
        aws.kill()
        for each in uploads:
            each.thread.join()
            kept |= each.answered
        aws.start()
        client = aws.client("s3")
        for key, digest in kept.items():
            assert digest_of(client.get_object(Bucket="bucket", Key=key)["Body"].read()) == digest
    assert len(kept) > 10


def test_a_job_whose_server_was_killed_has_failed_and_nothing_of_it_is_left(aws: Killed) -> None:
    chance = random.Random(2)
    for turn in range(2):
        aws.create_job(f"server-{turn}")
        time.sleep(chance.uniform(0, 0.8))
        if both := turn == 1:
            aws.kill_warden()
        aws.kill()
        assert state(aws.home) is None
        if not both:
            until(lambda: not aws.processes())
        aws.start()
        told = aws.job(f"server-{turn}")
        assert told["TrainingJobStatus"] == "Failed"
        assert "The local AWS ended while the job ran" in told["FailureReason"]
        assert all("EndTime" in each for each in told["SecondaryStatusTransitions"])
        assert not aws.left()


def test_a_killed_warden_has_a_successor_before_the_server_is_killed(aws: Killed) -> None:
    aws.create_job("warden")
    until(lambda: aws.processes() and aws.wardens())
    first = aws.wardens()
    aws.kill_warden()
    until(lambda: (found := aws.wardens()) and found != first)
    aws.kill()
    until(lambda: not aws.processes() and not aws.wardens())
    aws.start()
    assert not aws.left()


def test_a_killed_job_has_failed_by_exit_code_137(aws: Killed) -> None:
    aws.create_job("job")
    until(aws.processes)
    aws.processes()[0].kill()
    until(lambda: aws.job("job")["TrainingJobStatus"] == "Failed")
    assert aws.job("job")["FailureReason"].endswith("exit code: 137")
    until(lambda: not aws.left())


def test_drafts_of_a_killed_writer_are_gone_after_a_start(aws: Killed) -> None:
    aws.kill()
    drafts = [aws.home / name for name in ("training-jobs/.job.json.x1", ".server.json.x1")]
    for draft in drafts:
        draft.write_text("{")
    aws.start()
    assert not [each for each in drafts if each.exists()]


def test_a_state_file_that_names_another_server_is_no_server(aws: Killed, tmp_path: Path) -> None:
    stale = replace(aws.state, pid=os.getpid())
    write_atomically(tmp_path / STATE, json.dumps(asdict(stale)).encode())
    assert state(tmp_path) is None
    assert not stop(tmp_path)


def test_a_server_is_stopped_by_others_than_who_started_it(tmp_path: Path) -> None:
    start_in_background(tmp_path, 0, "us-east-1", "process")
    line = "import sys, pathlib, kennel.local.background as it; print(it.stop(pathlib.Path(sys.argv[1])))"
    told = subprocess.run([sys.executable, "-c", line, str(tmp_path)], capture_output=True, text=True, timeout=END_S)
    assert told.stdout == "True\n"


class Uploads:
    """Uploads one after the other until the server is gone. answered: key → digest."""

    def __init__(self, aws: Killed, name: str) -> None:
        self.answered: dict[str, str] = {}
        self._client, self._chance, self._name = aws.client("s3"), random.Random(name), name
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with suppress(BotoCoreError, ClientError):
            while True:
                key = f"{self._name}/{len(self.answered)}"
                body = self._chance.randbytes(self._chance.choice((0, 10, 5000, 2_000_000)))
                self._client.put_object(Bucket="bucket", Key=key, Body=body)
                self.answered[key] = digest_of(body)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + END_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def _said(process: psutil.Process, what: str) -> set[Any]:
    """Of a process: its environment's pairs or its arguments; nothing of one that has ended or is another user's."""
    try:
        told = getattr(process, what)()
    except (psutil.Error, OSError):
        return set()
    return set(told.items() if isinstance(told, dict) else told)
