"""What is remembered between two calls of `kennel run`, or `kennel compare --data`: a small JSON file in its folder."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kennel.errors import SettingError
from kennel.files import write_atomically

FILE = "run.json"
BOTH = "both.json"
"""Of a comparison: another file, as the names of its jobs are made from the same matter."""


@dataclass(frozen=True, slots=True)
class Record:
    """name: what the names of this run's jobs are made from; data: None for drawings; jobs: --jobs, where given;
    market: of a comparison, in words."""

    name: str
    side: str
    data: str | None
    jobs: int | None = None
    finished: bool = False
    market: str = "on demand"

    def write(self, folder: Path, file: str = FILE) -> Record:
        write_atomically(folder / file, json.dumps(asdict(self), indent=1).encode())
        return self


def new(side: str, data: Path | None, jobs: int | None = None) -> Record:
    """A new run; its name is the time and a few random letters, short enough for every resource's name."""
    name = time.strftime("%m%d-%H%M", time.gmtime()) + "-" + secrets.token_hex(2)
    return Record(name, side, str(data.resolve()) if data else None, jobs)


def read(folder: Path, file: str = FILE) -> Record | None:
    """The run in `folder`, None where there is none. Raises SettingError."""
    path = folder / file
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(f"{path} cannot be read", "Remove it, or name another folder with --out") from error


def resumed(folder: Path, side: str) -> Record:
    """The run to go on with. Raises SettingError."""
    found = read(folder)
    if found is None:
        raise SettingError(f"there is no run in {folder} to resume", "Leave --resume away, or name its --out")
    if found.side != side:
        raise SettingError(f"the run in {folder} is on {found.side}", f"Say --on {found.side}")
    return found


def begin(folder: Path, side: str, data: Path | None, jobs: int | None) -> Record:
    """A new run. Raises SettingError where one that may still cost lies unfinished."""
    found = read(folder)
    if found and not found.finished and found.side == side == "aws":
        raise SettingError(
            f"an unfinished run lies in {folder}, and its jobs may still run",
            "Go on with it: --resume; or stop and remove its parts: kennel teardown --on aws; or name another --out",
        )
    return new(side, data, jobs).write(folder)


def both(folder: Path, side: str, data: Path, market: str = "on demand") -> Record:
    """The comparison in `folder` that has not ended, so that nothing is trained, or paid, twice; else a new one, to be
    written when something begins. Raises SettingError where another one that may still cost lies unfinished."""
    found, fresh = read(folder, BOTH), replace(new(side, data), market=market)
    if found and not found.finished:
        if (found.side, found.data, found.market) == (fresh.side, fresh.data, fresh.market):
            return found
        if found.side == "aws":
            raise SettingError(
                f"an unfinished comparison on AWS, {found.market}, of {found.data}, lies in {folder}, and both may "
                "still run",
                f"Go on with it, by the options and settings that it has: kennel compare --data {found.data} --on aws; "
                "or end it: kennel teardown --on aws, and name another --out",
            )
    return fresh


def end_both(folder: Path) -> None:
    """The comparison in `folder` was made: the next one there is another."""
    if found := read(folder, BOTH):
        replace(found, finished=True).write(folder, BOTH)
