"""`kennel train`: from a data set to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kennel import hyperparameters
from kennel.cli.console import err, out, print_json, progress

EPILOG = """Examples: kennel train --data ~/dogImages --out out · kennel train --data packed --out out --set epochs=30
--set learning_rate=0.003 · torchrun --nproc-per-node 4 -m kennel train --data packed --out out --set trainable=all"""


def train(
    data: Annotated[Path, typer.Option(help="A data set: train/, valid/, test/, or a packed store.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Where artifact, report and checkpoints go.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyperparameter, name=value; repeat for more.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="auto, torchvision, npm, random, or a .safetensors or .pth file.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that read pictures; by default one a core.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Record tensors and metrics, for: kennel debug OUT/output.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Record how busy the machine is, and what steps wait for: OUT/output/profiler."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The metrics, for machines.")] = False,
) -> None:
    """Train a classifier and leave an artifact. Interrupted, the same command goes on where it was.

    Hyperparameters: learning_rate, batch_size, epochs, optimizer, weight_decay, views, trainable, seed.
    """
    parameters = hyperparameters.parse(hyperparameters.from_assignments(settings or []))
    from kennel.training.job import Job
    from kennel.training.run import train as run

    work = progress()
    job = Job.plain(data, out_folder, debug, profile)
    artifact = run(job, parameters, weights, work, workers)
    if artifact is None:
        return
    if as_json:
        print_json(artifact.card.metrics)
        return
    table = Table(show_header=False, box=None)
    for name, value in artifact.card.metrics.items():
        table.add_row(name, f"{value:.4f}")
    out.print(table)
    out.print(f"artifact  {job.model}\nreport    {job.report}")
    if debug:
        err.print(f"what the rules find: kennel debug {job.output}")
    err.print(f"next: kennel serve --artifact {out_folder}")
