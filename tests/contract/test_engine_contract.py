"""Every feature of the language, through the ports `Client` and `Engine` and nothing else. Long, because it is one contract."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_house import ENGINES, PATIENCE, Factory, House

from agentctl.errors import ActionError, NotFound, NothingToResume, RunRejected, UsageError

BUSY = ActionError("shell.exit", "try again")
FATAL = ActionError("permission.denied", "never")


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    factory: Factory = request.param
    return House(tmp_path, factory)


# --- steps and their order -------------------------------------------------------------------------------------------


async def test_steps_run_in_order_and_the_last_output_is_that_of_the_run(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, shell: x}, {id: b, shell: x}]\n")
    assert (row.status, row.output, house.executed) == ("succeeded", "did b", ["a", "b"])


async def test_needs_make_a_graph(house: House) -> None:
    text = "loop: l\nsteps:\n- {id: a, shell: x}\n- {id: b, needs: [], shell: x}\n- {id: c, needs: [a, b], shell: x}\n"
    both = asyncio.Barrier(2)

    async def meet(call: object) -> str:
        await both.wait()
        return "met"

    house.shell.behave |= {"a": meet, "b": meet}
    assert (await house.run(text)).output == "did c"


async def test_an_expression_reads_what_came_before(house: House) -> None:
    row = await house.run(
        "loop: l\ninput: {n: {type: integer}}\nsteps:\n- {id: a, set: {m: '${{ input.n + 1 }}'}}\n"
        "output: '${{ steps.a.output.m * 2 }}'\n",
        {"n": 2},
    )
    assert row.output == 6


async def test_a_step_whose_condition_is_false_is_skipped(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, if: 'false', shell: x}, {id: b, shell: x}]\n")
    assert (row.status, house.executed) == ("succeeded", ["b"])
    assert "StepSkipped" in house.events(row.id)


async def test_a_group_is_one_unit(house: House) -> None:
    house.outcomes("g.b", BUSY, "fine")
    row = await house.run("loop: l\nsteps: [{id: g, retry: 2, steps: [{id: a, shell: x}, {id: b, shell: x}]}]\n")
    assert (row.status, row.output) == ("succeeded", "did g@2.b")
    assert house.executed == ["g.a", "g.b", "g@2.a", "g@2.b"]


async def test_foreach_keeps_the_order_of_the_items(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: e, foreach: '${{ [1, 2, 3] }}', max_parallel: 3, steps: [{id: s, shell: x}]}]\n")
    assert row.output == ["did e[0].s", "did e[1].s", "did e[2].s"]


async def test_repeat_goes_on_until_its_condition_holds(house: House) -> None:
    row = await house.run(
        "loop: l\nsteps:\n- id: r\n  repeat: {until: steps.s.output.n >= 2, every: 1m}\n"
        "  steps: [{id: s, set: {n: '${{ index }}'}}]\n"
    )
    assert row.output == {"n": 2}


async def test_a_repeat_without_success_is_exhausted(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: r, repeat: {until: 'false', max: 2}, steps: [{id: s, shell: x}]}]\n")
    assert row.error is not None
    assert (row.status, row.error.type, len(house.executed)) == ("failed", "repeat.exhausted", 2)


async def test_return_ends_the_run_well(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, return: early}, {id: b, shell: x}]\n")
    assert (row.status, row.output, house.executed) == ("succeeded", "early", [])


async def test_fail_ends_the_run_with_its_error(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, fail: {type: disk.full, message: no room}}]\n")
    assert row.error is not None
    assert (row.status, row.error.type, row.error.message) == ("failed", "disk.full", "no room")


# --- when things go wrong --------------------------------------------------------------------------------------------


async def test_a_failed_attempt_is_retried(house: House) -> None:
    house.outcomes("a", BUSY, BUSY, "fine")
    row = await house.run("loop: l\nsteps: [{id: a, retry: 3, shell: x}]\n")
    assert (row.status, row.output, house.attempts(row.id)) == ("succeeded", "fine", {"a": 3})


async def test_an_error_that_no_retry_helps_is_not_retried(house: House) -> None:
    house.outcomes("a", FATAL)
    row = await house.run("loop: l\nsteps: [{id: a, retry: 3, shell: x}]\n")
    assert (row.status, house.attempts(row.id)) == ("failed", {"a": 1})


async def test_an_attempt_that_takes_too_long_times_out(house: House) -> None:
    async def endless(call: object) -> None:
        await asyncio.Event().wait()

    house.shell.behave["a"] = endless
    row = await house.run("loop: l\nsteps: [{id: a, timeout: 20ms, shell: x}]\n")
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "timeout")


async def test_a_run_that_takes_too_long_times_out(house: House) -> None:
    row = await house.run("loop: l\ntimeout: 1h\nsteps: [{id: w, wait: 2h}, {id: b, shell: x}]\n")
    assert row.error is not None
    assert (row.status, row.error.type, house.executed) == ("failed", "timeout", [])


async def test_a_fallback_recovers_its_step(house: House) -> None:
    house.outcomes("a", FATAL)
    row = await house.run(
        "loop: l\nsteps:\n- {id: a, shell: x, fallback: [{id: rule, set: {why: '${{ error.type }}'}}]}\n- {id: b, shell: x}\n"
        "output: '${{ steps.a.output.why }}'\n"
    )
    assert (row.output, house.statuses(row.id)["a"]) == ("permission.denied", "recovered")


async def test_a_failure_that_is_continued_does_not_fail_the_run(house: House) -> None:
    house.outcomes("a", FATAL)
    text = "loop: l\nsteps: [{id: a, continue_on_error: true, shell: x}, {id: b, set: {why: '${{ steps.a.error.type }}'}}]\n"
    assert (await house.run(text)).output == {"why": "permission.denied"}


async def test_what_succeeded_is_undone_newest_first(house: House) -> None:
    house.outcomes("c", FATAL)
    row = await house.run(
        "loop: l\nsteps:\n- {id: a, shell: x, undo: {shell: x}}\n- {id: b, shell: x, undo: {shell: x}}\n- {id: c, shell: x}\n"
    )
    assert (row.status, house.executed) == ("failed", ["a", "b", "c", "b.undo", "a.undo"])


async def test_handlers_run_after_the_end(house: House) -> None:
    house.outcomes("a", FATAL)
    row = await house.run(
        "loop: l\nsteps: [{id: a, shell: x}]\non_failure: [{id: tell, set: {why: '${{ error.type }}'}}]\n"
        "on_success: [{id: cheer, shell: x}]\nfinally: [{id: sweep, shell: x}]\n"
    )
    assert row.status == "failed"
    assert house.outputs(row.id)["on_failure.tell"] == {"why": "permission.denied"}
    assert house.executed == ["a", "finally.sweep"]


# --- waiting ---------------------------------------------------------------------------------------------------------


async def test_a_wait_for_a_time_ends(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: w, wait: 3d}, {id: b, shell: x}]\n")
    assert (row.status, row.output) == ("succeeded", "did b")


async def test_a_wait_takes_the_event_that_fits(house: House) -> None:
    run_id = await house.rests("loop: l\nsteps: [{id: w, wait: {event: paid, if: event.data.n > 1}}]\n")
    await house.client.send("paid", {"n": 1}, "first")
    assert (await house.rest(run_id)).status == "waiting"
    event_id, _ = await house.client.send("paid", {"n": 2}, "second")
    row = await house.finish(run_id)
    assert (row.status, row.output["data"], row.output["id"]) == ("succeeded", {"n": 2}, event_id)


async def test_an_event_is_kept_for_a_wait_that_opens_later(house: House) -> None:
    run_id = await house.rests("loop: l\nsteps: [{id: a, wait: {event: one}}, {id: b, wait: {event: two}}]\n")
    await house.client.send("two", {"n": 2})
    await house.client.send("one", {})
    assert (await house.finish(run_id)).output["data"] == {"n": 2}


async def test_a_wait_that_nothing_ends_fails(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: w, wait: {event: never, timeout: 1h}}]\n")
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "wait.timeout")


async def test_a_wait_for_a_run_gets_its_output(house: House) -> None:
    other = await house.run("loop: other\nsteps: [{id: a, set: {n: 7}}]\n")
    row = await house.run(
        "loop: l\ninput: {run: {type: string}}\nsteps: [{id: w, wait: {run: '${{ input.run }}'}}]\n", {"run": other.id}
    )
    assert (row.status, row.output) == ("succeeded", {"n": 7})


# --- people ----------------------------------------------------------------------------------------------------------

SHIP = "loop: ship\nsteps: [{id: ask, approve: {message: 'Ship it?', show: {order: 7}, timeout: 1d}}, {id: b, shell: x}]\n"


async def test_an_approval_is_signed_for_what_was_shown(house: House) -> None:
    run_id = await house.rests(SHIP)
    asked = house.asked(run_id)
    assert (asked.path, asked.subject["show"]) == ("ask", {"order": 7})
    assert await house.sign(run_id, comment="fine")
    row = await house.finish(run_id)
    answer = house.outputs(run_id)["ask"]
    assert (row.status, answer["approved"], answer["by"], answer["comment"]) == ("succeeded", True, "ada", "fine")


async def test_a_rejection_fails_the_step(house: House) -> None:
    run_id = await house.rests(SHIP)
    await house.sign(run_id, approved=False)
    row = await house.finish(run_id)
    assert row.error is not None
    assert (row.status, row.error.type, house.executed) == ("failed", "approval.rejected", [])


async def test_an_approval_is_answered_once(house: House) -> None:
    run_id = await house.rests(SHIP)
    asked = house.asked(run_id)
    assert await house.sign(run_id)
    await house.finish(run_id)
    assert asked.digest not in {found.digest for found in house.store.waits(run_id)}


async def test_an_approval_that_nobody_gives_times_out(house: House) -> None:
    run_id = await house.create(SHIP)
    row = await house.finish(run_id)
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "approval.timeout")


# --- other runs ------------------------------------------------------------------------------------------------------

DOUBLE = "skill: double\ninput: {n: {type: integer}}\nsteps: [{id: a, set: {m: '${{ input.n * 2 }}'}}]\n"


async def test_a_skill_runs_as_a_run_of_its_own(house: House) -> None:
    house.define(DOUBLE)
    row = await house.run("loop: l\nsteps: [{id: s, skill: double, with: {n: 4}}]\n")
    [child] = house.runs_of("double")
    assert child.parent is not None
    assert (row.output, child.status, child.parent.run_id) == ({"m": 8}, "succeeded", row.id)


async def test_a_skill_that_fails_fails_its_step(house: House) -> None:
    house.define("skill: bad\nsteps: [{id: a, fail: no}]\n")
    row = await house.run("loop: l\nsteps: [{id: s, skill: bad}]\n")
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "skill.failed")
    assert row.error.data["run_id"] == house.runs_of("bad")[0].id


async def test_a_detached_skill_can_be_joined_later(house: House) -> None:
    house.define(DOUBLE)
    row = await house.run(
        "loop: l\nsteps:\n- {id: s, skill: double, with: {n: 4}, detach: true}\n"
        "- {id: j, wait: {run: '${{ steps.s.output.run_id }}'}}\n"
    )
    assert row.output == {"m": 8}


async def test_an_emitted_event_starts_what_it_triggers_once(house: House) -> None:
    await house.deploy("loop: hear\ntriggers: [{event: order.placed}]\nsteps: [{id: a, set: {n: '${{ event.data.n }}'}}]\n")
    text = "loop: tell\nsteps: [{id: e, emit: {event: order.placed, data: {n: 3}, id: one}}]\n"
    await house.run(text)
    await house.run(text)
    [heard] = house.runs_of("hear")
    assert (await house.finish(heard.id)).output == {"n": 3}


async def test_the_end_of_a_run_is_an_event(house: House) -> None:
    await house.deploy(
        "loop: watch\ntriggers: [{event: agentctl.run.failed}]\nsteps: [{id: a, set: {of: '${{ event.data.loop }}'}}]\n"
    )
    await house.run("loop: l\nsteps: [{id: a, fail: no}]\n")
    [watching] = house.runs_of("watch")
    assert (await house.finish(watching.id)).output == {"of": "l"}


async def test_what_is_remembered_is_seen_by_the_next_run(house: House) -> None:
    text = """loop: count
