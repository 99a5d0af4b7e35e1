"""What Compose runs before the serving container, as a process: a function, its page, an endpoint elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from fixtures_lambda import FUNCTION, connected
from kennel.local.front import HEALTH, packed
from kennel.serving.server import free_port

START = """
import sys
from pathlib import Path
from kennel.errors import Stopped, stop_on_signals
from kennel.local.front import serve
stop_on_signals()
home, folder, endpoint, page, api = sys.argv[1:]
try:
    serve(Path(home), Path(folder), "app.web", endpoint, ("127.0.0.1", int(page)), int(api))
except Stopped:
    pass
"""


class Serving(BaseHTTPRequestHandler):
    """A serving container: healthy, and answers with how much it was sent."""

    def do_GET(self) -> None:
        self._say(b"")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(f"{self.path} {self.headers['Content-Type']} {len(sent)}".encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Front:
    page: str
    api: str
    endpoint: int

    def client(self, service: str) -> Any:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        return connected({**keys, "AWS_ENDPOINT_URL": self.api}, service)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home, folder = tmp_path_factory.mktemp("front"), tmp_path_factory.mktemp("task")
    (folder / "app.py").write_text(FUNCTION)
    page, api, endpoint = [free_port(start) for start in (21080, 22080, 23080)]
    arguments = [str(home), str(folder), f"http://127.0.0.1:{endpoint}", str(page), str(api)]
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"KENNEL_FUNCTION_WORD": "mine"},
    )
    made = Front(f"http://127.0.0.1:{page}", f"http://127.0.0.1:{api}", endpoint)
    until = time.monotonic() + 60
    while time.monotonic() < until and not _healthy(made):
        assert process.poll() is None
        time.sleep(0.05)
    yield made
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"START RequestId: " in said  # its log is what it prints


def _healthy(front: Front) -> bool:
    try:
        return httpx.get(f"{front.api}{HEALTH}").status_code == 200
    except httpx.HTTPError:
        return False


class TestTheFront:
    def test_the_functions_url_is_the_whole_address(self, front: Front) -> None:
        found = httpx.post(f"{front.page}/some/path?a=1", content=b"\xff\xd8").json()
        assert (found["rawPath"], found["rawQueryString"], found["isBase64Encoded"]) == ("/some/path", "a=1", True)
        assert httpx.get(front.page).json()["rawPath"] == "/"
        assert httpx.get(f"{front.page}{HEALTH}").json()["rawPath"] == HEALTH
        assert httpx.get(front.page, headers={"Host": "evil.example"}).status_code == 403

    def test_its_instances_are_provisioned_and_have_its_variables(self, front: Front) -> None:
        told = httpx.post(front.page, json={"do": "tell"}).json()
        assert (told["kind"], told["version"]) == ("provisioned-concurrency", "mine")
        assert told["arn"].endswith(":function:function:live")

    def test_the_endpoint_may_come_and_go(self, front: Front) -> None:
        client = front.client("sagemaker-runtime")
        asked = {"EndpointName": "any", "ContentType": "image/jpeg", "Body": b"abc"}
        with pytest.raises(ClientError) as away:
            client.invoke_endpoint(**asked)
        assert away.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        server = ThreadingHTTPServer(("127.0.0.1", front.endpoint), Serving)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        assert self.answered(client, asked) == b"/invocations image/jpeg 3"
        server.shutdown()
        thread.join()
        server.server_close()
        with pytest.raises(ClientError) as gone:
            client.invoke_endpoint(**asked)
        assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503

    def answered(self, client: Any, asked: dict[str, Any]) -> bytes:
        """As soon as it is: the front looks every second."""
        until = time.monotonic() + 20
        while True:
            try:
                return bytes(client.invoke_endpoint(**asked)["Body"].read())
            except ClientError:
                assert time.monotonic() < until
                time.sleep(0.05)

    def test_of_aws_there_is_nothing_else(self, front: Front) -> None:
        assert [each["FunctionName"] for each in front.client("lambda").list_functions()["Functions"]] == ["function"]
        with pytest.raises(ClientError):
            front.client("s3").list_buckets()


def test_a_package_has_all_files_but_compiled_ones(tmp_path: Path) -> None:
    for name in ("app.py", "page.html", "__pycache__/app.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert zipfile.ZipFile(io.BytesIO(packed(tmp_path))).namelist() == ["app.py", "page.html"]
