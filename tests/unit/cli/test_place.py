"""The store as commands find it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentctl.cli import context
from agentctl.store.db import schema
from agentctl.store.ledger import open_store


@pytest.fixture
def outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of the version before."""
    path = tmp_path / "old.db"
    open_store(path).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, schema.VERSION: lambda _: None})
    return path


def test_a_command_that_only_looks_migrates_a_store_of_an_older_version(outdated: Path) -> None:
    with context.reading(str(outdated)) as store:
        assert store is not None
        assert store.memory("anything") == {}
    with closing(sqlite3.connect(outdated)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
