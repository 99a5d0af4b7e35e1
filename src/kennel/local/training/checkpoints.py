"""A folder below /opt/ml and its place in S3, kept equal while a job runs: checkpoints, tensors, metrics."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kennel.local.training.channels import named, parted, place, readable
from kennel.local.training.outputs import files_below
from kennel.local.within import Objects

Stamp = tuple[int, int]
"""A file's size and time of change."""


class Checkpoints:
    """One job's. uri: None for a job without; then nothing happens."""

    def __init__(self, uri: str | None, folder: Path, objects: Objects) -> None:
        self._uri, self._folder, self._objects = uri, folder, objects
        self._sent: dict[str, Stamp] = {}
        self._seen: dict[str, Stamp] = {}

    def restore(self) -> None:
        """What is in S3 into the folder, before the job starts. Raises DataMissing, Refused."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._uri is None:
            return
        bucket, prefix = parted(self._uri.rstrip("/") + "/")
        found = named(self._objects.list(bucket, prefix), prefix)
        place(readable(found, bucket, self._objects), self._folder)
        self._sent = self._stamps()

    def keep(self, last: bool = False) -> None:
        """Send what has changed since the last time and has been at rest since then; `last`: whatever has changed.

        What is gone from the folder stays in S3, as with SageMaker. Names that begin with a dot are drafts, and so are
        those that smdebug ends in `.tmp`.
        """
        if self._uri is None:
            return
        bucket, prefix = parted(self._uri.rstrip("/") + "/")
        now = self._stamps()
        for name, stamp in now.items():
            if self._sent.get(name) == stamp or not (last or self._seen.get(name) == stamp):
                continue
            with suppress(FileNotFoundError):  # gone meanwhile
                self._objects.put(bucket, prefix + name, self._folder / name)
                self._sent[name] = stamp
        self._seen = now

    def _stamps(self) -> dict[str, Stamp]:
        found = {}
        for path in files_below(self._folder):
            name = path.relative_to(self._folder)
            if name.suffix != ".tmp" and not any(part.startswith(".") for part in name.parts):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    found[name.as_posix()] = (stat.st_size, stat.st_mtime_ns)
        return found
