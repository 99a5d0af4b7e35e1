"""Training in processes that are killed, stopped, and started again; and in several processes at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from kennel import artifact
from kennel.training.job import Job

SETTINGS = ("epochs=25", "batch_size=1", "seed=3")


def command(data: Path, out: Path, *settings: str, start: tuple[str, ...] = (sys.executable,)) -> list[str]:
    chosen = [part for each in settings for part in ("--set", each)]
    return [*start, "-m", "kennel", "train", "--data", str(data), "--out", str(out), *chosen]


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"KENNEL_CACHE": str(cache)}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def send_when(line: str, number: int, arguments: list[str], cache: Path) -> tuple[int, str]:
    """Run a training, send it a signal as soon as it prints `line`; its exit code and what it printed."""
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment(cache))
    assert process.stderr is not None
    printed = []
    for each in process.stderr:
        printed.append(each)
        if line in each:
            process.send_signal(number)
            break
    printed.append(process.stderr.read())
    return process.wait(timeout=120), "".join(printed)


@pytest.fixture(scope="module")
def uninterrupted(job: Job, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(command(job.data, out, *SETTINGS), check=True, env=environment(cache), capture_output=True)
    return out / "model"


def test_killed_then_stopped_training_ends_with_the_same_artifact(
    job: Job, cache: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    arguments = command(job.data, tmp_path, *SETTINGS)
    code, _ = send_when("epoch=2\n", signal.SIGKILL, arguments, cache)
    assert code == -signal.SIGKILL
    code, printed = send_when("epoch=9\n", signal.SIGTERM, arguments, cache)
    assert code == 143
    assert "continuing after epoch" in printed
    assert "stopped by SIGTERM" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "model" / artifact.CARD).exists()
    done = subprocess.run(arguments, check=True, env=environment(cache), capture_output=True, text=True)
    assert "continuing after epoch" in done.stderr
    assert files_of(tmp_path / "model") == files_of(uninterrupted)


def test_killed_while_features_are_computed_nothing_is_lost(few: Path, cache: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "cache"
    fresh.mkdir()
    (fresh / "weights").symlink_to(cache / "weights")
    arguments = command(few, tmp_path / "out", "epochs=2", "views=1")
    code, _ = send_when("features of valid …", signal.SIGKILL, arguments, fresh)
    assert code == -signal.SIGKILL
    shards = list((fresh / "training/features").rglob("*.safetensors"))
    assert shards
    stamps = {path: path.stat().st_mtime_ns for path in shards}
    send_when("train …", signal.SIGTERM, arguments, fresh)  # all features are there then
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.parametrize("trainable", ["head", "layer4"])
def test_two_processes_by_torchrun_leave_one_artifact(
    job: Job, few: Path, cache: Path, tmp_path: Path, trainable: str
) -> None:
    data = job.data if trainable == "head" else few  # a backbone that has changed is quantised anew
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    settings = ("epochs=1", "batch_size=6", f"trainable={trainable}")
    arguments = [*command(data, tmp_path, *settings, start=torchrun), "--json"]
    done = subprocess.run(arguments, check=True, env=environment(cache), capture_output=True, text=True, timeout=300)
    assert "test:int8_accuracy" in json.loads(done.stdout)
    made = artifact.load(tmp_path / "model")
    assert made.card.hyperparameters["trainable"] == trainable
    before, after = artifact.load(job.model).weights().tensors, made.weights().tensors
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == ({"layer4"} if trainable == "layer4" else set())
    assert "layer4.2.bn3.running_mean" not in changed  # batch norms stay in eval mode


class TestUnderTheContract:
    """The real sagemaker-training toolkit, its root moved."""

    def root(self, data: Path, folder: Path, hyperparameters: dict[str, str]) -> Path:
        config = folder / "input/config"
        config.mkdir(parents=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        (config / "resourceconfig.json").write_text(
            '{"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}'
        )
        (config / "inputdataconfig.json").write_text(json.dumps({name: {} for name in ("train", "valid", "test")}))
        (folder / "input/data").symlink_to(data)
        return folder

    def warm(self, root: Path, cache: Path) -> Path:
        """The features that are known already, as after an interruption."""
        shutil.copytree(cache / "training", root / "checkpoints/cache")
        return root

    def run(self, root: Path, cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
        started = (
            environment(cache)
            | more
            | {
                "SAGEMAKER_BASE_DIR": str(root),
                "SAGEMAKER_TRAINING_MODULE": "kennel.training.sagemaker:main",
            }
        )
        program = Path(sys.executable).parent / "train"
        return subprocess.run([program], env=started, capture_output=True, text=True, check=False)

    def test_the_artifact_is_that_of_plain_paths(self, job: Job, cache: Path, tmp_path: Path) -> None:
        given = {"epochs": "5", "batch_size": "16", "sagemaker_region": "x"}
        root = self.warm(self.root(job.data, tmp_path / "ml", given), cache)
        done = self.run(root, cache)
        assert done.returncode == 0, done.stderr
        assert "metric valid:loss=" in done.stdout
        assert files_of(root / "model") == files_of(job.model)
        assert (root / "output/data/report.html").exists()
        assert not (root / "output/failure").exists()

    def test_a_wrong_hyperparameter_is_in_the_failure_file(self, job: Job, cache: Path, tmp_path: Path) -> None:
        root = self.root(job.data, tmp_path / "ml", {"learning_rate": "fast"})
        done = self.run(root, cache)
        assert done.returncode == 1
        assert "learning_rate" in (root / "output/failure").read_text()
        assert "Traceback" not in (root / "output/failure").read_text()

    @pytest.mark.usefixtures("meeting_port")
    def test_two_processes_are_started_by_the_toolkits_own_runner(self, job: Job, cache: Path, tmp_path: Path) -> None:
        root = self.warm(self.root(job.data, tmp_path / "ml", {"epochs": "2", "batch_size": "16"}), cache)
        done = self.run(root, cache, KENNEL_PROCESSES_PER_HOST="2")
        assert done.returncode == 0, done.stderr
        assert "torchrun" in done.stderr
        assert artifact.load(root / "model").card.hyperparameters["epochs"] == 2

    @pytest.mark.usefixtures("meeting_port")
    def test_a_failure_in_one_of_several_processes_is_in_the_failure_file(
        self, job: Job, cache: Path, tmp_path: Path
    ) -> None:
        root = self.root(job.data, tmp_path / "ml", {"epochs": "none"})
        done = self.run(root, cache, KENNEL_PROCESSES_PER_HOST="2")
        assert done.returncode == 1
        assert "epochs" in (root / "output/failure").read_text()

    @pytest.mark.usefixtures("meeting_port")
    def test_several_processes_end_with_the_job(self, job: Job, cache: Path, tmp_path: Path) -> None:
        root = self.warm(self.root(job.data, tmp_path / "ml", {"epochs": "500", "batch_size": "2"}), cache)
        started = environment(cache) | {
            "SAGEMAKER_BASE_DIR": str(root),
            "SAGEMAKER_TRAINING_MODULE": "kennel.training.sagemaker:main",
            "KENNEL_PROCESSES_PER_HOST": "2",
        }
        program = Path(sys.executable).parent / "train"
        process = subprocess.Popen([program], env=started, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        assert any("epoch=2" in line for line in process.stdout)
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.stdout.read()
        assert process.wait(timeout=90) == 143
        assert len(family) >= 3
        assert psutil.wait_procs(family, timeout=5)[1] == []
        assert not (root / "model" / artifact.CARD).exists()
