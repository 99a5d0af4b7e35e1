"""The whole story, one call a step: data, training, a server, a photograph's prediction."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from kennel.artifact import Card
from kennel.errors import ServerError
from kennel.hyperparameters import Hyperparameters
from kennel.pictures import dataset
from kennel.pictures.dataset import Picture
from kennel.pictures.drawings import BREEDS, SPLITS, draw_set
from kennel.progress import Progress
from kennel.serving.server import running
from kennel.serving.settings import ServerSettings
from kennel.training.job import Job
from kennel.training.run import train

ADDRESS = "http://127.0.0.1:{port}/invocations"


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A picture that training has not seen, as a file, and its right label."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Story:
    """What the demo did. seconds: step → seconds; answer: the server's, for `photo`; log: every line of it all."""

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
            answer = _ask(port, photo.path)
    return Story(source, data is None, job, artifact.card, engine, photo, answer, progress.seconds, log)


def _drawn(folder: Path, progress: Progress) -> Path:
    with progress.step("draw dogs", len(BREEDS) * sum(SPLITS.values())) as advance:
        draw_set(folder, on_done=advance)
    return folder


def _held_back(source: Path, out: Path) -> HeldBack:
    """A test picture from the middle of the split; one of a packed store is written out, to be sent."""
    pictures = dataset.load(source).splits["test"]
    picture = pictures[len(pictures) // 2]
    return HeldBack(picture.path or _written(picture, out / "photo.png"), picture.label)


def _written(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture.read()).save(path)
    return path


def _ask(port: int, photo: Path) -> dict[str, Any]:
    response = httpx.post(
        ADDRESS.format(port=port),
        content=photo.read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
        timeout=60,
    )
    if response.status_code != 200:
        raise ServerError(f"the server answered {response.status_code}: {response.text[:200]}", "See its log")
    answer: dict[str, Any] = response.json()
    return answer
