"""The images on a real engine: training and serving under the contract, Compose, a registry with a login."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from kennel import artifact
from kennel.pictures import dataset
from kennel.serving import server as serving
from kennel.training.job import Job

if TYPE_CHECKING:
    from fixtures_containers import Container, Engine

ROOT = Path(__file__).parent.parent

SPLITS = ("train", "valid", "test")
SETTINGS = {"epochs": "5", "batch_size": "16"}
"""Those of the fixture `job`."""
ALONE = ["--network", "none", *(part for name in os.environ if name.startswith("OPENBLAS_") for part in ("-e", name))]
"""No network; and where this machine chooses OpenBLAS's kernels, the container has to use the same: they differ in the
last bit of the scores on record (1e-7), in nothing else."""
LONG = {"epochs": "25", "batch_size": "1", "seed": "3"}
FEW_MODULES = 40
"""That a container may compile at its start; torch's compiler alone, which an optimizer imports, has 800."""
DISTANCE = 0.02
"""Between a score of the container and of the host; see kennel.artifact for the same bound."""


@pytest.fixture(scope="module")
def photo(job: Job) -> bytes:
    path = dataset.load(job.data).splits["test"][5].path
    assert path is not None
    return path.read_bytes()


@pytest.fixture(scope="module")
def weights_file(cache: Path) -> Path:
    (found,) = (cache / "weights").glob("*.safetensors")
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def artifact_of(folder: Path) -> tuple[dict[str, bytes], str]:
    """The files, and the revision on the card: the one thing in which image and host may differ, and have to."""
    files = files_of(folder)
    card = json.loads(files[artifact.CARD])
    revision: str = card["provenance"].pop("revision")
    return files | {artifact.CARD: json.dumps(card).encode()}, revision


class TestTheImages:
    @pytest.mark.parametrize("image", ["training_image", "serving_image"])
    def test_they_hold_nothing_to_build_or_install_with(
        self, engine: Engine, image: str, request: pytest.FixtureRequest
    ) -> None:
        look = "for each in gcc cc make pip pip3 git; do command -v $each; done; ls -A /var/lib/apt/lists /root/.cache"
        done = engine.run(request.getfixturevalue(image), "sh", "-c", look)
        assert done.stdout.split() == ["/var/lib/apt/lists:"]
        assert "cannot access '/root/.cache'" in done.stderr
        assert engine.run(request.getfixturevalue(image), "python", "-m", "pip").returncode

    @pytest.mark.parametrize(("image", "limit"), [("training_image", 1400), ("serving_image", 450)])
    def test_they_are_small_labelled_and_for_the_right_platform(
        self, engine: Engine, image: str, limit: int, request: pytest.FixtureRequest
    ) -> None:
        name = request.getfixturevalue(image)
        found = engine.inspect(name)
        labels = {key.rsplit(".", 1)[-1]: value for key, value in found["Config"]["Labels"].items()}
        assert labels["revision"] == name.rsplit(":", 1)[1].removesuffix("-cpu")
        assert labels["title"].startswith("kennel ")
        assert (found["Os"], found["Architecture"]) == ("linux", "amd64")
        assert found["Config"]["User"] == ""
        assert found["Config"].get("Entrypoint") is None
        assert found["Size"] / 1e6 < limit

    def test_the_serving_image_for_a_cpu_has_no_torch_and_no_aws_sdk(self, engine: Engine, serving_image: str) -> None:
        code = "import importlib.util as u; print([n for n in ('torch', 'boto3', 'nncf') if u.find_spec(n)])"
        assert engine.run(serving_image, "python", "-c", code).stdout.strip() == "[]"

    def test_the_context_holds_what_is_copied_and_nothing_else(
        self, engine: Engine, prepared: dict[str, str], tmp_path: Path
    ) -> None:
        """By the engine's own reading of .dockerignore."""
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        command = ("build", "--quiet", "--file", tmp_path / "Dockerfile", "--output", tmp_path / "out", ROOT)
        engine.docker(*command, env=prepared | {"DOCKER_BUILDKIT": "1", "PATH": f"/usr/bin:{prepared['PATH']}"})
        found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
        assert {"pyproject.toml", "containers/slim.py", "src/kennel/serving/etc/log4j2.xml"} <= found
        assert {path.split("/")[0] for path in found} == {"pyproject.toml", "README.md", "containers", "src"}
        assert not [path for path in found if "__pycache__" in path]


