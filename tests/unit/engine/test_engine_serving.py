"""An engine that serves a store: whatever can be driven on is, and it stops with grace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

import pytest
from waiting import eventually_async

from agentctl.core import interpreter
from agentctl.core.events import StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.engine.residency.dispatcher import POLL_INTERVAL
from agentctl.errors import ActionError, StoreCorrupt, StoreFull
from agentctl.model import Retry
from agentctl.ports import Call, HistoryFilter
from agentctl.testing.definitions import AT_ONCE, set_step, skill, stored, task, wait, wait_for_event
from agentctl.testing.fixtures import World

GRACE = 10.0


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[Engine]:
    await engine.begin()
    running = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        running.cancel()
        await asyncio.wait([running])
        await engine.stop()


def status(engine: Engine, run_id: str) -> str:
    row = engine.store.run(run_id)
    assert row is not None
    return row.status


async def test_a_run_that_another_process_queues_is_driven_at_once(world: World) -> None:
    async with served(world.serving()) as engine:
        other = world.engine()
        began = asyncio.get_running_loop().time()
        run_id = await other.create(stored("x", task("a"), task("b")), {})
        await eventually_async(lambda: status(other, run_id) == "succeeded")
        took = asyncio.get_running_loop().time() - began

        assert world.shell.paths == ["a", "b"]
        assert took < POLL_INTERVAL / 2, "it was found by looking, not by being woken"
        await eventually_async(lambda: engine.held == 0, "the run is let go of")


async def test_a_resumed_run_that_another_process_ends_meanwhile_is_not_taken_for_what_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(call: Call) -> str:
        raise ActionError("shell.exit", "not yet")

    world.shell.behave["work"] = fail
    engine = world.engine()
    run_id = await engine.create(stored("x", task("work")), {})
    assert (await engine.drive(run_id)).status == "failed"
    del world.shell.behave["work"]
    await engine.resume(run_id)

    async def take_up() -> None:
        await world.engine().drive(run_id)

    def then_another_is_there_first(read: Callable[..., Any]) -> Callable[..., Any]:
        def first_read(wanted: Any) -> Any:
            found = read(wanted)
            monkeypatch.undo()
            other = Thread(target=lambda: asyncio.run(take_up()))
            other.start()
            other.join()
            return found

        return first_read

    for name in ("run", "mail"):
        monkeypatch.setattr(engine.store, name, then_another_is_there_first(getattr(engine.store, name)))
    assert (await engine.drive(run_id)).status == "succeeded"


async def test_an_event_wakes_a_run_that_costs_no_memory_while_it_waits(world: World) -> None:
    async with served(world.serving()) as engine:
        other = world.engine()
        run_id = await other.create(stored("x", wait_for_event("w", "go"), task("after")), {})
        await eventually_async(lambda: status(other, run_id) == "waiting" and not engine.held)
        assert (engine.held, engine.timers._due) == (0, {})

        await other.send("go", {})
        await eventually_async(lambda: status(other, run_id) == "succeeded")


async def test_a_timer_is_kept_by_the_store_and_fires_on_time(world: World) -> None:
    async with served(world.serving()) as engine:
        other = world.engine()
        run_id = await other.create(stored("x", wait("w", "1500ms")), {})
        await eventually_async(lambda: status(other, run_id) == "waiting" and not engine.held)
        await eventually_async(lambda: status(other, run_id) == "succeeded", seconds=POLL_INTERVAL + 1)


async def test_no_more_runs_are_held_than_there_is_room_for(world: World) -> None:
    most = 0
    engine = world.serving(workers=2, most_held=3)

    async def measure(call: Call) -> str:
        nonlocal most
        most = max(most, engine.held)
        await asyncio.sleep(0.001)
        return "done"

    world.shell.behave["a"] = measure
    ids = await world.engine().create_many(stored("x", task("a")), [{} for _ in range(40)])
    async with served(engine):
        await eventually_async(lambda: all(status(engine, run_id) == "succeeded" for run_id in ids))
    assert 0 < most <= 3


async def test_ten_thousand_waiting_runs_are_not_loaded(world: World) -> None:
    """(Some hundred of them here: what counts is that none is touched.)"""
    other = world.engine()
    ids = await other.create_many(stored("x", wait("w", "7d")), [{} for _ in range(300)])
    await other.start_all(ids)
    heads = [row.epoch for row in other.store.history(HistoryFilter(limit=300))]
    await other.stop()
    async with served(world.serving()) as engine:
        await asyncio.sleep(0.1)
        assert engine.held == 0
        assert [row.epoch for row in other.store.history(HistoryFilter(limit=300))] == heads


async def test_children_of_a_full_house_wait_in_the_store_for_their_turn(world: World) -> None:
    world.skills["child"] = stored("child", task("x"), kind="skill")
    parents = stored("parent", skill("a", "child", needs=AT_ONCE), skill("b", "child", needs=AT_ONCE))
    async with served(world.serving(most_held=1)) as engine:
        ids = await world.engine().create_many(parents, [{} for _ in range(4)])
        await eventually_async(lambda: all(status(engine, run_id) == "succeeded" for run_id in ids))
        assert len(world.shell.paths) == 8


async def test_detached_children_are_driven_though_nobody_waits_for_them(world: World) -> None:
    world.skills["child"] = stored("child", task("x"), kind="skill")
    async with served(world.serving()) as engine:
        run_id = await world.engine().create(stored("parent", skill("a", "child", detach=True)), {})
        await eventually_async(lambda: [row.status for row in world.children(run_id)] == ["succeeded"])
        assert status(engine, run_id) == "succeeded"


def test_what_a_killed_process_left_behind_has_been_taken_over_before_it_is_ready(world: World) -> None:
    async def scenario(engine: Engine) -> None:
        async def note(call: Call) -> None:
            (world.root / "id").write_text(call.run_id)
            await asyncio.sleep(0.05)  # the store's thread may be writing
            raise SystemExit

        world.shell.behave["b"] = note
        run_id = await engine.create(stored("x", task("a"), task("b")), {})
        driving = asyncio.ensure_future(engine.drive(run_id))
        await eventually_async((world.root / "id").exists)
        driving.cancel()

    world.killed(scenario)
    run_id = (world.root / "id").read_text()

    async def go_on() -> None:
        release = asyncio.Event()

        async def hang(call: Call) -> None:
            await release.wait()

        world.shell.behave["b"] = hang
        engine = world.serving()
        await engine.begin()
        assert "RunRecovered" in world.journal(run_id)
        release.set()
        await eventually_async(lambda: status(engine, run_id) == "succeeded")
        await engine.stop()

    asyncio.run(go_on())
    assert world.shell.paths == ["b"]


# --- trouble -----------------------------------------------------------------------------------------------------------


def fail_writes(engine: Engine, error: Exception) -> asyncio.Event:
    """From now on appends to the store fail, until the event is set."""
    well = asyncio.Event()
    append = engine.store.append

    def try_to_append(entry: Any) -> Any:
        if well.is_set():
            return append(entry)
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed

    engine.store.append = try_to_append  # type: ignore[method-assign]
    return well


async def test_an_outcome_that_cannot_be_written_is_kept_until_it_can_be(world: World) -> None:
    engine = world.serving()
    paid: list[str] = []
    well: list[asyncio.Event] = []

    async def pay(call: Call) -> str:
        paid.append(call.path)
        well.append(fail_writes(engine, StoreFull("no room")))
        return "paid"

    world.shell.behave["pay"] = pay
    async with served(engine):
        run_id = await world.engine().create(stored("x", task("pay", effect="once"), task("after")), {})
        await eventually_async(lambda: bool(well) and engine.is_tried)
        assert (status(engine, run_id), world.shell.paths) == ("running", ["pay"])
        well[0].set()
        await eventually_async(lambda: status(engine, run_id) == "succeeded")

    assert paid == ["pay"]
    assert not engine.is_tried
    assert not {"RunRecovered", "OutcomeUnknown"} & set(world.journal(run_id))


async def test_no_patience_outlives_the_order_to_stop(world: World) -> None:
    engine = world.serving()

    async def full(call: Call) -> str:
        fail_writes(engine, StoreFull("no room"))
        return "done"

    world.shell.behave["a"] = full
    async with served(engine):
        run_id = await world.engine().create(stored("x", task("a")), {})
        await eventually_async(lambda: engine.is_tried)
    assert status(engine, run_id) == "interrupted"


async def test_a_run_that_cannot_be_driven_disturbs_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    engine = world.serving()
    broken = await world.engine().create(stored("broken", task("a"), task("b")), {})
    journal = engine.store.journal

    def read(run_id: str, after: int = 0) -> Any:
        if run_id == broken:
            raise KeyError("a bug")
        return journal(run_id, after)

    engine.store.journal = read  # type: ignore[method-assign]
    async with served(engine):
        well = await world.engine().create(stored("well", task("x")), {})
        await eventually_async(lambda: status(engine, well) == "succeeded")
        assert status(engine, broken) == "interrupted"
        assert "failed unexpectedly" in caplog.text
        engine.store.journal = journal  # type: ignore[method-assign]
        await eventually_async(lambda: status(engine, broken) == "succeeded")


async def test_a_store_that_is_damaged_ends_the_engine(world: World) -> None:
    engine = world.serving()
    await engine.begin()
    fail_writes(engine, StoreCorrupt("damaged"))
    running = asyncio.create_task(engine.run())
    await world.engine().create(stored("x", task("a")), {})
    with pytest.raises(StoreCorrupt):
        await asyncio.wait_for(running, 10)
    await engine.stop()


# --- stopping with grace -----------------------------------------------------------------------------------------------


async def stop_in_the_middle(world: World, engine: Engine, release: asyncio.Event, grace: float = GRACE) -> None:
    """Stop while `a` of a run is under way, which ends when `release` is set."""

    async def hang(call: Call) -> str:
        await release.wait()
        return "done"

    world.shell.behave["a"] = hang
    await engine.begin()
    running = asyncio.create_task(engine.run())
    await eventually_async(lambda: world.shell.paths == ["a"])
    running.cancel()
    stopping = asyncio.create_task(engine.stop(grace))
    await asyncio.sleep(0.05)
    release.set()
    await stopping


async def test_a_step_that_ends_within_the_grace_is_journaled_and_the_next_does_not_start(world: World) -> None:
    run_id = await world.engine().create(stored("x", task("a"), set_step("b", x=1), task("c")), {})
    engine = world.serving()
    await stop_in_the_middle(world, engine, asyncio.Event())

    events = list(engine.store.journal(run_id))
    assert [event.path for event in events if isinstance(event, StepSucceeded)] == ["a"]
    assert type(events[-1]) is StepSucceeded
    assert status(engine, run_id) == "interrupted"

    async with served(world.serving()) as following:
        await eventually_async(lambda: status(following, run_id) == "succeeded")
    assert world.shell.paths == ["a", "c"]
    assert "RunRecovered" not in world.journal(run_id)


async def test_a_run_whose_last_step_ends_within_the_grace_has_finished(world: World) -> None:
    run_id = await world.engine().create(stored("x", task("a")), {})
    engine = world.serving()
    await stop_in_the_middle(world, engine, asyncio.Event())
    assert status(engine, run_id) == "succeeded"


async def test_a_retry_does_not_begin_within_the_grace(world: World) -> None:
    run_id = await world.engine().create(stored("x", task("a", retry=Retry(attempts=3, delay=0.01)), task("b")), {})
    engine = world.serving()
    release = asyncio.Event()

    async def fail(call: Call) -> str:
        await release.wait()
        raise ActionError("shell.exit", "no")

    world.shell.behave["a"] = fail
    await engine.begin()
    running = asyncio.create_task(engine.run())
    await eventually_async(lambda: world.shell.paths == ["a"])
    running.cancel()
    stopping = asyncio.create_task(engine.stop(0.3))
    await asyncio.sleep(0)
    release.set()
    await stopping
    assert world.shell.paths == ["a"]
    assert status(engine, run_id) in ("interrupted", "waiting")

    del world.shell.behave["a"]
    async with served(world.serving()) as following:
        await eventually_async(lambda: status(following, run_id) == "succeeded")


async def test_a_step_that_outlasts_the_grace_is_stopped_and_executes_again(world: World) -> None:
    run_id = await world.engine().create(stored("x", task("a")), {})
    engine = world.serving()
    never = asyncio.Event()

    async def hang(call: Call) -> str:
        await never.wait()
        return "done"

    world.shell.behave["a"] = hang
    await engine.begin()
    await eventually_async(lambda: world.shell.paths == ["a"])
    await engine.stop(0.05)
    assert status(engine, run_id) == "interrupted"

    del world.shell.behave["a"]
    async with served(world.serving()) as following:
        await eventually_async(lambda: status(following, run_id) == "succeeded")
    assert world.shell.paths == ["a", "a"]


async def test_an_attempt_that_never_found_a_worker_is_in_no_doubt(world: World) -> None:
    once = [task(name, effect="once", needs=AT_ONCE) for name in ("a", "b", "c")]
    run_id = await world.engine().create(stored("x", *once), {})
    engine = world.serving(workers=1)
    await stop_in_the_middle(world, engine, asyncio.Event())
    assert world.shell.paths == ["a"]
    assert world.journal(run_id).count("AttemptWithdrawn") == 2
    assert status(engine, run_id) == "interrupted"

    async with served(world.serving()) as following:
        await eventually_async(lambda: status(following, run_id) == "succeeded")
    assert sorted(world.shell.paths) == ["a", "b", "c"]
    assert [call.attempt for call in world.shell.calls] == [1, 1, 1]


async def test_a_second_stop_ends_the_grace(world: World) -> None:
    await world.engine().create(stored("x", task("a")), {})
    engine = world.serving()

    async def hang(call: Call) -> None:
        await asyncio.Event().wait()

    world.shell.behave["a"] = hang
    await engine.begin()
    await eventually_async(lambda: world.shell.paths == ["a"])
    stopping = asyncio.create_task(engine.stop(1000))
    await asyncio.sleep(0.02)
    await engine.stop()
    await asyncio.wait_for(stopping, 5)


async def test_a_waiting_run_stays_what_it_is_when_the_engine_stops(world: World) -> None:
    other = world.engine()
    run_id = await other.create(stored("x", wait("w", "7d")), {})
    engine = world.serving()
    await engine.begin()
    await engine.stop(GRACE)
    row = engine.store.run(run_id)
    assert row is not None
    assert (row.status, row.wake_at is not None) == ("waiting", True)


async def test_a_child_under_way_ends_and_its_parent_goes_on_with_the_next_process(world: World) -> None:
    world.skills["child"] = stored("child", task("a"), task("z"), kind="skill")
    run_id = await world.engine().create(stored("parent", skill("call", "child"), task("after")), {})
    engine = world.serving()
    await stop_in_the_middle(world, engine, asyncio.Event())
    assert world.shell.paths == ["a"]

    async with served(world.serving()) as following:
        await eventually_async(lambda: status(following, run_id) == "succeeded")
    assert world.shell.paths == ["a", "z", "after"]


async def test_a_run_whose_journal_cannot_be_read_is_blocked_and_says_why(world: World) -> None:
    engine = world.serving()
    broken = await world.engine().create(stored("broken", task("a")), {})
    journal = engine.store.journal

    def read(run_id: str, after: int = 0) -> Any:
        if run_id == broken:
            raise StoreCorrupt("the store's file payloads/abc is missing")
        return journal(run_id, after)

    engine.store.journal = read  # type: ignore[method-assign]
    async with served(engine):
        assert status(engine, broken) == "blocked", "begun although one run cannot be read"
        row = engine.store.run(broken)
        assert row is not None
        assert row.error is not None
        assert row.error.type == "run.unreadable"
        assert "payloads/abc is missing" in row.error.message
        well = await world.engine().create(stored("well", task("x")), {})
        await eventually_async(lambda: status(engine, well) == "succeeded")
        engine.store.journal = journal  # type: ignore[method-assign]
    restored = await world.engine().drive(broken)
    assert (restored.status, restored.error) == ("succeeded", None)


async def test_a_bug_in_one_run_is_shown_on_it(world: World) -> None:
    engine = world.serving()
    broken = await world.engine().create(stored("broken", task("a")), {})
    engine._shared.definitions.plan = lambda version: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    async with served(engine):
        error = await eventually_async(lambda: getattr(engine.store.run(broken), "error", None))
        assert (status(engine, broken), error.type) == ("interrupted", "internal")
        assert "division by zero" in error.message


async def test_a_long_journal_is_read_beside_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.engine.run.LONG", 3)
    first = world.engine()
    run_id = await first.create(stored("x", task("a"), wait_for_event("w", "go"), task("b")), {})
    assert (await first.drive(run_id, until="rest")).status == "waiting"
    await first.stop()

    threads: list[threading.Thread] = []
    second = world.engine()
    fold = interpreter.fold

    def watched(*arguments: Any, **keys: Any) -> Any:
        threads.append(threading.current_thread())
        return fold(*arguments, **keys)

    monkeypatch.setattr(interpreter, "fold", watched)
    await second.send("go", {})
    assert (await second.drive(run_id)).status == "succeeded"
    assert threading.main_thread() not in threads


async def test_an_answer_to_a_run_that_was_cancelled_is_taken_while_serving(world: World) -> None:
    paying = task("pay", effect="once", undo=task("refund"))

    async def forever(call: Call) -> Any:
        await asyncio.Event().wait()

    world.shell.behave["pay"] = forever
    first = world.engine()
    run_id = await first.create(stored("order", paying), {})
    driving = asyncio.create_task(first.drive(run_id))
    await eventually_async(lambda: "pay" in world.shell.paths)
    await first.cancel(run_id)
    assert (await driving).status == "cancelled"
    await first.stop()
    engine = world.serving()
    async with served(engine):
        await world.engine().resolve(run_id, "pay", "done")
        await eventually_async(lambda: "pay.undo" in world.shell.paths)
        await eventually_async(lambda: status(engine, run_id) == "cancelled")
