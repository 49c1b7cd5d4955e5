"""What is deployed: the definitions as triggers see them, the events that start them, and the files that their triggers saw."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from agentctl.ports import Deployment, SeenFile, Subscription
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.events.patterns import matching


class Deploy(msgspec.Struct, frozen=True):
    """See `Store.deploy`."""

    deployments: Sequence[Deployment]
    events: Mapping[str, Sequence[str]]

    def perform(self, session: Session) -> None:
        for deployment in self.deployments:
            session.connection.execute(_DEPLOY, _values(deployment))
            session.connection.execute("DELETE FROM subscriptions WHERE name = ?", (deployment.name,))
        rows = {
            (pattern, deployment.name, trigger)
            for deployment in self.deployments
            for trigger, pattern in enumerate(self.events.get(deployment.name, ()))
            if pattern
        }
        session.write_rows("INSERT INTO subscriptions (pattern, name, trigger) VALUES ", sorted(rows))


_DEPLOY = """
INSERT INTO deployments (name, kind, file, version, deployed_at, problem, gone, root) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, file = excluded.file, version = excluded.version,
    deployed_at = excluded.deployed_at, problem = excluded.problem, gone = excluded.gone, root = excluded.root
"""


def _values(deployment: Deployment) -> tuple[object, ...]:
    one = deployment
    return one.name, one.kind, one.file, one.version, one.deployed_at, one.problem, one.gone, one.root


def read(connection: sqlite3.Connection) -> list[Deployment]:
    """Everything that is or was deployed, by name."""
    rows = connection.execute(
        "SELECT name, kind, file, version, deployed_at, problem, gone, paused_at, root FROM deployments ORDER BY name"
    ).fetchall()
    return [
        Deployment(
            name=name,
            kind=kind,
            file=file,
            version=version,
            deployed_at=deployed_at,
            problem=problem,
            gone=bool(gone),
            paused_at=paused_at,
            root=root,
        )
        for name, kind, file, version, deployed_at, problem, gone, paused_at, root in rows
    ]


MATCHING_SUBSCRIPTIONS = """
SELECT d.name, d.version, s.trigger FROM json_each(?) p
    CROSS JOIN subscriptions s ON s.pattern = p.value
    CROSS JOIN deployments d ON d.name = s.name AND d.gone = 0 AND d.paused_at IS NULL
    ORDER BY d.name, s.trigger
"""
ANY_SUBSCRIPTION_BETWEEN = "SELECT 1 FROM subscriptions WHERE pattern >= ? AND pattern < ? LIMIT 1"


def subscriptions(connection: sqlite3.Connection, event: str) -> list[Subscription]:
    """The event triggers that match the name of an event, of definitions that are neither gone nor paused; by name."""
    if connection.execute("SELECT 1 FROM subscriptions LIMIT 1").fetchone() is None:
        return []  # asked at the end of every run
    patterns = matching(connection, event, ANY_SUBSCRIPTION_BETWEEN)
    if not patterns:
        return []
    given = array(patterns)
    return [Subscription(*row) for row in connection.execute(MATCHING_SUBSCRIPTIONS, (given,))]


# --- files ---------------------------------------------------------------------------------------------------------


class MarkFilesSeen(msgspec.Struct, frozen=True):
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


def seen_files(connection: sqlite3.Connection, name: str) -> dict[str, SeenFile]:
    """The versions of files that were seen for a definition, by path, so that a restart takes none for a new one."""
    rows = connection.execute("SELECT path, stamp, sha256 FROM files WHERE name = ?", (name,)).fetchall()
    return {row[0]: SeenFile(*row) for row in rows}
