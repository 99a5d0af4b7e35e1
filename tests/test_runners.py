"""The runners of the local AWS, with real processes and real containers; and that nothing of them is left behind."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import httpx
import psutil
import pytest

from kennel.containers import EngineError, resolve
from kennel.errors import KennelError
from kennel.local.runners import Choice
from kennel.local.runners.process import Ports
from kennel.local.warden import HOME, Mark, end_processes
from kennel.local.work import Runner, Running, Work
from kennel.training.job import Job

if TYPE_CHECKING:
    from fixtures_containers import Engine

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    """What the condition says as soon as it is true; real processes have no clock to be injected."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def processes_of(home: Path) -> list[psutil.Process]:
    """Everything that runs for a server of that home."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get(HOME) == Mark.of(home).home:
                found.append(each)
        except psutil.Error:
            continue
    return found


def folders_of(home: Path) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{Mark.of(home).folder_prefix()}*"))


def contract(root: Path, hyperparameters: dict[str, str] | None = None, hosts: tuple[str, ...] = ("algo-1",)) -> Path:
    """What SageMaker lays out for the first of these hosts."""
    config = root / "input/config"
    config.mkdir(parents=True)
    (root / "model").mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters or {}))
    resources = {"current_host": hosts[0], "hosts": sorted(hosts), "network_interface_name": "lo"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    (config / "inputdataconfig.json").write_text("{}")
    return root


def work(folder: Path, command: str, image: str = "kennel-training:1", **options: Any) -> Work:
    (folder / "ml").mkdir(exist_ok=True)
    return Work(f"{command}-one", image, command, folder / "ml", folder / "log", **options)  # type: ignore[arg-type]


def ended(running: Running, seconds: float = 40) -> int:
    until(lambda: running.exit_code() is not None, seconds)
    code = running.exit_code()
    assert code is not None
    return code


def pings(running: Running) -> bool:
    assert running.exit_code() is None
    try:
        return httpx.get(f"{running.address}/ping", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    assert not processes_of(tmp_path / "home")
    assert not folders_of(tmp_path / "home")


@pytest.fixture
def choice(home: Path) -> Iterator[Choice]:
    made = Choice("process", home)
    yield made
    made.close()


@pytest.fixture
def runner(choice: Choice) -> Runner:
    return choice.choose("kennel-training:1")


class TestWhatAnImageIsCalled:
    IMAGES = (
        {"Id": "old", "Created": 1, "RepoTags": ["kennel-training:a"], "RepoDigests": [f"{REGISTRY}/k@sha256:1"]},
        {"Id": "new", "Created": 3, "RepoTags": ["kennel-training:b", "kennel-training:c"], "RepoDigests": None},
        {"Id": "far", "Created": 2, "RepoTags": [f"{REGISTRY}/kennel-training:a"], "RepoDigests": []},
        {"Id": "bare", "Created": 4, "RepoTags": None, "RepoDigests": []},
    )

    @pytest.mark.parametrize(
        ("reference", "found"),
        [
            ("kennel-training:a", "old"),
            ("kennel-training:c", "new"),
            ("kennel-training", "new"),
            (f"{REGISTRY}/kennel-training:a", "far"),
            (f"{REGISTRY}/kennel-training:b", "new"),
            (f"{REGISTRY}/kennel-training", "far"),
            ("localhost:5000/kennel-training", "new"),
            ("localhost:5000/kennel-training@sha256:1", "old"),
            ("kennel-training:z", None),
            ("kennel", None),
            ("team/kennel-training:a", None),
            (f"{REGISTRY}/kennel-training@sha256:2", None),
        ],
    )
    def test_the_exact_reference_wins_then_the_name_without_its_registry(
        self, reference: str, found: str | None
    ) -> None:
        assert resolve(reference, self.IMAGES) == found


class TestTheChoice:
    def test_without_an_engine_auto_means_processes_and_says_so_once_an_image(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        choice = Choice("auto", home)
        with caplog.at_level(logging.WARNING):
            assert {choice.choose(image).name for image in ("one:1", "one:1", "two:1")} == {"process"}
        assert [record.getMessage() for record in caplog.records] == [
            f"no Docker engine answers: this installation runs as a process in the place of {image}"
            for image in ("one:1", "two:1")
        ]
        choice.close()

    def test_without_an_engine_docker_is_one_clear_error(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        with pytest.raises(EngineError, match="no Docker engine answers") as error:
            Choice("docker", home).choose("one:1")
        assert error.value.remedy

    def test_an_engine_that_comes_later_is_seen(
        self, engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as absent:
            absent.setenv("DOCKER_HOST", "unix:///nowhere.sock")
            choice = Choice("docker", home)
            with pytest.raises(EngineError, match="no Docker engine"):
                choice.choose("kennel-nowhere:1")
        with pytest.raises(EngineError, match="no image kennel-nowhere:1"):
            choice.choose("kennel-nowhere:1")
        assert Choice("auto", home).choose("kennel-nowhere:1").name == "process"


class TestProcesses:
    def test_a_job_that_fails_leaves_its_reason_its_log_and_no_process(
        self, runner: Runner, home: Path, tmp_path: Path
    ) -> None:
        contract(tmp_path / "ml", {"learning_rate": "fast"})
        (tmp_path / "log").write_text("before\n")
        running = runner.start(work(tmp_path, "train"))
        assert running.address is None
        assert ended(running) == 1
        assert "learning_rate" in (tmp_path / "ml/output/failure").read_text()
        assert (tmp_path / "log").read_text().startswith("before\n")
        assert "learning_rate" in (tmp_path / "log").read_text()
        assert not running.out_of_memory()
        for _ in range(2):
            running.close()
            running.kill()
            running.terminate()
        assert running.exit_code() == 1
        assert not folders_of(home)

    def test_nothing_of_the_servers_environment_but_what_is_needed_reaches_a_job(
        self, choice: Choice, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "PYTHONPATH"):
            monkeypatch.setenv(name, "the server's")
        asked = {"ONE": "1", "AWS_REGION": "eu-west-1", "http_proxy": "http://x", "SAGEMAKER_BASE_DIR": "/elsewhere"}
        runner = choice.choose("kennel-training:1")
        running = runner.start(work(tmp_path, "train", environment=asked, isolated=True))
        (process,) = processes_of(home)
        seen = process.environ()
        assert "the server's" not in seen.values()
        assert (seen["ONE"], seen["AWS_REGION"]) == ("1", "eu-west-1")
        assert "http_proxy" not in seen
        assert seen["SAGEMAKER_BASE_DIR"] == str(tmp_path / "ml")
        assert seen["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
        running.kill()
        assert ended(running) == 137
        assert not running.out_of_memory()

    def test_sigterm_is_143(self, runner: Runner, tmp_path: Path) -> None:
        running = runner.start(work(tmp_path, "train"))
        running.terminate()
        assert ended(running) == 143

    def test_an_endpoint_without_an_artifact_ends_and_says_why(self, runner: Runner, tmp_path: Path) -> None:
        (tmp_path / "ml/model").mkdir(parents=True)
        running = runner.start(work(tmp_path, "serve"))
        assert ended(running) == 2
        assert "model.json" in (tmp_path / "log").read_text()
        assert not answers(running.address)

    def test_work_that_cannot_be_started_is_one_clear_error(self, runner: Runner, home: Path, tmp_path: Path) -> None:
        (tmp_path / "log").mkdir()
        for each in (work(tmp_path, "train"), Work("gone", "k", "serve", tmp_path / "gone", tmp_path / "file")):
            with pytest.raises(KennelError) as error:
                runner.start(each)
            assert error.value.remedy
        assert not folders_of(home)

    def test_ports_are_given_out_once(self) -> None:
        ports = Ports()
        taken = [ports.take() for _ in range(200)]
        assert len(set(taken)) == 200
        assert all(1024 < port <= 32766 for port in taken)

    def test_after_the_end_nothing_is_started_any_more(self, choice: Choice, runner: Runner, tmp_path: Path) -> None:
        choice.close()
        with pytest.raises(KennelError, match="is ending"):
            runner.start(work(tmp_path, "train"))

    def test_jobs_of_several_hosts_wait_for_each_other_until_the_server_ends(
        self, choice: Choice, runner: Runner
    ) -> None:
        assert runner.hosts(3) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        with runner.network("one") as network:
            assert network is None
            choice.close()
            with pytest.raises(KennelError, match="is ending"), runner.network("two"):
                pass


def answers(address: str | None) -> bool:
    try:
        httpx.get(f"{address}/ping", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def model_at(root: Path, job: Job) -> Path:
    shutil.copytree(job.model, root / "model")
    return root


Containers = Callable[[], list[Any]]


@pytest.fixture
def containers(engine: Engine, home: Path) -> Iterator[Containers]:
    """The containers of this test's server."""
    client = docker.from_env()
    labels = {"label": [f"{name}={value}" for name, value in Mark.of(home).labels().items()]}
    yield lambda: list(client.containers.list(all=True, filters=labels))
    assert not client.containers.list(all=True, filters=labels)
    assert not client.networks.list(filters=labels)


