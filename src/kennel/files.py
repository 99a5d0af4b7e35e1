"""Files on disk: atomic writes, the cache's folder, digests. No knowledge of what is in them."""

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

import platformdirs


def cache_dir(name: str) -> Path:
    """A folder of the cache, made if missing. `KENNEL_CACHE` moves the cache; by default it is the user's own."""
    root = os.environ.get("KENNEL_CACHE") or platformdirs.user_cache_dir("kennel")
    folder = Path(root).expanduser() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


PRIVATE = 0o600


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write so that a reader, or a crash at any moment, sees the whole old file or the whole new one.

    mode: who may read it, from its first byte on (PRIVATE: nobody else).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def forget_drafts(path: Path) -> None:
    """Remove what a process that was killed inside `write_atomically(path, …)` left. For files with one writer only."""
    for draft in path.parent.glob(f".{path.name}.*"):
        draft.unlink(missing_ok=True)


def read_bounded(path: Path, most: int) -> bytes:
    """At most one byte more than `most`, of a plain file only: a device never ends, a pipe may never begin. Raises
    OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Not a plain file")
        return file.read(most + 1)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