steps:
- {id: a, set: {n: "${{ (state.n | default(0)) + 1 }}"}}
- remember: {n: "${{ steps.a.output.n }}"}
"""
    await house.run(text)
    await house.run(text)
    assert house.store.memory("count") == {"n": 2}


# --- results, money --------------------------------------------------------------------------------------------------


async def test_a_recorded_result_is_handed_over(house: House) -> None:
    text = "loop: l\ninput: {n: {type: integer}}\nsteps: [{id: a, idempotency_key: '${{ input.n }}', shell: x}]\n"
    await house.run(text, {"n": 1})
    row = await house.run(text, {"n": 1})
    assert (row.output, house.statuses(row.id)["a"], house.executed) == ("did a", "reused", ["a"])
    await house.run(text, {"n": 2})
    assert house.executed == ["a", "a"]


async def test_a_cached_result_is_handed_over_for_a_time(house: House) -> None:
    text = "loop: l\nsteps: [{id: a, cache: {key: same, ttl: 1h}, shell: x}]\n"
    await house.run(text)
    await house.run(text)
    assert house.executed == ["a"]
    await house.run("loop: later\nsteps: [{wait: 2h}]\n")
    await house.run(text)
    assert house.executed == ["a", "a"]


async def test_a_budget_is_reserved_before_each_call(house: House) -> None:
    call = "llm: {prompt: Say it, max_tokens: 100}"
    house.spends("a", 100)
    house.spends("b", 100)
    row = await house.run(f"loop: l\nbudget: {{tokens: 150}}\nsteps: [{{id: a, {call}}}, {{id: b, {call}}}]\n")
    assert row.error is not None
    assert (row.status, row.error.type, house.llm.paths) == ("failed", "budget.exceeded", ["a"])


# --- crashes and effects ---------------------------------------------------------------------------------------------


async def test_an_attempt_that_was_cut_off_executes_again_with_its_key(house: House) -> None:
    run_id, driving = await house.under_way("loop: l\nsteps: [{id: a, shell: x}]\n", "a")
    house.outcomes("a", "fine")
    await house.restart()
    await driving
    assert (await house.finish(run_id)).output == "fine"
    assert [call.idempotency_key for call in house.shell.calls] == [f"{run_id}/a"] * 2


CHARGE = "loop: pay\nsteps: [{{id: charge, effect: once, {unknown} shell: x}}, {{id: b, shell: x}}]\n"


async def cut_off(house: House, unknown: str = "") -> str:
    """A run whose `effect: once` step was cut off, driven by another process until it rests or ends."""
    run_id, driving = await house.under_way(CHARGE.format(unknown=unknown), "charge")
    await house.restart()
    await driving
    house.outcomes("charge", "charged")
    await house.rest(run_id)
    return run_id


async def test_an_effect_in_doubt_blocks_the_run_until_somebody_answers(house: House) -> None:
    run_id = await cut_off(house)
    assert (house.row(run_id).status, house.executed) == ("blocked", ["charge"])
    await house.client.resolve(run_id, "charge", "done", output="seen in the books", by="ada")
    row = await house.finish(run_id)
    assert (row.status, house.outputs(run_id)["charge"], house.executed) == ("succeeded", "seen in the books", ["charge", "b"])


async def test_an_effect_that_did_not_happen_executes_again(house: House) -> None:
    run_id = await cut_off(house)
    await house.client.resolve(run_id, "charge", "retry")
    assert (await house.finish(run_id)).status == "succeeded"
    assert house.executed == ["charge", "charge", "b"]


async def test_an_effect_in_doubt_may_fail_its_step(house: House) -> None:
    run_id = await cut_off(house, "on_unknown: fail,")
    row = house.row(run_id)
    assert row.error is not None
    assert (row.status, row.error.type, house.executed) == ("failed", "step.unknown_outcome", ["charge"])


@pytest.mark.parametrize(("done", "executed"), [("true", ["charge", "b"]), ("false", ["charge", "charge", "b"])])
async def test_a_probe_looks_whether_the_effect_happened(house: House, done: str, executed: list[str]) -> None:
    run_id = await cut_off(house, f"on_unknown: {{probe: [{{id: look, set: {{done: {done}, output: found}}}}]}},")
    assert (await house.finish(run_id)).status == "succeeded"
    assert house.executed == executed


# --- cancel and resume -----------------------------------------------------------------------------------------------


async def test_a_cancelled_run_stops_its_attempts_and_runs_its_handlers(house: House) -> None:
    run_id, driving = await house.under_way("loop: l\nsteps: [{id: a, shell: x}]\non_cancel: [{id: tell, shell: x}]\n", "a")
    await house.client.cancel(run_id, "not needed")
    row = await asyncio.wait_for(driving, PATIENCE)
    assert (row.status, house.executed) == ("cancelled", ["a", "on_cancel.tell"])


async def test_a_cancel_reaches_a_run_that_waits_and_its_children(house: House) -> None:
    house.define("skill: slow\nsteps: [{id: w, wait: {event: never}}]\n")
    run_id = await house.rests("loop: l\nsteps: [{id: s, skill: slow}]\n")
    await house.client.cancel(run_id)
    assert (await house.finish(run_id)).status == "cancelled"
    assert house.runs_of("slow")[0].status == "cancelled"


async def test_a_resume_keeps_what_succeeded(house: House) -> None:
    house.outcomes("b", FATAL, "fine")
    row = await house.run("loop: l\nsteps: [{id: a, shell: x}, {id: b, shell: x}]\n")
    assert row.status == "failed"
    await house.client.resume(row.id)
    row = await house.finish(row.id)
    assert (row.status, row.output, house.executed) == ("succeeded", "fine", ["a", "b", "b"])


async def test_a_resume_from_a_step_runs_it_again_and_all_that_needs_it(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, shell: x}, {id: b, shell: x}, {id: c, shell: x}]\n")
    await house.client.resume(row.id, ["b", "c"])
    assert (await house.finish(row.id)).status == "succeeded"
    assert house.executed == ["a", "b", "c", "b", "c"]


async def test_a_resume_may_take_an_edited_definition(house: House) -> None:
    house.outcomes("b", FATAL)
    row = await house.run("loop: l\nsteps: [{id: a, shell: x}, {id: b, shell: x}]\n")
    edited = house.define("loop: l\nsteps: [{id: a, shell: x}, {id: b, set: {n: 1}}]\n")
    await house.client.resume(row.id, stored=edited)
    row = await house.finish(row.id)
    assert (row.status, row.output, row.version, house.executed) == ("succeeded", {"n": 1}, edited.version, ["a", "b"])


async def test_what_makes_no_sense_is_refused(house: House) -> None:
    row = await house.run("loop: l\nsteps: [{id: a, shell: x}]\n")
    with pytest.raises(NothingToResume):
        await house.client.resume(row.id)
    waiting = await house.rests("loop: w\nsteps: [{id: w, wait: {event: never}}]\n")
    with pytest.raises(UsageError):
        await house.client.resume(waiting, ["w"])
    with pytest.raises(NotFound):
        await house.client.cancel("nosuchrun")


async def test_runs_with_a_limit_wait_for_their_turn(house: House) -> None:
    text = "loop: l\nconcurrency: 1\nsteps: [{id: w, wait: {event: go}}, {id: b, shell: x}]\n"
    first = await house.rests(text)
    second = await house.create(text)
    assert (await house.rest(second)).status == "queued"
    await house.client.send("go", {})
    assert (await house.finish(first)).status == "succeeded"
    await house.client.send("go", {})
    assert (await house.finish(second)).status == "succeeded"


async def test_a_run_that_its_limits_refuse_is_not_made(house: House) -> None:
    text = "loop: l\nconcurrency: {limit: 1, on_limit: skip}\nsteps: [{id: w, wait: {event: never}}]\n"
    await house.rests(text)
    with pytest.raises(RunRejected):
        await house.create(text)
