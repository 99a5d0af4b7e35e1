"""Which versions of which objects there are: SQLite, one row a version, in the order of the versions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from kennel.local.parts import Document

TABLE = """
CREATE TABLE IF NOT EXISTS versions (
    bucket TEXT NOT NULL, key TEXT NOT NULL, place INTEGER NOT NULL, file TEXT, document TEXT NOT NULL,
    PRIMARY KEY (bucket, key, place)
) WITHOUT ROWID
"""


class Index:
    """One thread at a time. What is replaced is durable when `replace` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(TABLE)

    def replace(self, bucket: str, key: str, versions: Sequence[Document]) -> set[str]:
        """All versions of an object, the newest last, none for an object that is gone; the files that it has no more.

        A version's "file" is None for a delete marker.
        """
        rows = [
            (bucket, key, place, each["file"], json.dumps(each, sort_keys=True)) for place, each in enumerate(versions)
        ]
        found = self._database.execute("SELECT file FROM versions WHERE bucket = ? AND key = ?", (bucket, key))
        before = {file for (file,) in found if file}
        with self._database:  # commits, or rolls back
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM versions WHERE bucket = ? AND key = ?", (bucket, key))
            self._database.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", rows)
        return before - {each["file"] for each in versions}

    def keys(self, bucket: str) -> dict[str, tuple[int, str | None]]:
        """Key → the number of its versions, and the newest one's file."""
        asked = "SELECT key, COUNT(*), file, MAX(place) FROM versions WHERE bucket = ? GROUP BY key"
        return {key: (count, file) for key, count, file, _ in self._database.execute(asked, (bucket,))}

    def all(self) -> Iterator[tuple[str, str, Document]]:
        """(bucket, key, version), the versions of an object in their order."""
        found = self._database.execute("SELECT bucket, key, document FROM versions ORDER BY bucket, key, place")
        return ((bucket, key, json.loads(document)) for bucket, key, document in found)

    def close(self) -> None:
        self._database.close()
