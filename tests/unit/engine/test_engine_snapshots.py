"""A run with a long journal is loaded from its snapshot and the events after it."""

from __future__ import annotations

from typing import Any

from agentctl.core.interpreter import fold
from agentctl.engine.engine import Engine
from agentctl.model import Repeat, Step
from agentctl.testing.definitions import set_step, stored, task, wait_for_event
from agentctl.testing.fixtures import World

MANY = Step(id="many", action=Repeat((set_step("x", n="${{ index }}"),), max=400), uses="repeat")
LONG = stored("long", MANY, wait_for_event("w", "go"), task("b", {"last": "${{ steps.many.output.n }}"}))


async def at_its_wait(world: World) -> str:
    """A run with 1,600 events in its journal that waits for an event, left by its process."""
    engine = world.engine()
    run_id = await engine.create(LONG, {})
    assert (await engine.drive(run_id, until="rest")).status == "waiting"
    await engine.stop()
    return run_id


def reads_of(engine: Engine) -> list[int]:
    """From which event on the engine reads journals, as it does."""
    found: list[int] = []
    journal = engine.store.journal

    def watched(run_id: str, after: int = 0, **keys: Any) -> Any:
        found.append(after)
        return journal(run_id, after, **keys)

    engine.store.journal = watched  # type: ignore[method-assign,assignment]
    return found


async def test_only_the_events_after_the_snapshot_are_read(world: World) -> None:
    run_id = await at_its_wait(world)
    engine = world.engine()
    head, data = engine.store.snapshot(run_id) or (0, b"")
    assert head > 1000
    assert len(data) < 5000
    reads = reads_of(engine)
    await engine.send("go", {})
    row = await engine.drive(run_id)
    assert (row.status, world.shell.calls[0].params) == ("succeeded", {"last": 399})
    assert reads == [head]


async def test_what_is_driven_from_a_snapshot_is_what_its_whole_journal_adds_up_to(world: World) -> None:
    run_id = await at_its_wait(world)
    engine = world.engine()
    await engine.send("go", {})
    row = await engine.drive(run_id)
    definition = engine.store.definition(row.version)
    assert definition is not None
    state = fold(engine.store.journal(run_id), engine._shared.definitions.plan)
    assert (state.status, state.output, state.steps_done, state.steps_total) == (
        row.status, row.output, row.steps_done, row.steps_total
    )  # fmt: skip
    assert engine.store.snapshot(run_id) is None


async def test_a_resumed_run_is_loaded_whole_and_kept_small_again(world: World) -> None:
    world.shell.behave["b"] = lambda call: fail()
    run_id = await at_its_wait(world)
    engine = world.engine()
    await engine.send("go", {})
    assert (await engine.drive(run_id)).status == "failed"
    world.shell.behave.clear()
    await engine.resume(run_id)
    assert (await engine.drive(run_id)).status == "succeeded"


async def fail() -> None:
    raise RuntimeError("not today")


async def test_a_snapshot_of_another_format_is_passed_over(world: World, monkeypatch: Any) -> None:
    run_id = await at_its_wait(world)
    monkeypatch.setattr("agentctl.core.snapshot._FORMAT", "newer")
    engine = world.engine()
    reads = reads_of(engine)
    await engine.send("go", {})
    assert (await engine.drive(run_id)).status == "succeeded"
    assert reads == [0]
