"""One engine, one process: runs from their first step to their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.core.events import StepStarted, StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError, NotFound, NothingToResume, StoreFull
from agentctl.expressions.parse import parse_expression
from agentctl.model import Foreach, Repeat, Retry, Step
from agentctl.ports import Append, Call
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import AT_ONCE, set_step, stored, task, wait
from agentctl.testing.fixtures import World


async def run_it(world: World, definition: Any, input: dict[str, Any] | None = None, engine: Engine | None = None) -> Any:
    engine = engine or world.engine()
    run_id = await engine.create(definition, input or {})
    return await engine.drive(run_id)


async def test_steps_in_order_hand_their_outputs_on(world: World) -> None:
    row = await run_it(world, stored("sum", set_step("one", n=1), set_step("two", n="${{ steps.one.output.n + 1 }}")))
    assert (row.status, row.output, row.steps_done, row.steps_total) == ("succeeded", {"n": 2}, 2, 2)
    assert row.owner is None


async def test_the_end_of_a_step_and_the_start_of_the_next_are_one_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    entries: list[list[str]] = []
    append = engine.store.append

    def note(entry: Append) -> Any:
        entries.append([type(event).__name__ for event in entry.events])
        return append(entry)

    monkeypatch.setattr(engine.store, "append", note)
    row = await run_it(world, stored("two", task("a"), task("b")), engine=engine)
    assert row.status == "succeeded"
    assert entries == [
        ["RunStarted", "StepStarted"],
        ["StepSucceeded", "StepStarted"],
        ["StepSucceeded", "Settled", "RunFinished"],
    ]


async def test_a_loop_of_any_length_holds_one_round_in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    held: list[int] = []
    append = engine.store.append

    def note(entry: Append) -> Any:
        held.append(len(engine._held[entry.lease.run_id].state.steps))
        return append(entry)

    monkeypatch.setattr(engine.store, "append", note)
    steps = (set_step("tick", n="${{ index }}"), set_step("tock", n=1))
    poll = Step(id="poll", action=Repeat(steps=steps, max=40), uses="repeat")
    row = await run_it(world, stored("long", poll), engine=engine)
    assert (row.status, row.steps_done) == ("succeeded", 81)
    assert max(held) <= 5


async def test_nothing_is_performed_before_the_commit_that_says_so(world: World) -> None:
    engine = world.engine()

    async def look(call: Call) -> Any:
        return [type(event).__name__ for event in engine.store.journal(call.run_id)]

    world.shell.behave["a"] = look
    row = await run_it(world, stored("look", task("a")), engine=engine)
    assert row.output == ["RunCreated", "RunStarted", "StepStarted"]


async def test_observers_are_told_of_every_event_in_order(world: World) -> None:
    engine = world.engine()
    row = await run_it(world, stored("seen", set_step("a")), engine=engine)
    told = [event for run_id, event in world.heard if run_id == row.id]
    assert told == list(engine.store.journal(row.id))[1:]


async def test_steps_that_need_nothing_run_at_the_same_time(world: World) -> None:
    meeting = asyncio.Barrier(3)

    async def meet(call: Call) -> str:
        async with asyncio.timeout(5):
            await meeting.wait()
        return "met"

    world.shell.behave = {"a": meet, "b": meet, "c": meet}
    row = await run_it(world, stored("fan", *(task(name, needs=AT_ONCE) for name in "abc")))
    assert (row.status, row.output) == ("succeeded", "met")


async def test_no_more_attempts_than_workers_run_at_once(world: World) -> None:
    now, most = 0, 0

    async def count(call: Call) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    names = [f"s{i}" for i in range(9)]
    world.shell.behave = dict.fromkeys(names, count)
    row = await run_it(world, stored("fan", *(task(n, needs=AT_ONCE) for n in names)), engine=world.engine(workers=3))
    assert (row.status, most) == ("succeeded", 3)


async def test_waiting_for_a_worker_does_not_count_to_the_timeout(world: World) -> None:
    async def slow(call: Call) -> str:
        await asyncio.sleep(0.2)
        return "done"

    world.shell.behave = {"a": slow, "b": slow, "c": slow}
    steps = [task(name, needs=AT_ONCE, timeout=0.35) for name in "abc"]
    row = await run_it(world, stored("queue", *steps), engine=world.engine(workers=1))
    assert row.status == "succeeded"


async def test_a_foreach_collects_its_items(world: World) -> None:
    each = Step(
        id="each",
        action=Foreach(items=parse_expression("range(40)"), steps=(set_step("n", v="${{ item * 2 }}"),), max_parallel=7),
        uses="foreach",
    )
    row = await run_it(world, stored("each", each))
    assert row.output == [{"v": n * 2} for n in range(40)]


async def test_a_failed_attempt_becomes_the_error_of_the_run(world: World) -> None:
    async def fail(call: Call) -> None:
        raise ActionError("shell.exit", "exit code 3", {"exit_code": 3})

    world.shell.behave["a"] = fail
    row = await run_it(world, stored("bad", task("a"), task("b")))
    assert row.status == "failed"
    assert (row.error.type, row.error.step, row.error.attempts, row.error.data) == ("shell.exit", "a", 1, {"exit_code": 3})
    assert world.shell.paths == ["a"]


async def test_a_bug_in_an_action_is_an_internal_error_and_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def bug(call: Call) -> None:
        raise ZeroDivisionError("oops")

    world.shell.behave["a"] = bug
    row = await run_it(world, stored("bug", task("a")))
    assert row.error.type == "internal"
    assert "ZeroDivisionError: oops" in row.error.message
    assert "ZeroDivisionError" in caplog.text


async def test_an_action_that_cancels_itself_is_an_internal_error(world: World) -> None:
    async def vanish(call: Call) -> None:
        raise asyncio.CancelledError

    world.shell.behave["a"] = vanish
    row = await run_it(world, stored("vanish", task("a")))
    assert row.error.type == "internal"


async def test_an_attempt_over_its_time_is_stopped(world: World) -> None:
    stopped = []

    async def hang(call: Call) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(call.path)
            raise

    world.shell.behave["a"] = hang
    row = await run_it(world, stored("slow", task("a", timeout=0.05)))
    assert (row.error.type, stopped) == ("timeout", ["a"])


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ({1: "x"}, "key 1"),
        (float("nan"), "nan"),
        ((1, 2), "tuple"),
        ("\ud800", "Unicode"),
        ({"\ud800": 1}, "Unicode"),
        (eval("[" * 150 + "]" * 150), "deeper than 100"),
    ],
)
async def test_output_that_is_no_json_fails_the_attempt(world: World, output: Any, why: str) -> None:
    async def odd(call: Call) -> Any:
        return output

    world.shell.behave["a"] = odd
    row = await run_it(world, stored("odd", task("a")))
    assert row.error.type == "output.invalid"
    assert why in row.error.message


async def test_secrets_are_put_in_for_the_action_and_kept_out_of_the_journal(world: World) -> None:
    async def leak(call: Call) -> Any:
        if call.path == "fail":
            raise ActionError("failed", f"no entry with {call.params['auth']}", {"sent": call.params["auth"]})
        return call.params["auth"]

    world.shell.behave = {"ok": leak, "fail": leak}
    engine = world.engine()
    secret = {"auth": "Bearer ${{ secrets.TOKEN }}"}
    row = await run_it(world, stored("leak", task("ok", secret), task("fail", secret)), engine=engine)
    assert world.shell.calls[0].params == {"auth": "Bearer hunter2"}
    assert (row.error.message, row.error.data) == ("no entry with Bearer ***", {"sent": "Bearer ***"})
    journal = list(engine.store.journal(row.id))
    assert next(e.output for e in journal if isinstance(e, StepSucceeded)) == "Bearer ***"
    assert next(e.input for e in journal if isinstance(e, StepStarted)) == {"auth": "Bearer ${{ secrets.TOKEN }}"}
    assert not any("hunter2" in repr(event) for event in journal)


async def test_a_retry_is_a_further_attempt_with_the_same_key(world: World) -> None:
    async def second_time(call: Call) -> str:
        if call.attempt == 1:
            raise ActionError("timeout", "too slow")
        assert call.previous is not None
        return call.previous.type

    world.shell.behave["a"] = second_time
    row = await run_it(world, stored("retry", task("a", retry=Retry(attempts=2, delay=0.01))))
    assert (row.status, row.output) == ("succeeded", "timeout")
    assert [call.attempt for call in world.shell.calls] == [1, 2]
    assert {call.idempotency_key for call in world.shell.calls} == {f"{row.id}/a"}


async def test_a_day_passes_at_once_on_a_virtual_clock(world: World) -> None:
    clock = VirtualClock()
    engine = world.engine(clock)
    clock.idle = lambda: engine.is_idle
    row = await run_it(world, stored("day", wait("w", "1d"), set_step("after", x=1)), engine=engine)
    assert row.status == "succeeded"
    assert row.finished_at - row.started_at == pytest.approx(86400)


async def test_the_run_of_nobody_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.engine().drive("nosuchrun")


async def test_a_finished_run_is_returned_as_it_is(world: World) -> None:
    engine = world.engine()
    row = await run_it(world, stored("once", task("a")), engine=engine)
    assert (await engine.drive(row.id)).finished_at == row.finished_at
    assert world.shell.paths == ["a"]
    with pytest.raises(NothingToResume):
        await engine.resume(row.id)


async def test_a_resumed_run_tries_only_what_failed(world: World) -> None:
    broken = True

    async def maybe(call: Call) -> str:
        if broken:
            raise ActionError("failed", "not yet")
        return "now"

    world.shell.behave["b"] = maybe
    engine = world.engine()
    row = await run_it(world, stored("again", task("a"), task("b"), task("c")), engine=engine)
    assert row.status == "failed"
    broken = False
    await engine.resume(row.id)
    row = await engine.drive(row.id)
    assert row.status == "succeeded"
    assert world.shell.paths == ["a", "b", "b", "c"]


async def test_a_resume_can_move_to_an_edited_definition(world: World) -> None:
    async def fail(call: Call) -> None:
        raise ActionError("failed", "no")

    world.shell.behave["b"] = fail
    engine = world.engine()
    row = await run_it(world, stored("edit", task("a"), task("b")), engine=engine)
    edited = stored("edit", task("a"), set_step("b", fixed=True))
    await engine.resume(row.id, stored=edited)
    row = await engine.drive(row.id)
    assert (row.status, row.output, row.version) == ("succeeded", {"fixed": True}, edited.version)
    assert world.shell.paths == ["a", "b"]


async def test_vars_and_input_reach_the_expressions(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("v", set_step("a", x="${{ vars.k ~ input.i }}")), {"i": "!"}, vars={"k": "v"})
    assert (await engine.drive(run_id)).output == {"x": "v!"}


async def test_a_cancelled_run_stops_its_attempt_and_ends(world: World) -> None:
    under_way = asyncio.Event()

    async def hang(call: Call) -> None:
        under_way.set()
        await asyncio.sleep(60)

    world.shell.behave["a"] = hang
    engine = world.engine()
    run_id = await engine.create(stored("hang", task("a"), task("b")), {})
    driving = asyncio.create_task(engine.drive(run_id))
    await under_way.wait()
    await engine.cancel(run_id)
    row = await driving
    assert row.status == "cancelled"
    assert world.shell.paths == ["a"]


async def test_a_run_cancelled_in_the_queue_never_starts(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("q", task("a")), {})
    await engine.cancel(run_id)
    row = await engine.drive(run_id)
    assert row.status == "cancelled"
    assert world.shell.paths == []
    assert "StepStarted" not in world.journal(run_id)


async def test_a_full_store_ends_the_drive_and_keeps_what_was_acknowledged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    append = engine.store.append
    full = False

    def refuse(entry: Append) -> Any:
        if full:
            raise StoreFull("no room")
        return append(entry)

    async def fill(call: Call) -> None:
        nonlocal full
        full = True

    monkeypatch.setattr(engine.store, "append", refuse)
    world.shell.behave["b"] = fill
    run_id = await engine.create(stored("full", task("a"), task("b"), task("c")), {})
    with pytest.raises(StoreFull):
        await engine.drive(run_id)
    await engine.stop()

    world.shell.behave.clear()
    other = world.engine()
    row = await other.drive(run_id)
    assert row.status == "succeeded"
    assert world.shell.paths == ["a", "b", "b", "c"]


async def test_stopping_leaves_the_run_interrupted_and_without_an_outcome_of_its_attempt(world: World) -> None:
    under_way = asyncio.Event()

    async def hang(call: Call) -> str:
        under_way.set()
        if len(world.shell.calls) == 2:
            await asyncio.sleep(60)
        return "done"

    world.shell.behave = {"a": hang, "b": hang}
    engine = world.engine()
    run_id = await engine.create(stored("stop", task("a"), task("b")), {})
    driving = asyncio.create_task(engine.drive(run_id))
    while len(world.shell.calls) < 2:
        await asyncio.sleep(0.001)
    await engine.stop()
    row = await driving
    assert (row.status, row.owner) == ("interrupted", None)
    assert "AttemptFailed" not in [type(event).__name__ for event in engine.store.journal(run_id)]
    row = await world.engine().drive(run_id)
    assert row.status == "succeeded"
    assert world.shell.paths == ["a", "b", "b"]


async def test_a_secret_that_is_gone_fails_the_attempt(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("gone", task("a", {"t": "${{ secrets.TOKEN }}"})), {})
    world.secrets.clear()
    row = await engine.drive(run_id)
    assert (row.status, row.error.type) == ("failed", "expression")
    assert "TOKEN" in row.error.message
