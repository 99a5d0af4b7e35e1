"""A model's archive from S3 to a folder, once a deployment; each instance then gets links to its files.

Archives are strangers' files: regular files and folders only (a link could lead out, or be written through), no name
that leaves the folder, bounded in bytes and in number.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from kennel.errors import ArtifactError
from kennel.local.hosting.plan import Limits

READ_ONLY = 0o444
DRAFT = ".unpacking-"


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into `folder`, which is there whole or not at all. Raises ArtifactError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=DRAFT))
    try:
        _unpack(archive, draft, limits)
        for path in draft.rglob("*"):
            if path.is_file():
                path.chmod(READ_ONLY)  # its links are the same file
        draft.chmod(0o755)
        draft.replace(folder)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise ArtifactError(f"The archive cannot be unpacked ({error})", "Pack it anew as tar.gz") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """The same tree in `target`, its files being hard links."""
    target.mkdir(parents=True, exist_ok=True)
    for folder, _, names in os.walk(source):
        inside = target / Path(folder).relative_to(source)
        inside.mkdir(exist_ok=True)
        for name in names:
            (inside / name).hardlink_to(Path(folder) / name)


def _unpack(archive: Path, folder: Path, limits: Limits) -> None:
    size = files = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            size, files = size + member.size, files + 1
            if size > limits.archive_bytes or files > limits.archive_files:
                raise ArtifactError(
                    f"The archive holds more than {limits.archive_bytes} bytes or {limits.archive_files} files",
                    "Pack less into it",
                )
            _extract(tar, member, folder)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if not (member.isfile() or member.isdir()):
        raise ArtifactError(
            f"The archive holds {member.name[:200]!r}, which is neither a file nor a folder",
            "Pack the files themselves, without links (tar --dereference --hard-dereference)",
        )
    tar.extract(member, folder, filter="data")