@pytest.fixture
def docked(containers: Containers, home: Path) -> Iterator[Choice]:
    made = Choice("docker", home)
    yield made
    made.close()


class TestContainers:
    def test_a_job_that_fails_leaves_its_reason_and_its_log_and_no_container(
        self, docked: Choice, training_image: str, tmp_path: Path, containers: Containers
    ) -> None:
        contract(tmp_path / "ml", {"learning_rate": "fast"})
        data = tmp_path / "ml/input/data/train"
        data.mkdir(parents=True)
        image = f"{REGISTRY}/{training_image}"
        running = docked.choose(image).start(work(tmp_path, "train", image, read_only=(data,), isolated=True))
        (seen,) = containers()
        mounts = {each["Destination"]: (each["Source"], each["RW"]) for each in seen.attrs["Mounts"]}
        assert mounts == {"/opt/ml": (str(tmp_path / "ml"), True), "/opt/ml/input/data/train": (str(data), False)}
        assert seen.attrs["HostConfig"]["NetworkMode"] == "none"
        assert (running.address, ended(running)) == (None, 1)
        assert "learning_rate" in (tmp_path / "ml/output/failure").read_text()
        assert "learning_rate" in (tmp_path / "log").read_text()
        assert not running.out_of_memory()
        for _ in range(2):
            running.close()
            running.kill()
            running.terminate()
        assert running.exit_code() == 1

    def test_sigterm_and_sigkill_are_told_as_docker_tells_them(
        self, docked: Choice, serving_image: str, job: Job, tmp_path: Path
    ) -> None:
        model_at(tmp_path / "ml", job)
        runner = docked.choose(serving_image)
        one = runner.start(work(tmp_path, "serve", serving_image, environment=ONE_WORKER))
        assert (one.address or "").startswith("http://127.0.0.1:")
        until(lambda: pings(one))
        one.terminate()
        assert ended(one) == 0
        other = runner.start(work(tmp_path, "serve", serving_image))
        other.kill()
        assert ended(other) == 137
        assert "proven" in (tmp_path / "log").read_text()

    def test_an_isolated_endpoint_answers_this_machine_and_reaches_nobody(
        self, docked: Choice, serving_image: str, job: Job, tmp_path: Path, containers: Containers
    ) -> None:
        model_at(tmp_path / "ml", job)
        asked = work(tmp_path, "serve", serving_image, environment=ONE_WORKER, isolated=True)
        running = docked.choose(serving_image).start(asked)
        until(lambda: pings(running))
        (seen,) = containers()
        code = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"
        assert seen.exec_run(["python", "-c", code]).exit_code == 1
        (network,) = seen.attrs["NetworkSettings"]["Networks"]
        assert docker.from_env().networks.list(names=[network])[0].attrs["Internal"]
        assert not seen.attrs["HostConfig"]["PortBindings"]

    def test_hosts_of_one_job_find_each_other_by_name(
        self, docked: Choice, serving_image: str, job: Job, tmp_path: Path, containers: Containers
    ) -> None:
        model_at(tmp_path / "ml", job)
        runner = docked.choose(serving_image)
        assert (runner.interface, runner.hosts(2)) == ("eth0", ["algo-1", "algo-2"])
        with runner.network("job-one") as network:
            for host in runner.hosts(2):
                asked = work(tmp_path, "serve", serving_image, host=host, network=network, environment=ONE_WORKER)
                runner.start(asked)
            found = containers()
            code = "import socket; print(*[socket.gethostbyname(f'algo-{n}') for n in (1, 2)])"
            told = found[0].exec_run(["python", "-c", code]).output.decode().split()
            addresses = {each.attrs["NetworkSettings"]["Networks"][network]["IPAddress"] for each in found}
            assert set(told) == addresses
        assert not docker.from_env().networks.list(names=[network])

    def test_an_image_without_the_program_is_one_clear_error(
        self, docked: Choice, serving_image: str, tmp_path: Path, containers: Containers
    ) -> None:
        with pytest.raises(EngineError, match="train") as error:
            docked.choose(serving_image).start(work(tmp_path, "train", serving_image))
        assert error.value.remedy
        assert not containers()


