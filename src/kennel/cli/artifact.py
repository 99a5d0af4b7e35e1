"""`kennel artifact …`: look into an artifact, prove it, pack it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kennel.cli.console import err, out, print_json
from kennel.errors import ArtifactError

app = typer.Typer(help="Artifacts: show the card, prove it, pack model.tar.gz.", no_args_is_help=True)

WORST = 5
"""Labels shown with their accuracy; the report has all."""
Where = Annotated[Path, typer.Argument(help="What --out of train made, its model/, or a model.tar.gz.")]


@app.command(epilog="Examples: kennel artifact show out · kennel artifact show model.tar.gz --json | jq .metrics")
def show(
    path: Where,
    as_json: Annotated[bool, typer.Option("--json", help="The card as it is.")] = False,
) -> None:
    """Print the card: labels, metrics, engines, hyperparameters, provenance. The files are checked on the way."""
    from kennel import artifact as artifacts
    from kennel.pictures.dataset import breed
    from kennel.reports.training import by_label

    with artifacts.opened(path) as found:
        card = found.card
    if as_json:
        print_json(card.model_dump())
        return
    table = Table(show_header=False, box=None)
    table.add_row("labels", f"{len(card.labels)}: {card.labels[0]} … {card.labels[-1]}")
    for name, value in card.metrics.items():
        table.add_row(name, f"{value:.4f}")
    for name, engine in card.engines.items():
        default = "  (serves by default on a CPU)" if name == card.default_engine else ""
        table.add_row(f"engine {name}", f"{engine.accuracy:.4f} on test, {engine.lost_points:.2f} points lost{default}")
    for each in by_label(card)[:WORST]:
        table.add_row(f"worst: {breed(each.label)}", f"{each.right} of {each.pictures} right")
    for name, text in (card.hyperparameters | card.provenance).items():
        table.add_row(name, str(text))
    out.print(table)


@app.command(epilog="Example: kennel artifact prove out --engine float32")
def prove(
    path: Where,
    engine: Annotated[str, typer.Option(help="auto, int8, float32 or torch.")] = "auto",
) -> None:
    """Run the proof pictures: does the artifact answer on this machine as it did where it was made?"""
    from kennel import artifact as artifacts
    from kennel.serving.choice import proven

    with artifacts.opened(path) as found:
        classifier = proven(found, engine)
    out.print(f"proven by engine {classifier.engine.name}")


@app.command(epilog="Example: kennel artifact pack out model.tar.gz")
def pack(path: Where, archive: Annotated[Path, typer.Argument(help="The model.tar.gz to write.")]) -> None:
    """Pack an artifact as SageMaker wants it; the same artifact gives the same bytes."""
    from kennel import artifact as artifacts

    folder = artifacts.find(path)
    if not folder.is_dir():
        raise ArtifactError(f"{path} is packed already", "Use it as it is")
    artifacts.load(folder)
    artifacts.pack(folder, archive)
    err.print(f"{archive.stat().st_size / 1e6:.0f} MB")
    out.print(str(archive))
