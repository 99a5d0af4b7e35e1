"""Runs an image as SageMaker runs an endpoint instance: `docker run IMAGE serve`, the artifact at /opt/ml/model."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from docker.models.containers import Container

from kennel.containers import Engine
from kennel.doctor import Check, Checks, outcome
from kennel.pictures.drawings import BREEDS, draw
from kennel.serving.client import client

PORT = 8080
PING_SECONDS = 2.0
INVOCATION_SECONDS = 60.0
START_SECONDS = 240
"""SageMaker gives a container four minutes and more to become healthy."""
STOP_SECONDS = 30
"""SageMaker kills an endpoint's container this long after SIGTERM."""
BROKEN_SECONDS = 60
SERVE = ["serve"]


@dataclass(frozen=True, slots=True)
class Answer:
    """status: 0 when there was none."""

    status: int
    seconds: float
    text: str


def check(
    engine: Engine, reference: str, artifact: Path | None, scratch: Path, patience: float = STOP_SECONDS
) -> Checks:
    """Health that is honest about a broken artifact; given a real one, /ping, /invocations and SIGTERM."""
    broken = scratch / "broken"
    broken.mkdir(parents=True)
    (broken / "model.json").write_text("{}")
    yield _check_broken(engine, reference, broken)
    if artifact is None:
        yield Check("endpoint", "skip", "no artifact was given", "Give one: --artifact OUT")
        return
    with engine.running(reference, SERVE, **_options(artifact)) as container:
        yield from _check_answers(engine, container)
        started = time.monotonic()
        engine.terminate(container)
        ended = engine.ended(container, patience)
        seen = f"ended after {time.monotonic() - started:.1f} s" if ended.code is not None else "still running"
        remedy = f"Handle SIGTERM in process 1 (exec form, no shell): SageMaker kills after {STOP_SECONDS} s"
        yield outcome("endpoint: SIGTERM", ended.code is not None, seen, remedy)


def _check_answers(engine: Engine, container: Container) -> Checks:
    address = _address(container)
    started = time.monotonic()
    ping = _until(lambda: _ask("GET", f"{address}/ping"), container, START_SECONDS)
    seen = f"{time.monotonic() - started:.1f} s after its start" if ping.status == 200 else _told(engine, container)
    yield outcome("endpoint: healthy", ping.status == 200, seen, "GET /ping on port 8080 must answer 200")
    if ping.status != 200:
        return
    slowest = max(_ask("GET", f"{address}/ping").seconds for _ in range(3))
    remedy = "SageMaker asks /ping and waits 2 s: answer from memory"
    yield outcome("endpoint: /ping", slowest < PING_SECONDS, f"{slowest * 1000:.0f} ms at most", remedy)
    answer = _ask("POST", f"{address}/invocations", photograph())
    fine = answer.status == 200 and answer.seconds < INVOCATION_SECONDS
    seen = f"{answer.status} in {answer.seconds:.2f} s, {time.monotonic() - started:.1f} s after its start"
    remedy = "Answer POST /invocations with an image/jpeg body by 200 within 60 s"
    yield outcome("endpoint: /invocations", fine, seen if fine else f"{seen}: {answer.text[:120]}", remedy)


def _check_broken(engine: Engine, reference: str, folder: Path) -> Check:
    """An artifact that is none: the container must end, or never call itself healthy."""
    with engine.running(reference, SERVE, **_options(folder)) as container:
        answer = _until(lambda: _ask("GET", f"{_address(container)}/ping"), container, BROKEN_SECONDS)
        container.reload()
        code = container.attrs["State"]["ExitCode"] if container.status == "exited" else None
        said = _told(engine, container)
    healthy = answer.status == 200
    seen = "healthy all the same" if healthy else f"exit code {code}: {said}" if code is not None else "never healthy"
    remedy = "Prove the artifact before the server starts: multi-model-server's /ping is 200 without a model too"
    return outcome("broken artifact", not healthy and code != 0, seen, remedy)


def photograph() -> bytes:
    """A drawn dog, as a JPEG."""
    file = io.BytesIO()
    draw(BREEDS[0], 0).save(file, "JPEG")
    return file.getvalue()


def _options(artifact: Path) -> dict[str, Any]:
    volume = {str(artifact.resolve()): {"bind": "/opt/ml/model", "mode": "ro"}}
    return {"volumes": volume, "ports": {f"{PORT}/tcp": ("127.0.0.1", 0)}}


def _address(container: Container) -> str:
    container.reload()
    bound = (container.attrs["NetworkSettings"]["Ports"] or {}).get(f"{PORT}/tcp")
    return f"http://127.0.0.1:{bound[0]['HostPort']}" if bound else "http://127.0.0.1:9"


def _ask(method: str, url: str, body: bytes | None = None) -> Answer:
    started = time.monotonic()
    headers = {"Content-Type": "image/jpeg"} if body else {}
    try:
        timeout = INVOCATION_SECONDS if body else 2 * PING_SECONDS
        with client(url, timeout) as session:
            response = session.request(method, url, content=body, headers=headers)
    except httpx.HTTPError as error:
        return Answer(0, time.monotonic() - started, str(error))
    return Answer(response.status_code, time.monotonic() - started, response.text)


def _until(ask: Callable[[], Answer], container: Container, within: float) -> Answer:
    """The first 200, or the last answer when the container ends or time is up."""
    until = time.monotonic() + within
    while True:
        answer = ask()
        container.reload()
        if answer.status == 200 or container.status != "running" or time.monotonic() > until:
            return answer
        time.sleep(0.1)


def _told(engine: Engine, container: Container) -> str:
    lines = engine.log(container).strip().splitlines()
    return " ".join(lines[-1].split())[:160] if lines else "it printed nothing"
