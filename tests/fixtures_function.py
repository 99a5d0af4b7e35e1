"""What stands around the function on AWS, on loopback: an endpoint as boto3 meets it, and a function URL."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import function

FORMS = ("rest", "http", "url")
EVENTS = Path(__file__).parent / "events"
PREDICTIONS = [
    {"breed": "Beagle", "label": "016.Beagle", "probability": 0.9},
    {"breed": "Poodle", "label": "124.Poodle", "probability": 0.1},
]
PREDICTED = json.dumps({"predictions": PREDICTIONS, "scores": [0.9, 0.1]})
TYPES = ("text/", "application/json", "application/xml", "application/javascript")
"""Bodies of these types a function URL passes as text; it encodes all others."""


class Endpoint:
    """SageMaker's InvokeEndpoint by HTTP. answer: body → status, headers, body; asked: what came."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Callable[[bytes], tuple[int, dict[str, str], bytes]] = predicting
        self.url = ""

    def model_error(self, status: int, message: str, told: str = "") -> None:
        """From now on the container refuses."""
        body = {
            "Message": told or f"Received error ({status})",
            "OriginalStatusCode": status,
            "OriginalMessage": message,
        }
        self.error(424, "ModelError", body)

    def error(self, status: int, code: str, body: dict[str, Any] | None = None) -> None:
        """From now on AWS refuses."""
        content = json.dumps(body or {"Message": "Endpoint secret-name says no"}).encode()
        self.answer = lambda asked: (status, {"x-amzn-ErrorType": code, "Content-Type": "application/json"}, content)

    def says(self, answer: bytes) -> None:
        """From now on the container answers so."""
        self.answer = lambda asked: (200, {"Content-Type": "application/json"}, answer)


def predicting(body: bytes) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, PREDICTED.encode()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on loopback, and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def any_endpoint() -> Iterator[Endpoint]:
    made = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append((self.path, dict(self.headers), body))
            status, headers, answer = made.answer(body)
            reply(self, status, headers, answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with serving(Handler) as made.url:
        yield made


@pytest.fixture
def endpoint(any_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """An endpoint that predicts, and that the function's own boto3 client finds, as on any side, by its environment."""
    any_endpoint.asked, any_endpoint.answer = [], predicting
    for name, value in environment(any_endpoint.url).items():
        monkeypatch.setenv(name, value)
    return any_endpoint


@pytest.fixture(scope="session")
def client(any_endpoint: Endpoint) -> Any:
    """The function's client of the endpoint: to make one takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(any_endpoint.url).items():
            patch.setenv(name, value)
        return function.client("sagemaker-runtime")


def environment(endpoint_url: str) -> dict[str, str]:
    """As Lambda sets it, and the settings of the function."""
    return {
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint_url,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ENDPOINT_NAME": "secret-name",
    }


def context(seconds: float = 20.0) -> Any:
    """Lambda's context object."""
    until = time.monotonic() + seconds
    return SimpleNamespace(
        aws_request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        function_name="DogBreedClassifierInference",
        get_remaining_time_in_millis=lambda: int((until - time.monotonic()) * 1000),
    )


def event(
    form: str, body: bytes | str | None = None, method: str = "POST", path: str | None = None, **headers: str
) -> Any:
    """A recorded event of `rest`, `http` or `url` with another body, method and headers (`content_type=…`)."""
    made = json.loads((EVENTS / f"{form}.json").read_text())
    if form == "rest":
        made["httpMethod"] = made["requestContext"]["httpMethod"] = method
        made["path"] = path or made["path"]
        given = {name.replace("_", "-").title(): value for name, value in headers.items()}
    else:
        made["requestContext"]["http"]["method"] = method
        made["rawPath"] = made["requestContext"]["http"]["path"] = path or made["rawPath"]
        given = {name.replace("_", "-"): value for name, value in headers.items()}
    made["headers"] |= given
    made["isBase64Encoded"] = isinstance(body, bytes)
    made["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return made


def reply(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@contextmanager
def function_url(handle: Callable[[Any, Any], Any], below: str = "", seconds: float = 20.0) -> Iterator[str]:
    """The address of a function URL: HTTP in, events of form 2.0, HTTP out. below: a path that it lives under; seconds:
    the function's time-out."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body, kind = self.rfile.read(size), self.headers.get("Content-Type", "")
            content: bytes | str | None = (body.decode() if kind.startswith(TYPES) else body) if size else None
            headers = {name.lower().replace("-", "_"): value for name, value in self.headers.items()}
            path = self.path.removeprefix(below).partition("?")[0] or "/"
            answer = handle(event("url", content, self.command, path, **headers), context(seconds))
            reply(self, answer["statusCode"], answer["headers"], answer["body"].encode())

        do_POST = do_OPTIONS = do_HEAD = do_PUT = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    with serving(Handler) as url:
        yield f"{url}{below}/"
