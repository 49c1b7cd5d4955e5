"""How many runs there are that have not finished, by definition and status."""

from __future__ import annotations

import sqlite3

# The names by seeks in the index `runs_by_name`, then the entries of that index for each: the millions of runs that have finished
# are not touched.
UNFINISHED = """
WITH RECURSIVE names (name) AS (
    SELECT min(name) FROM runs
    UNION ALL SELECT (SELECT min(r.name) FROM runs r WHERE r.name > names.name) FROM names WHERE names.name IS NOT NULL
)
SELECT n.name, r.status, count(*) FROM names n CROSS JOIN runs r INDEXED BY runs_by_name
    ON r.name = n.name AND r.status IN ('queued', 'running', 'waiting', 'blocked', 'interrupted')
    GROUP BY n.name, r.status
"""


def unfinished(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """(name, status as stored) -> number of runs."""
    return {(name, status): number for name, status, number in connection.execute(UNFINISHED)}
