"""What every Store promises (agentctl.ports.Store), whatever it is made of."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import (
    AnyEvent,
    CancelRequested,
    ChildFinished,
    Error,
    Parent,
    RunCreated,
    RunResumed,
    RunStarted,
    StepStarted,
    StepSucceeded,
    Usage,
)
from agentctl.errors import AmbiguousPrefix, LeaseLost, NotFound, StoreError
from agentctl.model import Definition
from agentctl.ports import Append, Appended, Awaiter, HistoryFilter, Lease, NewRun, Progress, Reply, Store, StoredDefinition

Factory = Callable[[], Store]


def done(awaitable: Callable[[], Awaitable[Any]]) -> Any:
    async def wait() -> Any:
        return await awaitable()

    return asyncio.run(wait())


def new_run(run_id: str, *, parent: Parent | None = None, awaited: bool = True, at: float = 1.0, **created: Any) -> NewRun:
    created = {"name": "demo", "kind": "loop", "version": "v1", **created}
    return NewRun(created=RunCreated(at=at, run_id=run_id, parent=parent, **created), awaited=awaited)


def progress(status: Any = "running", **changes: Any) -> Progress:
    finished = 9.0 if status in ("succeeded", "failed", "cancelled") else None
    return Progress(**{"started_at": 2.0, "finished_at": finished, "steps_done": 0, "steps_total": 3, **changes}, status=status)


def entry(lease: Lease, head: int, *events: AnyEvent, status: Any = "running", **more: Any) -> Append:
    return Append(lease=lease, head=head, events=events, **{"progress": progress(status), **more})


async def leased(store: Store, run_id: str, **created: Any) -> Lease:
    await store.create([new_run(run_id, **created)])
    [lease] = await store.acquire([run_id])
    return lease


async def finish(store: Store, run_id: str, status: str = "succeeded", **result: Any) -> None:
    """Drive a run to its end in one append."""
    row = store.run(run_id)
    assert row is not None
    [lease] = await store.acquire([run_id])
    await store.append(entry(lease, row.head, progress=progress(status, **result), release=True))


STARTED = RunStarted(at=2.0)


def step(number: int) -> StepSucceeded:
    return StepSucceeded(at=2.0 + number, path=f"step_{number}", attempt=1, output={"number": number})


# --- creating and reading back -------------------------------------------------------------------------------------


def test_a_created_run_is_queued_and_its_journal_holds_how_it_was_created(store: Store) -> None:
    run = new_run("r1", input={"service": "web"}, trigger="event", event={"name": "go", "data": [1]}, at=5.0)
    done(lambda: store.create([run]))
    row = store.run("r1")
    assert row is not None
    assert (row.status, row.name, row.kind, row.version, row.head) == ("queued", "demo", "loop", "v1", 1)
    assert (row.input, row.trigger, row.event, row.created_at) == ({"service": "web"}, "event", {"name": "go", "data": [1]}, 5.0)
    assert list(store.journal("r1")) == [run.created]


def test_creating_a_run_again_leaves_it_as_it_is(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, STARTED))
        await store.create([new_run("r1", name="other"), new_run("r2")])

    asyncio.run(scenario())
    row = store.run("r1")
    assert row is not None
    assert (row.name, row.head) == ("demo", 2)
    assert store.run("r2") is not None


def test_a_run_that_does_not_exist_reads_as_none(store: Store) -> None:
    assert store.run("nope") is None
    assert list(store.journal("nope")) == []


def test_an_append_adds_events_in_order_and_rewrites_the_projection(store: Store) -> None:
    usage = Usage(input_tokens=10, usd=0.5)

    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, STARTED, step(0)))
        await store.append(entry(lease, 3, step(1), progress=progress(steps_done=2, usage=usage)))
        await store.append(entry(lease, 4, progress=progress("waiting", wake_at=7.5, version="v2")))

    asyncio.run(scenario())
    row = store.run("r1")
    assert row is not None
    assert list(store.journal("r1", after=1)) == [STARTED, step(0), step(1)]
    assert (row.head, row.status, row.started_at, row.wake_at, row.version) == (4, "waiting", 2.0, 7.5, "v2")


def test_a_counting_append_keeps_what_it_counted(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, STARTED))
        await store.append(entry(lease, 2, step(0), progress=progress(steps_done=1, usage=Usage(output_tokens=4))))

    asyncio.run(scenario())
    row = store.run("r1")
    assert row is not None
    assert (row.steps_done, row.steps_total, row.usage, row.head) == (1, 3, Usage(output_tokens=4), 3)


def test_the_end_of_a_run_is_kept_with_its_output_or_error(store: Store) -> None:
    error = Error("shell.exit", "it broke", step="a", attempts=2, data={"exit_code": 1})

    async def scenario() -> None:
        await store.create([new_run("good"), new_run("bad")])
        await finish(store, "good", output={"ok": [1, 2]})
        await finish(store, "bad", "failed", error=error)

    asyncio.run(scenario())
    good, bad = store.run("good"), store.run("bad")
    assert good is not None
    assert bad is not None
    assert (good.status, good.output, good.finished_at, good.owner) == ("succeeded", {"ok": [1, 2]}, 9.0, None)
    assert (bad.status, bad.error) == ("failed", error)


def test_appends_handed_in_together_are_all_written(store: Store) -> None:
    async def scenario() -> None:
        await store.create([new_run(f"r{n}") for n in range(50)])
        leases = await store.acquire([f"r{n}" for n in range(50)])
        first = [store.append(entry(lease, 1, STARTED, step(0))) for lease in leases]
        second = [store.append(entry(lease, 3, step(1))) for lease in leases]  # before the first are answered
        await asyncio.gather(*first, *second)

    asyncio.run(scenario())
    for number in range(50):
        assert list(store.journal(f"r{number}", 1)) == [STARTED, step(0), step(1)]


def test_an_output_of_two_megabytes_reads_back_whole(store: Store) -> None:
    large = {"text": "ü" * 1_100_000}
    event = StepSucceeded(at=3.0, path="a", attempt=1, output=large)

    async def scenario() -> None:
        lease = await leased(store, "r1", input={"document": "x" * 2_000_000})
        await store.append(entry(lease, 1, event, progress=progress("succeeded", output=large)))

    asyncio.run(scenario())
    row = store.run("r1")
    assert row is not None
    assert row.output == large
    assert len(row.input["document"]) == 2_000_000
    assert list(store.journal("r1", 1)) == [event]


def test_text_that_looks_like_a_reference_or_holds_nul_reads_back_as_it_was(store: Store) -> None:
    event = StepSucceeded(at=3.0, path="a", attempt=1, output=["@" + "0" * 64, "\x00", '"', "\u2028"])

    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, event, progress=progress("succeeded", output="@abc")))

    asyncio.run(scenario())
    row = store.run("r1")
    assert row is not None
    assert row.output == "@abc"
    assert list(store.journal("r1", 1)) == [event]


# --- leases --------------------------------------------------------------------------------------------------------


def test_a_lease_is_given_once(open_one: Factory) -> None:
    first, second = open_one(), open_one()

    async def scenario() -> None:
        await first.create([new_run("r1"), new_run("r2")])
        assert await first.acquire(["r1", "nope"]) == [Lease("r1", 1)]
        assert await first.acquire(["r1"]) == []
        assert await second.acquire(["r1", "r2"]) == [Lease("r2", 1)]

    asyncio.run(scenario())


def test_a_lease_says_what_lies_ready_for_the_run(store: Store) -> None:
    async def scenario() -> None:
        await store.create([new_run("r1"), new_run("r2")])
        await store.post([Reply("r2", CancelRequested(at=3.0))])
        first, second = await asyncio.gather(store.acquire(["r1"]), store.acquire(["r2"]))
        assert (first, second) == ([Lease("r1", 1)], [Lease("r2", 1, has_mail=True)])
        await store.append(entry(first[0], 1, STARTED, step(0), release=True))
        assert await store.acquire(["r1"]) == [Lease("r1", 2, head=3)]

    asyncio.run(scenario())


def test_of_two_who_ask_at_once_one_gets_the_lease(store: Store) -> None:
    async def scenario() -> None:
        await store.create([new_run("r1"), new_run("r2")])
        answers = await asyncio.gather(store.acquire(["r1"]), store.acquire(["r2", "r1"]), store.acquire(["r2"]))
        assert [[lease.run_id for lease in leases] for leases in answers] == [["r1"], ["r2"], []]

    asyncio.run(scenario())


def test_a_released_run_may_be_leased_by_another_and_its_epoch_rises(open_one: Factory) -> None:
    first, second = open_one(), open_one()

    async def scenario() -> None:
        lease = await leased(first, "r1")
        await first.release([lease])
        assert await second.acquire(["r1"]) == [Lease("r1", 2)]
        await first.release([lease])  # an old one: ignored
        assert await first.acquire(["r1"]) == []

    asyncio.run(scenario())


def test_a_lease_given_back_appends_no_more(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, STARTED, status="waiting", release=True))
        with pytest.raises(LeaseLost):
            await store.append(entry(lease, 2, step(0)))
        assert await store.acquire(["r1"]) == [Lease("r1", 2, head=2)]
        with pytest.raises(LeaseLost):
            await store.append(entry(lease, 2, step(0)))

    asyncio.run(scenario())
    assert list(store.journal("r1", 1)) == [STARTED]


def test_an_append_at_the_wrong_head_is_refused_and_writes_nothing(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, STARTED))
        for head in (0, 1, 3):
            with pytest.raises(LeaseLost):
                await store.append(entry(lease, head, step(0), spawn=[new_run(f"child{head}")]))
        await store.append(entry(lease, 2, step(1)))

    asyncio.run(scenario())
    assert list(store.journal("r1", 1)) == [STARTED, step(1)]
    assert [row.id for row in store.history(HistoryFilter())] == ["r1"]


def test_a_refused_append_does_not_harm_those_committed_with_it(store: Store) -> None:
    async def scenario() -> list[Any]:
        leases = [await leased(store, f"r{n}") for n in range(5)]
        heads = [1, 1, 7, 1, 1]
        waiting = [store.append(entry(lease, head, STARTED)) for lease, head in zip(leases, heads, strict=True)]
        return await asyncio.gather(*waiting, return_exceptions=True)

    results = asyncio.run(scenario())
    assert [type(result) for result in results] == [Appended, Appended, LeaseLost, Appended, Appended]
    assert [len(list(store.journal(f"r{n}"))) for n in range(5)] == [2, 2, 1, 2, 2]


def test_an_entry_that_breaks_an_invariant_is_refused_alone(store: Store) -> None:
    async def scenario() -> list[Any]:
        leases = [await leased(store, f"r{n}") for n in range(3)]
        bad = progress("running", finished_at=3.0)  # running, yet finished
        waiting = [
            store.append(entry(leases[0], 1, STARTED)),
            store.append(entry(leases[1], 1, STARTED, progress=bad)),
            store.append(entry(leases[2], 1, STARTED)),
        ]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        await store.append(entry(leases[1], 1, STARTED))  # nothing of the refused one was left behind
        return results

    results = asyncio.run(scenario())
    assert results[0] == Appended()
    assert isinstance(results[1], StoreError)
    assert results[2] == Appended()
    assert list(store.journal("r1", 1)) == [STARTED]


def test_closing_gives_every_lease_back(open_one: Factory) -> None:
    first, second = open_one(), open_one()
    lease = asyncio.run(leased(first, "r1"))
    asyncio.run(_append_started(first, lease))
    first.close()
    row = second.run("r1")
    assert row is not None
    assert row.status == "interrupted"
    assert done(lambda: second.acquire(["r1"])) == [Lease("r1", 2, head=2)]


async def _append_started(store: Store, lease: Lease) -> None:
    await store.append(entry(lease, 1, STARTED))


def test_a_run_is_running_while_its_owner_lives_and_interrupted_when_nobody_owns_it(open_one: Factory) -> None:
    owner, reader = open_one(), open_one()

    async def scenario() -> None:
        lease = await leased(owner, "r1")
        await owner.append(entry(lease, 1, STARTED))
        assert _status(reader, "r1") == "running"
        await owner.release([lease])
        assert _status(reader, "r1") == "interrupted"
        [lease] = await owner.acquire(["r1"])
        await owner.release([lease], status="interrupted")

    asyncio.run(scenario())
    assert _status(reader, "r1") == "interrupted"


def _status(store: Store, run_id: str) -> str | None:
    row = store.run(run_id)
    return None if row is None else row.status


# --- mail, spawn and reply -----------------------------------------------------------------------------------------


def test_mail_waits_in_order_until_an_append_consumes_it(open_one: Factory) -> None:
    owner, other = open_one(), open_one()
    cancel, resume = CancelRequested(at=3.0, reason="enough"), RunResumed(at=4.0)

    async def scenario() -> None:
        lease = await leased(owner, "r1")
        await other.post([Reply("r1", cancel), Reply("nobody", cancel)])
        await other.post([Reply("r1", resume)])
        first, second = owner.mail(["r1"])
        assert [first.event, second.event] == [cancel, resume]
        await owner.append(entry(lease, 1, cancel, consumed=[first.id]))
        assert owner.mail(["r1"]) == [second]

    asyncio.run(scenario())


def test_an_append_deletes_no_mail_of_other_runs(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.create([new_run("r2")])
        await store.post([Reply("r2", CancelRequested(at=3.0))])
        await store.append(entry(lease, 1, STARTED, consumed=[mail.id for mail in store.mail(["r2"])]))

    asyncio.run(scenario())
    assert len(store.mail(["r2"])) == 1


def test_replies_arrive_with_the_append_that_sends_them(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.create([new_run("r2")])
        await store.append(entry(lease, 1, STARTED, replies=[Reply("r2", CancelRequested(at=3.0))]))

    asyncio.run(scenario())
    assert [mail.event for mail in store.mail(["r1", "r2"])] == [CancelRequested(at=3.0)]


def test_a_parent_hears_of_the_end_of_its_child_and_nothing_of_a_detached_one(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "p")
        children = [new_run("c1", parent=Parent("p", "call")), new_run("c2", parent=Parent("p", "start"), awaited=False)]
        await store.append(entry(lease, 1, StepStarted(at=2.0, path="call", child="c1"), spawn=children))
        assert store.mail(["p"]) == []
        await finish(store, "c1", output=[1])
        await finish(store, "c2")

    asyncio.run(scenario())
    assert [mail.event for mail in store.mail(["p"])] == [
        ChildFinished(at=9.0, path="call", run_id="c1", status="succeeded", output=[1])
    ]


def test_a_repeated_spawn_tells_the_end_once(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "p")
        child = new_run("c1", parent=Parent("p", "call"))
        await store.append(entry(lease, 1, STARTED, spawn=[child]))
        await store.append(entry(lease, 2, spawn=[child]))
        await finish(store, "c1")

    asyncio.run(scenario())
    assert len(store.mail(["p"])) == 1


def test_spawning_a_finished_child_answers_at_once_unless_it_is_resumed_with_it(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "p")
        child = new_run("c1", parent=Parent("p", "call"))
        await store.append(entry(lease, 1, STARTED, spawn=[child]))
        await finish(store, "c1", "failed", error=Error("failed", "no"))
        [told] = store.mail(["p"])
        resumed = [Reply("c1", RunResumed(at=5.0))]
        await store.append(entry(lease, 2, spawn=[child], replies=resumed, consumed=[told.id]))
        assert store.mail(["p"]) == []
        await finish(store, "c1", output="better")
        [told] = store.mail(["p"])
        assert told.event == ChildFinished(at=9.0, path="call", run_id="c1", status="succeeded", output="better")
        await store.append(entry(lease, 2, spawn=[child], consumed=[told.id]))

    asyncio.run(scenario())
    assert len(store.mail(["p"])) == 1


def test_awaiting_a_run_is_answered_when_it_ends_or_at_once(store: Store) -> None:
    error = Error("failed", "no")

    async def scenario() -> None:
        await store.create([new_run("r1"), new_run("r2")])
        await store.await_run(Awaiter("r1", "join", "r2"))
        await store.await_run(Awaiter("r1", "join", "r2"))
        assert store.mail(["r1"]) == []
        await finish(store, "r2", "failed", error=error)
        await store.await_run(Awaiter("r1", "again", "r2"))

    asyncio.run(scenario())
    end = {"at": 9.0, "run_id": "r2", "status": "failed", "error": error}
    assert [mail.event for mail in store.mail(["r1"])] == [ChildFinished(path=path, **end) for path in ("join", "again")]


def test_awaiting_a_run_that_never_was_is_answered_not_found(store: Store) -> None:
    async def scenario() -> None:
        await store.create([new_run("r1")])
        await store.await_run(Awaiter("r1", "join", "nope"))

    asyncio.run(scenario())
    [mail] = store.mail(["r1"])
    assert isinstance(mail.event, ChildFinished)
    assert (mail.event.run_id, mail.event.status, mail.event.path) == ("nope", "not_found", "join")


# --- what to drive next --------------------------------------------------------------------------------------------


def test_due_are_queued_and_interrupted_runs_runs_with_mail_and_those_whose_time_has_come(store: Store) -> None:
    async def scenario() -> None:
        names = ["queued", "mine", "let_go", "asleep", "awake", "mailed", "waits", "over"]
        await store.create([new_run(name, at=float(number)) for number, name in enumerate(names)])
        leases = {lease.run_id: lease for lease in await store.acquire(names[1:])}
        await store.append(entry(leases["mine"], 1, STARTED))
        await store.append(entry(leases["let_go"], 1, STARTED, release=True))
        for name, wake_at in {"asleep": 200.0, "awake": 50.0, "mailed": None, "waits": None}.items():
            await store.append(entry(leases[name], 1, progress=progress("waiting", wake_at=wake_at), release=True))
        await store.append(entry(leases["over"], 1, status="succeeded", release=True))
        await store.post([Reply("mailed", CancelRequested(at=3.0)), Reply("mine", CancelRequested(at=3.0))])

    asyncio.run(scenario())
    assert store.due(100.0) == ["queued", "let_go", "awake", "mailed"]
    assert store.due(100.0, limit=2) == ["queued", "let_go"]
    assert "asleep" in store.due(200.0)


def test_a_store_tells_once_that_another_wrote_and_says_nothing_of_its_own_writes(open_one: Factory) -> None:
    first, second = open_one(), open_one()
    done(lambda: first.create([new_run("r1")]))
    assert not first.changed()
    assert second.changed()
    assert not second.changed()
    done(lambda: second.create([new_run("r2")]))
    assert not second.changed()
    assert first.changed()
    assert not first.changed()


def test_a_write_of_another_before_our_first_one_is_told(open_one: Factory) -> None:
    first, second = open_one(), open_one()
    done(lambda: first.create([new_run("r1")]))
    done(lambda: second.create([new_run("r2")]))
    assert second.changed()


# --- finding and listing -------------------------------------------------------------------------------------------


def test_a_run_is_found_by_a_unique_prefix(store: Store) -> None:
    done(lambda: store.create([new_run("ab1"), new_run("ab2"), new_run("ab23"), new_run("c_1")]))
    assert store.find("c").id == "c_1"
    assert store.find("ab2").id == "ab2"  # a whole id is itself, whatever begins with it
    with pytest.raises(AmbiguousPrefix, match="ab1, ab2"):
        store.find("ab")
    for missing in ("x", "c%", "AB1", "ab1 "):
        with pytest.raises(NotFound):
            store.find(missing)


def test_last_is_the_newest_run_that_no_run_started(store: Store) -> None:
    with pytest.raises(NotFound):
        store.find("last")
    runs = [new_run("new", at=5.0), new_run("old", at=1.0), new_run("child", at=9.0, parent=Parent("new", "call"))]
    done(lambda: store.create(runs))
    assert store.find("last").id == "new"


@pytest.fixture
def listed(store: Store) -> Store:
    async def scenario() -> None:
        runs = [
            new_run("a1", at=1.0),
            new_run("a2", at=2.0, trigger="cron"),
            new_run("b1", at=3.0, name="other"),
            new_run("a3", at=4.0, parent=Parent("b1", "x")),
            new_run("a4", at=5.0),
            new_run("a5", at=6.0),
        ]
        await store.create(runs)
        await finish(store, "a1")
        await finish(store, "a2", "failed")
        for lease in await store.acquire(["a4", "a5"]):
            await store.append(entry(lease, 1, STARTED, release=lease.run_id == "a4"))

    asyncio.run(scenario())
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "a5 a4 a3 b1 a2 a1"),
        ({"limit": 2}, "a5 a4"),
        ({"limit": 0}, ""),
        ({"name": "demo"}, "a5 a4 a3 a2 a1"),
        ({"name": "demo", "limit": 1}, "a5"),
        ({"status": ("failed", "succeeded")}, "a2 a1"),
        ({"status": ("running",)}, "a5"),
        ({"status": ("interrupted",)}, "a4"),
        ({"status": ("running", "interrupted"), "name": "demo"}, "a5 a4"),
        ({"status": ("queued",), "name": "demo"}, "a3"),
        ({"since": 2.0, "until": 4.0}, "a3 b1 a2"),
        ({"parent": "b1"}, "a3"),
        ({"trigger": "cron"}, "a2"),
        ({"name": "none"}, ""),
    ],
)
def test_history_lists_newest_first_what_the_filter_asks_for(listed: Store, query: dict[str, Any], expected: str) -> None:
    assert " ".join(row.id for row in listed.history(HistoryFilter(**query))) == expected


# --- definitions and files -----------------------------------------------------------------------------------------


def test_a_definition_is_kept_as_it_was_registered_first(store: Store) -> None:
    stored = StoredDefinition("hash", Definition(kind="loop", name="demo", steps=()), "loop: demo\n", "loops/demo.yaml")

    async def scenario() -> None:
        await store.register(stored)
        await store.register(StoredDefinition("hash", stored.definition, "loop: demo\n", "elsewhere.yaml"))

    asyncio.run(scenario())
    assert store.definition("hash") == stored
    assert store.definition("other") is None


def test_a_payload_is_a_file_named_by_its_hash(store: Store) -> None:
    kept = store.payload(b"abc")
    assert kept == store.payload(b"abc")
    assert Path(kept["file"]).read_bytes() == b"abc"
    assert Path(kept["file"]).name == kept["sha256"]
    assert kept["bytes"] == 3


def test_a_payload_may_come_from_a_mapped_file_which_can_be_closed_after(store: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"abc" * 1_000_000)
    with (tmp_path / "large").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        kept = store.payload(mapped)
    assert Path(kept["file"]).read_bytes() == b"abc" * 1_000_000


def test_every_run_has_a_log_file_of_its_own_in_one_folder(store: Store) -> None:
    paths = [store.log_path(run_id) for run_id in ("r1", "r2", "../r3", "a/b")]
    assert len(set(paths)) == 4
    assert {path.resolve().parent for path in paths} == {paths[0].parent}
    assert paths[0].parent.is_dir()


def test_a_closed_store_refuses_and_closing_twice_is_fine(store: Store) -> None:
    done(lambda: store.create([new_run("r1")]))
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        done(lambda: store.create([new_run("r2")]))
    with pytest.raises(StoreError, match="closed"):
        store.run("r1")


def test_what_was_handed_in_before_close_is_written_though_nobody_waits(open_one: Factory) -> None:
    store = open_one()

    async def hand_in() -> None:
        _ = store.create([new_run("r1")])

    asyncio.run(hand_in())  # the loop is gone before the answer
    store.close()
    assert open_one().run("r1") is not None