# --- training ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instance:
    """A training instance: /opt/ml on this machine, the channels mounted read-only, no network."""

    engine: Engine
    image: str
    root: Path
    options: tuple[str | Path, ...]

    def train(self) -> subprocess.CompletedProcess[str]:
        return self.engine.run(self.image, "train", options=self.options)

    def start(self) -> Container:
        return self.engine.start(self.image, "train", options=self.options)

    def give_back(self) -> None:
        """To whoever runs the tests: the container writes as root."""
        owner = f"{os.getuid()}:{os.getgid()}"
        self.engine.run(self.image, "chown", "--recursive", owner, "/opt/ml", options=("-v", f"{self.root}:/opt/ml"))


@dataclass(frozen=True)
class Instances:
    engine: Engine
    image: str
    data: Path
    weights: Path

    def make(self, root: Path, hyperparameters: dict[str, str], checkpoints: Path | None = None) -> Instance:
        config = root / "input/config"
        config.mkdir(parents=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
        (config / "resourceconfig.json").write_text(json.dumps(hosts))
        (config / "inputdataconfig.json").write_text(json.dumps({name: {} for name in (*SPLITS, "weights")}))
        if checkpoints:
            shutil.copytree(checkpoints / "cache", root / "checkpoints/cache")
        channels = {name: self.data / name for name in SPLITS} | {"weights": self.weights.parent}
        mounts = [f"{folder}:/opt/ml/input/data/{name}:ro" for name, folder in channels.items()]
        options = [*ALONE, "-v", f"{root}:/opt/ml", *(part for each in mounts for part in ("-v", each))]
        return Instance(self.engine, self.image, root, tuple(options))


@pytest.fixture(scope="module")
def instances(engine: Engine, training_image: str, job: Job, weights_file: Path) -> Instances:
    return Instances(engine, training_image, job.data, weights_file)


@pytest.fixture(scope="module")
def trained(instances: Instances, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """/opt/ml after a training, and what was printed."""
    made = instances.make(tmp_path_factory.mktemp("contract") / "ml", SETTINGS | {"sagemaker_region": "eu-west-1"})
    container = made.start()
    code = int(instances.engine.docker("wait", container.name).stdout)
    made.give_back()
    assert code == 0, container.logs()
    assert len(container.compiled()) < FEW_MODULES, "containers/warm.py uses too little"
    return made.root, container.logs()


class TestTraining:
    def test_under_the_contract_the_artifact_is_the_hosts_byte_for_byte(
        self, trained: tuple[Path, str], job: Job, training_image: str
    ) -> None:
        root, printed = trained
        assert "metric valid:loss=" in printed
        assert (root / "output/data/report.html").exists()
        assert not (root / "output/failure").exists()
        files, revision = artifact_of(root / "model")
        assert files == artifact_of(job.model)[0]
        assert revision == training_image.rsplit(":", 1)[1]

    def test_by_plain_paths_too(
        self, instances: Instances, job: Job, trained: tuple[Path, str], tmp_path: Path
    ) -> None:
        """As on a bare machine: a folder of data, a folder for the result, nothing of SageMaker."""
        weights_file = instances.weights
        options = (*ALONE, "-v", f"{job.data}:/data:ro", "-v", f"{weights_file.parent}:/weights:ro",
                   "-v", f"{tmp_path}:/out", "-v", f"{trained[0]}/checkpoints/cache:/cache/training",
                   "-e", "KENNEL_CACHE=/cache")  # fmt: skip
        command = ["kennel", "train", "--data", "/data", "--out", "/out", "--weights", f"/weights/{weights_file.name}"]
        command += [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
        done = instances.engine.run(instances.image, *command, options=options)
        assert done.returncode == 0, done.stderr
        assert files_of(tmp_path / "model") == files_of(trained[0] / "model")

    def test_docker_stop_keeps_the_checkpoint_and_the_next_run_ends_with_the_same_artifact(
        self, instances: Instances, trained: tuple[Path, str], tmp_path: Path, tell: Callable[[str], None]
    ) -> None:
        features = trained[0] / "checkpoints"
        stopped = instances.make(tmp_path / "stopped", LONG, features)
        container = stopped.start()
        container.until_printed("epoch=5")
        code, seconds = container.stop()
        tell(f"training: docker stop {seconds:.1f} s")
        assert (code, seconds < 20) == (143, True), (code, seconds)
        assert "stopped by SIGTERM" in container.logs()
        assert list((stopped.root / "checkpoints").glob("*.safetensors"))
        assert not (stopped.root / "model" / artifact.CARD).exists()

        again, whole = stopped.train(), instances.make(tmp_path / "whole", LONG, features)
        assert "continuing after epoch" in again.stdout + again.stderr
        assert whole.train().returncode == again.returncode == 0
        for each in (stopped, whole):
            each.give_back()
        assert files_of(stopped.root / "model") == files_of(whole.root / "model")

    def test_a_wrong_hyperparameter_is_exit_code_1_and_in_the_failure_file(
        self, instances: Instances, tmp_path: Path
    ) -> None:
        made = instances.make(tmp_path / "ml", {"learning_rate": "fast"})
        done = made.train()
        made.give_back()
        assert done.returncode == 1
        assert "learning_rate" in (made.root / "output/failure").read_text()
        assert "Traceback" not in (made.root / "output/failure").read_text()


# --- serving ----------------------------------------------------------------------------------------------------


def scores_of(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    found: list[float] = response.json()["scores"]
    return found


def alone(job: Job, photo: bytes) -> list[float]:
    """The scores without any server, on this machine."""
    from kennel.serving.answer import Answerer, Request
    from kennel.serving.choice import proven

    found = artifact.load(job.model)
    answer = Answerer(proven(found), tuple(found.card.labels)).answer(Request(photo))
    scores: list[float] = json.loads(answer.text)["scores"]
    return scores


def near(one: list[float], other: list[float]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= DISTANCE


def spent(container: Container, listened: float, answered: float) -> str:
    """Seconds of the start, by Docker's own clock: the artifact's proof, Java until /ping, a worker until an answer."""
    begin = _moment(container.state["StartedAt"])
    (line,) = [each for each in container.logs("--timestamps").splitlines() if " proven: " in each]
    proven = _moment(line.split()[0])
    parts = {"proof": proven - begin, "java": listened - proven, "worker": answered - listened}
    return f"{answered - begin:.2f} s: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())


def _moment(text: str) -> float:
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


class TestServing:
    def test_it_answers_as_the_host_does_and_stops_in_time(
        self, engine: Engine, serving_image: str, job: Job, photo: bytes, tell: Callable[[str], None]
    ) -> None:
        options = ("-p", "127.0.0.1::8080", "-v", f"{job.model}:/opt/ml/model:ro")
        container = engine.start(serving_image, "serve", options=options)
        listened, answered = container.until_answered(photo)
        assert near(scores_of(container.ask(photo)), alone(job, photo))
        assert httpx.get(f"{container.address}/ping", timeout=2).status_code == 200
        tell(f"serving: from the container's start to the first 200 {spent(container, listened, answered)}")
        code, seconds = container.stop()
        tell(f"serving: docker stop {seconds:.1f} s")
        assert (code, seconds < 10) == (0, True), (code, seconds)
        assert "Traceback" not in container.logs()
        assert len(container.compiled()) < FEW_MODULES

    def test_any_user_and_a_read_only_system_will_do(
        self, engine: Engine, serving_image: str, job: Job, photo: bytes
    ) -> None:
        options = ("-p", "127.0.0.1::8080", "-v", f"{job.model}:/opt/ml/model:ro", "--user", "1000:1000", "--read-only",
                   "--tmpfs", "/tmp:exec", "--init")  # fmt: skip
        container = engine.start(serving_image, options=options)
        container.until_answered(photo)
        assert container.stop()[0] == 0

    def test_a_broken_artifact_is_one_line_and_exit_code_2(
        self, engine: Engine, serving_image: str, tmp_path: Path
    ) -> None:
        done = engine.run(serving_image, "serve", options=("-v", f"{tmp_path}:/opt/ml/model:ro"))
        assert done.returncode == 2
        assert "is no artifact" in done.stderr
        assert len(done.stderr.splitlines()) == 1


# --- Compose ----------------------------------------------------------------------------------------------------

WORKERS = """
import pathlib, re
ppid, name = {}, {}
for each in pathlib.Path("/proc").glob("[0-9]*/stat"):
    pid, comm, parent = re.match(r"(\\d+) \\((.*)\\) . (\\d+)", each.read_text()).groups()
    ppid[pid], name[pid] = parent, comm
print(*[pid for pid in ppid if name.get(ppid.get(ppid[pid])) == "java"])
"""
"""Java's child is the model's template process; the workers are its children."""


@dataclass(frozen=True)
class Composed:
    """What `docker compose up` has started."""

    endpoint: Container
    function: Container


@pytest.fixture(scope="module")
def composed(
    engine: Engine, compose: dict[str, str], serving_image: str, function_image: str, job: Job
) -> Iterator[Composed]:
    """`docker compose up` of the repository's own file."""
    project = f"kennel-{engine.label[-12:]}"
    values = {"KENNEL_IMAGE": serving_image, "KENNEL_FUNCTION_IMAGE": function_image, "KENNEL_ARTIFACT": str(job.model)}
    ports = {"KENNEL_PORT": str(serving.free_port(19080)), "KENNEL_PAGE_PORT": str(serving.free_port(19180))}
    environment = compose | values | ports
    command = ["compose", "--project-name", project, "--file", str(ROOT / "docker-compose.yml")]
    try:
        engine.docker(*command, "up", "--detach", "--wait", "--no-build", env=environment)
        names = [engine.docker(*command, "ps", "--quiet", each, env=environment) for each in ("endpoint", "function")]
        yield Composed(*(engine.container(each.stdout.strip()) for each in names))
    finally:
        engine.docker(*command, "down", "--timeout", "30", env=environment)
    for kind in ("container", "network", "volume"):
        left = engine.docker(kind, "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project}").stdout
        assert left == "", kind


def workers_of(container: Container) -> set[str]:
    return set(container.engine.docker("exec", container.name, "python", "-ISc", WORKERS).stdout.split())


class TestCompose:
    def test_the_endpoint_answers_and_a_killed_worker_comes_back_under_load(
        self, composed: Composed, job: Job, photo: bytes, tell: Callable[[str], None]
    ) -> None:
        endpoint = composed.endpoint
        assert endpoint.state["Health"]["Status"] == "healthy"
        host = endpoint.engine.inspect(endpoint.name)["HostConfig"]
        assert (host["NanoCpus"], host["Memory"], host["Init"]) == (2_000_000_000, 8 << 30, True)
        assert endpoint.address.startswith("http://127.0.0.1:")
        assert near(scores_of(endpoint.ask(photo)), alone(job, photo))
        statuses = self.kill_a_worker_under_load(endpoint, photo)
        failed = [status for status in statuses if status != 200]
        tell(f"compose: a worker killed under load, {len(statuses)} requests, failed: {failed}")
        assert len(statuses) > 20
        assert len(failed) <= 1, failed

    def kill_a_worker_under_load(self, endpoint: Container, photo: bytes) -> list[int]:
        """The status of every request sent meanwhile by four clients. At most one was in the killed worker's hand.

        Until the worker is back and there were requests enough: a machine may be slow at either.
        """
        statuses: list[int] = []
        stop, address = threading.Event(), endpoint.address

        def client() -> None:
            while not stop.is_set():
                statuses.append(endpoint.ask(photo, address).status_code)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        before = workers_of(endpoint)
        assert len(before) == 2
        endpoint.engine.docker("exec", endpoint.name, "sh", "-c", f"kill -9 {min(before)}")
        until = time.monotonic() + 60
        while not (len(now := workers_of(endpoint)) == 2 and now - before and len(statuses) > 20):
            if time.monotonic() > until:
                break
        stop.set()
        for thread in threads:
            thread.join()
        assert len(now - before) == 1, "the killed worker is back"
        return statuses

    def test_the_function_and_its_page_are_one_address_in_front_of_it(self, composed: Composed, photo: bytes) -> None:
        function, url = composed.function, composed.function.address
        assert url.startswith("http://127.0.0.1:")
        found = function.engine.inspect(function.name)
        assert (found["Config"]["User"], found["HostConfig"]["ReadonlyRootfs"]) == ("65534:65534", True)
        page = httpx.get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        answer = httpx.post(url, content=photo, headers={"Content-Type": "image/jpeg"}, timeout=30)
        assert answer.json()["scores"] == pytest.approx(scores_of(composed.endpoint.ask(photo)), abs=1e-6)
        assert httpx.post(url, content=b"no picture", headers={"Content-Type": "image/jpeg"}).status_code == 422
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403
        function.until_printed("REPORT RequestId: ")
        assert "Init Duration" not in function.logs()  # its instances were there before anybody asked
        composed.endpoint.stop()
        gone = httpx.post(url, content=photo, headers={"Content-Type": "image/jpeg"}, timeout=30)
        assert gone.status_code == 503, gone.text

    def test_a_folder_that_is_no_artifact_is_told(
        self, engine: Engine, compose: dict[str, str], serving_image: str, tmp_path: Path
    ) -> None:
        values = {"KENNEL_IMAGE": serving_image, "KENNEL_ARTIFACT": str(tmp_path / "nowhere"), "KENNEL_PORT": "19999"}
        project = f"kennel-{engine.label[-12:]}-x"
        command = ["compose", "--project-name", project, "--file", str(ROOT / "docker-compose.yml")]
        up = ("up", "--detach", "--wait", "--no-build", "endpoint")
        done = engine.docker(*command, *up, check=False, env=compose | values)
        engine.docker(*command, "down", env=compose | values)
        assert done.returncode
        assert "bind source path does not exist" in done.stderr
        assert not (tmp_path / "nowhere").exists()


# --- a registry -------------------------------------------------------------------------------------------------

V2 = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Registry:
    host: str
    password: str


@pytest.fixture(scope="module")
def registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with a login, on a port and in folders of its own."""
    if os.getuid() and not (shutil.which("docker-registry") and shutil.which("htpasswd")):
        pytest.skip("there is no registry here; install it: apt-get install docker-registry apache2-utils")
    folder, port = tmp_path_factory.mktemp("registry"), serving.free_port(15000)
    folder.chmod(0o700)
    values = {"KENNEL_STATE_DIR": str(folder), "KENNEL_REGISTRY_PORT": str(port), "TMPDIR": str(folder)}

    def manage(command: str) -> str:
        script = [str(ROOT / "scripts/docker_engine.sh"), "registry", command]
        done = subprocess.run(script, env=os.environ | values, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    try:
        yield Registry(f"127.0.0.1:{port}", Path(manage("start")).read_text())
    finally:
        manage("stop")
        left = engine.docker("images", "--quiet", "--filter", f"reference=127.0.0.1:{port}/*/*").stdout.split()
        if left:
            engine.docker("rmi", "--force", *left)


class TestPushing:
    def test_without_a_login_it_fails_and_with_one_it_comes_back_by_digest(
        self, engine: Engine, prepared: dict[str, str], serving_image: str, registry: Registry, tmp_path: Path
    ) -> None:
        environment = prepared | {"DOCKER_CONFIG": str(tmp_path)}
        arguments = ("serving", "--cpu", "--push", "--registry", f"{registry.host}/kennel")
        refused = engine.try_build_push(environment, *arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[-1].startswith(f"nothing was pushed: no login at {registry.host}")

        login = ("login", "--username", "AWS", "--password-stdin", registry.host)
        engine.docker(*login, env=environment, input=registry.password)
        uri = engine.build_push(environment, *arguments)
        name, _, digest = uri.partition("@")
        assert name == f"{registry.host}/kennel/kennel-serving"
        self.check_manifest(registry, digest)

        built = engine.inspect(uri)["Id"]
        tags = [each for each in engine.inspect(uri)["RepoTags"] if each.startswith(registry.host)]
        engine.docker("rmi", uri, *tags)
        assert not engine.has(uri)
        engine.docker("pull", uri, env=environment)
        assert engine.inspect(uri)["Id"] == built
        engine.docker("rmi", uri)

    def check_manifest(self, registry: Registry, digest: str) -> None:
        """What SageMaker looks at: Docker's media types; and every layer is there in its whole length."""
        address, user = f"http://{registry.host}/v2/kennel/kennel-serving", ("AWS", registry.password.strip())
        found = httpx.get(f"{address}/manifests/{digest}", auth=user, headers={"Accept": f"{V2}, */*"})
        assert found.headers["content-type"] == V2
        assert found.headers["docker-content-digest"] == digest
        manifest = found.json()
        assert {each["mediaType"] for each in manifest["layers"]} == {LAYER}
        for layer in (manifest["config"], *manifest["layers"]):
            there = httpx.head(f"{address}/blobs/{layer['digest']}", auth=user)
            assert int(there.headers["content-length"]) == layer["size"]
