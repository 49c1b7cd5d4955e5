"""Flow control with engines that drive: runs stand in line, start when their turn comes, and never exceed a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from waiting import eventually_async

from agentctl import model
from agentctl.engine.engine import Engine
from agentctl.engine.residency import dispatcher
from agentctl.errors import InputInvalid, RunRejected
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.ports import Call, RunRow, StoredDefinition
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import inputs, set_step, skill, stored, task, wait
from agentctl.testing.fixtures import World


def limited(limit: int = 1, key: str | None = None, on_limit: Any = "queue") -> model.Flow:
    return model.Flow(concurrency=model.Concurrency(limit, None if key is None else parse_value(key), on_limit))


class Crowd:
    """A step that counts how many are at it. `most`: at the same time.  `order`: of the runs."""

    def __init__(self, world: World, path: str = "work") -> None:
        self.now = self.most = 0
        self.order: list[str] = []
        world.shell.behave[path] = self.work

    async def work(self, call: Call) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(call.run_id)
        await asyncio.sleep(0)
        self.now -= 1
        return "done"


def held_up(world: World, path: str = "work") -> asyncio.Event:
    """The step ends when the event is set."""
    go_on = asyncio.Event()

    async def work(call: Call) -> str:
        await go_on.wait()
        return "done"

    world.shell.behave[path] = work
    return go_on


def virtual(world: World, make: Callable[..., Any]) -> tuple[Any, VirtualClock]:
    clock = VirtualClock()
    engine = make(clock)
    clock.idle = lambda: engine.is_idle
    return engine, clock


async def serve(engine: Engine, done: Callable[[], bool]) -> None:
    await engine.begin()
    serving = asyncio.create_task(engine.run())
    await eventually_async(done)
    serving.cancel()
    await engine.stop()


async def all_of(*drives: Awaitable[Any]) -> list[str]:
    return [row.status for row in await asyncio.gather(*drives)]


# --- concurrency -----------------------------------------------------------------------------------------------------


async def test_a_thousand_queued_runs_under_a_limit_of_one_start_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "CALM", 0.0)  # a pause after each run is what the test would mostly take
    crowd = Crowd(world)
    engine, _ = virtual(world, world.serving)
    ids = await engine.create_many(stored("alone", task("work"), flow=limited()), [{}] * 1000)
    await serve(engine, lambda: len(crowd.order) == 1000 and engine.store.run(ids[-1]).status == "succeeded")
    assert crowd.order == ids
    assert crowd.most == 1


async def test_waits_of_a_run_keep_the_next_one_in_line(world: World) -> None:
    engine, clock = virtual(world, world.engine)
    ids = await engine.create_many(stored("slow", wait("nap", "1h"), flow=limited()), [{}] * 3)
    began = clock.now()
    assert await all_of(*(engine.drive(run_id) for run_id in ids)) == ["succeeded"] * 3
    assert [round(engine.store.run(run_id).started_at - began) for run_id in ids] == [0, 3600, 7200]


async def test_as_many_run_at_once_as_the_limit_says(world: World) -> None:
    crowd, engine = Crowd(world), world.engine()
    ids = await engine.create_many(stored("some", task("work"), flow=limited(3)), [{}] * 30)
    assert set(await all_of(*(engine.drive(run_id) for run_id in ids))) == {"succeeded"}
    assert crowd.most == 3


async def test_runs_with_different_keys_do_not_wait_for_each_other(world: World) -> None:
    engine = world.engine()
    go_on = held_up(world)
    definition = stored("keyed", task("work"), input=inputs("who"), flow=limited(1, "${{ input.who }}"))
    ids = await engine.create_many(definition, [{"who": {"name": "a"}}, {"who": ["b"]}, {"who": {"name": "a"}}])
    drives = [asyncio.create_task(engine.drive(run_id)) for run_id in ids]
    await eventually_async(lambda: len(world.shell.calls) == 2)
    assert [engine.store.run(run_id).status for run_id in ids] == ["running", "running", "queued"]
    go_on.set()
    assert await all_of(*drives) == ["succeeded"] * 3


async def test_higher_priority_starts_first(world: World) -> None:
    crowd, engine = Crowd(world), world.engine()
    flow = model.Flow(concurrency=model.Concurrency(1), priority=parse_expression("input.urgency"))
    definition = stored("ranked", task("work"), input=inputs("urgency"), flow=flow)
    ids = await engine.create_many(definition, [{"urgency": urgency} for urgency in (0, 5, -1, 5)])
    await all_of(*(engine.drive(run_id) for run_id in ids))
    assert crowd.order == [ids[1], ids[3], ids[0], ids[2]]


async def test_a_run_starts_as_soon_as_another_process_frees_its_place(world: World) -> None:
    holder, waiter = world.engine(), world.engine()
    go_on = held_up(world)
    definition = stored("shared", task("work"), flow=limited())
    first, _ = await holder.start(definition, {}, reserve=True)
    driving = asyncio.create_task(holder.drive(first))
    await eventually_async(lambda: bool(world.shell.calls))
    second, _ = await waiter.start(definition, {}, reserve=True)
    waiting = asyncio.create_task(waiter.drive(second))
    await eventually_async(lambda: second in waiter.residency.queue)
    assert waiter.store.queue_position(second).reason == f"waits for a place: concurrency 1 of shared is held by run {first}"
    go_on.set()
    began = asyncio.get_running_loop().time()
    assert await all_of(driving, waiting) == ["succeeded", "succeeded"]
    assert asyncio.get_running_loop().time() - began < 1.0, "it was woken, and did not come to look by chance"


async def test_a_run_that_may_not_wait_is_left_in_the_queue(world: World) -> None:
    engine = world.engine()
    go_on = held_up(world)
    ids = await engine.create_many(stored("shared", task("work"), flow=limited()), [{}] * 2)
    driving = asyncio.create_task(engine.drive(ids[0]))
    await eventually_async(lambda: bool(world.shell.calls))
    assert (await engine.drive(ids[1], until="rest")).status == "queued"
    go_on.set()
    await driving


async def test_a_run_that_is_cancelled_in_line_ends_without_a_place(world: World) -> None:
    engine = world.engine()
    go_on = held_up(world)
    ids = await engine.create_many(stored("shared", task("work"), flow=limited()), [{}] * 3)
    drives = [asyncio.create_task(engine.drive(run_id)) for run_id in ids]
    await eventually_async(lambda: len(engine.residency.queue) == 2)
    await engine.cancel(ids[1])
    assert (await drives[1]).status == "cancelled"
    assert engine.store.run(ids[0]).status == "running"
    go_on.set()
    assert await all_of(*drives) == ["succeeded", "cancelled", "succeeded"]
    assert world.shell.paths == ["work", "work"]


async def test_an_engine_that_stops_leaves_those_in_line_in_the_queue(world: World) -> None:
    engine, other = world.engine(), world.engine()
    held_up(world)
    ids = await engine.create_many(stored("shared", task("work"), flow=limited()), [{}] * 2)
    drives = [asyncio.create_task(engine.drive(run_id)) for run_id in ids]
    await eventually_async(lambda: len(engine.residency.queue) == 1)
    await engine.stop()
    assert await all_of(*drives) == ["interrupted", "queued"]
    engine.store.close()
    world.shell.behave.clear()
    assert await all_of(*(other.drive(run_id) for run_id in ids)) == ["succeeded", "succeeded"]


async def test_a_failed_run_that_is_resumed_waits_for_a_place_again(world: World) -> None:
    engine = world.engine()
    definition = stored("shared", task("work"), flow=limited())

    async def fail(call: Call) -> str:
        raise RuntimeError("not now")

    world.shell.behave["work"] = fail
    first = await engine.create(definition, {})
    assert (await engine.drive(first)).status == "failed"
    go_on = held_up(world)
    second = await engine.create(definition, {})
    driving = asyncio.create_task(engine.drive(second))
    await eventually_async(lambda: len(world.shell.calls) == 2)
    await engine.resume(first)
    resumed = asyncio.create_task(engine.drive(first))
    await eventually_async(lambda: first in engine.residency.queue)
    go_on.set()
    assert await all_of(driving, resumed) == ["succeeded", "succeeded"]


# --- what a start meets ----------------------------------------------------------------------------------------------


async def test_by_hand_a_run_that_is_skipped_is_an_error(world: World) -> None:
    engine = world.engine()
    definition = stored("single", task("work"), flow=limited(on_limit="skip"))
    first, _ = await engine.start(definition, {}, reserve=True)
    with pytest.raises(RunRejected, match=f"loop single was not started: concurrency 1 of single is taken by run {first}, and"):
        await engine.create(definition, {})


async def test_cancel_running_keeps_the_newest(world: World) -> None:
    engine = world.engine()
    go_on = held_up(world)
    definition = stored("latest", task("work"), flow=limited(on_limit="cancel_running"))
    first = await engine.create(definition, {})
    old = asyncio.create_task(engine.drive(first))
    await eventually_async(lambda: bool(world.shell.calls))
    second = await engine.create(definition, {})
    assert (await old).status == "cancelled"
    go_on.set()
    assert (await engine.drive(second)).status == "succeeded"


async def test_of_a_repeated_key_the_first_run_is_handed_back(world: World) -> None:
    engine = world.engine()
    flow = model.Flow(dedupe=model.Dedupe(parse_value("${{ input.order }}")))
    definition = stored("orders", task("work"), input=inputs("order"), flow=flow)
    first = await engine.create(definition, {"order": 7})
    again, admission = await engine.start(definition, {"order": 7})
    other = await engine.create(definition, {"order": 8})
    assert (again, admission.outcome) == (first, "duplicate")
    assert other != first


async def test_a_throttle_spreads_starts_over_time(world: World) -> None:
    engine, clock = virtual(world, world.serving)
    crowd = Crowd(world)
    ids = await engine.create_many(stored("paced", task("work"), flow=model.Flow(throttle=model.Rate(2, 60.0))), [{}] * 5)
    began = clock.now()
    await serve(engine, lambda: engine.store.run(ids[-1]).status == "succeeded")
    assert [round(engine.store.run(run_id).started_at - began) for run_id in ids] == [0, 0, 60, 60, 120]
    assert crowd.order == ids


async def test_a_throttled_run_in_the_foreground_starts_when_its_window_opens(world: World) -> None:
    engine, clock = virtual(world, world.engine)
    ids = await engine.create_many(stored("paced", task("work"), flow=model.Flow(throttle=model.Rate(1, 60.0))), [{}] * 3)
    began = clock.now()
    await all_of(*(engine.drive(run_id) for run_id in ids))
    assert [round(engine.store.run(run_id).started_at - began) for run_id in ids] == [0, 60, 120]


async def test_a_key_that_cannot_be_evaluated_is_told_to_whoever_starts_the_run(world: World) -> None:
    engine = world.engine()
    definition = stored("keyed", task("work"), flow=limited(1, "${{ event.data.id }}"))
    with pytest.raises(InputInvalid, match="keyed: the key of concurrency cannot be evaluated"):
        await engine.create(definition, {})


async def test_of_a_run_that_is_triggered_it_is_the_error(world: World) -> None:
    engine = world.engine()
    definition = stored("keyed", task("work"), flow=limited(1, "${{ event.data.id }}"))
    event = {"name": "go", "data": {}, "id": "e1", "received_at": "2027-01-15T08:00:00.000Z"}
    row = await engine.drive(await engine.create(definition, {}, trigger="event", event=event))
    assert (row.status, world.shell.calls) == ("failed", [])
    assert row.error is not None
    assert row.error.type == "expression"
    assert row.error.message.startswith("keyed: the key of concurrency cannot be evaluated")


@pytest.mark.parametrize("value", ["soon", True, None, [1]])
async def test_a_priority_has_to_be_a_number(world: World, value: Any) -> None:
    definition = stored("ranked", task("work"), input=inputs("rank"), flow=model.Flow(priority=parse_expression("input.rank")))
    with pytest.raises(InputInvalid, match="ranked: priority has to be a number"):
        await world.engine().create(definition, {"rank": value})


# --- children --------------------------------------------------------------------------------------------------------


def helper(world: World, *steps: model.Step, name: str = "helper", **more: Any) -> StoredDefinition:
    world.skills[name] = stored(name, *steps, kind="skill", **more)
    return world.skills[name]


async def test_children_of_different_runs_stand_in_one_line(world: World) -> None:
    crowd, engine = Crowd(world), world.engine()
    helper(world, task("work"), flow=limited())
    ids = await engine.create_many(stored("parent", skill("call", "helper"), set_step("end", done=True)), [{}] * 10)
    assert set(await all_of(*(engine.drive(run_id) for run_id in ids))) == {"succeeded"}
    assert crowd.most == 1


async def test_a_step_waits_for_its_skill_though_the_skill_would_skip_others(world: World) -> None:
    crowd, engine = Crowd(world), world.engine()
    rate = model.Rate(1, 60.0)
    flow = model.Flow(
        concurrency=model.Concurrency(1, None, "skip"), rate_limit=rate, dedupe=model.Dedupe(parse_value("always the same"))
    )
    helper(world, task("work"), flow=flow)
    row = await engine.drive(
        await engine.create(stored("parent", skill("one", "helper"), skill("two", "helper", needs=("",))), {})
    )
    assert (row.status, len(crowd.order), crowd.most) == ("succeeded", 2, 1)


async def test_a_skill_that_calls_itself_does_not_wait_for_itself(world: World) -> None:
    engine = world.engine()
    deeper = skill("deeper", "helper", {"level": "${{ input.level - 1 }}"}, condition=parse_expression("input.level > 0"))
    definition = helper(world, deeper, input=inputs("level"), flow=limited())
    assert (await engine.drive(await engine.create(definition, {"level": 3}))).status == "succeeded"


async def with_a_child_in_line(world: World, engine: Engine) -> tuple[asyncio.Task[RunRow], str, asyncio.Event]:
    """A run that is held up in the one place there is, a parent whose child will need that place, and what lets the run go on."""
    go_on = held_up(world)
    definition = helper(world, task("work"), flow=limited())
    busy = asyncio.create_task(engine.drive(await engine.create(definition, {})))
    await eventually_async(lambda: bool(world.shell.calls))
    return busy, await engine.create(stored("parent", skill("call", "helper")), {}), go_on


async def test_a_parent_rests_while_its_child_stands_in_line(world: World) -> None:
    engine = world.engine()
    busy, parent, go_on = await with_a_child_in_line(world, engine)
    row = await engine.drive(parent, until="rest")
    assert (row.status, [child.status for child in world.children(parent)]) == ("waiting", ["queued"])
    driving = asyncio.create_task(engine.drive(parent))
    go_on.set()
    assert await all_of(busy, driving) == ["succeeded", "succeeded"]


async def test_a_child_that_stands_in_line_is_cancelled_with_its_parent(world: World) -> None:
    engine = world.engine()
    busy, parent, go_on = await with_a_child_in_line(world, engine)
    driving = asyncio.create_task(engine.drive(parent))
    await eventually_async(lambda: len(engine.residency.queue) == 1)
    await engine.cancel(parent)
    assert (await driving).status == "cancelled"
    assert [child.status for child in world.children(parent)] == ["cancelled"]
    go_on.set()
    await busy


async def test_a_failed_run_that_is_resumed_and_has_to_queue_is_queued(world: World) -> None:
    engine, other = world.engine(), world.engine()
    definition = stored("shared", task("work"), flow=limited())

    async def fail(call: Call) -> str:
        raise RuntimeError("no")

    world.shell.behave["work"] = fail
    failed = await engine.create(definition, {})
    assert (await engine.drive(failed)).status == "failed"
    go_on = held_up(world)
    holder, _ = await other.start(definition, {}, reserve=True)
    driving = asyncio.create_task(other.drive(holder))
    await eventually_async(lambda: len(world.shell.calls) == 2)

    await engine.resume(failed)
    row = await engine.drive(failed, until="rest")
    assert (row.status, row.error) == ("queued", None)
    go_on.set()
    await driving
