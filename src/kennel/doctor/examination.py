"""All checks of one image, in order; which of them apply is seen from the programs it has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kennel.containers import Engine
from kennel.doctor import Check, Checks, facts, serving, training


def examine(reference: str, artifact: Path | None = None, weights: Path | None = None) -> Checks:
    """Check an image or a URI. artifact: a folder to serve; weights: a file for the channel `weights`.

    Yields each check as it is done. Raises EngineError when there is no engine or no such image.
    """
    engine = Engine()
    image = engine.image(reference)
    yield from facts.check(image)
    trains, serves = engine.finds(reference, "train"), engine.finds(reference, "serve")
    found = [name for name, there in (("train", trains), ("serve", serves)) if there]
    remedy = "Put an executable `train` or `serve` on the image's PATH"
    yield Check("program", "pass", ", ".join(found)) if found else Check("program", "fail", "none", remedy)
    with tempfile.TemporaryDirectory(prefix="kennel-doctor-") as folder:
        if trains:
            yield from training.check(engine, reference, Path(folder) / "train", weights)
        if serves:
            yield from serving.check(engine, reference, artifact, Path(folder) / "serve")
