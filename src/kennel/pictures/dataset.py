"""A data set on disk: three splits, each a folder of label folders or a packed store; read without decoding.

Layout: `train/`, `valid/`, `test/` (also `training`, `val`, `validation`, `testing`), each holding `016.Beagle/*.jpg`
and so on. The channels of a training job (`/opt/ml/input/data/<channel>`) have the same layout.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kennel.errors import DataError, PictureError
from kennel.files import sha256_of
from kennel.machine import cores, threads
from kennel.pictures import decode, store
from kennel.pictures.decode import Pixels

SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
EXPECTED = "Expected train/, valid/ and test/, each with one folder of pictures per label (train/016.Beagle/1.jpg)"


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture. `read` gives its shrunk pixels (see `decode.shrink`) or raises PictureError."""

    name: str
    label: str
    key: str = field(repr=False)
    """sha256 of the source file."""
    read: Callable[[], Pixels] = field(repr=False, compare=False)
    path: Path | None = None
    """The source file; None for a packed picture."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """labels: sorted, train's. splits: "train", "valid", "test" → pictures, sorted by label and name."""

    root: Path
    labels: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]

    @property
    def digest(self) -> str:
        """sha256 over every picture's split, label and content."""
        rows = [f"{split} {each.label} {each.key}" for split, pictures in self.splits.items() for each in pictures]
        return hashlib.sha256("\n".join(sorted(rows)).encode(errors="surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return sum(len(pictures) for pictures in self.splits.values())


def load(root: Path) -> DataSet:
    """The data set at `root`: folders or packed stores, told apart by themselves. Raises DataError."""
    folders = split_folders(root)
    missing = [split for split in SPLITS if split not in folders]
    if missing:
        raise DataError(f"{root} has no {missing[0]}/ folder", EXPECTED)
    splits = {split: _read_split(folder) for split, folder in folders.items()}
    labels = tuple(sorted({picture.label for picture in splits["train"]}))
    if len(labels) < 2:
        raise DataError(f"{root}/train has {len(labels)} label with pictures, a classifier needs two", EXPECTED)
    known = set(labels)
    for split, pictures in splits.items():
        splits[split] = tuple(picture for picture in pictures if picture.label in known)
        if not splits[split]:
            raise DataError(f"{root} has no pictures of train's labels in {split}/", EXPECTED)
    return DataSet(root, labels, splits)


def split_folders(root: Path) -> dict[str, Path]:
    """ "train" → its folder, and so on, for the splits that are there. Raises DataError when there is none."""
    if not root.is_dir():
        raise DataError(f"no folder at {root}", EXPECTED)
    folders = {split: root / name for split, names in SPLITS.items() for name in names[::-1] if (root / name).is_dir()}
    if folders:
        return folders
    inner = [each for each in root.iterdir() if each.is_dir() and (each / "train").is_dir()]
    if len(inner) == 1:  # the folder that an archive was unpacked into
        return split_folders(inner[0])
    raise DataError(f"{root} is no data set", EXPECTED)


def breed(label: str) -> str:
    """`016.German_shepherd_dog` → `German shepherd dog`."""
    return label.split(".", 1)[-1].replace("_", " ")


def picture_files(folder: Path) -> list[tuple[str, Path]]:
    """(label, file) for every file with a picture's suffix, sorted; none that is hidden or in a hidden folder.

    Links are not followed out of the folder.
    """
    found: list[tuple[str, Path]] = []
    for label in sorted(each for each in folder.iterdir() if each.is_dir() and _is_inside(each, folder)):
        found += [(label.name, path) for path in sorted(label.rglob("*")) if _is_picture(path, folder)]
    return found


def keys_of(paths: Sequence[Path]) -> list[str]:
    """sha256 of each file, several at a time (hashing lets go of the interpreter's lock)."""
    with threads(cores()) as pool:
        return list(pool.map(_key, paths))


def read_file(path: Path) -> Pixels:
    """A source file's shrunk pixels. Raises PictureError."""
    try:
        with path.open("rb") as file:
            return decode.shrink(file)
    except OSError as error:
        raise PictureError("unreadable", f"{path} cannot be read ({error.strerror})", "See its permissions") from error


def _key(path: Path) -> str:
    """The content's sha256; of a file that cannot be read, one of its name (decoding leaves it out)."""
    try:
        return sha256_of(path)
    except OSError:
        return hashlib.sha256(os.fsencode(path)).hexdigest()


def _read_split(folder: Path) -> tuple[Picture, ...]:
    if store.is_store(folder):
        packed = store.Store(folder)
        return tuple(Picture(each.name, each.label, each.key, partial(packed.read, each)) for each in packed.entries)
    files = picture_files(folder)
    keys = keys_of([path for _, path in files])
    return tuple(
        Picture(path.name, label, key, partial(read_file, path), path)
        for (label, path), key in zip(files, keys, strict=True)
    )


def _is_picture(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file() and _is_inside(path, folder)


def _is_inside(path: Path, folder: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(folder.resolve())
