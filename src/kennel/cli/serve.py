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


Artifact = Annotated[Path, typer.Option(help="An artifact: what --out of train made, its model/, or a model.tar.gz.")]
Host = Annotated[str, typer.Option(envvar="KENNEL_HOST", help="Where to listen; 0.0.0.0 opens it to the network.")]
Port = Annotated[int, typer.Option(min=1, max=MAX_PORT, envvar="SAGEMAKER_BIND_TO_PORT")]
Workers = Annotated[
    int, typer.Option(min=0, envvar="SAGEMAKER_MODEL_SERVER_WORKERS", help="Worker processes; 0 is one a core.")
]
Threads = Annotated[int, typer.Option(min=1, envvar="KENNEL_THREADS", help="Threads a worker's engine uses.")]
EngineName = Annotated[str, typer.Option(envvar="KENNEL_ENGINE", help="auto, int8, float32 or torch.")]


def serve(
    artifact: Artifact,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 0,
    threads: Threads = 1,
    engine: EngineName = "auto",
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
