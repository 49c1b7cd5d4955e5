"""The index of patterns finds exactly those that match by the rule of the language."""

from __future__ import annotations

import itertools
import sqlite3

from agentctl.language.event_names import event_matches
from agentctl.store.events.patterns import matching

PATTERNS = [".".join(parts) for length in (1, 2, 3) for parts in itertools.product(("a", "b", "*"), repeat=length)]
NAMES = [".".join(parts) for length in (1, 2, 3) for parts in itertools.product(("a", "b", "c"), repeat=length)]


def test_the_index_and_the_rule_agree_on_every_name() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE known (pattern TEXT PRIMARY KEY)")
    connection.executemany("INSERT INTO known VALUES (?)", [(pattern,) for pattern in PATTERNS])
    for name in NAMES:
        found = set(matching(connection, name, "SELECT 1 FROM known WHERE pattern >= ? AND pattern < ? LIMIT 1"))
        assert found & set(PATTERNS) == {pattern for pattern in PATTERNS if event_matches(pattern, name)}
    connection.close()
