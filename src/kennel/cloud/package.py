"""The function's package: a zip of the same bytes wherever and whenever it is made."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from kennel.errors import KennelError

FILES = ("function.py", "page.html")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip can tell."""


def package() -> bytes:
    """The zip. Nothing in it is compressed: another version of zlib would make other bytes of it, and it is small."""
    content, folder = io.BytesIO(), _folder()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in FILES:
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, folder.joinpath(name).read_bytes())
    return content.getvalue()


def digest(content: bytes) -> str:
    """As Lambda tells it: CodeSha256."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _folder() -> Traversable:
    """`lambda/` of a checkout, else its copy in an installed wheel. Raises KennelError."""
    checkout = Path(__file__).parents[3] / "lambda"
    for folder in (checkout, files("kennel").joinpath("lambda")):
        if folder.joinpath(FILES[0]).is_file():
            return folder
    raise KennelError("the function's files are missing from this installation", "Install kennel again")
