"""Opening a store in good and bad places: one clear sentence each, and nothing recorded is lost."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentctl.errors import StoreBusy, StoreCorrupt, StoreError, StoreTooNew
from agentctl.store.db import location, schema
from agentctl.store.ledger import Ledger, open_store


def create(store: Ledger, *runs) -> None:
    async def wait() -> None:
        await store.create(runs)

    asyncio.run(wait())


@pytest.fixture
def filled(path: Path, new_run) -> Path:
    """The path of a closed store that holds the run r1."""
    store = open_store(path)
    create(store, new_run("r1"))
    store.close()
    return path


@pytest.fixture
def mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("mask")
def test_the_folder_and_every_file_are_private_whatever_the_umask(path: Path, new_run) -> None:
    store = open_store(path)
    create(store, new_run("r1", input={"text": "x" * 2_000_000}))
    asyncio.run(_acquire(store, "r1"))
    store.log_path("r1")
    found = {item.relative_to(path.parent).as_posix(): item.stat().st_mode & 0o777 for item in path.parent.rglob("*")}
    names = {"agentctl.db", "agentctl.db-wal", "agentctl.db-shm", "agentctl.db.lock", "executors", "payloads", "logs"}
    assert names <= set(found)
    assert {mode for name, mode in found.items() if (path.parent / name).is_file()} == {0o600}
    assert {mode for name, mode in found.items() if (path.parent / name).is_dir()} == {0o700}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    store.close()


async def _acquire(store: Ledger, run_id: str) -> None:
    await store.acquire([run_id])


def test_a_closed_store_is_one_file_without_a_log_beside_it(filled: Path) -> None:
    assert not filled.with_name("agentctl.db-wal").exists()
    assert list((filled.parent / "executors").glob("*")) == []


def test_opening_an_up_to_date_store_imports_neither_sqlite_utils_nor_asyncio(script, filled: Path) -> None:
    source = """
        import sys
        from pathlib import Path
        from agentctl.ports import HistoryFilter
        from agentctl.store.ledger import open_store
        rows = open_store(Path(sys.argv[1])).history(HistoryFilter())
        print(len(rows), *(name in sys.modules for name in ("sqlite_utils", "asyncio", "threading")))
    """
    out, err = script(source, prelude="").communicate(timeout=30)
    assert out.split() == ["1", "False", "False", "False"], err


def test_a_file_that_is_no_database_is_called_damaged_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database\n" * 1000)
    with pytest.raises(StoreCorrupt, match="no SQLite database"):
        open_store(path)
    assert path.read_bytes() == b"this is no database\n" * 1000


def test_a_damaged_database_is_reported_where_it_is_met(filled: Path) -> None:
    data = bytearray(filled.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    filled.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged"):
        open_store(filled).run("r1")


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StoreError, match="another program's"):
        open_store(path)


def test_an_empty_file_becomes_a_store(path: Path, new_run) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match="empty"):
        open_store(path, read_only=True)
    store = open_store(path)
    create(store, new_run("r1"))
    assert store.run("r1") is not None
    store.close()


def test_a_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="is a folder"):
        open_store(path)


def test_a_file_in_place_of_the_folder_is_refused(path: Path) -> None:
    path.parent.write_text("a file")
    with pytest.raises(StoreError, match="is a file; a folder was expected"):
        open_store(path)


def test_reading_a_store_that_is_not_there_makes_none(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        open_store(path, read_only=True)
    assert not path.parent.exists()


def test_a_store_of_a_newer_agentctl_is_refused_naming_both_versions(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreTooNew, match=rf"version 99.* up to version {schema.VERSION}: update agentctl"):
        open_store(filled)


def test_every_version_after_the_first_has_a_migration() -> None:
    assert sorted(schema.MIGRATIONS) == list(range(2, schema.VERSION + 1))


@pytest.fixture
def older(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of before, met by an agentctl whose stores have one table and one column more."""

    def migrate(database) -> None:
        database["notes"].create({"run": int, "text": str}, pk="run")
        database["runs"].add_column("mood", str)

    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, schema.VERSION: migrate})
    return filled


def test_an_older_store_is_migrated_with_all_it_holds(older: Path, new_run) -> None:
    with pytest.raises(StoreError, match="open it for writing once"):
        open_store(older, read_only=True)
    store = open_store(older)
    create(store, new_run("r2"))
    assert [store.run(run_id).status for run_id in ("r1", "r2")] == ["queued", "queued"]
    store.close()
    connection = sqlite3.connect(older)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert connection.execute("SELECT mood FROM runs").fetchall() == [(None,), (None,)]
    assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    connection.close()


