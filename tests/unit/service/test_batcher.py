"""Gathered events become runs when it is time, on a clock whose time passes only when nothing else is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually_async

from agentctl.engine.engine import Engine
from agentctl.expressions.parse import parse_value
from agentctl.model import Batch, Debounce, Flow, Input
from agentctl.ports import HistoryFilter, RunRow, StoredDefinition
from agentctl.service.parts.batcher import Batcher
from agentctl.service.problems import Problems
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import on_event, set_step, stored
from agentctl.testing.fixtures import World

BEGIN = 4e9  # after any real clock: events are received at the virtual time


def batched(size: int, seconds: float, **more: Any) -> StoredDefinition:
    return stored("batched", set_step("n", orders="${{ event.data.events | map(attribute='id') }}"),
                  triggers=(on_event("tick"),), flow=Flow(batch=Batch(size, seconds)), **more)  # fmt: skip


DEBOUNCED = stored(
    "debounced", set_step("n", order="${{ event.id }}"), triggers=(on_event("tick"),), flow=Flow(debounce=Debounce(5.0))
)

Scene = Callable[[World, Engine, VirtualClock], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Plays a scene beside a gatherer."""

    def play(scene: Scene, *definitions: StoredDefinition) -> None:
        world, clock = World(tmp_path), VirtualClock(BEGIN)

        async def all_of_it() -> None:
            engine = world.engine(clock)
            await world.deploy(engine, *definitions)
            gatherer = Batcher(engine.store, engine, clock, {}, Problems())
            await gatherer.begin()
            running = asyncio.create_task(gatherer.run())
            try:
                await asyncio.wait_for(scene(world, engine, clock), 20)
            finally:
                running.cancel()

        try:
            asyncio.run(all_of_it())
        finally:
            world.close()

    return play


async def at_once(clock: VirtualClock, work: Awaitable[Any]) -> None:
    """Time stands still until it is done."""
    clock.idle = lambda: False
    try:
        await work
    finally:
        clock.idle = lambda: True


async def ticks(engine: Engine, clock: VirtualClock, *ids: str) -> None:
    async def send() -> None:
        for id_ in ids:
            await engine.send("tick", {"n": 1}, id_)

    await at_once(clock, send())


async def until_runs(engine: Engine, count: int) -> list[RunRow]:
    """All runs there are once there are so many, oldest first."""
    await eventually_async(lambda: len(engine.store.history(HistoryFilter())) >= count, f"{count} runs")
    return engine.store.history(HistoryFilter())[::-1]


def orders(row: RunRow) -> list[str]:
    return [one["id"] for one in row.event["data"]["events"]]


def test_a_debounce_becomes_a_run_once_it_was_quiet(play: Callable[..., None]) -> None:
    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        await ticks(engine, clock, "a")
        await clock.sleep_until(BEGIN + 3)
        await ticks(engine, clock, "b")
        [row] = await until_runs(engine, 1)
        assert (row.event["id"], row.trigger, row.created_at) == ("b", "event", BEGIN + 8)
        assert (await engine.drive(row.id)).output == {"order": "b"}

    play(scene, DEBOUNCED)


def test_a_batch_that_is_full_becomes_a_run_at_once(play: Callable[..., None]) -> None:
    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        await ticks(engine, clock, "a", "b", "c", "d", "e")
        rows = await until_runs(engine, 2)
        assert [orders(row) for row in rows] == [["a", "b"], ["c", "d"]]
        assert {row.created_at for row in rows} == {BEGIN}
        *_, last = await until_runs(engine, 3)
        assert (orders(last), last.created_at) == (["e"], BEGIN + 60)
        assert (await engine.drive(last.id)).output == {"orders": ["e"]}

    play(scene, batched(2, 60.0))


def test_what_became_due_while_nobody_served_is_released_at_once(play: Callable[..., None], tmp_path: Path) -> None:
    world = World(tmp_path)

    async def before() -> None:
        clock = VirtualClock(BEGIN - 1000)
        engine = world.engine(clock)
        await world.deploy(engine, DEBOUNCED)
        await ticks(engine, clock, "a")

    asyncio.run(before())
    world.close()

    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        [row] = await until_runs(engine, 1)
        assert (row.event["id"], row.created_at) == ("a", BEGIN)

    play(scene, DEBOUNCED)


def test_the_run_is_made_by_the_definition_as_it_is_deployed_then(play: Callable[..., None]) -> None:
    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        later = stored("debounced", set_step("n", a=1), triggers=(on_event("tick", order="${{ event.id }}"),),
                       flow=Flow(debounce=Debounce(60.0)), input={"order": Input({})})  # fmt: skip

        async def move() -> None:
            await engine.send("tick", {}, "a")
            await world.deploy(engine, later)

        await at_once(clock, move())
        [row] = await until_runs(engine, 1)
        assert (row.version, row.input) == (later.version, {"order": "a"})

    play(scene, DEBOUNCED)


def test_a_batch_whose_input_cannot_be_made_becomes_a_run_that_fails(play: Callable[..., None]) -> None:
    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        await ticks(engine, clock, "a")
        [row] = await until_runs(engine, 1)
        ended = await engine.drive(row.id)
        assert ended.error is not None
        assert (ended.status, ended.error.type) == ("failed", "input.invalid")

    play(scene, batched(1, 60.0, input={"order": Input({"type": "integer"})}))


def test_what_is_paused_waits_until_it_is_not(play: Callable[..., None]) -> None:
    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        async def paused() -> None:
            await engine.send("tick", {}, "a")
            await engine.store.pause("debounced", BEGIN)

        await at_once(clock, paused())
        await clock.sleep_until(BEGIN + 100)
        assert engine.store.history(HistoryFilter()) == []
        await engine.store.unpause("debounced", BEGIN + 100)
        [row] = await until_runs(engine, 1)
        assert row.event["id"] == "a"

    play(scene, DEBOUNCED)


def test_keys_are_gathered_apart(play: Callable[..., None]) -> None:
    keyed = stored("keyed", set_step("n", a=1), triggers=(on_event("tick"),),
                   flow=Flow(batch=Batch(2, 60.0, parse_value("${{ event.id | first }}"))))  # fmt: skip

    async def scene(world: World, engine: Engine, clock: VirtualClock) -> None:
        await ticks(engine, clock, "a1", "b1", "a2")
        [row] = await until_runs(engine, 1)
        assert orders(row) == ["a1", "a2"]

    play(scene, keyed)
