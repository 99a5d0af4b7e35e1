"""`kennel predict`: one photograph's breeds, from a running server or straight from an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kennel.cli.console import out, print_json
from kennel.errors import PictureError, ServerError

URL = "http://127.0.0.1:8080"
BAR = 40
EPILOG = "Examples: kennel predict photo.jpg · kennel predict photo.jpg --artifact out --json"


def predict(
    photo: Annotated[Path, typer.Argument(help="A picture: JPEG, PNG, WebP, GIF, BMP or TIFF.")],
    url: Annotated[str, typer.Option(help="A running server.")] = URL,
    artifact: Annotated[Path | None, typer.Option(help="Classify here, by this artifact, without a server.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many breeds.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, for machines.")] = False,
) -> None:
    """Tell the breed on a photograph."""
    if not photo.is_file():
        raise PictureError("unknown", f"no picture at {photo}", "Name a file")
    answer = locally(photo, artifact, top) if artifact else ask(url, photo, top)
    print_json(answer) if as_json else print_chart(answer["predictions"])


def ask(url: str, photo: Path, top: int) -> dict[str, Any]:
    """A server's answer. Raises ServerError when there is none, PictureError when it refuses the picture."""
    import httpx

    headers = {"Content-Type": "application/octet-stream", "X-Amzn-SageMaker-Custom-Attributes": f"top_k={top}"}
    try:
        response = httpx.post(f"{url}/invocations", content=photo.read_bytes(), headers=headers, timeout=60)
    except httpx.HTTPError as error:
        remedy = "Start one: kennel serve --artifact OUT; or classify without: --artifact OUT"
        raise ServerError(f"no answer from {url} ({error})", remedy) from error
    return read_answer(response.status_code, response.text)


def locally(photo: Path, artifact: Path, top: int) -> dict[str, Any]:
    """The same answer as a server's, by the same code, in this process."""
    import tempfile

    from kennel import artifact as artifacts
    from kennel.serving.answer import Answerer, Request
    from kennel.serving.choice import proven

    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        found = artifacts.find(artifact)
        loaded = artifacts.load(found if found.is_dir() else artifacts.unpack(found, Path(folder)))
        answerer = Answerer(proven(loaded), tuple(loaded.card.labels))
        response = answerer.answer(Request(photo.read_bytes(), attributes=f"top_k={top}"))
    return read_answer(response.status, response.text)


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


def print_chart(predictions: list[dict[str, Any]]) -> None:
    """Breeds, bars and percentages."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for each in predictions:
        share = each["probability"]
        bar = "█" * round(share * BAR) or "▏"
        table.add_row(each["breed"], f"[blue]{bar:<{BAR}}[/]", f"{share * 100:5.1f} %")
    out.print(table)
