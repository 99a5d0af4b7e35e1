"""`kennel predict`: one photograph's breeds, from a running server or straight from an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from kennel import settings
from kennel.cli.console import out, print_json
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import PictureError
from kennel.serving.client import ask, read_answer

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud

URL = "http://127.0.0.1:8080"
BAR = 40
EPILOG = """Examples: kennel predict photo.jpg · kennel predict photo.jpg --artifact out --json ·
kennel predict photo.jpg --endpoint kennel --on aws"""


def predict(
    photo: Annotated[Path, typer.Argument(help="A picture: JPEG, PNG, WebP, GIF, BMP or TIFF.")],
    url: Annotated[str, typer.Option(help="A running server.")] = URL,
    artifact: Annotated[Path | None, typer.Option(help="Classify here, by this artifact, without a server.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Ask a SageMaker endpoint of this name.")] = None,
    on: On = "local",
    settings_file: SettingsFile = None,
    top: Annotated[int, typer.Option(min=1, help="How many breeds.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, for machines.")] = False,
) -> None:
    """Tell the breed on a photograph."""
    if not photo.is_file():
        raise PictureError("unknown", f"no picture at {photo}", "Name a file")
    if endpoint:
        answer = _of_endpoint(photo, endpoint, there(on, settings.load(settings_file)), top)
    else:
        answer = locally(photo, artifact, top) if artifact else ask(url, photo, top)
    print_json(answer) if as_json else print_chart(answer["predictions"])


def locally(photo: Path, artifact: Path, top: int) -> dict[str, Any]:
    """The same answer as a server's, by the same code, in this process."""
    from kennel import artifact as artifacts
    from kennel.serving.answer import Answerer, Request
    from kennel.serving.choice import proven

    with artifacts.opened(artifact) as found:
        answerer = Answerer(proven(found), tuple(found.card.labels))
        response = answerer.answer(Request(photo.read_bytes(), attributes=f"top_k={top}"))
    return read_answer(response.status, response.text)


def _of_endpoint(photo: Path, name: str, cloud: Cloud, top: int) -> dict[str, Any]:
    from kennel.cloud.endpoint import invoke

    answer: dict[str, Any] = invoke(cloud, name, photo.read_bytes(), attributes=f"top_k={top}")
    return answer


def print_chart(predictions: list[dict[str, Any]]) -> None:
    """Breeds, bars and percentages."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for each in predictions:
        share = each["probability"]
        bar = "█" * round(share * BAR) or "▏"
        table.add_row(each["breed"], Text(f"{bar:<{BAR}}", style="blue"), f"{share * 100:5.1f} %")
    out.print(table)
