"""What is in a folder of pictures, and what is wrong with it. Reads everything, changes nothing.

Near-duplicates are found by imagehash's `phash` (64 bits: the signs of a picture's low frequencies); two pictures
whose hashes differ in at most `NEAR` bits are told as near-duplicates. That is a hint to look at, not a proof.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kennel.errors import PictureError
from kennel.machine import cores, threads
from kennel.pictures import decode
from kennel.pictures.dataset import picture_files, split_folders
from kennel.pictures.decode import Pixels

NEAR = 4
"""Bits of 64 that may differ between near-duplicates."""
SMALL_SIDE = 224
"""Pictures with a shorter side below this are enlarged before the network sees them."""
THUMBNAIL_SIDE = 96


@dataclass(frozen=True, slots=True)
class Finding:
    """One picture. problem: "" or the kind of PictureError; turned: its EXIF orientation is not upright."""

    split: str
    label: str
    path: str
    digest: str
    problem: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    turned: bool = False
    hash: int = 0
    thumbnail: bytes = b""
    """A small JPEG, for the contact sheet."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures in different splits that are the same (bits = 0, exact) or nearly so."""

    first: str
    second: str
    bits: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Census:
    """Everything `data check` tells. Paths are relative to root."""

    root: Path
    splits: tuple[str, ...]
    """Those that have a folder, with pictures in it or not."""
    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...]

    @property
    def labels(self) -> list[str]:
        return sorted({each.label for each in self.findings})

    @property
    def counts(self) -> dict[str, Counter[str]]:
        """split → label → usable pictures."""
        counts: dict[str, Counter[str]] = {split: Counter() for split in self.splits}
        for each in self.findings:
            counts[each.split][each.label] += not each.problem
        return counts

    @property
    def missing(self) -> dict[str, list[str]]:
        """split → labels that other splits have and this one has no usable picture of."""
        found = {split: [label for label in self.labels if not count[label]] for split, count in self.counts.items()}
        return {split: labels for split, labels in found.items() if labels}

    @property
    def problems(self) -> list[Finding]:
        return [each for each in self.findings if each.problem]

    @property
    def modes(self) -> Counter[str]:
        return Counter(each.mode for each in self.findings if not each.problem)

    @property
    def turned(self) -> list[Finding]:
        return [each for each in self.findings if each.turned]

    @property
    def small(self) -> list[Finding]:
        """Pictures with a side below 224, smallest first."""
        small = [each for each in self.findings if not each.problem and min(each.width, each.height) < SMALL_SIDE]
        return sorted(small, key=lambda each: min(each.width, each.height))

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "root": str(self.root),
            "pictures": {split: dict(sorted(count.items())) for split, count in self.counts.items()},
            "missing_labels": self.missing,
            "unusable": [{"path": each.path, "problem": each.problem} for each in self.problems],
            "duplicates_across_splits": [asdict(pair) for pair in self.pairs],
            "modes": dict(self.modes),
            "turned_by_exif": [each.path for each in self.turned],
            "smaller_than_224": [
                {"path": each.path, "width": each.width, "height": each.height} for each in self.small
            ],
        }


def take(root: Path, on_done: Callable[[int], None] = lambda count: None) -> Census:
    """Read every picture under `root`. on_done: told each time one more is done. Raises DataError if no data set."""
    folders = split_folders(root)
    files = [(split, label, path) for split, folder in folders.items() for label, path in picture_files(folder)]
    with threads(cores()) as pool:
        findings = []
        for finding in pool.map(lambda each: examine(each[0], each[1], each[2], root), files):
            findings.append(finding)
            on_done(1)
    return Census(root, tuple(folders), tuple(findings), tuple(duplicates(findings)))


def examine(split: str, label: str, path: Path, root: Path) -> Finding:
    """One picture's finding; a picture that cannot be used is a finding too."""
    name = str(path.relative_to(root))
    try:
        content = path.read_bytes()
    except OSError:
        return Finding(split, label, name, "", problem="unreadable")
    digest = hashlib.sha256(content).hexdigest()
    try:
        picture = decode.open_picture(content)
        shrunk = decode.shrink(content)
    except PictureError as error:
        return Finding(split, label, name, digest, problem=error.kind)
    width, height = picture.size
    return Finding(
        split,
        label,
        name,
        digest,
        mode=picture.mode,
        width=width,
        height=height,
        turned=decode.orientation(picture) != 1,
        hash=_hash(shrunk),
        thumbnail=thumbnail(shrunk),
    )


def duplicates(findings: Iterable[Finding]) -> list[Pair]:
    """Pairs across splits: same content first, then near ones, nearest first."""
    usable = [each for each in findings if not each.problem]
    exact = [Pair(a.path, b.path, 0, True) for a, b in _same(usable)]
    known = {(pair.first, pair.second) for pair in exact}
    near = [pair for pair in _near(usable) if (pair.first, pair.second) not in known]
    return exact + sorted(near, key=lambda pair: pair.bits)


def thumbnail(pixels: Pixels, side: int = THUMBNAIL_SIDE) -> bytes:
    """A small square JPEG of a shrunk picture's centre."""
    file = io.BytesIO()
    Image.fromarray(decode.centre(pixels)).resize((side, side), Image.Resampling.LANCZOS).save(file, "JPEG", quality=80)
    return file.getvalue()


def _hash(shrunk: Pixels) -> int:
    import imagehash

    bits = imagehash.phash(Image.fromarray(shrunk)).hash.reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _same(findings: Sequence[Finding]) -> Iterable[tuple[Finding, Finding]]:
    first: dict[str, list[Finding]] = {}
    for each in findings:
        for other in first.get(each.digest, []):
            if other.split != each.split:
                yield other, each
        first.setdefault(each.digest, []).append(each)


def _near(findings: Sequence[Finding]) -> Iterable[Pair]:
    """All pairs of splits, one row of hashes against a whole split at a time (11 million pairs take about 0.1 s)."""
    splits: dict[str, list[Finding]] = {}
    for each in findings:
        splits.setdefault(each.split, []).append(each)
    names = list(splits)
    for place, here in enumerate(names):
        for there in names[place + 1 :]:
            yield from _near_between(splits[here], splits[there])


def _near_between(here: Sequence[Finding], there: Sequence[Finding]) -> Iterable[Pair]:
    hashes = np.array([each.hash for each in there], np.uint64)
    for one in here:
        bits = np.bitwise_count(hashes ^ np.uint64(one.hash))
        for column in np.flatnonzero(bits <= NEAR):
            yield Pair(one.path, there[column].path, int(bits[column]), False)
