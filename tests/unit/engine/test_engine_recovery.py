"""Processes that die, let go, sleep, or meet another one on the same store."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually_async

from agentctl.engine.engine import Engine
from agentctl.errors import ActionError, LeaseLost, StoreBusy
from agentctl.model import Retry
from agentctl.ports import Append, Call
from agentctl.testing.definitions import AT_ONCE, set_step, skill, stored, task, wait
from agentctl.testing.fixtures import World


def die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_goes_on_at_the_step_at_which_its_process_was_killed(world: World) -> None:
    definition = stored("killed", task("a"), task("b"), task("c"))
    ids: list[str] = []

    async def scenario(engine: Engine) -> None:
        async def kill(call: Call) -> None:
            die()

        world.shell.behave["b"] = kill
        (world.root / "id").write_text(await engine.create(definition, {}))
        await engine.drive((world.root / "id").read_text())

    world.killed(scenario)
    run_id = (world.root / "id").read_text()

    async def go_on() -> None:
        engine = world.engine()
        assert engine.store.run(run_id).status == "interrupted"  # type: ignore[union-attr]
        row = await engine.drive(run_id)
        assert row.status == "succeeded"
        ids.append(row.id)

    asyncio.run(go_on())
    assert world.shell.paths == ["b", "c"]
    assert world.shell.calls[0].idempotency_key == f"{run_id}/b"
    assert world.journal(run_id).count("RunRecovered") == 1


def test_children_that_ran_when_the_process_was_killed_go_on_too(world: World) -> None:
    world.skills["child"] = stored("child", task("x"), task("y"), kind="skill")
    definition = stored("parent", skill("call", "child"), task("after"))

    async def scenario(engine: Engine) -> None:
        async def kill(call: Call) -> None:
            die()

        world.shell.behave["y"] = kill
        run_id = await engine.create(definition, {})
        (world.root / "id").write_text(run_id)
        await engine.drive(run_id)

    world.killed(scenario)
    run_id = (world.root / "id").read_text()
    row = asyncio.run(_drive(world, run_id))
    assert row.status == "succeeded"
    assert world.shell.paths == ["y", "after"]
    assert [child.status for child in world.children(run_id)] == ["succeeded"]


def test_a_child_that_failed_just_before_the_kill_is_not_resumed_behind_its_parents_back(world: World) -> None:
    """Its end lies in the parent's mail: that is the answer."""
    world.skills["child"] = stored("child", task("x"), kind="skill")
    definition = stored("parent", skill("call", "child"))

    async def scenario(engine: Engine) -> None:
        async def fail(call: Call) -> None:
            raise ActionError("failed", "no")

        world.shell.behave["x"] = fail
        run_id = await engine.create(definition, {})
        (world.root / "id").write_text(run_id)
        append = engine.store.append

        def only_the_child_ends(entry: Append) -> Any:
            if any(type(event).__name__ == "ChildFinished" for event in entry.events):
                die()
            return append(entry)

        engine.store.append = only_the_child_ends  # type: ignore[method-assign]
        await engine.drive(run_id)

    world.killed(scenario)
    row = asyncio.run(_drive(world, (world.root / "id").read_text()))
    assert (row.status, row.error.type) == ("failed", "skill.failed")
    assert world.shell.paths == []


async def _drive(world: World, run_id: str) -> Any:
    return await world.engine().drive(run_id)


async def test_the_pause_of_a_retry_outlives_the_engine(world: World) -> None:
    async def second_time(call: Call) -> str:
        if call.attempt == 1:
            raise ActionError("timeout", "too slow")
        return "done"

    world.shell.behave["a"] = second_time
    engine = world.engine()
    run_id = await engine.create(stored("pause", task("a", retry=Retry(attempts=2, delay=0.4, jitter=0))), {})
    row = await engine.drive(run_id, until="rest")
    assert (row.status, row.owner) == ("waiting", None)
    await engine.stop()
    row = await world.engine().drive(run_id)
    assert (row.status, row.output) == ("succeeded", "done")
    failed, again = world.shell.calls
    assert (failed.attempt, again.attempt) == (1, 2)
    assert row.finished_at - row.started_at >= 0.4


async def test_a_run_at_rest_can_be_driven_by_another_engine(world: World) -> None:
    first, second = world.engine(), world.engine()
    run_id = await first.create(stored("sleep", wait("w", "0.3s"), task("a")), {})
    await first.drive(run_id, until="rest")
    rows = await asyncio.gather(first.drive(run_id), second.drive(run_id), return_exceptions=True)
    assert "succeeded" in [getattr(row, "status", None) for row in rows]
    assert world.shell.paths == ["a"]


