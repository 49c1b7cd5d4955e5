"""How the SQLite store keeps its promises cheap: indexes, large payloads, readers beside the writer, compiled definitions."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
from msgspec import structs

from agentctl.core.events import RunFinished, Settled, StepSucceeded
from agentctl.errors import LeaseLost, PayloadUnreadable, StoreCorrupt, StoreError, StoreMissing
from agentctl.model import Definition
from agentctl.ports import HistoryFilter, Progress, StoredDefinition
from agentctl.store.ledger import Ledger
from agentctl.store.runs import definitions


async def leased(store: Ledger, run):
    await store.create([run])
    [lease] = await store.acquire([run.created.run_id])
    return lease


def test_no_column_holds_more_than_a_mebibyte(store: Ledger, path: Path, new_run, append) -> None:
    large = StepSucceeded(at=2.0, path="a", attempt=1, output="x" * 3_000_000)

    async def scenario() -> None:
        lease = await leased(store, new_run("r1", input={"text": "y" * 2_000_000}))
        await store.append(append(lease, 1, large))

    asyncio.run(scenario())
    connection = sqlite3.connect(path)
    for table, column in (("journal", "event"), ("runs", "input"), ("outputs", "value")):
        assert connection.execute(f"SELECT max(length({column})) FROM {table}").fetchone()[0] < 200
    connection.close()
    # RunCreated, its input, and the step's result.
    assert len(list((path.parent / "payloads").iterdir())) == 3


def test_a_lost_payload_file_is_told_as_damage(store: Ledger, path: Path, new_run, append) -> None:
    large = StepSucceeded(at=2.0, path="a", attempt=1, output="x" * 3_000_000)

    async def scenario() -> None:
        lease = await leased(store, new_run("r1"))
        await store.append(append(lease, 1, large))

    asyncio.run(scenario())
    [file] = (path.parent / "payloads").iterdir()
    file.unlink()
    with pytest.raises(StoreCorrupt, match="missing or unreadable"):
        list(store.journal("r1"))


def test_a_long_read_neither_blocks_a_writer_nor_sees_half_of_what_it_writes(store: Ledger, path: Path, new_run, append) -> None:
    async def scenario() -> None:
        lease = await leased(store, new_run("r1"))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM journal").fetchone()
        await store.append(append(lease, 1))
        assert reader.execute("SELECT count(*) FROM journal").fetchone() == before
        assert store.run("r1").head == 2
        reader.close()

    asyncio.run(scenario())


def test_one_store_serves_event_loops_one_after_the_other_and_side_by_side(store: Ledger, new_run) -> None:
    async def create(run_id: str) -> None:
        await store.create([new_run(run_id)])

    async def in_a_thread() -> None:
        await asyncio.gather(asyncio.to_thread(asyncio.run, create("r2")), create("r3"))

    asyncio.run(create("r1"))
    asyncio.run(in_a_thread())
    assert all(store.run(run_id) for run_id in ("r1", "r2", "r3"))


def test_a_cancelled_waiter_undoes_nothing_and_disturbs_nobody(store: Ledger, new_run) -> None:
    async def scenario() -> None:
        given_up, other = store.create([new_run("r1")]), store.create([new_run("r2")])
        given_up.cancel()
        await other
        await store.create([new_run("r3")])

    asyncio.run(scenario())
    assert all(store.run(run_id) for run_id in ("r1", "r2", "r3"))


def test_a_failed_entry_leaves_its_lease_usable(store: Ledger, new_run, append) -> None:
    async def scenario() -> None:
        lease = await leased(store, new_run("r1"))
        with pytest.raises(StoreError, match="CHECK"):
            await store.append(append(lease, 1, spawn=[new_run("")]))  # an id is never empty
        with pytest.raises(LeaseLost):
            await store.append(append(lease, 5))
        await store.append(append(lease, 1))

    asyncio.run(scenario())
    assert store.run("r1").head == 2


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"name": "demo"},
        {"status": ("failed", "running", "interrupted")},
        {"name": "demo", "status": ("failed",)},
        {"since": 1.0, "until": 2.0},
        {"parent": "p"},
    ],
)
def test_listing_goes_by_an_index_and_sorts_nothing(store: Ledger, query) -> None:
    statements: list[str] = []
    store._reader.set_trace_callback(statements.append)
    store.history(HistoryFilter(**query))
    store._reader.set_trace_callback(None)
    listings = [statement for statement in statements if "ORDER BY created_at" in statement]
    assert listings
    for statement in listings:
        plan = " / ".join(row[3] for row in store._reader.execute("EXPLAIN QUERY PLAN " + statement))
        assert "INDEX" in plan
        assert "TEMP B-TREE" not in plan
        assert "journal" not in plan


def test_looking_for_what_is_due_scans_no_table_of_runs(store: Ledger) -> None:
    statements: list[str] = []
    store._reader.set_trace_callback(statements.append)
    store.due(100.0)
    store._reader.set_trace_callback(None)
    [due] = [statement for statement in statements if "wake_at" in statement]
    plan = [row[3] for row in store._reader.execute("EXPLAIN QUERY PLAN " + due)]
    scans = [step for step in plan if step.startswith("SCAN runs")]
    assert all("runs_free" in step for step in scans), plan  # a partial index that holds nothing but what is due
    assert any("runs_asleep" in step for step in plan), plan


def test_a_definition_compiled_by_another_agentctl_is_compiled_anew(store: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "loop: demo\nsteps:\n  - shell: [echo, hello]\n"
    stale = StoredDefinition("hash", Definition(kind="loop", name="stale", steps=()), text, "loops/demo.yaml")

    async def register() -> None:
        await store.register(stale)

    with monkeypatch.context() as patch:
        patch.setattr(definitions, "compiled_format", lambda: "another")
        asyncio.run(register())
        assert store.definition("hash") == stale
    read = store.definition("hash")
    assert read is not None
    assert (read.definition.name, len(read.definition.steps), read.file) == ("demo", 1, "loops/demo.yaml")
    asyncio.run(register())  # replaces the compiled form that we cannot read
    assert store.definition("hash") == stale


def test_nothing_is_written_to_a_store_that_was_removed(store: Ledger, path: Path, new_run) -> None:
    async def scenario() -> None:
        await store.create([new_run("r1")])
        moved = path.rename(path.with_name("moved.db"))
        with pytest.raises(StoreMissing, match="was removed while it was in use"):
            await store.create([new_run("r2")])
        with pytest.raises(StoreMissing, match="was removed while it was in use"):
            store.changed()
        path.write_bytes(moved.read_bytes())
        with pytest.raises(StoreMissing, match="another is in its place"):
            await store.create([new_run("r3")])

    asyncio.run(scenario())


def test_an_output_that_ends_a_run_stands_in_the_store_once(store: Ledger, path: Path, new_run, append) -> None:
    output = {"text": "".join(map(str, range(100_000)))}

    async def scenario() -> None:
        lease = await leased(store, new_run("r1"))
        step = StepSucceeded(at=2.0, path="a", attempt=1, output=output)
        await store.append(append(lease, 1, step))
        end = (Settled(at=3.0, status="succeeded", output=output), RunFinished(at=3.0, status="succeeded", output=output))
        progress = Progress(status="succeeded", started_at=2.0, finished_at=3.0, steps_done=1, steps_total=1, output=output)
        await store.append(structs.replace(append(lease, 2, *end), progress=progress))

    asyncio.run(scenario())
    assert [event.output for event in list(store.journal("r1"))[1:]] == [output] * 3
    assert store.run("r1").output == output
    assert store.history(HistoryFilter(whole=True))[0].output == output
    [(size,)] = sqlite3.connect(path).execute("SELECT sum(length(value)) FROM outputs").fetchall()
    store.close()
    assert path.stat().st_size < size + 300_000


def test_an_output_that_cannot_be_read_is_a_problem_of_its_run_alone(store: Ledger, path: Path, new_run, append) -> None:
    output = "x" * 2_000_000

    async def scenario() -> None:
        for run_id in ("r1", "r2"):
            lease = await leased(store, new_run(run_id))
            progress = Progress(status="succeeded", started_at=2.0, finished_at=3.0, steps_done=1, steps_total=1, output=output)
            end = RunFinished(at=3.0, status="succeeded", output=output)
            await store.append(structs.replace(append(lease, 1, end), progress=progress))

    asyncio.run(scenario())
    [file] = (path.parent / "payloads").iterdir()
    file.unlink()
    assert [row.error for row in store.history(HistoryFilter())] == [None, None]
    row = store.run("r1")
    assert (row.status, row.output, row.error.type) == ("succeeded", None, "store.payload")
    assert str(file) in row.error.message
    assert [row.id for row in store.iter_runs(HistoryFilter())] == ["r1", "r2"]
    with pytest.raises(PayloadUnreadable):
        list(store.journal("r1"))
    assert list(store.journal("r1", lenient=True))[-1].output["unreadable"] == row.error.message


def test_a_payload_that_is_a_link_is_not_followed(store: Ledger, path: Path, tmp_path: Path, new_run) -> None:
    other = tmp_path / "other"
    other.write_text("not ours")
    kept = store.payload(b"z" * 10)
    Path(kept["file"]).unlink()
    Path(kept["file"]).symlink_to(other)
    again = store.payload(b"z" * 10)
    assert other.read_text() == "not ours"
    assert not Path(again["file"]).is_symlink()


COMPILERS = [
    "model.py", "language/build.py", "language/params.py", "language/check/flow.py", "spec/triggers.py", "expressions/convert.py",
    "expressions/template.py",
]  # fmt: skip


@pytest.mark.parametrize("file", COMPILERS)
def test_source_that_decides_what_a_definition_compiles_to_decides_its_format(tmp_path: Path, file: str) -> None:
    package = tmp_path / "agentctl"
    shutil.copytree(Path(definitions.__file__).parents[2], package, ignore=shutil.ignore_patterns("__pycache__"))
    before = definitions.format_of(package)
    with (package / file).open("a") as source:
        source.write("\n# changed\n")
    assert definitions.format_of(package) != before
