"""The features that one job leaves and others read as a channel: the cache's layout, and a description beside it.

What is in there is found by content (weights, engine, picture, view), so nothing of another data set can be taken by
mistake; the description tells whom it was made for, and what the quantised backbone's files must be.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kennel.files import sha256_of, write_atomically
from kennel.pictures.decode import PREPROCESSING

log = logging.getLogger(__name__)

ABOUT, FEATURES, INT8 = "features.json", "features", "int8"
"""What is in a channel; the cache has the same two folders."""


class About(BaseModel):
    """What the features are of. weights, data: digests; engine: name and library; pictures: split → readable ones.

    files: the quantised backbone's, name → sha256. Shards of features are named by their content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    weights: str
    engine: str
    preprocessing: str = PREPROCESSING
    data: str
    views: int
    pictures: dict[str, int] = {}
    files: dict[str, str] = {}


def leave(folder: Path, shards: Sequence[Path], int8: Sequence[Path], about: About) -> None:
    """Make `folder` such a channel, the description last. shards: of features; int8: the quantised backbone's files."""
    for path in shards:
        _place(path, folder / FEATURES / path.parent.name / path.name)
    for path in int8:
        _place(path, folder / INT8 / path.name)
    signed = about.model_copy(update={"files": {path.name: sha256_of(path) for path in int8}})
    write_atomically(folder / ABOUT, (signed.model_dump_json(indent=1) + "\n").encode())


def describe(folder: Path) -> About | None:
    """The description; None where there is none that can be read."""
    try:
        return About.model_validate_json((folder / ABOUT).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(folder: Path, files: Sequence[Path]) -> bool:
    """Whether these files of the quantised backbone are there, and what the description in `folder` says."""
    about = describe(folder)
    try:
        return about is not None and all(sha256_of(path) == about.files.get(path.name) for path in files)
    except OSError:
        return False


def tell_difference(folder: Path, wanted: About) -> None:
    """One line where the channel is not made for this training, or not for all of it."""
    about = describe(folder)
    if about is None:
        log.warning("the channel of features has no %s that can be read; what is missing is computed here", ABOUT)
        return
    names = ("weights", "engine", "preprocessing", "data")
    other = [name for name in names if getattr(about, name) != getattr(wanted, name)]
    other += ["views"] if about.views < wanted.views else []
    if other:
        log.info("the channel of features is of other %s; what is missing is computed here", ", ".join(other))


def _place(source: Path, target: Path) -> None:
    """A link where both lie on one disk (nothing here is ever changed in place), else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        write_atomically(target, source.read_bytes())
