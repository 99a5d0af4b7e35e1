"""Pictures → features, computed once per (weights, engine, preprocessing, picture, view) and kept.

The cache is a folder of safetensors shards per (weights, engine, preprocessing); each holds rows for (picture, view).
A shard is written atomically when its pictures are done, so a process that is killed loses at most one shard's work.
An earlier job's cache may be given beside it: that one is only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kennel.engines import Engine, Features, Pictures
from kennel.errors import DataError, PictureError
from kennel.files import write_atomically
from kennel.machine import threads
from kennel.pictures.dataset import Picture
from kennel.pictures.decode import PREPROCESSING, Pixels
from kennel.pictures.views import view
from kennel.weights import FEATURES

PER_SHARD = 128
"""Pictures in a shard: a few seconds of work on two cores."""

Row = tuple[str, int]
"""A picture's key and the number of a view."""
Wanted = tuple[Picture, list[int]]
"""A picture and the numbers of its views that are still to be computed."""


@dataclass(frozen=True, slots=True)
class SplitFeatures:
    """features: float32 [n, views, 2048]; pictures: the n that could be read; left_out: those that could not."""

    features: Features
    pictures: tuple[Picture, ...]
    left_out: tuple[Picture, ...]


class FeatureCache:
    """Rows on disk, under `folder`, for one engine with one set of weights; given: such a folder to read from as well.

    Reading from `given` never changes it: it may be a mount that cannot be written to.
    """

    def __init__(self, folder: Path, weights_digest: str, engine_name: str, given: Path | None = None) -> None:
        name = f"{weights_digest[:16]}-{engine_name}-{PREPROCESSING}"
        self.folder, self._given = folder / name, given / name if given else None

    def missing(self, pictures: Sequence[Picture], views: int) -> list[Wanted]:
        """Pictures with the numbers of their views that are not kept yet; each content once."""
        kept = {row for rows, _ in self._shards() for row in rows}
        unique = {picture.key: picture for picture in pictures}.values()
        wanted = ((picture, [v for v in range(views) if (picture.key, v) not in kept]) for picture in unique)
        return [(picture, numbers) for picture, numbers in wanted if numbers]

    def add(self, rows: Sequence[Row], features: Features) -> None:
        """Keep features [n, 2048] of n rows."""
        keys = np.array([list(bytes.fromhex(key)) for key, _ in rows], np.uint8)
        views = np.array([number for _, number in rows], np.uint8)
        content = save({"keys": keys, "views": views, "features": np.ascontiguousarray(features)})
        write_atomically(self.folder / f"{hashlib.sha256(content).hexdigest()[:24]}.safetensors", content)

    def collect(self, pictures: Sequence[Picture], views: int) -> SplitFeatures:
        """Everything that is kept of `pictures`; those with a view missing are left out."""
        places: dict[Row, list[int]] = {}
        for place, picture in enumerate(pictures):
            for number in range(views):
                places.setdefault((picture.key, number), []).append(place)
        found = np.empty((len(pictures), views, FEATURES), np.float32)
        seen = np.zeros((len(pictures), views), bool)
        for rows, read in self._shards():
            wanted = [(number, place, row[1]) for number, row in enumerate(rows) for place in places.get(row, ())]
            if wanted:
                source, target, view_number = (np.array(each) for each in zip(*wanted, strict=True))
                found[target, view_number] = read()[source]
                seen[target, view_number] = True
        whole = np.flatnonzero(seen.all(axis=1))
        kept = tuple(pictures[place] for place in whole)
        left_out = tuple(pictures[place] for place in np.flatnonzero(~seen.all(axis=1)))
        return SplitFeatures(found if not left_out else found[whole], kept, left_out)

    def shards(self) -> list[Path]:
        """Their files."""
        folders = [each for each in (self._given, self.folder) if each]
        return [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]

    def _shards(self) -> Iterator[tuple[list[Row], Callable[[], Features]]]:
        """Each shard's rows, and a way to read its features."""
        for path in self.shards():
            try:
                with safe_open(path, framework="numpy") as file:
                    rows = _rows(file.get_tensor("keys"), file.get_tensor("views"))
                    yield rows, partial(file.get_tensor, "features")
            except SafetensorError:
                if path.parent == self.folder:
                    path.unlink(missing_ok=True)  # damaged: computed again
            except OSError:
                continue  # another training found it damaged, or it cannot be read


def compute(
    pictures: Sequence[Picture],
    views: int,
    engine: Engine,
    cache: FeatureCache,
    workers: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> None:
    """Compute and keep what is missing. workers: threads that read and decode; on_done: told of pictures finished."""
    missing = cache.missing(pictures, views)
    on_done(len(pictures) - len(missing))
    groups = [missing[start : start + PER_SHARD] for start in range(0, len(missing), PER_SHARD)]
    with threads(workers) as pool:
        reading: list[Future[Pictures | None]] = []
        for place, group in enumerate(groups):
            read = [each.result() for each in reading or _start(pool, group)]
            reading = _start(pool, groups[place + 1]) if place + 1 < len(groups) else []  # while the engine works
            _keep(group, read, engine, cache)
            on_done(len(group))


def read_crops(pictures: Sequence[Picture], workers: int) -> tuple[list[Picture], Pictures]:
    """The pictures that can be read, and their centre crops: uint8 [n, 224, 224, 3]. Raises DataError for none."""
    with threads(workers) as pool:
        read = list(pool.map(lambda picture: _read_views(picture, [0]), pictures))
    kept = [picture for picture, crop in zip(pictures, read, strict=True) if crop is not None]
    if not kept:
        raise DataError(f"none of {len(pictures)} pictures can be read", "Run: kennel data check")
    return kept, np.concatenate([crop for crop in read if crop is not None])


def _start(pool: ThreadPoolExecutor, group: Sequence[Wanted]) -> list[Future[Pictures | None]]:
    return [pool.submit(_read_views, picture, numbers) for picture, numbers in group]


def _keep(group: Sequence[Wanted], read: Sequence[Pictures | None], engine: Engine, cache: FeatureCache) -> None:
    got = [
        (picture, numbers, arrays) for (picture, numbers), arrays in zip(group, read, strict=True) if arrays is not None
    ]
    if got:
        rows = [(picture.key, number) for picture, numbers, _ in got for number in numbers]
        cache.add(rows, engine.features(np.concatenate([arrays for _, _, arrays in got])))


def _read_views(picture: Picture, numbers: Sequence[int]) -> Pictures | None:
    try:
        shrunk: Pixels = picture.read()
    except PictureError:
        return None
    return np.stack([view(shrunk, number) for number in numbers])


def _rows(keys: Pictures, views: Pictures) -> list[Row]:
    return [(key.tobytes().hex(), int(number)) for key, number in zip(keys, views, strict=True)]
