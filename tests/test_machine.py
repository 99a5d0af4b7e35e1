"""ec2/machine.sh: the user data itself, run as cloud-init runs it: the machine ends, whatever happens, and says why."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fixtures_by_hand import BUCKET, KILL, TERM, ByHandAt, Metadata
from fixtures_containers import Engine
from fixtures_machines import wait
from kennel.cloud import by_hand
from kennel.cloud.instance_requests import InstancePlan, user_data

SPOT = "meta-data/spot/instance-action"


@dataclass(frozen=True)
class Machine:
    """A folder with `shutdown` on the PATH, which writes down how it was called."""

    at: ByHandAt
    folder: Path
    environment: dict[str, str]

    def user_data(self, run: str, image: str = "", **hyperparameters: str) -> Path:
        data = {split: f"s3://{BUCKET}/kennel/data/dogs/{split}/" for split in ("train", "valid", "test")}
        plan = InstancePlan(run, "us-east-1", f"{self.at.out}/{run}", image or self.at.image, data,
                            hyperparameters=hyperparameters, gpu=False, max_runtime_s=3600)  # fmt: skip
        path = self.folder / f"{run}.sh"
        path.write_text(user_data(plan).replace("--max-seconds", "--disk-gb 0 --max-seconds"))
        return path

    def begun(self, path: Path) -> subprocess.Popen[str]:
        command = ["bash", str(path)]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def switched_off(self) -> list[str]:
        return (self.folder / "shutdown.txt").read_text().splitlines()


@pytest.fixture
def machine(at: ByHandAt, metadata: Metadata, tmp_path: Path) -> Iterator[Machine]:
    programs = tmp_path / "sbin"
    programs.mkdir()
    (programs / "shutdown").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/shutdown.txt\n')
    (programs / "shutdown").chmod(0o755)
    environment = {
        **at.environment,
        "PATH": f"{programs}:{at.environment['PATH']}",
        "KENNEL_WORK": str(tmp_path / "work"),
    }
    environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url
    yield Machine(at, tmp_path, environment)
    metadata.said.pop(SPOT, None)


def until(process: subprocess.Popen[str], text: str) -> list[str]:
    """What it said until a line has the text."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return said
    raise AssertionError("".join(said))


def over(process: subprocess.Popen[str]) -> str:
    """All that it says until its end."""
    return process.communicate(timeout=150)[0]


class TestAMachine:
    def test_trains_tells_and_switches_itself_off(self, machine: Machine) -> None:
        said = over(machine.begun(machine.user_data("m-whole", epochs="3")))
        assert machine.switched_off() == ["-P +70", "-P now"], said
        found = machine.at.status("m-whole")
        assert (found.state, found.machine.spot, found.machine.region) == ("Completed", True, "us-east-1")
        assert "output/report.html" in machine.at.left("m-whole")
        assert said.splitlines()[-1] == "kennel: Completed:"

    def test_that_is_rebooted_switches_itself_off(self, machine: Machine) -> None:
        """cloud-init runs its user data at the first boot only."""
        boots = machine.folder / "per-boot"
        machine.environment["KENNEL_BOOTS"] = str(boots)
        over(machine.begun(machine.user_data("m-reboot", epochs="$(id)")))
        (script,) = boots.iterdir()
        before = machine.switched_off()
        subprocess.run([script], env=machine.environment, check=True)
        assert machine.switched_off() == [*before, "-P now"]

    def test_that_is_taken_back_leaves_checkpoints_and_says_why(
        self, machine: Machine, metadata: Metadata, engine: Engine
    ) -> None:
        process = machine.begun(machine.user_data("m-spot", seed="2"))
        until(process, "begins at")
        metadata.said[SPOT] = json.dumps({"action": "terminate", "time": "2026-11-28T18:00:00Z"})
        said = over(process)
        found = machine.at.status("m-spot")
        assert (found.state, found.phase) == ("Stopped", "train"), said
        assert found.reason.startswith("spot interruption: ")
        assert "checkpoints/n" in machine.at.left("m-spot")
        assert machine.switched_off()[-1] == "-P now"
        assert not engine.docker("ps", "--all", "--quiet", "--filter", "name=^m-spot$").stdout

    def test_that_is_asked_to_end_stops_its_training_first(self, machine: Machine) -> None:
        process = machine.begun(machine.user_data("m-end", seed="2"))
        until(process, "begins at")
        process.send_signal(TERM)
        said = over(process)
        found = machine.at.status("m-end")
        assert (found.state, found.reason[:16]) == ("Stopped", "the machine was "), said
        assert machine.switched_off()[-1] == "-P now"

    def test_whose_script_is_killed_says_so(self, machine: Machine, engine: Engine) -> None:
        process = machine.begun(machine.user_data("m-kill", seed="2"))
        until(process, "begins at")
        os.kill(int((machine.folder / "work/m-kill/lock/pid").read_text()), KILL)
        try:
            until(process, "kennel: Failed")
        finally:
            engine.docker("rm", "--force", "m-kill", check=False)  # a machine that is off runs nothing
        process.wait(timeout=60)
        found = machine.at.status("m-kill")
        assert (found.state, found.reason) == (
            "Failed", "the training's script was killed (exit code 137). See log.txt"
        )  # fmt: skip
        assert machine.switched_off()[-1] == "-P now"

    def test_that_is_asked_to_end_before_it_begins_has_not_failed(self, machine: Machine) -> None:
        path = machine.user_data("m-soon")
        text = path.read_text()  # train.sh is not yet as far as to answer
        path.write_text(text.replace("  train_script >", "  echo exec sleep 600 >"))
        process = machine.begun(path)
        begun = psutil.Process(process.pid)
        wait(
            lambda: any(each.cmdline() == ["sleep", "600"] for each in begun.children()),
            lambda: str(begun.children()),
        )
        process.send_signal(TERM)
        said = over(process)
        found = machine.at.status("m-soon")
        assert (found.state, found.phase, found.reason[:13]) == ("Stopped", "boot", "the machine w"), said

    def test_that_cannot_begin_says_why(self, machine: Machine) -> None:
        said = over(machine.begun(machine.user_data("m-boot", epochs="$(id)")))
        found = machine.at.status("m-boot")
        assert (found.state, found.phase) == ("Failed", "boot"), said
        assert found.reason == (
            "the machine could not begin (exit code 2): error 'epochs=$(id)' is no NAME=VALUE. Write --set epochs=30"
        )
        assert machine.switched_off()[-1] == "-P now"


def test_a_bare_debian_without_docker_and_aws_says_so_and_switches_itself_off(
    machine: Machine, engine: Engine, prepared: dict[str, str]
) -> None:
    path = machine.user_data("m-bare")
    done = engine.run(
        prepared["KENNEL_BASE_IMAGE"], "bash", f"/there/{path.name}",
        options=(
            "--volume", f"{machine.folder}:/there", "--volume", f"{machine.folder}:{machine.folder}",
            "--env", "PATH=/there/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "--env", "KENNEL_WORK=/there/work",
        ),
    )  # fmt: skip
    assert machine.switched_off() == ["-P +70", "-P now"], done.stdout + done.stderr
    found = by_hand.parse((machine.folder / "work/m-bare/status.json").read_bytes())
    assert (found.state, found.phase) == ("Failed", "check")
    assert found.reason.startswith("Docker is not installed. ")
    assert "Docker is not installed" in done.stdout.splitlines()[-1]
