"""Deployment packages: a zip is a stranger's file. Kept by its content, unpacked once, and then only read.

Files and folders only (a link could lead out, or be written through), no name that leaves the folder, bounded in bytes
and in number, and counted while reading: what a zip says of its sizes need not be true.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from kennel.files import write_atomically
from kennel.local.errors import Refused
from kennel.local.functions import words
from kennel.local.functions.limits import FILES, UNZIPPED

DRAFT = ".unpacking-"
CHUNK = 1 << 20
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
"""What Python raises for zips that are damaged, encrypted or packed in a way that it does not know."""


class CodeStore:
    """Packages by their digest, as CodeSha256 tells it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob(f"{DRAFT}*"):  # of a server that was killed while it unpacked
            shutil.rmtree(draft, ignore_errors=True)

    def add(self, package: bytes) -> str:
        """Check, keep and unpack it; its CodeSha256. Raises Refused."""
        check(package)
        digest = hashlib.sha256(package).digest()
        with self._lock:
            path = self._zip(digest.hex())
            if not path.exists():
                write_atomically(path, package)
        code = base64.b64encode(digest).decode()
        try:
            self.unpacked(code)
        except Refused:
            path.unlink(missing_ok=True)
            raise
        return code

    def unpacked(self, code: str) -> Path:
        """Its files. code: CodeSha256. Raises Refused."""
        name = _hex(code)
        with self._lock:
            folder = self._folder / name
            if not folder.is_dir():
                self._unpack(self._zip(name), folder)
            return folder

    def zipped(self, name: str) -> Path | None:
        """By the digest in hex, as `location` tells it."""
        path = self._zip(name)
        return path if name.isalnum() and path.is_file() else None

    def location(self, code: str) -> str:
        return _hex(code)

    def keep_only(self, codes: Iterable[str]) -> None:
        wanted = {_hex(code) for code in codes}
        with self._lock:
            for path in self._folder.iterdir():
                if path.name.removesuffix(".zip") not in wanted:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _zip(self, name: str) -> Path:
        return self._folder / f"{name}.zip"

    def _unpack(self, package: Path, folder: Path) -> None:
        draft = Path(tempfile.mkdtemp(dir=self._folder, prefix=DRAFT))
        try:
            unpack(package, draft)
            draft.chmod(0o755)
            draft.replace(folder)
        except BROKEN as error:
            raise words.invalid(f"{words.BAD_ZIP} ({error})") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def check(package: bytes) -> None:
    """What can be said of it without unpacking. Raises Refused."""
    if not package:
        raise words.invalid("Uploaded file must be a non-empty zip")
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            _members(archive)
    except BROKEN as error:
        raise words.invalid(words.BAD_ZIP) from error


def unpack(package: Path, folder: Path) -> None:
    """Raises Refused, or what `BROKEN` lists."""
    left = UNZIPPED
    with zipfile.ZipFile(package) as archive:
        for member in _members(archive):
            target = folder / member.filename
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copied(archive, member, target, left)


def _copied(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int) -> int:
    """Bytes written. The file may be executed where the package says so, and written to by nobody."""
    size = 0
    with archive.open(member) as source, target.open("xb") as file:
        while block := source.read(CHUNK):
            size += len(block)
            if size > most:
                raise words.invalid(words.TOO_LARGE_UNZIPPED.format(most=UNZIPPED))
            file.write(block)
    executable = member.external_attr >> 16 & 0o111
    target.chmod(0o555 if executable else 0o444)
    return size


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """All of them, if they can be trusted. Raises Refused."""
    members = archive.infolist()
    if len(members) > FILES:
        raise words.invalid(f"{words.BAD_ZIP} It holds more than {FILES} files.")
    if sum(each.file_size for each in members) > UNZIPPED:
        raise words.invalid(words.TOO_LARGE_UNZIPPED.format(most=UNZIPPED))
    names = set[str]()
    for each in members:
        _check(each)
        if each.filename.rstrip("/") in names:
            raise words.invalid(f"{words.BAD_ZIP} It holds {each.filename[:200]!r} twice.")
        names.add(each.filename.rstrip("/"))
    return members


def _check(member: zipfile.ZipInfo) -> None:
    name, mode = member.filename, member.external_attr >> 16
    path = PurePosixPath(name)
    if not name.strip("/.") or path.is_absolute() or ".." in path.parts or set("\\\0") & set(name):
        raise words.invalid(f"{words.BAD_ZIP} It holds {name[:200]!r}, which is no name of a file inside it.")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise words.invalid(f"{words.BAD_ZIP} It holds {name[:200]!r}, which is neither a file nor a folder.")
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise words.invalid(f"{words.BAD_ZIP} {name[:200]!r} is encrypted, or not deflated.")


def _hex(code: str) -> str:
    return base64.b64decode(code).hex()