ONE_WORKER = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


def test_an_endpoint_of_a_real_artifact_answers_and_stops_without_a_trace(
    runner: Runner, home: Path, job: Job, tmp_path: Path
) -> None:
    model_at(tmp_path / "ml", job)
    running = runner.start(work(tmp_path, "serve", environment=ONE_WORKER))
    until(lambda: pings(running))
    assert len(processes_of(home)) >= 2  # serve and Java
    running.terminate()
    assert ended(running) == 0
    running.close()
    assert not processes_of(home)
    assert not folders_of(home)


SERVER = """
import sys, time
from pathlib import Path
from kennel.local.work import Work
from kennel.local.runners import Choice

setting, image, home, root = sys.argv[1:]
choice = Choice(setting, Path(home))
work = Work("serve-one", image, "serve", Path(root), Path(root, "log"), {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
print(choice.choose(image).start(work).address, choice._guard._warden.pid, flush=True)
time.sleep(600)
"""
StandIn = Callable[[str, str], tuple[subprocess.Popen[str], int]]


@pytest.fixture
def stand_in(home: Path, job: Job, tmp_path: Path) -> Iterator[StandIn]:
    """(runner, image) → a server process with an endpoint instance that answers, and the number of its warden."""
    started = []
    model_at(tmp_path / "instance", job)

    def start(setting: str, image: str) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-c", SERVER, setting, image, str(home), str(tmp_path / "instance")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        address, warden = process.stdout.readline().split()
        until(lambda: answers(address))
        return process, int(warden)

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    until(lambda: not processes_of(home) and not folders_of(home))


