"""Stores as earlier versions left them (`stores/version-N.sql`, dumped by sqlite3): they open, and what slept in them goes on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from agentctl.store.ledger import open_store

HERE = Path(__file__).parent
SLEEPER, DONE, QUEUED = "ydrlx2qahb4p", "3q2ef06ddlmc", "fbnkmwd6huf0"  # the runs of each of these stores


@pytest.fixture(params=sorted((HERE / "stores").glob("*.sql")), ids=lambda path: path.stem)
def older(request: pytest.FixtureRequest, project) -> Path:
    """A project whose store an older agentctl has written."""
    project.store.parent.mkdir(mode=0o700)
    connection = sqlite3.connect(project.store)
    connection.executescript(request.param.read_text())
    connection.close()
    project.store.chmod(0o600)
    return project.store


def columns(path: Path) -> set[tuple[str, str, str, int]]:
    """(table, column, type, whether it must be given) of a whole store."""
    connection = sqlite3.connect(path)
    tables = "SELECT m.name, c.name, c.type, c.\"notnull\" FROM sqlite_master m JOIN pragma_table_info(m.name) c"
    found = set(connection.execute(f"{tables} WHERE m.type = 'table'").fetchall())
    connection.close()
    return found


def test_a_run_that_slept_in_an_older_store_goes_on_and_none_is_lost(agentctl, older: Path) -> None:
    sent = agentctl("send", "wake-up", "-d", '{"who": "the new version"}', "--json").json
    assert sent["delivered"] == [SLEEPER]
    resumed = agentctl("resume", SLEEPER, "--json").json
    assert (resumed["status"], resumed["output"]) == ("succeeded", {"first": True, "by": "the new version"})
    statuses = {run["run_id"]: run["status"] for run in agentctl("history", "--json").json}
    assert statuses == {SLEEPER: "succeeded", DONE: "succeeded", QUEUED: "queued"}
    assert json.loads(agentctl("show", DONE, "--json").out)["run"]["output"] == {"answer": 42}


def test_a_migrated_store_has_the_columns_of_a_new_one(older: Path, tmp_path: Path) -> None:
    open_store(older).close()
    new = tmp_path / "new" / "agentctl.db"
    open_store(new).close()
    assert columns(older) == columns(new)
