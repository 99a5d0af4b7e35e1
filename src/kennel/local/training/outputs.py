"""What a job leaves: from files under /opt/ml to objects in S3."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from isal import igzip

from kennel.local.parts import Document
from kennel.local.training.channels import parted
from kennel.local.within import Objects


def keep(job: Document, folder: Path, objects: Objects) -> None:
    """What all hosts left below `folder`, a root each, in one; where two left a file of one name, the first host's."""
    target = target_of(job)
    compressed = _compressed(job)
    model, output = (_merged(folder, part) for part in ("model", "output/data"))
    upload(model, "model", target, compressed, objects)
    if any(files_below(output)):
        upload(output, "output", target, compressed, objects)


def target_of(job: Document) -> str:
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"


def artifact_of(job: Document) -> str:
    """S3ModelArtifacts: where a job's model will be."""
    return f"{target_of(job)}/{'model.tar.gz' if _compressed(job) else 'model/'}"


def upload(folder: Path, name: str, target: str, compressed: bool, objects: Objects) -> None:
    """`folder` as `TARGET/NAME.tar.gz`, or, uncompressed, its files below `TARGET/NAME/`.

    Links are not followed: they could lead anywhere.
    """
    bucket, prefix = parted(target.rstrip("/"))
    if not compressed:
        for path in files_below(folder):
            objects.put(bucket, f"{prefix}/{name}/{path.relative_to(folder).as_posix()}", path)
        return
    with tempfile.TemporaryDirectory(prefix="kennel-", dir=folder.parent) as scratch:
        archive = Path(scratch) / f"{name}.tar.gz"
        pack(folder, archive)
        objects.put(bucket, f"{prefix}/{name}.tar.gz", archive)


def pack(folder: Path, archive: Path) -> None:
    """The same files give the same tar. Level 1: weights hardly shrink, however long one tries.

    isal has once, under load, been seen to compress the same tar in another way; so no more than that is promised.
    """
    with (
        archive.open("wb") as raw,
        igzip.IGzipFile(  # type: ignore[no-untyped-call]
            fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=1
        ) as file,
        tarfile.open(fileobj=file, mode="w", dereference=True) as tar,
    ):
        for path in files_below(folder):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files, sorted; no links, whether in it or in its place."""
    if folder.is_symlink():
        return
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _compressed(job: Document) -> bool:
    return bool(job["OutputDataConfig"].get("CompressionType", "GZIP") != "NONE")


def _merged(folder: Path, part: str) -> Path:
    first, *others = (_own(root, part) for root in sorted(each for each in folder.iterdir() if each.is_dir()))
    for other in others:
        for path in files_below(other):
            target = first / path.relative_to(other)
            if _free(target, first):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
    return first


def _own(root: Path, part: str) -> Path:
    """A folder below a host's root, made if missing; a link in its place, which could lead anywhere, goes."""
    place = root
    for name in part.split("/"):
        place /= name
        if place.is_symlink() or not place.is_dir():
            place.unlink(missing_ok=True)
        place.mkdir(exist_ok=True)
    return place


def _free(target: Path, below: Path) -> bool:
    """Whether nothing is there, nor a link or a file in the place of one of its folders."""
    folders = [each for each in target.parents if each.is_relative_to(below) and os.path.lexists(each)]
    return not os.path.lexists(target) and all(each.is_dir() and not each.is_symlink() for each in folders)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
