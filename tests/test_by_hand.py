"""ec2/train.sh, really run: the local AWS's bucket, this machine's engine; each failure on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fixtures_by_hand import BUCKET, KILL, TERM, TRAIN, ByHandAt, Metadata, ended
from fixtures_containers import Engine
from kennel.cloud.by_hand import PHASES

ON_ENGINE = f"sha256:{'0' * 64}"


def running(engine: Engine, run: str) -> str:
    """What is left of a run's container; nothing should be."""
    return engine.docker("ps", "--all", "--quiet", "--filter", f"name=^{run}$").stdout


class TestARun:
    def test_goes_through_all_phases_and_leaves_everything_in_the_bucket(self, at: ByHandAt, engine: Engine) -> None:
        done = at.train(
            "whole", "--set", "epochs=3", "--set", "seed=0", "--weights", f"s3://{BUCKET}/kennel/weights/1a2b/"
        )
        assert done.returncode == 0, done.stderr
        found = at.status("whole")
        assert (found.state, found.phase, found.reason) == ("Completed", "upload", "")
        assert tuple(each.name for each in found.phases) == PHASES
        assert (found.image, found.data) == (at.image, f"s3://{BUCKET}/kennel/data/dogs")
        assert dict(found.hyperparameters) == {"epochs": "3", "seed": "0"}
        assert found.machine.cores == os.cpu_count()
        assert at.left("whole") == ["log.txt", "model.tar.gz", "output/report.html", "status.json"]
        assert "trained" in at.log("whole")
        told = (at.work / "whole/out/model/model.json").read_text()
        assert (
            told
            == "train --data /data --out /out --weights /weights/resnet50.safetensors --set epochs=3 --set seed=0\n"
        )
        assert (at.work / "whole/out/output/report.html").read_text().split() == ["test", "train", "valid"]
        assert not running(engine, "whole")

    def test_that_is_done_is_not_done_again(self, at: ByHandAt) -> None:
        assert at.train("twice").returncode == 0
        before = at.status("twice")
        done = at.train("twice")
        assert (done.returncode, at.status("twice")) == (0, before)
        assert "done already" in done.stderr

    def test_works_with_folders_too(self, at: ByHandAt, tmp_path: Path) -> None:
        for split in ("train", "valid", "test"):
            (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "w.safetensors").write_bytes(b"weights")
        out = tmp_path / "out"
        weights = str(tmp_path / "w.safetensors")
        words = ["--data", str(tmp_path / "data"), "--out", str(out), "--weights", weights, "--run", "folders"]
        command = ["bash", str(TRAIN), "--image", at.image, "--no-gpu", "--disk-gb", "0", *words, "--profile"]
        without_aws = {**at.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(command, env=without_aws, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert sorted(each.name for each in out.iterdir()) == ["log.txt", "model.tar.gz", "output", "status.json"]
        assert "--profile" in (at.work / "folders/out/model/model.json").read_text()

    def test_tells_the_machine_by_its_metadata_service(self, here: ByHandAt, metadata: Metadata) -> None:
        environment = {**here.environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url}
        assert subprocess.run(here.command("where"), env=environment, capture_output=True).returncode == 0
        machine = here.status("where").machine
        assert (machine.instance_id, machine.zone, machine.spot) == ("i-0123456789abcdef0", "us-east-1a", True)
        assert str(machine.launched) == "2026-11-28 17:00:00+00:00"


class TestAnInterruption:
    @pytest.mark.parametrize("how", ["signal", "time limit"])
    def test_leaves_checkpoints_from_which_the_same_command_goes_on(
        self, at: ByHandAt, here: ByHandAt, engine: Engine, how: str
    ) -> None:
        at = at if how == "signal" else here
        run = f"stopped-{how.replace(' ', '-')}"
        if how == "signal":
            code = ended(at.begun(run, "--set", "seed=2"), TERM)
        else:
            code = at.train(run, "--set", "seed=2", "--max-seconds", "15").returncode
        found = at.status(run)
        assert (code, found.state, found.phase) == (143, "Stopped", "train")
        assert found.reason.startswith("asked to stop" if how == "signal" else "time limit: 15 s")
        assert "checkpoints/n" in at.left(run)
        assert not running(engine, run)
        kept = at.content(run, "checkpoints/n").decode().strip()

        subprocess.run(["rm", "-rf", str(at.work / run)], check=True)  # another machine
        done = at.train(run)
        assert done.returncode == 0, done.stderr
        found = at.status(run)
        assert (found.state, found.attempt, found.reason) == ("Completed", 2, "")
        assert [each.attempt for each in found.phases] == [1] * 5 + [2] * 6
        assert f"\n{kept}\n" in at.log(run)  # the log is both attempts'
        assert "begins at 0" in at.log(run)

    def test_while_data_come_ends_it_at_once(self, at: ByHandAt) -> None:
        process = at.begun("early", until="kennel: data")
        assert ended(process, TERM) in (143, 0)

    def test_of_the_script_itself_leaves_a_lock_that_is_nobodys(self, here: ByHandAt, engine: Engine) -> None:
        process = here.begun("killed", "--set", "seed=2")
        refused = here.train("killed")
        assert refused.returncode == 2
        assert "is being trained here already" in refused.stderr
        ended(process, KILL)
        assert running(engine, "killed")
        assert here.train("killed").returncode == 0
        assert here.status("killed").attempt == 2

    def test_by_docker_itself_is_no_failure(self, here: ByHandAt, engine: Engine) -> None:
        """Which ends its containers when the machine goes down, before anybody else is told."""
        process = here.begun("downed", "--set", "seed=2")
        engine.docker("stop", "downed")
        assert ended(process) == 143
        found = here.status("downed")
        assert (found.state, found.phase, found.reason[:13]) == ("Stopped", "train", "asked to stop")
        assert "checkpoints/n" in here.left("downed")


class TestAFailure:
    def failed(self, at: ByHandAt, run: str, phase: str, *arguments: str, **more: str) -> str:
        """Its reason, which is told everywhere."""
        done = at.train(run, *arguments, **more)
        assert done.returncode == 1, done.stderr
        found = at.status(run)
        assert (found.state, found.phase) == ("Failed", phase)
        assert done.stderr.splitlines()[-1].endswith(f"Failed: {found.reason}") or "\x1b" in done.stderr
        assert "Failed" in at.log(run)
        assert found.ended is not None
        assert not (at.work / run / "lock").exists()
        return found.reason

    def test_of_the_training_is_told_in_its_own_words_whatever_they_are(self, here: ByHandAt, engine: Engine) -> None:
        reason = self.failed(here, "fails", "train", "--set", "seed=1")
        assert reason == 'the training failed: hyperparameter "seed" = \\1 [2J: no. Change its value'
        assert not running(engine, "fails")

    def test_of_an_image_that_is_too_old_is_told_without_the_box_around_it(self, here: ByHandAt) -> None:
        reason = "the image's kennel does not take this: No such option: --profile"
        assert self.failed(here, "old", "train", "--set", "seed=8").startswith(f"{reason}. Take an image")

    def test_of_memory_is_told_as_such(self, here: ByHandAt) -> None:
        assert self.failed(here, "memory", "train", "--set", "seed=4").startswith(
            "the training was killed: out of memory"
        )

    def test_no_login(self, at: ByHandAt) -> None:
        image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training@{ON_ENGINE}"
        reason = self.failed(at, "login", "login", "--image", image)
        assert reason.startswith("no login to 123456789012.dkr.ecr.us-east-1.amazonaws.com: ")
        assert not (at.work / "login/docker").exists()

    def test_image_gone(self, at: ByHandAt, registry: str) -> None:
        reason = self.failed(at, "image", "pull", "--image", f"{registry}/kennel-training@{ON_ENGINE}")
        assert "cannot be pulled: " in reason
        assert "manifest unknown" in reason
        assert reason.endswith("ecr:BatchGetImage")

    @pytest.mark.parametrize("image", ["kennel-nowhere", ON_ENGINE, "somebody/kennel-training"])
    def test_nothing_is_pulled_from_nobody_knows_where(self, here: ByHandAt, image: str) -> None:
        run = f"bare-{len(image)}"
        assert self.failed(here, run, "pull", "--image", image) == (
            f"there is no image {image} on this engine. Build it, or name its registry"
        )

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (f"s3://{BUCKET}/kennel/data/none", f"there are no pictures in s3://{BUCKET}/kennel/data/none/train/"),
            ("s3://nobodys-bucket/dogs", "s3://nobodys-bucket/dogs cannot be fetched: "),
            ("/nowhere", "there is no folder /nowhere"),
            ("https://127.0.0.1:1/dogs.zip", "https://127.0.0.1:1/dogs.zip cannot be fetched: "),
        ],
    )
    def test_data_gone(self, at: ByHandAt, data: str, reason: str) -> None:
        assert self.failed(at, f"data-{len(data)}", "data", data=data).startswith(reason)

    def test_weights_gone(self, at: ByHandAt) -> None:
        weights = f"s3://{BUCKET}/kennel/weights/none/"
        assert self.failed(at, "weights", "data", "--weights", weights).startswith(f"there are no weights at {weights}")

    def test_too_small_a_disk_is_told_before_anything_is_fetched(self, here: ByHandAt) -> None:
        assert "999999 are needed" in self.failed(here, "small", "check", "--disk-gb", "999999")

    def test_a_disk_that_runs_full(self, at: ByHandAt, tmp_path: Path) -> None:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], capture_output=True).returncode:
            pytest.skip("this user may mount nothing")
        try:
            environment = {**at.environment, "KENNEL_WORK": str(tmp_path)}
            done = subprocess.run(
                at.command("full", "--set", "seed=3"), env=environment, capture_output=True, text=True
            )
        finally:
            subprocess.run(["umount", "--lazy", tmp_path], check=True)
        assert done.returncode == 1
        assert at.status("full").reason.startswith("the training failed: the disk is full. ")

    def test_no_gpu(self, here: ByHandAt) -> None:
        command = [each for each in here.command("gpu") if each != "--no-gpu"]
        done = subprocess.run(command, env=here.environment, capture_output=True)
        if done.returncode == 0:
            pytest.skip("this machine has a GPU")
        assert here.status("gpu").reason.startswith("no GPU answers nvidia-smi: ")

    def test_no_bucket_to_write_to(self, at: ByHandAt) -> None:
        done = at.train("nobucket", "--out", "s3://nobodys-bucket/x")
        assert done.returncode == 1
        assert "s3://nobodys-bucket/x cannot be seen: " in done.stderr.splitlines()[-1]

    @pytest.mark.parametrize("missing", ["docker", "aws"])
    def test_a_program_that_is_missing(self, at: ByHandAt, tmp_path: Path, missing: str) -> None:
        for name in (each.name for each in Path("/usr/bin").iterdir()):
            if name != missing:
                (tmp_path / name).symlink_to(f"/usr/bin/{name}")
        done = subprocess.run(
            at.command(f"without-{missing}"),
            env={**at.environment, "PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert ("Docker is not installed" if missing == "docker" else "the AWS command line is not") in done.stderr
        assert json.loads((at.work / f"without-{missing}/status.json").read_text())["state"] == "Failed"


class TestOthers:
    """What is not this run's: kept apart, left alone, not sent."""

    def test_pictures_are_not_mixed_with_these(self, at: ByHandAt) -> None:
        at.s3.put_object(Bucket=BUCKET, Key="kennel/data/cats/train/001.Cat/1.jpg", Body=b"a cat")
        prefix = f"s3://{BUCKET}/kennel/data/cats"
        assert "there are no pictures in" in at.train("mixed", data=prefix).stderr
        assert at.train("mixed").returncode == 0
        assert sorted(each.name for each in (at.work / "mixed/data/train").iterdir()) == ["016.Beagle"]

    def test_files_of_this_machine_are_not_sent_whatever_a_container_links_to(self, at: ByHandAt) -> None:
        done = at.train("links", "--set", "seed=5")
        assert done.returncode == 0, done.stderr
        assert at.left("links") == ["log.txt", "model.tar.gz", "status.json"]
        done = at.train("links-2", "--set", "seed=5", "--out", str(at.work / "links-out"))
        assert done.returncode == 0, done.stderr
        found = sorted(each.name for each in (at.work / "links-out").rglob("*"))
        assert found == ["log.txt", "model.tar.gz", "output", "status.json", "there"]

    def test_containers_of_the_same_name_are_left_alone(self, here: ByHandAt, engine: Engine) -> None:
        engine.docker("run", "--detach", "--name", "taken", "--label", "kennel.run=taken", here.image, "sleep", "600")
        try:
            done = here.train("taken")
            assert (done.returncode, bool(running(engine, "taken"))) == (1, True)
            assert "a container taken is there, which is not this one's" in done.stderr
        finally:
            engine.docker("rm", "--force", "taken")

    def test_words_of_the_command_line_are_no_errors(self, at: ByHandAt, tmp_path: Path) -> None:
        real = shutil.which("aws", path=at.environment["PATH"])
        (tmp_path / "aws").write_text(f'#!/bin/sh\necho "PythonDeprecationWarning: old" >&2\nexec {real} "$@"\n')
        (tmp_path / "aws").chmod(0o755)
        environment = {**at.environment, "PATH": f"{tmp_path}:{at.environment['PATH']}"}
        for state in ("InProgress", "Completed"):  # without a status, and with one
            done = subprocess.run(at.command("warned"), env=environment, capture_output=True, text=True)
            assert done.returncode == 0, (state, done.stderr)

    def test_a_clock_that_is_set_back_leaves_a_status_that_can_be_read(self, here: ByHandAt, tmp_path: Path) -> None:
        (tmp_path / "date").write_text(
            f"""#!/bin/sh
            [ "$1" = +%s%3N ] || exec /usr/bin/date "$@"
            echo x >>{tmp_path}/asked; echo $((1800000000000 - 1000 * $(wc -l <{tmp_path}/asked)))
            """
        )
        (tmp_path / "date").chmod(0o755)
        environment = {**here.environment, "PATH": f"{tmp_path}:{here.environment['PATH']}"}
        done = subprocess.run(here.command("clock"), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [each.seconds for each in here.status("clock").phases] == [0] * 6

    def test_a_lock_by_a_number_that_another_program_has_now_is_nobodys(self, here: ByHandAt) -> None:
        (here.work / "rebooted/lock").mkdir(parents=True)
        (here.work / "rebooted/lock/pid").write_text(f"{os.getpid()}\n")
        assert here.train("rebooted", "--max-seconds", "0900").returncode == 0


class TestTheCommand:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ([], "--image, --data and --out are needed"),
            (["--image"], "--image needs a value"),
            (["--nonsense"], "there is no option '--nonsense'"),
            (["--set", "epochs"], "'epochs' is no NAME=VALUE"),
            (["--set", "epochs=$(id)"], "is no NAME=VALUE"),
            (["--image", "i", "--data", "d", "--out", "o", "--run", "../x"], "'../x' cannot be a run's name"),
            (["--image", "i", "--data", "d", "--out", "o", "--max-seconds", "-1"], "take whole numbers"),
        ],
    )
    def test_that_is_wrong_is_told_in_one_line(self, words: list[str], told: str, tmp_path: Path) -> None:
        environment = {**os.environ, "KENNEL_WORK": str(tmp_path)}
        done = subprocess.run(["bash", TRAIN, *words], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_has_help_with_examples(self) -> None:
        done = subprocess.run(["bash", TRAIN, "--help"], capture_output=True, text=True)
        assert done.returncode == 0
        assert "Examples:" in done.stdout


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """One that has nothing; Docker takes it without TLS, as it is on loopback."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = self.path == "/v2/"
            self.send_response(200 if there else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if not there:
                self.wfile.write(b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kennel.pictures.drawings import draw_set

    folder = tmp_path_factory.mktemp("drawings")
    draw_set(folder, {"train": 3, "valid": 2, "test": 2}, 0, on_done=lambda count: None)
    return folder


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kennel.weights import random_weights, serialise

    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    path.write_bytes(serialise(random_weights(1)))
    return path
