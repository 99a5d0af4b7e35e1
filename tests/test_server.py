"""The real server: Java, multi-model-server, workers. What it answers, what it survives, what it leaves behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from kennel import artifact
from kennel.errors import ArtifactError, ServerError, SettingError
from kennel.pictures import dataset
from kennel.serving import server as serving
from kennel.serving.settings import ServerSettings
from kennel.training.job import Job


@pytest.fixture(scope="module")
def photo(job: Job) -> bytes:
    path = dataset.load(job.data).splits["test"][5].path
    assert path is not None
    return path.read_bytes()


def ask(server: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "image/jpeg"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server}/invocations", content=body, headers=sent, timeout=60)


def workers_of(server: str) -> set[int]:
    """Process ids of the workers of the server that listens at that address."""
    port = int(server.rsplit(":", 1)[1])
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "java" and any(each.laddr.port == port for each in process.net_connections("tcp")):
            template = process.children()
            return {each.pid for parent in template for each in parent.children()}
    return set()


def test_a_photograph_is_answered_as_the_artifact_answers_by_itself(server: str, job: Job, photo: bytes) -> None:
    from kennel.serving.answer import Answerer, Request
    from kennel.serving.choice import proven

    found = artifact.load(job.model)
    alone = Answerer(proven(found), tuple(found.card.labels)).answer(Request(photo))
    response = ask(server, photo)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == json.loads(alone.text)


def test_the_answer_is_right(server: str, job: Job) -> None:
    pictures = dataset.load(job.data).splits["test"]
    right = 0
    for each in pictures:
        assert each.path is not None
        right += ask(server, each.path.read_bytes()).json()["predictions"][0]["label"] == each.label
    assert right / len(pictures) > 0.8


def test_ping_is_answered(server: str) -> None:
    assert httpx.get(f"{server}/ping").status_code == 200


def test_csv_and_custom_attributes_reach_the_handler(server: str, photo: bytes) -> None:
    asked = ask(server, photo, Accept="text/csv")
    assert asked.headers["content-type"] == "text/csv"
    assert len(asked.text.split(",")) == 4
    few = ask(server, photo, X_Amzn_SageMaker_Custom_Attributes="top_k=1")
    assert len(few.json()["predictions"]) == 1


@pytest.mark.parametrize("path", ["/models", "/models/model", "/metrics"])
def test_the_management_api_is_not_on_the_network(server: str, path: str) -> None:
    assert httpx.get(server + path).status_code in (404, 405)
    assert httpx.post(f"{server}{path}?url=http://127.0.0.1:9/evil.mar").status_code in (404, 405)
    assert httpx.put(f"{server}{path}?min_worker=0").status_code in (404, 405)


def test_it_listens_on_loopback_only(server: str) -> None:
    port = int(server.rsplit(":", 1)[1])
    listening = [each for each in psutil.net_connections("tcp") if each.laddr.port == port and each.status == "LISTEN"]
    assert {each.laddr.ip.replace("::ffff:", "") for each in listening} == {"127.0.0.1"}


def broken_pictures(photo: bytes) -> list[bytes]:
    """Nothing, noise, cut off, bits flipped, headers of other formats, and a bomb."""
    draw = random.Random(0)
    found = [
        b"",
        b"\x00",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"II*\x00",
        b"<svg/>",
        b"%PDF-1.7",
    ]
    found += [photo[: draw.randrange(len(photo))] for _ in range(20)]
    for _ in range(40):
        flipped = bytearray(photo)
        for _ in range(draw.choice([1, 5, 50])):
            flipped[draw.randrange(len(flipped))] = draw.randrange(256)
        found.append(bytes(flipped))
    found += [draw.randbytes(draw.randrange(1, 5000)) for _ in range(10)]
    found.append(bomb(50_000, 50_000))
    return found


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be huge."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def test_after_a_sweep_of_broken_pictures_the_same_workers_live(server: str, photo: bytes) -> None:
    ask(server, photo)
    before = workers_of(server)
    assert len(before) == ServerSettings(Path()).worker_count
    statuses = set()
    for body in broken_pictures(photo):
        response = ask(server, body)
        statuses.add(response.status_code)
        assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
        assert "Traceback" not in response.text
        if response.status_code != 200:
            assert response.json()["error"]
    assert {400, 413} <= statuses
    assert workers_of(server) == before
    assert ask(server, photo).status_code == 200


@pytest.mark.parametrize(
    ("size", "kind", "status"),
    [(7 << 20, "image/jpeg", 413), (40 << 20, "image/jpeg", 413), (10, "text/csv", 415), (10, "application/json", 415)],
)
def test_what_is_too_large_or_of_an_unknown_type_is_told(server: str, size: int, kind: str, status: int) -> None:
    assert ask(server, b"\xff" * size, Content_Type=kind).status_code == status


def test_a_killed_worker_comes_back_and_only_its_own_request_can_fail(server: str, photo: bytes) -> None:
    """Requests run all the while; the ones that fail are at most those the killed worker had in hand."""
    failures: list[int] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            status = ask(server, photo).status_code
            if status != 200:
                failures.append(status)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    before = workers_of(server)
    os.kill(min(before), signal.SIGKILL)
    until = time.monotonic() + 30
    while len(workers_of(server) - before) < 1 and time.monotonic() < until:
        ask(server, photo)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(workers_of(server)) == len(before)
    assert len(failures) <= 1, failures


def test_two_servers_live_side_by_side_and_leave_nothing(server: str, job: Job, photo: bytes, tmp_path: Path) -> None:
    settings = ServerSettings(job.model, port=serving.free_port(18200), workers=1)
    with serving.running(settings, tmp_path / "log") as (process, engine):
        assert engine == "int8"
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        folder = Path(family[0].cwd())
        assert (folder / "models").is_dir()
        assert ask(f"http://127.0.0.1:{settings.port}", photo).status_code == 200
        assert ask(server, photo).status_code == 200
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert not folder.exists()


def test_a_packed_artifact_is_served_too(job: Job, photo: bytes, tmp_path: Path) -> None:
    artifact.pack(job.model, tmp_path / "model.tar.gz")
    settings = ServerSettings(tmp_path / "model.tar.gz", port=serving.free_port(18300), workers=1)
    with serving.running(settings, tmp_path / "log"):
        assert ask(f"http://127.0.0.1:{settings.port}", photo).status_code == 200


def copied(job: Job, folder: Path) -> Path:
    shutil.copytree(job.model, folder)
    return folder


def test_an_artifact_whose_files_differ_is_refused_before_anything_listens(job: Job, tmp_path: Path) -> None:
    folder = copied(job, tmp_path / "model")
    content = bytearray((folder / artifact.INT8_DATA).read_bytes())
    content[1000] ^= 1
    (folder / artifact.INT8_DATA).write_bytes(content)
    with (
        pytest.raises(ArtifactError, match=r"backbone-int8\.bin is not the file"),
        serving.running(ServerSettings(folder, port=serving.free_port(18350))),
    ):
        raise AssertionError("it runs")


def signed_again(folder: Path) -> None:
    """The card with the digests of the files as they are: an artifact whose maker meant harm."""
    from kennel.files import sha256_of

    card = json.loads((folder / artifact.CARD).read_text())
    card["files"] = {name: sha256_of(folder / name) for name in artifact.FILES}
    (folder / artifact.CARD).write_text(json.dumps(card))


def test_int8_that_answers_wrongly_gives_way_to_float32(job: Job, tmp_path: Path, photo: bytes) -> None:
    """As on a CPU where int8 saturates: the graph is fine, its numbers are not."""
    from kennel.engines import Classifier
    from kennel.engines.openvino import int8_engine

    folder = copied(job, tmp_path / "model")
    content = bytearray((folder / artifact.INT8_DATA).read_bytes())
    draw = random.Random(0)
    for _ in range(300_000):
        content[draw.randrange(10_000_000, len(content) - 1000)] = draw.randrange(256)
    (folder / artifact.INT8_DATA).write_bytes(content)
    signed_again(folder)
    found = artifact.load(folder)
    with pytest.raises(ArtifactError, match="a score is off"):
        artifact.prove(Classifier(int8_engine(found.int8), found.head), found.proof)
    settings = ServerSettings(folder, port=serving.free_port(18400), workers=1)
    with serving.running(settings, tmp_path / "log") as (_, engine):
        assert engine == "float32"
        right = artifact.load(job.model)
        assert ask(f"http://127.0.0.1:{settings.port}", photo).status_code == 200
        assert right.card.default_engine == "int8"


def test_a_malicious_artifact_cannot_run_code(job: Job, tmp_path: Path) -> None:
    """What multi-model-server and its toolkit would run, if it were in the folder they serve."""
    folder = copied(job, tmp_path / "model")
    (folder / "MANIFEST.json").write_text('{"Model": {"Handler": "evil.py"}}')
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')")
    settings = ServerSettings(folder, port=serving.free_port(18370))
    with pytest.raises(ArtifactError, match="which no artifact has"), serving.running(settings):
        raise AssertionError("it runs")
    assert not (tmp_path / "touched").exists()


def test_a_taken_port_is_one_clear_line(job: Job) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", serving.free_port(18600)))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1:{port}"),
            serving.running(ServerSettings(job.model, port=port)),
        ):
            raise AssertionError("it runs")


def test_a_port_the_server_cannot_take_is_refused() -> None:
    with pytest.raises(SettingError, match="port = 40000"):
        ServerSettings(Path(), port=40000)


@pytest.mark.parametrize("name", ["workers", "threads", "timeout_s", "max_payload_mb", "max_pixels", "heap_mb"])
def test_settings_out_of_range_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} = -1"):
        ServerSettings(Path(), **{name: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["²", "many", "1.5"])
def test_a_variable_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="KENNEL_THREADS"):
        ServerSettings.from_environment({"KENNEL_THREADS": text})


def test_without_java_the_remedy_names_the_package(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if "site-packages" not in each])
    with pytest.raises(ServerError, match="no Java") as error:
        serving.find_java()
    assert "pip install" in error.value.remedy


class TestTheServeProgram:
    """`serve`, as a container starts it."""

    def start(self, root: Path, **environment: str) -> subprocess.Popen[str]:
        program = Path(sys.executable).parent / "serve"
        values = os.environ | {"SAGEMAKER_BASE_DIR": str(root)} | environment
        return subprocess.Popen([program], env=values, stderr=subprocess.PIPE, text=True)

    def test_sigterm_ends_it_in_time_with_exit_code_0(self, job: Job, tmp_path: Path, photo: bytes) -> None:
        (tmp_path / "model").symlink_to(job.model)
        port = serving.free_port(18700)
        process = self.start(tmp_path, SAGEMAKER_BIND_TO_PORT=str(port))
        serving._until_ready(replace(ServerSettings(job.model), port=port), process)  # type: ignore[arg-type]
        assert ask(f"http://127.0.0.1:{port}", photo).status_code == 200
        started = time.monotonic()
        process.terminate()
        _, printed = process.communicate(timeout=30)
        assert process.returncode == 0, printed
        assert time.monotonic() - started < 10
        assert "Traceback" not in printed

    def test_sigterm_while_it_starts_leaves_nothing(self, job: Job, tmp_path: Path) -> None:
        (tmp_path / "model").symlink_to(job.model)
        process = self.start(tmp_path, SAGEMAKER_BIND_TO_PORT=str(serving.free_port(18750)), TMPDIR=str(tmp_path))
        assert process.stderr is not None
        for line in process.stderr:
            if "proven" in line:  # Java is started next
                break
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert not [
            each for each in psutil.process_iter(["environ"]) if str(tmp_path) in (each.info["environ"] or {}).values()
        ]
        assert list(tmp_path.glob("kennel-*")) == []

    def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(self, job: Job, tmp_path: Path) -> None:
        (tmp_path / "model").symlink_to(job.model)
        port = serving.free_port(18780)
        process = self.start(tmp_path, SAGEMAKER_BIND_TO_PORT=str(port), HTTP_PROXY="http://127.0.0.1:9")
        serving._until_ready(replace(ServerSettings(job.model), port=port), process)  # type: ignore[arg-type]
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0

    def test_a_broken_artifact_is_one_line_and_exit_code_2(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        process = self.start(tmp_path, SAGEMAKER_BIND_TO_PORT=str(serving.free_port(18790)))
        _, printed = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "is no artifact" in printed
        assert len(printed.strip().splitlines()) == 1
