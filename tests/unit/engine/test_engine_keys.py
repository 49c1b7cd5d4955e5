"""Results recorded under a key: one run executes, every other is handed its output."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from agentctl.core.events import ResultFound, StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Cache, Foreach, Step
from agentctl.ports import Call, RunRow
from agentctl.store.runs.keys import LONGEST_KEY
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import inputs, stored, task
from agentctl.testing.fixtures import World

BY_ORDER: dict[str, Any] = {"idempotency_key": parse_value("order-${{ input.order }}")}
CHARGE = stored("charge", task("pay", **BY_ORDER), input=inputs("order"))


class Gate:
    """A scripted step that does not end until it is opened."""

    def __init__(self, *, fails: bool = False) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.fails = fails

    async def __call__(self, call: Call) -> Any:
        self.begun.set()
        await self.opened.wait()
        if self.fails:
            raise ActionError("failed", "declined")
        return f"receipt of {call.run_id}"


async def create(engine: Engine, order: Any = 7) -> str:
    return await engine.create(CHARGE, {"order": order})


def source(engine: Engine, run_id: str) -> str | None:
    return next(event.source for event in engine.store.journal(run_id) if isinstance(event, StepSucceeded))


async def stands_in_line(engine: Engine, run_id: str) -> None:
    while not engine.store.awaited_results(run_id):
        await asyncio.sleep(0.01)


async def test_a_key_that_succeeded_hands_over_its_output_and_says_whose_it_is(world: World) -> None:
    engine = world.engine()
    first = await engine.drive(await create(engine))
    second = await engine.drive(await create(engine))
    other = await engine.drive(await create(engine, 8))
    assert [row.status for row in (first, second, other)] == ["succeeded"] * 3
    assert world.shell.paths == ["pay", "pay"]
    assert source(engine, second.id) == f"{first.id}/pay"
    assert source(engine, other.id) is None


@pytest.mark.parametrize("engines", [1, 2])
async def test_of_two_runs_that_race_for_a_key_one_executes_and_the_other_waits(world: World, engines: int) -> None:
    gate = world.shell.behave["pay"] = Gate()
    one = world.engine()
    other = one if engines == 1 else world.engine()
    first, second = await create(one), await create(one)
    driving = [asyncio.create_task(one.drive(first))]
    await gate.begun.wait()
    driving.append(asyncio.create_task(other.drive(second)))
    await stands_in_line(other, second)
    assert other.store.awaited_results(second) == {"pay": f"{first}/pay"}
    assert other.store.awaited_results(first) == {}
    gate.opened.set()
    rows = await asyncio.gather(*driving)
    assert [row.output for row in rows] == [f"receipt of {first}"] * 2
    assert len(world.shell.calls) == 1


@pytest.mark.parametrize("engines", [1, 2])
async def test_a_claimant_that_fails_gives_the_key_to_the_next_in_line(world: World, engines: int) -> None:
    gate = world.shell.behave["pay"] = Gate(fails=True)
    one = world.engine()
    other = one if engines == 1 else world.engine()
    first, second, third = await create(one), await create(one), await create(one)
    driving = [asyncio.create_task(one.drive(first))]
    await gate.begun.wait()
    for run_id in (second, third):
        driving.append(asyncio.create_task(other.drive(run_id)))
        await stands_in_line(other, run_id)

    async def pay(call: Call) -> str:
        return f"receipt of {call.run_id}"

    world.shell.behave["pay"] = pay
    gate.opened.set()
    failed, paid, handed = await asyncio.gather(*driving)
    assert failed.status == "failed"
    assert (paid.output, handed.output) == (f"receipt of {second}", f"receipt of {second}")
    assert len(world.shell.calls) == 2


async def test_a_run_that_is_cancelled_in_line_leaves_it(world: World) -> None:
    gate = world.shell.behave["pay"] = Gate()
    engine = world.engine()
    first, second = await create(engine), await create(engine)
    driving = [asyncio.create_task(engine.drive(first))]
    await gate.begun.wait()
    driving.append(asyncio.create_task(engine.drive(second)))
    await stands_in_line(engine, second)
    await engine.cancel(second)
    assert (await driving[1]).status == "cancelled"
    assert engine.store.awaited_results(second) == {}
    gate.opened.set()
    assert (await driving[0]).status == "succeeded"


async def test_items_of_one_foreach_that_share_a_key_execute_once(world: World) -> None:
    gate = world.shell.behave["each[0].pay"] = Gate()
    body = (task("pay", idempotency_key=parse_value("k${{ item }}")),)
    each = Step(id="each", action=Foreach(parse_expression("[1, 1, 2]"), body, max_parallel=3), uses="foreach")
    engine = world.engine()
    run_id = await engine.create(stored("each", each), {})
    driving = asyncio.create_task(engine.drive(run_id))
    await gate.begun.wait()
    gate.opened.set()
    row = await driving
    assert row.output == [f"receipt of {run_id}", f"receipt of {run_id}", "did each[2].pay"]
    assert sorted(world.shell.paths) == ["each[0].pay", "each[2].pay"]


async def test_a_list_that_failed_meanwhile_gives_back_the_key_it_was_handed(world: World) -> None:
    gate = world.shell.behave["pay"] = Gate(fails=True)
    broken = Gate(fails=True)
    world.shell.behave["broken"] = broken
    engine = world.engine()
    first = await create(engine)
    keyed = msgspec.structs.replace(CHARGE.definition.steps[0], needs=())
    two = stored("charge", input=inputs("order"))
    definition = msgspec.structs.replace(two.definition, steps=(keyed, task("broken"), task("slow")))
    both = msgspec.structs.replace(two, definition=definition, version="both")
    slow = world.shell.behave["slow"] = Gate()
    second = await engine.create(both, {"order": 7})
    driving = [asyncio.create_task(engine.drive(first))]
    await gate.begun.wait()
    driving.append(asyncio.create_task(engine.drive(second)))
    await stands_in_line(engine, second)
    broken.opened.set()
    while "AttemptFailed" not in world.journal(second):
        await asyncio.sleep(0.01)
    gate.opened.set()  # the key is handed to a step that will not start any more
    await driving[0]
    slow.opened.set()
    assert (await driving[1]).status == "failed"
    world.shell.behave.clear()
    assert (await asyncio.wait_for(engine.drive(await create(engine)), 5)).output == "did pay"


async def test_what_a_fallback_put_out_is_no_result_of_the_step(world: World) -> None:
    async def refuse(call: Call) -> Any:
        raise ActionError("failed", "declined")

    world.shell.behave["pay"] = refuse
    step = task("pay", idempotency_key=parse_value("k"), fallback=(task("note"),))
    engine = world.engine()
    first = await engine.drive(await engine.create(stored("lenient", step), {}))
    assert (first.status, first.output) == ("succeeded", "did pay.fallback.note")
    world.shell.behave.clear()
    second = await engine.drive(await engine.create(stored("lenient", step), {}))
    assert second.output == "did pay"


async def test_a_result_that_was_undone_is_handed_to_nobody(world: World) -> None:
    async def refuse(call: Call) -> Any:
        raise ActionError("failed", "out of stock")

    world.shell.behave["ship"] = refuse
    definition = stored("order", task("pay", idempotency_key=parse_value("k"), undo=task("refund")), task("ship"))
    engine = world.engine()
    failed = await engine.drive(await engine.create(definition, {}))
    assert failed.status == "failed"
    assert world.shell.paths == ["pay", "ship", "pay.undo"]
    world.shell.behave.clear()
    world.shell.calls.clear()
    again = await engine.drive(await engine.create(definition, {}))
    assert (again.status, world.shell.paths) == ("succeeded", ["pay", "ship"])


async def test_a_cached_result_is_good_for_its_time_by_the_clock(world: World) -> None:
    clock = VirtualClock(1_000_000.0)
    cached = stored("cached", task("ask", cache=Cache(parse_value("question"), 60.0)))
    engine = world.engine(clock=clock)

    async def ask() -> RunRow:
        return await engine.drive(await engine.create(cached, {}))

    await ask()
    await clock.sleep_until(1_000_059.0)
    await ask()
    assert len(world.shell.calls) == 1
    await clock.sleep_until(1_000_060.0)
    await ask()
    assert len(world.shell.calls) == 2


async def test_the_place_in_the_definition_is_part_of_the_key(world: World) -> None:
    twice = stored("twice", task("one", idempotency_key=parse_value("k")), task("two", idempotency_key=parse_value("k")))
    engine = world.engine()
    await engine.drive(await engine.create(twice, {}))
    await engine.drive(await engine.create(stored("other", task("one", idempotency_key=parse_value("k"))), {}))
    assert world.shell.paths == ["one", "two", "one"]


async def test_a_long_key_is_told_apart_to_its_last_character(world: World) -> None:
    engine = world.engine()
    same = "x" * LONGEST_KEY
    for order in (same + "a", same + "b", same + "a"):
        await engine.drive(await create(engine, order))
    assert len(world.shell.calls) == 2


@pytest.mark.parametrize("template", ["${{ secrets.TOKEN }}", "k-${{ secrets.TOKEN }}"])
async def test_a_secret_is_no_part_of_a_key(world: World, template: str) -> None:
    engine = world.engine()
    keyed = stored("leaky", task("pay", idempotency_key=parse_value(template)))
    row = await engine.drive(await engine.create(keyed, {}))
    assert row.error is not None
    assert (row.error.type, row.error.message) == ("expression", "a key is recorded, so no secret may be part of it")


async def test_a_large_output_is_handed_over_whole(world: World) -> None:
    async def much(call: Call) -> str:
        return "x" * (2 << 20)

    world.shell.behave["pay"] = much
    engine = world.engine()
    await engine.drive(await create(engine))
    second = await engine.drive(await create(engine))
    assert second.output == "x" * (2 << 20)


def test_who_stands_in_line_behind_a_dead_process_waits_until_that_run_is_resumed(world: World) -> None:
    async def die_while_paying(engine: Engine) -> None:
        gate = world.shell.behave["pay"] = Gate()
        first = await create(engine)
        (world.root / "first").write_text(first)
        driving = asyncio.create_task(engine.drive(first))
        await gate.begun.wait()
        driving.add_done_callback(lambda task: None)

    world.killed(die_while_paying)
    first = (world.root / "first").read_text()

    async def go_on() -> None:
        engine = world.engine()
        second = await create(engine)
        row = await engine.drive(second, until="rest")
        assert row.status == "waiting"
        assert engine.store.awaited_results(second) == {"pay": f"{first}/pay"}
        waiting = asyncio.create_task(engine.drive(second))
        assert (await engine.drive(first)).status == "succeeded"
        assert (await asyncio.wait_for(waiting, 5)).output == "did pay"
        assert [call.run_id for call in world.shell.calls] == [first]
        assert any(isinstance(event, ResultFound) for event in engine.store.journal(second))

    asyncio.run(go_on())
