"""Asking a server: one photograph, one answer."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import httpx

from kennel.errors import PictureError, ServerError

SECONDS = 60


def ask(url: str, photo: Path, top: int = 5) -> dict[str, Any]:
    """A server's answer. Raises ServerError when there is none, PictureError when it refuses the picture."""
    headers = {"Content-Type": "application/octet-stream", "X-Amzn-SageMaker-Custom-Attributes": f"top_k={top}"}
    try:
        with client(url) as session:
            response = session.post(f"{url}/invocations", content=photo.read_bytes(), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "Start one: kennel serve --artifact OUT; or classify without: --artifact OUT"
        raise ServerError(f"no answer from {url} ({error})", remedy) from error
    return read_answer(response.status_code, response.text)


def client(url: str, seconds: float = SECONDS) -> httpx.Client:
    """An HTTP client; a proxy of the environment is for other machines, not for this one."""
    return httpx.Client(timeout=seconds, trust_env=not _is_here(httpx.URL(url).host))


def read_answer(status: int, text: str) -> dict[str, Any]:
    """The answer's values. Raises PictureError for a refusal, ServerError for anything that is no answer."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    if status == 200 and "predictions" in answer:
        result: dict[str, Any] = answer
        return result
    if 400 <= status < 500 and "error" in answer:
        raise PictureError("unknown", answer["error"], answer.get("remedy", ""))
    raise ServerError(f"the server answered {status}: {text[:200]}", "See the server's log")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
