"""`kennel serve`: the real serving stack on this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kennel.cli.console import err
from kennel.serving.settings import MAX_PORT

EPILOG = "Examples: kennel serve --artifact out · kennel serve --artifact model.tar.gz --port 9000 --engine float32"


def serve(
    artifact: Annotated[
        Path, typer.Option(help="An artifact: what --out of train made, its model/, or a model.tar.gz.")
    ],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=MAX_PORT)] = 8080,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0 is one a core.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads a worker's engine uses.")] = 1,
    engine: Annotated[str, typer.Option(help="auto, int8, float32 or torch.")] = "auto",
) -> None:
    """Serve an artifact with multi-model-server, as the image does: POST /invocations, GET /ping. Ctrl-C ends it.

    The artifact is proven first: its own proof pictures must get the scores on record.
    """
    from kennel.serving.server import serve as run
    from kennel.serving.settings import ServerSettings

    settings = replace(
        ServerSettings.from_environment(os.environ | {"KENNEL_ARTIFACT": str(artifact)}),
        host=host, port=port, workers=workers, threads=threads, engine=engine,
    )  # fmt: skip

    def ready(name: str) -> None:
        address = f"http://{host}:{port}"
        err.print(f"serving on {address} by {name}, {settings.worker_count} workers; Ctrl-C ends it", highlight=False)
        err.print(f"try: kennel predict photo.jpg --url {address}", highlight=False)

    raise typer.Exit(run(settings, ready))