def test_a_migration_that_fails_leaves_the_old_store_as_it_was(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def migrate(database) -> None:
        database["notes"].create({"text": str})
        database["notes"].insert({"text": "half done"})
        database.execute("CREATE TABLE runs (a)")  # exists

    old = schema.VERSION
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", old + 1)
        patch.setattr(schema, "MIGRATIONS", {old + 1: migrate})
        with pytest.raises(StoreError, match="already exists"):
            open_store(filled)
    store = open_store(filled)
    assert store.run("r1") is not None
    store.close()
    connection = sqlite3.connect(filled)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'notes'").fetchone() == (0,)
    connection.close()


MOUNTS = """\
/dev/vda / ext4 rw 0 0
nas:/x /home nfs4 rw 0 0
tmpfs /home/me/tmp tmpfs rw 0 0
host:/ /mnt/with\\040space fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/homely", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/tmp/a", "tmpfs"),
        ("/mnt/with space/a", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_above_a_folder_tells_its_file_system(folder: str, kind: str) -> None:
    assert location.mount_type(MOUNTS, folder) == kind


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "file_system_type", lambda folder: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)"):
        open_store(path)
    assert not path.parent.exists()


# --- a store that cannot be written to ---

UNPRIVILEGED = """
if os.geteuid() == 0:  # the superuser may write to anything
    os.setresuid(65534, 65534, 65534)
for read_only in (False, True):
    try:
        store = open_store(path, read_only=read_only)
    except StoreError as error:
        say(type(error).__name__, error)
    else:
        say(*(row.id for row in store.history(HistoryFilter())), store.find("last").status)
        try:
            store.create([new_run("r2")])
        except StoreError as error:
            say(error)
        store.close()
"""


@pytest.fixture
def public(new_run) -> Iterator[Path]:
    """A closed store with the run r1 that any user can reach and read, but not write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "store" / "agentctl.db"
        store = open_store(path)
        create(store, new_run("r1"))
        store.close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        yield path
        path.parent.chmod(0o755)


LOCKED = """
if os.geteuid() == 0:  # the superuser may look into anything
    os.setresuid(65534, 65534, 65534)
for read_only in (False, True):
    try:
        open_store(path, read_only=read_only)
    except StoreError as error:
        say(error)
"""


def test_a_folder_that_may_not_be_looked_into_is_a_store_that_cannot_be_used(script, public: Path) -> None:
    public.parent.chmod(0o000)
    out, err = script(LOCKED, at=public).communicate(timeout=30)
    assert out.splitlines() == [f"the store {public} cannot be used: Permission denied ({public})"] * 2, err


def test_a_read_only_store_refuses_to_be_written_and_can_be_read(script, public: Path) -> None:
    out, err = script(UNPRIVILEGED, at=public).communicate(timeout=30)
    assert out.splitlines() == [
        f"StoreError the store {public} is read-only",
        "r1 queued",
        f"the store {public} was opened to be read only",
    ], err


def test_a_store_in_a_read_only_folder_refuses_to_be_written_and_can_be_read(script, public: Path) -> None:
    public.chmod(0o666)
    out, err = script(UNPRIVILEGED, at=public).communicate(timeout=30)
    assert out.splitlines()[:2] == [f"StoreError the folder of the store {public} is read-only", "r1 queued"], err


# --- a store that is full or locked ---


def test_a_full_store_says_so_keeps_what_it_acknowledged_and_goes_on_when_there_is_room(script, path: Path) -> None:
    process = script(
        """
        store = open_store(path)

        async def fill():
            await store.create([new_run("r1"), new_run("r2")])
            first, second = await store.acquire(["r1", "r2"])
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            head = 1
            try:
                while True:
                    event = StepSucceeded(at=2.0, path="a", attempt=1, output="x" * 2000)
                    await store.append(Append(lease=first, head=head, events=[event], progress=progress()))
                    head += 1
            except StoreFull as error:
                say(error)
            together = [
                store.append(Append(lease=lease, head=at, events=[RunStarted(at=2.0)] * 2000, progress=progress()))
                for lease, at in ((first, head), (second, 1))
            ]
            say(*(type(result).__name__ for result in await asyncio.gather(*together, return_exceptions=True)))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await store.append(Append(lease=first, head=head, events=[RunStarted(at=2.0)], progress=progress()))
            say(head + 1)

        asyncio.run(fill())
        store.close()
        """
    )
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
    assert len(lines) == 3, err
    assert "the disk is full or a file-size limit is reached" in lines[0]
    assert lines[1] == "StoreFull StoreFull"
    store = open_store(path)
    assert store.run("r1").head == len(list(store.journal("r1"))) == int(lines[2])
    assert store.run("r2").head == 1
    store.close()


def test_a_large_output_that_finds_no_room_fails_alone(script, path: Path) -> None:
    process = script(
        """
        store = open_store(path)

        async def fill():
            await store.create([new_run("r1")])
            [lease] = await store.acquire(["r1"])
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
            large = StepSucceeded(at=2.0, path="a", attempt=1, output="x" * 2_000_000)
            try:
                await store.append(Append(lease=lease, head=1, events=[large], progress=progress()))
            except StoreFull as error:
                say("full")
            await store.append(Append(lease=lease, head=1, events=[RunStarted(at=2.0)], progress=progress()))
            say(store.run("r1").head, len(list((path.parent / "payloads").iterdir())))

        asyncio.run(fill())
        """
    )
    out, err = process.communicate(timeout=60)
    assert out.split() == ["full", "2", "0"], err


def test_a_store_locked_by_another_process_is_busy_after_a_while_and_names_it(script, store: Ledger, path: Path, new_run) -> None:
    create(store, new_run("r1"))
    holder = script(
        """
        import fcntl
        lock = open(f"{path}.lock")
        fcntl.flock(lock, fcntl.LOCK_EX)
        say("locked")
        sys.stdin.readline()
        """
    )
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(StoreBusy, match=r"is locked by (another process|process \d+)"):
        create(store, new_run("r2"))
    assert store.run("r1") is not None  # readers do not wait
    holder.communicate("\n", timeout=30)
    create(store, new_run("r2"))
    assert store.run("r2") is not None


def test_the_holder_of_the_lock_is_named_where_the_system_tells(store: Ledger, path: Path, new_run) -> None:
    create(store, new_run("r1"))
    with open(f"{path}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreBusy, match=str(os.getpid()) if Path("/proc/locks").exists() else "another process"):
            create(store, new_run("r2"))


def test_a_store_locked_by_a_program_that_ignores_our_lock_is_busy(store: Ledger, path: Path, new_run) -> None:
    create(store, new_run("r1"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy, match="locked by another process"):
        create(store, new_run("r2"))
    other.execute("ROLLBACK")
    other.close()
    create(store, new_run("r2"))
    assert store.run("r2") is not None
