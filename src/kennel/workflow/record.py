"""What a run remembers between two calls of `kennel run`: one small JSON file in its folder."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from kennel.errors import SettingError
from kennel.files import write_atomically

FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Record:
    """name: what the names of this run's jobs are made from; data: None for drawings; jobs: --jobs, where given."""

    name: str
    side: str
    data: str | None
    jobs: int | None = None
    finished: bool = False

    def write(self, folder: Path) -> Record:
        write_atomically(folder / FILE, json.dumps(asdict(self), indent=1).encode())
        return self


def new(side: str, data: Path | None, jobs: int | None = None) -> Record:
    """A new run; its name is the time and a few random letters, short enough for every resource's name."""
    name = time.strftime("%m%d-%H%M", time.gmtime()) + "-" + secrets.token_hex(2)
    return Record(name, side, str(data.resolve()) if data else None, jobs)


def read(folder: Path) -> Record | None:
    """The run in `folder`, None where there is none. Raises SettingError."""
    path = folder / FILE
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
