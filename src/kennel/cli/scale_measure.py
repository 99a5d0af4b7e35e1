"""`kennel scale measure`: what one instance can do, by asking it ever more often."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import KennelError, PictureError, ServerError, Stopped
from kennel.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from kennel.capacity.load import Ask
    from kennel.capacity.measure import Plan
    from kennel.capacity.measured import Measured, Subject
    from kennel.cloud.asking import Asked
    from kennel.cloud.session import Cloud

EPILOG = """Examples: kennel scale measure --artifact demo · kennel scale measure --endpoint kennel ·
kennel scale measure --endpoint kennel --on aws --goal-ms 300 --page capacity.html"""
PORT = 18300
"""The first that is tried for a server of our own."""


def measure(
    endpoint: Annotated[str | None, typer.Option(help="A SageMaker endpoint; by default kennel.toml's.")] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="Serve this artifact here, for the while, and ask that.")
    ] = None,
    on: On = "local",
    picture: Annotated[
        Path | None, typer.Option(help="What is asked about; a drawn dog, 500 × 375, by default.")
    ] = None,
    goal_ms: Annotated[float, typer.Option(min=1, max=60_000, help="What the p99 shall not exceed.")] = 500,
    step_s: Annotated[float, typer.Option(min=1, max=600, help="How long a rate is held.")] = 15,
    most_s: Annotated[float, typer.Option("--for", min=10, max=3600, help="Seconds, all of it, at most.")] = 300,
    most_requests: Annotated[int, typer.Option("--requests", min=100, max=1_000_000, help="At most.")] = 20_000,
    safety: Annotated[float, typer.Option(min=0.05, max=1, help="The safety factor of AWS's rule.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments at which requests are sent.")] = 1,
    to: Annotated[Path, typer.Option("--out", help="Where the figures go; for simulate --measured.")] = Path(
        "measured.json"
    ),
    page: Annotated[Path, typer.Option("--page", help="Where the report goes, one HTML file.")] = Path("measured.html"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before an endpoint on AWS is loaded.")] = False,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures, for machines.")] = False,
) -> None:
    """Load one instance at rising rates until its p99 misses the goal; tell the knee, and the target that it means.

    Requests leave when they are due, answered or not, and count from then. Ctrl-C ends it and gives what was measured.
    """
    from kennel.capacity.measure import Plan

    plan = Plan(goal_ms / 1000, step_s, most_s=most_s, most_requests=most_requests, seed=seed)
    body = _body(picture)
    if artifact is not None:
        if endpoint is not None or on == "aws":
            raise KennelError("--artifact is served here, so it goes without --endpoint and --on aws", "Choose one")
        with _served(artifact, body) as (ask, subject):
            found = _measured(ask, subject, plan)
    else:
        settings = settings_of.load(settings_file)
        found = _of_endpoint(there(on, settings), endpoint or settings.endpoint_name, body, plan, yes)
    _write(found, safety, to, page)
    print_json(found.model_dump()) if as_json else _print(found, safety, to, page)


@contextmanager
def _served(artifact: Path, body: bytes) -> Iterator[tuple[Ask, Subject]]:
    """A server of its own, as the image starts it; its lines go to a file that is gone with it."""
    import tempfile

    import httpx

    from kennel import artifact as artifacts
    from kennel.capacity.load import THREADS
    from kennel.capacity.measured import Subject
    from kennel.serving import server
    from kennel.serving.settings import ServerSettings

    with artifacts.opened(artifact) as opened:
        revision = sha256_of(opened.folder / artifacts.CARD)
    settings = ServerSettings(artifacts.find(artifact), port=server.free_port(PORT))
    address, limits = f"http://127.0.0.1:{settings.port}/invocations", httpx.Limits(max_connections=THREADS)
    with (
        tempfile.TemporaryDirectory() as folder,
        httpx.Client(timeout=70, trust_env=False, limits=limits) as client,
        server.running(settings, Path(folder) / "log") as (_, engine),
    ):
        detail = f"by {engine}, {settings.worker_count} workers"
        subject = Subject(kind="artifact", name=str(artifact), revision=revision, detail=detail)
        yield _http(client, address, body), subject


def _http(client: Any, address: str, body: bytes) -> Ask:
    import httpx

    def ask() -> str:
        try:
            status = client.post(address, content=body, headers={"Content-Type": "image/jpeg"}).status_code
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if status == 200 else str(status)

    return ask


def _of_endpoint(cloud: Cloud, name: str, body: bytes, plan: Plan, yes: bool) -> Measured:
    from kennel.capacity.measured import Subject
    from kennel.cloud import asking

    asked = asking.single(cloud, name)
    _agree(cloud, asked, plan, yes)
    subject = Subject(
        kind="endpoint", name=name, side=cloud.side, revision=asked.revision,
        detail=f"{asked.config}, {asked.instance_type}",
    )  # fmt: skip
    found = _measured(asking.asker(cloud, name, body), subject, plan)
    if not asking.still_single(cloud, name):
        raise ServerError(
            f"{name} was scaled while it was measured, so nobody knows how many answered",
            "Set [scaling] max = 1 for the while: kennel scale apply",
        )
    return found


def _measured(ask: Ask, subject: Subject, plan: Plan) -> Measured:
    """What is known when it ends, by itself or by Ctrl-C."""
    from kennel.capacity import measure as measuring
    from kennel.capacity.measured import Machine
    from kennel.machine import cores, processor

    found = measuring.Found(plan)
    try:
        measuring.run(ask, plan, found, lambda line: err.print(line, highlight=False))
    except Stopped as stopped:
        if stopped.exit_code != 128 + signal.SIGINT or not found.most_per_s:
            raise
        err.print("ended early; what follows is what was measured until then")
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return found.as_file(subject, Machine(cores=cores(), processor=processor()), when)


def _agree(cloud: Cloud, asked: Asked, plan: Plan, yes: bool) -> None:
    """Show what it costs. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices

    if cloud.side == "local":
        return
    hourly = prices.load().hourly(cloud.region, asked.instance_type)
    told = f"at most {plan.most_s:g} s and {plan.most_requests} requests; the endpoint costs"
    err.print(
        f"{told} {prices.usd(hourly)} an hour as it does anyway, and others who ask it will wait", highlight=False
    )
    declined = KennelError("nothing was measured", "Say yes, or measure an artifact here: --artifact OUT")
    agree(yes, "Load it?", declined)


