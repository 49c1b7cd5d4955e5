"""When definitions were paused: a pause that lasts is in `deployments.paused_at`, ended ones are in `pauses`.

They are kept so that a later look at a schedule still finds which of its slots fell into a pause.
"""

from __future__ import annotations

import math
import sqlite3

import msgspec

from agentctl.errors import NotFound
from agentctl.store.db.session import Session


class Pause(msgspec.Struct, frozen=True):
    """See `Store.pause`."""

    name: str
    at: float

    def perform(self, session: Session) -> None:
        _change(session, "UPDATE deployments SET paused_at = coalesce(paused_at, ?) WHERE name = ?", (self.at, self.name))


class Unpause(msgspec.Struct, frozen=True):
    """See `Store.unpause`."""

    name: str
    at: float

    def perform(self, session: Session) -> None:
        session.connection.execute(
            "INSERT INTO pauses (name, began_at, ended_at) SELECT name, paused_at, max(paused_at, ?) FROM deployments"
            " WHERE name = ? AND paused_at IS NOT NULL ON CONFLICT DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)",
            (self.at, self.name),
        )
        _change(session, "UPDATE deployments SET paused_at = NULL WHERE name = ?", (self.name,))


def _change(session: Session, statement: str, values: tuple[object, ...]) -> None:
    """`values`: the last is the name."""
    if not session.connection.execute(statement, values).rowcount:
        raise NotFound(f"no loop or skill '{values[-1]}' is deployed")


def read(connection: sqlite3.Connection, name: str, after: float) -> list[tuple[float, float]]:
    """See `Store.pauses`."""
    found: list[tuple[float, float]] = connection.execute(
        "SELECT began_at, ended_at FROM pauses WHERE name = ?1 AND ended_at > ?2"
        " UNION ALL SELECT paused_at, ?3 FROM deployments WHERE name = ?1 AND paused_at IS NOT NULL ORDER BY 1",
        (name, after, math.inf),
    ).fetchall()
    return found