async def test_two_engines_never_drive_the_same_run(world: World) -> None:
    release = asyncio.Event()

    async def hold(call: Call) -> None:
        await release.wait()

    world.shell.behave["a"] = hold
    first, second = world.engine(), world.engine()
    run_id = await first.create(stored("mine", task("a")), {})
    driving = asyncio.create_task(first.drive(run_id))
    await eventually_async(lambda: world.shell.calls)
    with pytest.raises(StoreBusy, match="being driven by process"):
        await second.drive(run_id)
    release.set()
    assert (await driving).status == "succeeded"
    assert world.shell.paths == ["a"]


async def test_a_cancel_written_by_another_process_reaches_who_drives_the_run(world: World) -> None:
    async def hang(call: Call) -> None:
        await asyncio.sleep(60)

    world.shell.behave["a"] = hang
    first, second = world.engine(), world.engine()
    run_id = await first.create(stored("far", task("a")), {})
    driving = asyncio.create_task(first.drive(run_id))
    await eventually_async(lambda: world.shell.calls)
    await second.cancel(run_id)
    assert (await driving).status == "cancelled"


async def test_a_cancel_written_by_another_process_wakes_a_sleeping_run(world: World) -> None:
    first, second = world.engine(), world.engine()
    run_id = await first.create(stored("asleep", wait("w", "1h")), {})
    driving = asyncio.create_task(first.drive(run_id))
    await eventually_async(lambda: first.store.run(run_id).status == "waiting" and first.store.run(run_id).owner is None)  # type: ignore[union-attr]
    await second.cancel(run_id)
    assert (await driving).status == "cancelled"
    assert first.store.mail([run_id]) == []


async def test_a_sleeping_run_that_another_process_finished_is_seen_to_have_ended(world: World) -> None:
    first, second = world.engine(), world.engine()
    run_id = await first.create(stored("other", wait("w", "1h")), {})
    driving = asyncio.create_task(first.drive(run_id))
    await eventually_async(lambda: first.store.run(run_id).owner is None and first.store.run(run_id).status == "waiting")  # type: ignore[union-attr]
    first.deliver = lambda run_ids: None  # type: ignore[method-assign]  # the mail is the other's to read
    await second.cancel(run_id)
    assert (await second.drive(run_id)).status == "cancelled"
    assert (await driving).status == "cancelled"


async def test_who_loses_the_lease_stops_at_once_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    append = engine.store.append
    stopped = []

    async def hang(call: Call) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(call.path)
            raise

    def lose(entry: Append) -> Any:
        if any(getattr(event, "path", "") == "b" and type(event).__name__ == "StepSucceeded" for event in entry.events):
            raise LeaseLost("somebody else has it")
        return append(entry)

    world.shell.behave["a"] = hang
    monkeypatch.setattr(engine.store, "append", lose)
    run_id = await engine.create(stored("lost", task("a", needs=AT_ONCE), task("b", needs=AT_ONCE)), {})
    with pytest.raises(LeaseLost):
        await engine.drive(run_id)
    assert stopped == ["a"]


async def test_mail_that_says_nothing_new_is_taken_away(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("stale", wait("w", "1h")), {})
    await engine.drive(run_id, until="rest")
    await engine.cancel(run_id, "first")
    await engine.cancel(run_id, "second")
    await engine.drive(run_id)
    assert world.journal(run_id).count("CancelRequested") == 1
    await eventually_async(lambda: engine.store.mail([run_id]) == [])


async def test_thousands_of_sleeping_runs_are_neither_held_nor_leased(world: World) -> None:
    engine = world.engine()
    ids = await engine.create_many(stored("sleep", wait("w", "1h")), [{}] * 2000)
    await engine.start_all(ids)
    assert engine.is_idle
    assert len(asyncio.all_tasks()) <= 3  # this test, its time limit, and the one timer
    rows = [engine.store.run(run_id) for run_id in ids]
    assert {(row.status, row.owner) for row in rows if row} == {("waiting", None)}
    assert all(row and row.wake_at for row in rows)


async def test_many_runs_at_once_all_end(world: World) -> None:
    engine = world.engine()
    ids = await engine.create_many(stored("many", set_step("a", n=1), set_step("b", n=2)), [{}] * 300)
    await engine.start_all(ids, at_once=50)
    assert {engine.store.run(run_id).status for run_id in ids} == {"succeeded"}  # type: ignore[union-attr]


async def test_stop_can_be_called_twice_and_nothing_starts_after_it(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("late", task("a")), {})
    await engine.stop()
    await engine.stop()
    assert (await engine.drive(run_id)).status == "queued"
    assert world.shell.calls == []


def test_ids_differ_from_the_first_letters_on(tmp_path: Path) -> None:
    from agentctl.triggers.ids import new_run_id

    made = {new_run_id() for _ in range(2000)}
    assert len(made) == 2000
    assert {len(run_id) for run_id in made} == {12}
    assert len({run_id[:3] for run_id in made}) > 1800
