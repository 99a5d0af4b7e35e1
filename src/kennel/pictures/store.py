"""The packed store: a split's pictures, decoded and shrunk once, as uint8 arrays in safetensors shards.

One folder a split: `index.json` and `<name>.safetensors`, a shard's name being the digest of what belongs into it.
So packing again does only what is missing (after a crash, or when pictures were added), and a shard on disk is
either whole and right or not there. Reading maps the file; nothing is parsed or decoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kennel.errors import DataError, PictureError
from kennel.files import sha256_of, write_atomically
from kennel.machine import threads
from kennel.pictures.decode import PREPROCESSING, SIDE, Pixels

if TYPE_CHECKING:
    from kennel.pictures.dataset import Picture

INDEX = "index.json"
PER_SHARD = 256
"""Pictures in a shard: about 60 MB, large enough to stream, small enough to redo."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A packed picture: where it is and what it was."""

    key: str
    label: str
    name: str
    shard: str


def is_store(folder: Path) -> bool:
    """Whether `folder` holds a finished store."""
    return (folder / INDEX).is_file()


class Store:
    """A split's store, opened. Raises DataError when its index cannot be trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index, self.entries = _read_index(folder)
        self.left_out: list[dict[str, str]] = self._index["left_out"]
        self._open: dict[str, Any] = {}

    def read(self, entry: Entry) -> Pixels:
        """uint8 [h, w, 3], the shorter side 256."""
        try:
            if entry.shard not in self._open:
                self._open[entry.shard] = safe_open(self._path(entry.shard), framework="numpy")
            pixels: Pixels = self._open[entry.shard].get_tensor(entry.key)
        except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type that numpy has not
            raise PictureError("truncated", f"shard {entry.shard} cannot be read", "Run data pack again") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or min(pixels.shape[:2]) < SIDE or pixels.shape[2] != 3:
            raise PictureError("unknown", f"shard {entry.shard} does not hold pictures", "Run data pack again")
        return pixels

    def verify(self) -> None:
        """Hold every shard against the digest in the index. Raises DataError naming the first that differs."""
        for name, digest in self._index["shards"].items():
            path = self._path(name)
            if not path.is_file() or sha256_of(path) != digest:
                raise DataError(f"shard {path.name} of {self.folder} is missing or damaged", "Run data pack again")

    def _path(self, shard: str) -> Path:
        return self.folder / f"{shard}.safetensors"


def pack(
    pictures: Sequence[Picture], folder: Path, workers: int, on_done: Callable[[int], None] = lambda count: None
) -> Store:
    """Write the store of one split. on_done: told how many pictures each finished shard had.

    A picture that cannot be read is left out and named in the index. A shard that is no longer what an earlier index
    says is made again.
    """
    known = _known_digests(folder)
    shards, kept, left_out = {}, [], []
    with threads(workers) as pool:
        for group in _groups(pictures):
            name = _shard_name(group)
            path = folder / f"{name}.safetensors"
            found = _packed_keys(path, known.get(name))
            if found is None:
                found = _write_shard(path, group, pool)
            kept += [asdict(Entry(each.key, each.label, each.name, name)) for each in group if each.key in found]
            left_out += [{"name": each.name, "label": each.label} for each in group if each.key not in found]
            if found:
                shards[name] = sha256_of(path)
            on_done(len(group))
    index = {"version": 1, "preprocessing": PREPROCESSING, "shards": shards, "pictures": kept, "left_out": left_out}
    _write_if_new(folder / INDEX, json.dumps(index, indent=1).encode())
    _remove_strangers(folder, set(shards))
    return Store(folder)


def _groups(pictures: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(pictures), PER_SHARD):
        yield pictures[start : start + PER_SHARD]


def _shard_name(group: Sequence[Picture]) -> str:
    text = "\n".join([PREPROCESSING, *(each.key for each in group)])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _known_digests(folder: Path) -> dict[str, str]:
    """shard → sha256, by the index of an earlier run; empty when there is none that can be trusted."""
    try:
        digests: dict[str, str] = _read_index(folder)[0]["shards"]
    except DataError:
        return {}
    return digests


def _packed_keys(path: Path, digest: str | None) -> set[str] | None:
    """The keys in a shard that an earlier run finished; None when there is none, or it is damaged."""
    try:
        if digest and sha256_of(path) != digest:
            return None
        with safe_open(path, framework="numpy") as file:
            return set(file.keys())
    except (OSError, SafetensorError):
        return None


def _write_shard(path: Path, group: Sequence[Picture], pool: ThreadPoolExecutor) -> set[str]:
    arrays = dict(zip((each.key for each in group), pool.map(_read, group), strict=True))
    whole = {key: pixels for key, pixels in arrays.items() if pixels is not None}
    if whole:
        write_atomically(path, save(whole))
    return set(whole)


def _read(picture: Picture) -> Pixels | None:
    try:
        return picture.read()
    except PictureError:
        return None


def _write_if_new(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def _remove_strangers(folder: Path, shards: set[str]) -> None:
    """Shards of pictures that are gone, and what a killed run was writing."""
    for path in folder.glob("*.safetensors"):
        if path.stem not in shards:
            path.unlink()
    for unfinished in (".*.safetensors.*", f".{INDEX}.*"):
        for path in folder.glob(unfinished):
            path.unlink()


def _read_index(folder: Path) -> tuple[dict[str, Any], tuple[Entry, ...]]:
    try:
        index = json.loads((folder / INDEX).read_text())
        if index["version"] != 1 or index["preprocessing"] != PREPROCESSING:
            raise DataError(f"{folder} was packed by another version of kennel", "Run data pack again")
        entries = tuple(Entry(**each) for each in index["pictures"])
        left_out = [(each["name"], each["label"]) for each in index["left_out"]]
        shards = [*index["shards"], *(each.shard for each in entries)]
        texts = [*index["shards"].values(), *(text for pair in left_out for text in pair)]
        texts += [text for each in entries for text in (each.key, each.label, each.name, each.shard)]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("the index holds something that is no text")
        if any("/" in name for name in shards):
            raise DataError(f"{folder}/{INDEX} points out of its folder", "Pack the pictures yourself")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}/{INDEX} cannot be read", "Run data pack again") from error
    return index, entries
