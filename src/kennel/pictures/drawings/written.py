"""A picture from a breed and a seed, and a data set of them on disk, which is written once."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from kennel.errors import DataError
from kennel.files import write_atomically
from kennel.pictures.drawings.anatomy import portrait, sit, stand
from kennel.pictures.drawings.breeds import BREEDS, Breed
from kennel.pictures.drawings.pen import Pen
from kennel.pictures.drawings.places import background, develop

MARKER = "drawings.json"
VERSION = 1
"""Counted up when a breed and a seed give other pixels than before."""
SPLITS: Mapping[str, int] = {"train": 40, "valid": 10, "test": 10}
SIZES = ((400, 300), (400, 300), (384, 288), (300, 400), (480, 270), (340, 340))
"""Width and height of a set's pictures, in pixels."""


def draw(breed: Breed, seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """One dog in RGB; the same breed, seed and size (width, height in pixels) give the same pixels."""
    rng = np.random.default_rng(_number(breed.label, seed))
    floor = rng.uniform(0.62, 0.8)
    behind = background(size, floor, rng)
    pen = Pen.over(size, breed, rng)
    pose = (stand, stand, sit, portrait)[rng.integers(4)]
    return develop(behind, pen, pose(pen, floor), rng)


def draw_set(
    folder: Path,
    per_split: Mapping[str, int] = SPLITS,
    seed: int = 0,
    breeds: Sequence[Breed] = BREEDS,
    on_done: Callable[[int], None] = lambda _count: None,
) -> int:
    """A data set `folder/<split>/<label>/<name>_<nnn>.jpg`; returns its number of pictures.

    A set that is there is left alone, one that was interrupted is completed. on_done: told each time one more is done.
    Raises DataError for any other folder.
    """
    total = sum(per_split.values()) * len(breeds)
    wanted = {"version": VERSION, "seed": seed, "per_split": dict(per_split), "labels": [each.label for each in breeds]}
    marker = {**wanted, "digest": _number(wanted, [asdict(each) for each in breeds])}
    if _is_complete(folder, marker):
        return total
    _mark(folder, marker, complete=False)
    pictures = [(split, *each) for split, count in per_split.items() for each in product(breeds, range(count))]
    for split, breed, number in pictures:
        path = folder / split / breed.label / f"{breed.name}_{number + 1:03}.jpg"
        if not path.exists():
            write_atomically(path, _jpeg(breed, _number(seed, split, number)))
        on_done(1)
    _mark(folder, marker, complete=True)
    return total


def _number(*parts: object) -> int:
    """64 bits that depend on all the parts, the same in every process."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()[:8])


def _is_complete(folder: Path, marker: Mapping[str, object]) -> bool:
    """Whether this very set is there. Raises DataError for a folder of anything else."""
    if not folder.exists():
        return False
    try:
        if all(path.name.startswith(f".{MARKER}.") for path in folder.iterdir()):
            return False  # empty, or killed while its marker was first written
        found = json.loads((folder / MARKER).read_text())
        complete = found.pop("complete")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} is not empty and no drawn set", "Name a folder that is empty or new") from error
    if found != marker:
        raise DataError(f"{folder} holds another drawn set", "Delete it or name another folder")
    return bool(complete)


def _mark(folder: Path, marker: Mapping[str, object], complete: bool) -> None:
    write_atomically(folder / MARKER, json.dumps({**marker, "complete": complete}, indent=2).encode())


def _jpeg(breed: Breed, seed: int) -> bytes:
    """A picture of some size and quality."""
    rng = np.random.default_rng(seed)
    size, quality = SIZES[rng.integers(len(SIZES))], int(rng.integers(70, 96))
    file = io.BytesIO()
    draw(breed, seed, size).save(file, "JPEG", quality=quality)
    return file.getvalue()
