"""Who waits for whom: the wait-for graph of the runs that nothing but the end of another run can move."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from itertools import chain

from agentctl.store.db.connection import array
from agentctl.store.limits.queue import Used
from agentctl.store.runs.executors import Liveness

# A run that continues by itself at some time, or that an event or a person may move, is not bound.
_BOUND = """
w.status = 'waiting' AND w.wake_at IS NULL AND NOT EXISTS (SELECT 1 FROM waits WHERE waits.run = w.key)
AND NOT EXISTS (SELECT 1 FROM mail WHERE mail.run = w.key)
"""
AWAITED = f"SELECT w.id, t.id FROM awaiters a CROSS JOIN runs w ON w.key = a.run JOIN runs t ON t.key = a.target WHERE {_BOUND}"
CLAIMED = f"""
SELECT w.id, t.id FROM claims c CROSS JOIN runs w ON w.key = c.run
    JOIN claims h ON h.name = c.name AND h.step = c.step AND h.key = c.key AND h.held JOIN runs t ON t.key = h.run
    WHERE NOT c.held AND {_BOUND}
"""
IN_QUEUE = """
SELECT r.id, p.grp, p.capacity FROM runs r JOIN places p ON p.run = r.key
    WHERE r.id IN (SELECT value FROM json_each(?)) AND p.held = 0 AND p.per IS NULL
    AND NOT EXISTS (SELECT 1 FROM mail WHERE mail.run = r.key)
"""


def wait_for_graph(connection: sqlite3.Connection, liveness: Liveness, now: float) -> dict[str, list[frozenset[str]]]:
    """See `Store.wait_for_graph`."""
    graph: dict[str, list[frozenset[str]]] = defaultdict(list)
    for run_id, target in chain(connection.execute(AWAITED).fetchall(), connection.execute(CLAIMED).fetchall()):
        graph[run_id].append(frozenset((target,)))
    awaited = {target for targets in graph.values() for (target,) in targets}
    used = Used(connection, liveness, now)
    for run_id, group, capacity in connection.execute(IN_QUEUE, (array(awaited),)).fetchall():
        if used[group] >= capacity:
            graph[run_id].append(frozenset(used.holders[group]))
    return dict(graph)
