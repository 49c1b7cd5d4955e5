"""What `doctor` says of a store: each kind of damage is found, named, and comes with what to do about it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from agentctl.core.events import RunCreated
from agentctl.ports import Finding, NewRun
from agentctl.store.ledger import open_store
from agentctl.store.upkeep.checkup import examine, has_wal_bug


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that nothing is wrong with."""
    made = tmp_path / "store" / "agentctl.db"
    open_store(made).close()
    return made


def found(path: Path) -> dict[str, Finding]:
    """The findings by check, the SQLite of this machine aside; of several the first that is not ok."""
    first: dict[str, Finding] = {}
    for finding in examine(path):
        if finding.check not in first or first[finding.check].status == "ok":
            first[finding.check] = finding
    first.pop("sqlite")
    return first


def test_a_good_store_is_ok_in_every_way(path):
    statuses = {check: finding.status for check, finding in found(path).items()}
    wanted = ["", ".disk", ".wal", ".integrity", ".schema", ".payloads", ".permissions"]
    assert statuses == dict.fromkeys([f"store{check}" for check in wanted], "ok")


def test_examining_changes_nothing(path):
    before = path.read_bytes()
    examine(path)
    assert path.read_bytes() == before


def test_no_store_yet_is_no_error(tmp_path):
    finding = found(tmp_path / "new" / "agentctl.db")["store"]
    assert (finding.status, finding.fix) == ("ok", "")
    assert not (tmp_path / "new").exists()


def test_a_damaged_page_is_found(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 100,)] * 2000)
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 3 * 4096)
        file.write(b"\xff" * 4096)
    (finding,) = [finding for finding in examine(path) if finding.status == "error"]
    assert finding.check in ("store", "store.integrity")
    assert "damaged" in finding.message
    assert "restore a backup" in finding.fix


def test_what_is_no_database_is_found(path):
    path.write_text("no database" * 1000)
    finding = found(path)["store"]
    assert finding.status == "error"
    assert "restore a backup" in finding.fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("PRAGMA user_version = 999", "newer agentctl"),
        ("PRAGMA application_id = 1", "another program's"),
    ],
)
def test_a_store_that_is_not_for_us_is_an_error(path, change, words):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
    finding = found(path)["store"]
    assert finding.status == "error"
    assert words in finding.message
    assert finding.fix


def test_another_journal_mode_than_wal_is_an_error(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    finding = found(path)["store.wal"]
    assert finding.status == "error"
    assert "PRAGMA journal_mode = WAL" in finding.fix


def test_rows_that_refer_to_nothing_are_found(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO journal (run, seq, event) VALUES (77, 1, '{}')")
        connection.commit()
    finding = found(path)["store.integrity"]
    assert finding.status == "error"
    assert "rows of journal refer to nothing" in finding.message


@pytest.mark.parametrize(("name", "mode", "fix"), [("agentctl.db", 0o644, "chmod 600 "), ("", 0o755, "chmod 700 ")])
def test_what_others_can_read_is_a_warning_with_the_command_that_closes_it(path, name, mode, fix):
    opened = path.parent / name
    opened.chmod(mode)
    finding = found(path)["store.permissions"]
    assert finding.status == "warning"
    assert finding.fix == f"{fix}{opened}"


@pytest.mark.parametrize(("free", "status"), [(1 << 20, "error"), (500 << 20, "warning"), (50 << 30, "ok")])
def test_a_disk_that_is_nearly_full_is_told(path, monkeypatch, free, status):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, free))
    assert found(path)["store.disk"].status == status


def test_a_network_file_system_is_an_error(path, monkeypatch):
    for module in ("agentctl.store.upkeep.checkup", "agentctl.store.db.location"):
        monkeypatch.setattr(f"{module}.file_system_type", lambda _: "nfs4")
    finding = next(finding for finding in examine(path) if finding.check == "store.disk")
    assert finding.status == "error"
    assert "local disk" in finding.fix


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    finding = found(tmp_path / "file" / "agentctl.db")["store"]
    assert finding.status == "error"
    assert "a folder was expected" in finding.message


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_versions_of_sqlite_with_the_wal_bug_are_known(version, bug):
    assert has_wal_bug(version) == bug


def kept_by_a_run(path: Path) -> Path:
    """The file of a large input of run r1."""

    async def scenario() -> None:
        created = RunCreated(at=1.0, run_id="r1", name="demo", kind="loop", version="v1", input={"text": "x" * (2 << 20)})
        await store.create([NewRun(created=created)])

    with closing(open_store(path)) as store:
        asyncio.run(scenario())
        text = sqlite3.connect(path).execute("SELECT input FROM runs").fetchone()[0]
    return path.parent / "payloads" / text[1:]


def test_a_missing_large_output_is_found_and_its_run_is_named(path):
    file = kept_by_a_run(path)
    file.unlink()
    finding = found(path)["store.payloads"]
    assert finding.status == "error"
    assert str(file) in finding.message
    assert "run r1" in finding.message


def test_a_large_output_whose_content_was_altered_is_found(path):
    file = kept_by_a_run(path)
    file.write_text(file.read_text().replace("x", "y", 1))
    assert "does not fit its name" in found(path)["store.payloads"].message


def test_a_lost_index_is_found(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX waits_for_event")
    finding = found(path)["store.schema"]
    assert (finding.status, finding.message) == ("error", "the store lacks index waits_for_event")