class TestTheWarden:
    def test_when_the_server_is_killed_nothing_of_it_remains(self, stand_in: StandIn, home: Path) -> None:
        server, warden = stand_in("process", "kennel-serving:1")
        assert len(processes_of(home)) >= 2
        server.kill()
        until(lambda: not alive(warden))
        assert not processes_of(home)
        assert not folders_of(home)

    def test_what_a_killed_warden_and_server_left_the_next_server_ends(self, stand_in: StandIn, home: Path) -> None:
        server, warden = stand_in("process", "kennel-serving:1")
        os.kill(warden, signal.SIGKILL)
        server.kill()
        server.wait()
        assert len(processes_of(home)) >= 2
        Choice("process", home)
        assert not processes_of(home)
        assert not folders_of(home)

    def test_containers_of_a_killed_server_go_with_it(
        self, stand_in: StandIn, serving_image: str, home: Path, containers: Containers
    ) -> None:
        server, warden = stand_in("docker", serving_image)
        assert [each.status for each in containers()] == ["running"]
        server.kill()
        until(lambda: not alive(warden))
        assert not containers()

    def test_it_leaves_other_servers_alone_and_another_takes_the_place_of_a_dead_one(
        self, runner: Runner, choice: Choice, home: Path, tmp_path: Path
    ) -> None:
        running = runner.start(work(tmp_path, "train"))
        first = choice._guard._warden
        assert first is not None
        end_processes(Mark.of(home, "another"))
        end_processes(Mark.of(tmp_path / "elsewhere"))
        assert running.exit_code() is None
        first.kill()
        first.wait()
        other = runner.start(work(tmp_path, "train"))
        second = choice._guard._warden
        assert second is not None
        assert second.poll() is None
        choice.close()
        assert (ended(running), ended(other), second.poll()) == (137, 137, 0)


def alive(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