def _body(picture: Path | None) -> bytes:
    if picture is not None:
        if not picture.is_file():
            raise PictureError("unknown", f"no picture at {picture}", "Name a file")
        return picture.read_bytes()
    from kennel.pictures.drawings import BREEDS, draw

    file = io.BytesIO()
    draw(BREEDS[3], 1, (500, 375)).save(file, "JPEG", quality=88)
    return file.getvalue()


def _write(found: Measured, safety: float, to: Path, page: Path) -> None:
    from kennel.capacity import measured
    from kennel.reports import measured as report

    measured.write(found, to)
    write_atomically(page, report.page(found, safety).encode())


def _print(found: Measured, safety: float, to: Path, page: Path) -> None:
    from kennel.reports.measured import ms, sentences

    table = Table(box=None, padding=(0, 1))
    for name in ("a second", "sent", "errors", "p50 ms", "p95", "p99", "p99.9", "backlog", "goal"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("backlog", "goal") else "right")
    for each in found.steps:
        figures = ms(each.p50_ms), ms(each.p95_ms), ms(each.p99_ms), ms(each.p999_ms)
        told = "grows" if each.grows else "stays", "met" if each.meets else "missed"
        table.add_row(f"{each.rate:.1f}", str(each.sent), str(each.errors), *figures, *told)
    out.print(table)
    out.print(sentences(found, safety), highlight=False)
    out.print(f"figures  {to}\nreport   {page}", highlight=False)
