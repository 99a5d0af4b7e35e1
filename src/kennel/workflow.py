"""The whole story, one call a step: data, training, a server, a photograph's prediction."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from kennel.artifact import Card
from kennel.errors import DataError, PictureError, ServerError
from kennel.hyperparameters import Hyperparameters
from kennel.pictures import dataset
from kennel.pictures.drawings import BREEDS, SPLITS, draw_set
from kennel.progress import Progress
from kennel.serving.answer import MAX_BODY
from kennel.serving.client import ask
from kennel.serving.server import running
from kennel.serving.settings import ServerSettings
from kennel.training.job import Job
from kennel.training.run import train

ADDRESS = "http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A picture that training has not seen, as a file, and its right label."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Story:
    """What the demo did. seconds: step → seconds; answer: the server's, for `photo`; log: the server's lines."""

    data: Path
    drawn: bool
    job: Job
    card: Card
    engine: str
    photo: HeldBack
    answer: dict[str, Any]
    seconds: dict[str, float]
    log: Path


def demo(data: Path | None, out: Path, port: int, progress: Progress) -> Story:
    """Data → artifact → a server → one held-back photograph's prediction. data: None draws a small set first."""
    source = data or _drawn(out / "drawings", progress)
    job, log = Job.plain(source, out), out / "output/demo.log"
    artifact = train(job, Hyperparameters(), progress=progress)
    if artifact is None:
        raise ServerError("the demo is for one process", "Run it without torchrun")
    photo = _held_back(source, out)
    settings = replace(ServerSettings.from_environment({}), artifact=job.model, port=port)
    with ExitStack() as stack:
        with progress.step("start the server"):
            _, engine = stack.enter_context(running(settings, log))
        with progress.step("ask for a prediction"):
            answer = ask(ADDRESS.format(port=port), photo.path)
    return Story(source, data is None, job, artifact.card, engine, photo, answer, progress.seconds, log)


def _drawn(folder: Path, progress: Progress) -> Path:
    with progress.step("draw dogs", len(BREEDS) * sum(SPLITS.values())) as advance:
        draw_set(folder, on_done=advance)
    return folder


def _held_back(source: Path, out: Path) -> HeldBack:
    """A sound test picture from the middle of the split on; one of a packed store is written out, to be sent."""
    pictures = dataset.load(source).splits["test"]
    middle = len(pictures) // 2
    for picture in (*pictures[middle:], *pictures[:middle]):
        with suppress(PictureError):
            pixels = picture.read()
            if picture.path is None:
                Image.fromarray(pixels).save(out / "photo.png")
                return HeldBack(out / "photo.png", picture.label)
            if picture.path.stat().st_size <= MAX_BODY:
                return HeldBack(picture.path, picture.label)
    raise DataError(f"{source}/test has no picture that can be sent", "Run: kennel data check")
