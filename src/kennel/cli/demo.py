"""`kennel demo`: what `make demo` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table

from kennel.cli.console import err, out, progress
from kennel.cli.predict import print_chart
from kennel.serving.settings import MAX_PORT

EPILOG = "Examples: kennel demo · KENNEL_DATA=~/dogImages kennel demo · kennel demo --data ~/dogImages --out my-demo"


def demo(
    data: Annotated[
        Path | None, typer.Option(envvar="KENNEL_DATA", help="A data set; without it, dogs are drawn.")
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path("demo"),
    port: Annotated[int, typer.Option(min=0, max=MAX_PORT, help="The server's port; 0 takes a free one.")] = 0,
) -> None:
    """From photographs to an answered request, on this machine: train, serve, ask, and tell how it went."""
    from kennel.serving.server import free_port
    from kennel.workflow import demo as run

    if data is None and Path("dogImages/train").is_dir():
        data = Path("dogImages")
    if data is None:
        err.print("No data set named, so this uses a small set of drawings: eight breeds, no photographs.")
        err.print("For the real one: kennel data fetch && KENNEL_DATA=dogImages make demo")
    story = run(data.expanduser() if data else None, out_folder, port or free_port(), progress(say_lines=False))
    steps = Table(show_header=False, box=None)
    for step, seconds in story.seconds.items():
        steps.add_row(step, f"{seconds:7.1f} s")
    steps.add_row("in all", f"{sum(story.seconds.values()):7.1f} s", style="bold")
    out.print(Panel(steps, title="time", title_align="left", expand=False))
    print_chart(story.answer["predictions"])
    out.print(f"the photograph is {story.photo.label}: {story.photo.path}")
    card = story.card
    what = "drawings" if story.drawn else "photographs"
    out.print(
        f"test accuracy {card.metrics['test:accuracy'] * 100:.1f} % on {card.evaluation.pictures} {what} "
        f"({len(card.labels)} labels); served by {story.engine}: "
        f"{card.engines.get(story.engine, card.engines['float32']).accuracy * 100:.1f} %",
        highlight=False,
    )
    for name, path in (
        ("artifact", story.job.model), ("report", story.job.report), ("log", story.log), ("data", story.data)
    ):  # fmt: skip
        out.print(f"{name:<9} {path}")
    err.print(f"next: .venv/bin/kennel serve --artifact {out_folder}")
