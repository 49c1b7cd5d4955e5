"""A backup: whole, private, made while others write, and a store again when it is unpacked."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from agentctl.errors import StoreCorrupt, StoreError, StoreFull, StoreMissing, UsageError
from agentctl.store.ledger import Ledger, open_store
from agentctl.store.upkeep.backup import back_up

LARGE = {"text": "x" * 2_000_000}


def fill(store: Ledger, *runs) -> None:
    async def create() -> None:
        await store.create(list(runs))

    asyncio.run(create())


def unpacked(file: Path, folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")
    return folder / "agentctl.db"


def test_a_backup_is_one_private_file_with_the_store_its_outputs_and_logs(store, new_run, tmp_path):
    fill(store, new_run("r1", input=LARGE))
    store.log_path("r1").write_text("{}\n")
    made = back_up(store.path, tmp_path / "b.tar")
    assert (made.runs, made.files) == (1, 3)  # the input stands in the run's row and, within an event, in its journal
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert made.bytes == made.file.stat().st_size
    with tarfile.open(made.file) as tar:
        assert {member.name.split("/")[0] for member in tar} == {"agentctl.db", "payloads", "logs"}
        assert {member.mode for member in tar} == {0o600, 0o700}
    assert set(os.listdir(tmp_path)) == {"b.tar", ".agentctl"}


def test_what_is_unpacked_is_the_store_as_it_was(store, new_run, tmp_path):
    fill(store, new_run("r1", input=LARGE), new_run("r2"))
    back_up(store.path, tmp_path / "b.tgz")
    fill(store, new_run("r3"))
    restored = open_store(unpacked(tmp_path / "b.tgz", tmp_path / "restored"))
    try:
        assert restored.run("r1") == store.run("r1")
        assert restored.run("r3") is None
        fill(restored, new_run("r4"))
        assert restored.run("r4") is not None
    finally:
        restored.close()


def test_a_backup_made_while_another_process_writes_is_whole(path, store, script, tmp_path):
    writer = script(
        """
        async def main():
            store = open_store(path)
            for number in range(100_000):
                await store.create([new_run(f"w{number:06}", input={"text": "y" * 5000})])
                if number == 50:
                    say("busy")
        asyncio.run(main())
        """
    )
    assert writer.stdout.readline() == "busy\n"
    for number in range(5):
        made = back_up(path, tmp_path / f"{number}.tar")
        copy = unpacked(made.file, tmp_path / f"restored{number}")
        with closing(sqlite3.connect(copy)) as found:
            ids = [row[0] for row in found.execute("SELECT id FROM runs ORDER BY key")]
            journals = found.execute("SELECT count(*) FROM journal").fetchone()[0]
        assert ids == [f"w{index:06}" for index in range(len(ids))]
        assert len(ids) == journals == made.runs > 50
    assert writer.poll() is None, "it wrote all the while"


def test_a_file_that_exists_is_not_overwritten(store, new_run, tmp_path):
    fill(store, new_run("r1"))
    (tmp_path / "b.tar").write_text("precious")
    with pytest.raises(UsageError, match="overwrites nothing"):
        back_up(store.path, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "precious"


def test_there_is_no_backup_of_no_store_and_of_none_yet(path, tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        back_up(path, tmp_path / "b.tar")
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreMissing):
        back_up(path, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_a_damaged_store_is_told_and_leaves_no_file(store, path, new_run, tmp_path):
    fill(store, *(new_run(f"r{number}", input={"text": "z" * 900}) for number in range(200)))
    store.close()
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096 * 4)
    target = tmp_path / "backups"
    target.mkdir()
    with pytest.raises(StoreCorrupt):
        back_up(path, target / "b.tar")
    assert os.listdir(target) == []


@pytest.mark.parametrize("room", [100_000, 3_000_000], ids=["for the database", "for the tar file"])
def test_without_room_the_error_says_so_and_no_half_file_is_left(store, new_run, tmp_path, room):
    fill(store, *(new_run(f"r{number}", input={"text": "z" * 100_000}) for number in range(20)))
    fill(store, *(new_run(f"large{number}", input={"text": f"{number}" * 1_200_000}) for number in range(3)))
    target = tmp_path / "backups"
    target.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(StoreFull, match="no room for the backup"):
            back_up(store.path, target / "b.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(target) == []
