"""The story's data: photographs, or drawings where none are named; packed; one test picture held back to ask about."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from kennel.errors import DataError, PictureError
from kennel.machine import cores
from kennel.pictures import store
from kennel.pictures.dataset import DataSet
from kennel.pictures.drawings import BREEDS, SPLITS, draw_set
from kennel.progress import Progress

MAX_BODY = 5 * 10**6
"""An endpoint takes 6 MB."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A picture that training has not seen, as a file, and its right label."""

    path: Path
    label: str


def drawn(folder: Path, progress: Progress) -> Path:
    """A small set of drawings in `folder`, made once."""
    with progress.step("draw dogs", len(BREEDS) * sum(SPLITS.values())) as advance:
        draw_set(folder, on_done=advance)
    return folder


def packed(data: DataSet, folder: Path, progress: Progress) -> Path:
    """The data set as packed stores, a folder a split: what becomes the channels. Only what is missing is done."""
    with progress.step("pack pictures", len(data)) as advance:
        for split, pictures in data.splits.items():
            store.pack(pictures, folder / split, cores(), advance)
    return folder


def held_back(data: DataSet, out: Path) -> HeldBack:
    """A sound test picture from the middle of the split on; one of a packed store is written out, to be sent."""
    pictures = data.splits["test"]
    middle = len(pictures) // 2
    for picture in (*pictures[middle:], *pictures[:middle]):
        with suppress(PictureError):
            pixels = picture.read()
            if picture.path is None:
                out.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(out / "photo.png")
                return HeldBack(out / "photo.png", picture.label)
            if picture.path.stat().st_size <= MAX_BODY:
                return HeldBack(picture.path, picture.label)
    raise DataError(f"{data.root}/test has no picture that can be sent", "Run: kennel data check")
