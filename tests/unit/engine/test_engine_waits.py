"""Runs that wait for events and people: rested as rows, woken by whoever sends or signs, each event handed over once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from waiting import eventually_async

from agentctl.core.events import ApprovalGiven, EventReceived
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.model import Group, Retry, Step
from agentctl.ports import Append, NewEvent, RunRow, StoredDefinition
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import AT_ONCE, approve, inputs, set_step, stored, task, wait_for_event
from agentctl.testing.fixtures import World

PAID = stored("pay", wait_for_event("paid", "payment.received"), set_step("thank", to="${{ steps.paid.output.data.who }}"))


async def rested(engine: Engine, definition: StoredDefinition = PAID, input: dict[str, Any] | None = None) -> str:
    """The id of a run that was driven until only waiting is left."""
    run_id = await engine.create(definition, input or {})
    assert (await engine.drive(run_id, until="rest")).status == "waiting"
    return run_id


async def until_waiting(engine: Engine, run_id: str) -> None:
    await eventually_async(lambda: engine.store.waits(run_id), f"run {run_id} waits")


def taken(engine: Engine, run_id: str) -> list[str]:
    return [event.event["id"] for event in engine.store.journal(run_id) if isinstance(event, EventReceived)]


async def sign(engine: Engine, run_id: str, *, approved: bool = True, **more: Any) -> bool:
    [waiting] = engine.store.waits(run_id)
    answer = ApprovalGiven(at=time.time(), path=waiting.path, approved=approved, digest=waiting.digest, by="ada", **more)
    return await engine.approve(run_id, answer)


async def test_an_event_that_another_process_sends_ends_the_wait(world: World) -> None:
    here, there = world.engine(), world.engine()
    run_id = await here.create(PAID, {})
    driving = asyncio.create_task(here.drive(run_id))
    await until_waiting(there, run_id)
    _, sent = await there.send("payment.received", {"who": "ada"}, "e1")
    assert sent.delivered == [run_id]
    row = await driving
    assert (row.status, row.output) == ("succeeded", {"to": "ada"})
    assert taken(here, run_id) == ["e1"]
    assert here.store.waits(run_id) == []


async def test_a_run_that_begins_to_wait_is_let_go_in_the_commit_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = world.engine()
    entries: list[Append] = []
    append = engine.store.append

    def note(entry: Append) -> Any:
        entries.append(entry)
        return append(entry)

    monkeypatch.setattr(engine.store, "append", note)
    run_id = await rested(engine)
    assert [(len(entry.waits), entry.release) for entry in entries] == [(1, True)]
    row = engine.store.run(run_id)
    assert row is not None
    assert row.owner is None


async def test_an_event_that_came_between_the_start_of_the_run_and_the_wait_is_kept_for_it(world: World) -> None:
    engine = world.engine()

    async def send(call: Any) -> None:
        await engine.send("payment.received", {"who": "early"}, "e1")

    world.shell.behave["first"] = send
    run_id = await engine.create(stored("late", task("first"), *PAID.definition.steps), {})
    row = await engine.drive(run_id)
    assert row.output == {"to": "early"}


async def test_an_event_that_came_while_the_run_stood_in_the_queue_is_kept_for_it(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(PAID, {})
    await engine.send("payment.received", {"who": "quick"}, "e1")
    await asyncio.sleep(0.002)
    await engine.drive(run_id, until="rest")
    assert taken(engine, run_id) == ["e1"]


async def test_the_event_that_started_a_run_is_not_for_its_waits(world: World) -> None:
    engine = world.engine()
    now = time.time()
    event = NewEvent("payment.received", {"who": "first"}, "e1", now).document(now)
    run_id = await engine.create(PAID, {}, event=event)
    await engine.send("payment.received", {"who": "first"}, "e1")  # kept at the same moment, as where a trigger makes the run
    await engine.send("payment.received", {"who": "second"}, "e2")
    await engine.drive(run_id, until="rest")
    assert taken(engine, run_id) == ["e2"]


async def test_an_event_that_came_before_the_run_is_not_for_it(world: World) -> None:
    engine = world.engine()
    await engine.send("payment.received", {"who": "nobody"}, "e1")
    await asyncio.sleep(0.002)
    run_id = await rested(engine)
    assert taken(engine, run_id) == []


async def test_the_condition_chooses_among_events(world: World) -> None:
    engine = world.engine()
    step = wait_for_event("paid", "payment.*", "event.data.order == input.order")
    run_id = await rested(engine, stored("mine", step, input=inputs("order")), {"order": 7})
    await engine.send("payment.received", {"order": 6}, "e1")
    await engine.send("payment.received", "no mapping at all", "e2")
    await engine.send("payment.received", {"order": 7}, "e3")
    row = await engine.drive(run_id)
    assert (row.status, taken(engine, run_id)) == ("succeeded", ["e3"])
    assert row.output["name"] == "payment.received"


async def test_two_waits_after_each_other_take_two_events_and_not_one_twice(world: World) -> None:
    engine = world.engine()
    run_id = await rested(engine, stored("two", wait_for_event("a", "tick"), wait_for_event("b", "tick")))
    await engine.send("tick", 1, "e1")
    await engine.drive(run_id, until="rest")
    assert [waiting.path for waiting in engine.store.waits(run_id)] == ["b"]
    await engine.send("tick", 2, "e2")
    await engine.drive(run_id)
    assert taken(engine, run_id) == ["e1", "e2"]


async def test_events_kept_are_taken_in_the_order_in_which_they_came(world: World) -> None:
    engine = world.engine()

    async def send(call: Any) -> None:
        for number in range(3):
            await engine.send("tick", number, f"e{number}")

    world.shell.behave["first"] = send
    run_id = await engine.create(stored("three", task("first"), *(wait_for_event(name, "tick") for name in "abc")), {})
    assert (await engine.drive(run_id)).status == "succeeded"
    assert taken(engine, run_id) == ["e0", "e1", "e2"]


async def test_an_emitted_event_wakes_a_run_that_rests_in_the_same_engine(world: World) -> None:
    engine = world.engine()
    waiting = asyncio.create_task(engine.drive(await engine.create(PAID, {})))
    while not engine.residency.parked:
        await asyncio.sleep(0.005)
    emit = task("tell", {"event": "payment.received", "data": {"who": "${{ run.id }}"}}, uses="emit")
    row = await engine.drive(await engine.create(stored("tell", emit), {}))
    assert row.output == {"name": "payment.received", "data": {"who": row.id}, "id": f"{row.id}/tell"}
    assert (await waiting).output == {"to": row.id}


async def test_a_run_waits_for_an_event_of_its_own(world: World) -> None:
    engine = world.engine()
    emit = task("tell", {"event": "tick"}, uses="emit")
    row = await engine.drive(await engine.create(stored("own", emit, wait_for_event("hear", "tick")), {}))
    assert (row.status, row.output["id"], row.output["data"]) == ("succeeded", f"{row.id}/tell", {})


async def test_a_group_that_is_tried_again_emits_its_event_once(world: World) -> None:
    engine = world.engine()
    attempts = 0

    async def fail_once(call: Any) -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ActionError("shell.exit", "exit code 1")
        return "well"

    world.shell.behave["group.try"] = world.shell.behave["group@2.try"] = fail_once
    steps = (task("tell", {"event": "payment.received", "data": {"who": "once"}}, uses="emit"), task("try", needs=("tell",)))
    group = Step(id="group", action=Group(steps), uses="steps", retry=Retry(attempts=2, delay=0.01))
    listener = await rested(
        engine, stored("hear", wait_for_event("a", "payment.received"), wait_for_event("b", "payment.received"))
    )
    row = await engine.drive(await engine.create(stored("again", group), {}))
    assert (row.status, attempts) == ("succeeded", 2)
    assert (await engine.drive(listener, until="rest")).status == "waiting"
    assert taken(engine, listener) == [f"{row.id}/group.tell"]


@pytest.mark.parametrize(("name", "problem"), [("a b", "parts joined by dots"), ("a.*", "exact"), ("", "needs a name")])
async def test_a_name_that_no_event_can_have_fails_the_step(world: World, name: str, problem: str) -> None:
    engine = world.engine()
    row = await engine.drive(await engine.create(stored("odd", task("tell", {"event": name}, uses="emit")), {}))
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "input.invalid")
    assert problem in row.error.message


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
async def test_a_wait_that_takes_too_long_ends_as_it_says(world: World, on_timeout: Any) -> None:
    clock = VirtualClock()
    engine = world.engine(clock)
    clock.idle = lambda: engine.is_idle
    begin = clock.now()
    row = await engine.drive(
        await engine.create(stored("late", wait_for_event("a", "tick", timeout=86_400.0, on_timeout=on_timeout)), {})
    )
    assert clock.now() - begin == pytest.approx(86_400, abs=2)
    assert row.status == ("failed" if on_timeout == "fail" else "succeeded")
    assert (row.error.type if row.error else None) == ("wait.timeout" if on_timeout == "fail" else None)
    assert engine.store.waits(row.id) == []


async def test_of_many_waiting_runs_only_the_one_concerned_is_touched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    definition = stored("crowd", wait_for_event("a", "order.${{ input.n }}.paid"), input=inputs("n"))
    run_ids = await engine.create_many(definition, [{"n": n} for n in range(500)])
    await engine.start_all(run_ids)
    assert {row.status for row in map(engine.store.run, run_ids) if row is not None} == {"waiting"}
    assert not engine._held
    touched: list[str] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda run_ids, *more: (touched.extend(run_ids), function(run_ids, *more))[1]

    monkeypatch.setattr(engine.store, "acquire", noting(engine.store.acquire))
    monkeypatch.setattr(engine.store, "mail", noting(engine.store.mail))
    await engine.send("order.42.paid", None)
    assert (await engine.drive(run_ids[42])).status == "succeeded"
    assert set(touched) == {run_ids[42]}


# --- people ------------------------------------------------------------------------------------------------------------


async def test_an_approval_is_an_output(world: World) -> None:
    engine = world.engine()
    form = {"count": {"type": "integer"}}
    run_id = await rested(engine, stored("ship", approve("sign", "Ship it?", {"order": 7}, form=form)))
    [waiting] = engine.store.inbox()
    assert waiting.subject == {"message": "Ship it?", "show": {"order": 7}, "form": form, "digest": waiting.digest}
    assert await sign(engine, run_id, comment="fine", data={"count": 3})
    row: RunRow = await engine.drive(run_id)
    assert row.status == "succeeded"
    assert {**row.output, "at": None} == {"approved": True, "by": "ada", "comment": "fine", "data": {"count": 3}, "at": None}
    assert engine.store.inbox() == []


async def test_a_rejection_fails_the_step_and_says_who_and_why(world: World) -> None:
    engine = world.engine()
    run_id = await rested(engine, stored("ship", approve("sign")))
    assert await sign(engine, run_id, approved=False, comment="not today")
    row = await engine.drive(run_id)
    assert row.error is not None
    assert (row.status, row.error.type, row.error.message) == ("failed", "approval.rejected", "rejected by ada: not today")


async def test_what_another_process_signs_wakes_the_run_at_once(world: World) -> None:
    here, there = world.engine(), world.engine()
    run_id = await here.create(stored("ship", approve("sign")), {})
    driving = asyncio.create_task(here.drive(run_id))
    await until_waiting(there, run_id)
    assert await sign(there, run_id)
    assert (await driving).status == "succeeded"


async def test_the_rest_of_the_run_goes_on_while_a_person_thinks(world: World) -> None:
    engine = world.engine()
    definition = stored("apart", approve("sign"), task("other", needs=AT_ONCE))
    run_id = await rested(engine, definition)
    assert world.shell.paths == ["other"]
    assert await sign(engine, run_id)
    assert (await engine.drive(run_id)).status == "succeeded"


@pytest.mark.parametrize(
    ("on_timeout", "status", "error"),
    [("fail", "failed", "approval.timeout"), ("reject", "failed", "approval.rejected"), ("approve", "succeeded", None)],
)
async def test_nobody_answers_in_time(world: World, on_timeout: Any, status: str, error: str | None) -> None:
    clock = VirtualClock()
    engine = world.engine(clock)
    clock.idle = lambda: engine.is_idle
    row = await engine.drive(await engine.create(stored("late", approve("sign", timeout=3600.0, on_timeout=on_timeout)), {}))
    assert (row.status, row.error.type if row.error else None) == (status, error)
    assert engine.store.inbox() == []


async def test_a_cancelled_run_asks_nobody_any_more(world: World) -> None:
    engine = world.engine()
    run_id = await rested(
        engine,
        stored(
            "both",
            approve("sign"),
            set_step("apart", needs=AT_ONCE),
            wait_for_event(
                "a",
                "tick",
            ),
        ),
    )
    await engine.cancel(run_id)
    assert (await engine.drive(run_id)).status == "cancelled"
    assert engine.store.waits(run_id) == []
    assert (await engine.send("tick", None))[1].delivered == []
