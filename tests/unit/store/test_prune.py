"""Pruning: what is old goes, what an unfinished run may need stays, and nobody waits long."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from agentctl.core.commands import LookupResult, StoreResult
from agentctl.core.events import CancelRequested, Parent, RunResumed, StepSucceeded
from agentctl.language.load import load_text
from agentctl.ports import Append, Awaiter, NewEvent, Progress, Pruned, Reply, StoredDefinition
from agentctl.store.ledger import Ledger, open_store
from agentctl.store.upkeep import orphan_files
from agentctl.store.upkeep import prune as pruning
from agentctl.store.upkeep.backup import back_up
from agentctl.store.upkeep.checkup import examine

DAY = 86_400.0
NOW = 100 * DAY
OLD, YOUNG = 5 * DAY, 95 * DAY  # when a run ended
KEEP = 30 * DAY
LARGE = "x" * 2_000_000


async def pause() -> None:
    await asyncio.sleep(0)


class Runs:
    """Makes runs in one state or another in a store, and prunes it."""

    def __init__(self, store: Ledger, new_run: Callable[..., Any]) -> None:
        self.store = store
        self.new_run = new_run

    async def made(self, run_id: str, *, ended: float | None = OLD, output: Any = None, events: Any = (), **more: Any) -> None:
        created = {"at": 1 * DAY if ended is None else ended - 60, **more}
        await self.store.create([self.new_run(run_id, **created)])
        if ended is None:
            return
        [lease] = await self.store.acquire([run_id])
        done = Progress(
            status="succeeded", started_at=ended - 60, finished_at=ended, steps_done=1, steps_total=1, output=output
        )
        happened = events or (StepSucceeded(at=ended, path="a", output=output),)
        await self.store.append(Append(lease=lease, head=lease.head, events=happened, progress=done, release=True))

    async def pruned(self, *, now: float = NOW, keep: float = KEEP) -> Pruned:
        return await self.store.prune(now, keep, pause)

    def left(self) -> set[str]:
        return {run_id for (run_id,) in self.rows("SELECT id FROM runs")}

    def rows(self, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.store.path)) as reader:
            return reader.execute(query, values).fetchall()


@pytest.fixture
def runs(store, new_run) -> Runs:
    return Runs(store, new_run)


def old_file(path, days: float = 2.0) -> None:
    at = time.time() - days * DAY
    os.utime(path, (at, at))


def below(parent: str) -> dict[str, Any]:
    return {"parent": Parent(parent, "call")}


def test_runs_that_ended_long_ago_go_with_all_that_is_theirs(runs, store):
    async def story() -> Pruned:
        await runs.made("old", output=1)
        await runs.made("young", ended=YOUNG)
        await runs.made("waiting", ended=None)
        await store.give_feedback("old", "good", by="ann")
        store.log_path("old").write_text("{}\n")
        return await runs.pruned()

    removed = asyncio.run(story())
    assert removed.runs == 1
    assert runs.left() == {"young", "waiting"}
    assert not store.log_path("old").exists()
    for table, column in pruning.OF_A_RUN:
        assert runs.rows(f"SELECT 1 FROM {table} WHERE {column} NOT IN (SELECT key FROM runs)") == [], table
    assert {finding.status for finding in examine(store.path) if finding.check == "store.integrity"} == {"ok"}


def test_every_table_that_refers_to_a_run_is_thought_of(runs):
    asyncio.run(runs.made("any"))
    found = {
        (table, row[3])
        for (table,) in runs.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        for row in runs.rows(f"PRAGMA foreign_key_list ({table})")
        if row[2] == "runs"
    }
    assert found == {*pruning.OF_A_RUN, ("memory", "run")}


def test_a_family_goes_together_or_stays_together(runs):
    async def story() -> None:
        await runs.made("done")
        await runs.made("done-child", **below("done"))
        await runs.made("done-grandchild", **below("done-child"))
        await runs.made("live", ended=None)
        await runs.made("live-child", **below("live"))
        await runs.made("detaching")
        await runs.made("detached", ended=None, **below("detaching"))
        await runs.made("late")
        await runs.made("late-child", ended=YOUNG, **below("late"))
        await runs.pruned()

    asyncio.run(story())
    assert runs.left() == {"live", "live-child", "detaching", "detached", "late", "late-child"}


def test_a_run_that_dedupe_still_names_stays(runs, store):
    asyncio.run(runs.made("first"))
    with closing(sqlite3.connect(store.path)) as writer, writer:
        writer.execute("INSERT INTO firsts (grp, run, until) SELECT 'demo', key, ? FROM runs", (NOW + 1,))
    assert asyncio.run(runs.pruned()).runs == 0
    assert asyncio.run(runs.pruned(now=NOW + 2)).runs == 1


def test_a_run_that_is_awaited_or_about_to_be_resumed_stays(runs, store):
    async def story() -> None:
        await runs.made("waiting", ended=None)
        await runs.made("target", ended=None)
        await store.await_run(Awaiter("waiting", "join", "target"))
        await runs.made("resumed")
        await store.post([Reply("resumed", RunResumed(at=NOW))])
        await runs.pruned()

    asyncio.run(story())
    assert runs.left() == {"waiting", "target", "resumed"}


def test_a_run_that_was_resumed_between_the_look_and_the_removal_stays(runs, store):
    async def story() -> list[str]:
        await runs.made("a")
        await runs.made("b")
        await store.post([Reply("a", RunResumed(at=NOW)), Reply("b", CancelRequested(at=NOW))])
        return await store._submit(pruning.RemoveRuns(["a", "b"], NOW))

    assert asyncio.run(story()) == ["b"]
    assert runs.left() == {"a"}


def test_what_a_run_started_stays_when_that_run_is_resumed_between_the_look_and_the_removal(runs, store):
    async def story() -> list[str]:
        await runs.made("top")
        await runs.made("middle", parent=Parent("top", "a"))
        await runs.made("bottom", parent=Parent("middle", "a"))
        await runs.made("other")
        await store.post([Reply("top", RunResumed(at=NOW))])
        return await store._submit(pruning.RemoveRuns(["bottom", "middle", "other"], NOW))

    assert asyncio.run(story()) == ["other"]
    assert runs.left() == {"top", "middle", "bottom"}


def test_a_run_that_a_living_process_holds_stays(runs, store):
    async def story() -> list[str]:
        await runs.made("held")
        await runs.made("other")
        await store.post([Reply("held", CancelRequested(at=NOW))])
        assert [lease.run_id for lease in await store.acquire(["held"])] == ["held"]
        return await store._submit(pruning.RemoveRuns(["held", "other"], NOW))

    assert asyncio.run(story()) == ["other"]


def test_a_recorded_result_outlives_its_run_and_a_cached_one_its_time_only(runs, store):
    async def story() -> None:
        for run_id, ttl in (("for-ever", None), ("cached", DAY)):
            await store.create([runs.new_run(run_id, at=OLD)])
            [lease] = await store.acquire([run_id])
            done = Progress(status="succeeded", started_at=OLD, finished_at=OLD, steps_done=1, steps_total=1)
            find = LookupResult("pay", "pay", run_id, ttl)
            keep = StoreResult("pay", "pay", run_id, {"receipt": run_id}, ttl)
            event = StepSucceeded(at=OLD, path="pay")
            await store.append(
                Append(lease=lease, head=1, events=[event], progress=done, keys=[find, keep], at=OLD, release=True)
            )
            for mail in store.mail([run_id]):
                [lease] = await store.acquire([run_id])
                await store.append(
                    Append(lease=lease, head=2, events=[event], progress=done, consumed=[mail.id], release=True)
                )
        removed = await runs.pruned()
        assert (removed.runs, removed.results) == (2, 1)
        await store.create([runs.new_run("asks", at=NOW)])
        [lease] = await store.acquire(["asks"])
        going = Progress(status="running", started_at=NOW, finished_at=None, steps_done=0, steps_total=1)
        ask = LookupResult("pay", "pay", "for-ever", None)
        await store.append(Append(lease=lease, head=1, events=[], progress=going, keys=[ask], at=NOW))

    asyncio.run(story())
    [answer] = [mail.event for mail in store.mail(["asks"])]
    assert (answer.output, answer.source) == ({"receipt": "for-ever"}, "for-ever/pay")


def test_events_stay_for_thirty_days_and_for_every_run_that_may_wait_for_them(runs, store):
    real_now = time.time()

    async def story() -> None:
        for event in ("e1", "e2", "e3"):
            await store.send(NewEvent("order.paid", {}, event, 0.0))
        assert (await runs.pruned(now=real_now + 29 * DAY, keep=0.0)).events == 0
        await runs.made("waits", ended=None, at=real_now - 1)
        assert (await runs.pruned(now=real_now + 90 * DAY, keep=0.0)).events == 0
        [lease] = await store.acquire(["waits"])
        done = Progress(status="failed", started_at=1.0, finished_at=real_now, steps_done=0, steps_total=1)
        await store.append(Append(lease=lease, head=1, events=[], progress=done, release=True))
        assert (await runs.pruned(now=real_now + 90 * DAY, keep=0.0)).events == 3

    asyncio.run(story())
    assert runs.rows("SELECT id FROM events") == []


def definition(name: str, text: str) -> StoredDefinition:
    return load_text(f"loop: {name}\nsteps:\n  - set: {{x: {text}}}\n", f"loops/{name}.yaml")


def test_a_definition_goes_when_no_run_was_ever_pinned_to_it_and_it_was_not_run_for_long(runs, store):
    unused, used, moved_from, moved_to = (definition("demo", text) for text in ("1", "2", "3", "4"))

    async def story() -> None:
        for stored in (unused, used, moved_from, moved_to):
            await store.register(stored)
        await runs.made("r1", ended=YOUNG, version=used.version)
        await runs.made(
            "r2", ended=YOUNG, version=moved_from.version, events=(RunResumed(at=YOUNG, version=moved_to.version),)
        )
        assert (await runs.pruned(now=time.time(), keep=time.time() - 80 * DAY)).definitions == 0, "it was registered just now"

    asyncio.run(story())
    with closing(sqlite3.connect(store.path)) as writer, writer:
        writer.execute("UPDATE definitions SET registered_at = 1.0")
    asyncio.run(runs.pruned())
    assert store.definition(unused.version) is None
    assert all(store.definition(stored.version) for stored in (used, moved_from, moved_to))


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_output_kept_as_a_file_goes_with_the_last_run_that_refers_to_it(runs, store):
    async def story() -> None:
        kept = {"old": store.payload(LARGE.encode())}
        await runs.made("old", output=kept["old"])
        await runs.made("shares", ended=YOUNG, output={"deep": [kept["old"]]})
        await runs.made("alone", output=LARGE + "y")
        files = set(store.location.payloads.iterdir())
        for file in files:
            old_file(file)
        removed = await runs.pruned()
        assert removed.runs == 2
        assert set(store.location.payloads.iterdir()) == {store.location.payloads / kept["old"]["sha256"]}
        assert (removed.files, removed.bytes > 2_000_000) == (len(files) - 1, True)
        assert (await runs.pruned(now=NOW + 100 * DAY)).files == 1

    asyncio.run(story())
    assert list(store.location.payloads.iterdir()) == []


def test_a_file_that_only_a_large_output_names_stays(runs, store):
    async def story() -> None:
        inner = store.payload(b"z" * 2_000_000)
        await runs.made("r", ended=YOUNG, output={"inner": inner, "padding": LARGE})
        for file in store.location.payloads.iterdir():
            old_file(file)
        await runs.pruned()
        assert (store.location.payloads / inner["sha256"]).exists()

    asyncio.run(story())


def test_a_file_that_was_kept_just_now_stays_and_keeping_it_anew_makes_it_young(runs, store):
    async def story() -> None:
        await runs.made("r", ended=YOUNG)
        fresh, again, stale = (store.payload(text * 2_000_000) for text in (b"a", b"b", b"c"))
        for kept in (again, stale):
            old_file(store.location.payloads / kept["sha256"])
        store.payload(b"b" * 2_000_000)
        await runs.pruned()
        assert {path.name for path in store.location.payloads.iterdir()} == {fresh["sha256"], again["sha256"]}

    asyncio.run(story())


def test_no_file_is_swept_while_a_backup_is_made_or_when_another_store_may_own_it(runs, store, tmp_path):
    async def swept() -> int:
        return (await runs.pruned()).files

    async def keep() -> None:
        await runs.made("r", ended=YOUNG)
        old_file(store.location.payloads / store.payload(LARGE.encode())["sha256"])

    asyncio.run(keep())
    with orphan_files.holding_files(store.location, shared=True):
        assert asyncio.run(swept()) == 0
        back_up(store.path, tmp_path / "second.tar")  # two backups at once are fine
    other = open_store(store.path.with_name("other.db"))
    other.close()
    assert asyncio.run(swept()) == 0
    other.path.unlink()
    assert asyncio.run(swept()) == 1


# --- manners -----------------------------------------------------------------------------------------------------------


def test_what_a_dry_run_counts_is_what_goes(runs, store):
    async def story() -> None:
        for number in range(250):
            await runs.made(f"r{number}")
        await runs.made("young", ended=YOUNG)

    asyncio.run(story())
    told = store.prunable(NOW, KEEP)
    assert told.runs == 250
    assert len(runs.left()) == 251
    assert asyncio.run(runs.pruned()).runs == 250


def test_it_removes_in_pieces_and_pauses_between_them(runs, store, monkeypatch):
    sizes: list[int] = []
    perform = pruning.RemoveRuns.perform

    def counted(self: pruning.RemoveRuns, session: Any) -> list[str]:
        gone = perform(self, session)
        sizes.append(len(gone))
        return gone

    monkeypatch.setattr(pruning.RemoveRuns, "perform", counted)
    pauses = 0

    async def story() -> None:
        async def counting() -> None:
            nonlocal pauses
            pauses += 1

        for number in range(250):
            await runs.made(f"r{number}")
        await store.prune(NOW, KEEP, counting)

    asyncio.run(story())
    assert sizes == [100, 100, 50]
    assert pauses >= 3


def test_freed_pages_go_back_to_the_disk(runs, store):
    async def story() -> None:
        for number in range(60):
            await runs.made(f"r{number}", output="x" * 200_000)
        await runs.pruned()

    asyncio.run(story())
    [(pages,)], [(free,)] = runs.rows("PRAGMA page_count"), runs.rows("PRAGMA freelist_count")
    assert pages * 4096 < 2_000_000, "24 MB were written"
    assert free < 500, "no piece is left to give back"
    assert {finding.status for finding in examine(store.path) if finding.check == "store.integrity"} == {"ok"}


def test_cut_off_anywhere_it_leaves_a_sound_store_and_the_rest_goes_the_next_time(path, script, new_run):
    source = """
    async def main():
        store = open_store(path)
        for top in range(30):
            names = [f"t{top}"] + [f"t{top}c{child}" for child in range(8)]
            for name in reversed(names):
                parent = None if name == names[0] else Parent(names[0], "call")
                await store.create([new_run(name, parent=parent)])
                [lease] = await store.acquire([name])
                entry = Append(lease=lease, head=1, events=[RunStarted(at=2.0)], progress=progress("succeeded"), release=True)
                await store.append(entry)
        say("ready")
        sys.stdin.readline()
        async def pause():
            say("piece")
            sys.stdin.readline()
        await store.prune(1e6, 1.0, pause)
    asyncio.run(main())
    """
    process = script(source)
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "piece\n"
    process.kill()
    process.wait()
    store = open_store(path)
    try:
        runs = Runs(store, new_run)
        left = runs.left()
        assert 0 < len(left) < 270
        assert {name.split("c")[0] for name in left} <= left, "children go before the run that started them"
        assert asyncio.run(runs.pruned(now=1e6, keep=1.0)).runs == len(left)
        assert runs.left() == set()
    finally:
        store.close()
