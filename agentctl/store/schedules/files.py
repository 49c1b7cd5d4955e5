"""Which versions of files were seen for whom, so that no file is read again, or taken for a new one, after a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from agentctl.ports import SeenFile
from agentctl.store.db.arrays import array
from agentctl.store.db.session import Session


class Note(msgspec.Struct, frozen=True):
    """See `Store.mark_files_seen`."""

    name: str
    seen: Sequence[SeenFile]
    gone: Sequence[str]

    def perform(self, session: Session) -> None:
        session.write_rows(
            "INSERT INTO files (name, path, stamp, sha256) VALUES ",
            [(self.name, file.path, file.stamp, file.sha256) for file in self.seen],
            " ON CONFLICT (name, path) DO UPDATE SET stamp = excluded.stamp, sha256 = excluded.sha256",
        )
        paths = array(self.gone)
        session.connection.execute(
            "DELETE FROM files WHERE name = ? AND path IN (SELECT value FROM json_each(?))", (self.name, paths)
        )


def read(connection: sqlite3.Connection, name: str) -> dict[str, SeenFile]:
    """By path."""
    rows = connection.execute("SELECT path, stamp, sha256 FROM files WHERE name = ?", (name,)).fetchall()
    return {row[0]: SeenFile(*row) for row in rows}
