"""What the interpreter decides, one sentence at a time, with scripted answers and a clock that jumps."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.interpreter import decide, fold, take_over
from agentctl.core.resume import conflicts, dependents, intents
from agentctl.core.timestamps import rfc3339
from agentctl.errors import IllegalTransition
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Approve, Definition, Fail, Foreach, Group, Repeat, Retry, Return, Skill, Step, Task, Wait
from agentctl.testing.simulation import Simulation


def task(id: str, *needs: str, params: Any = None, **keys: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value(params or {"from": id})), uses="set", needs=needs, **keys)


def step(id: str, action: Any, *needs: str, **keys: Any) -> Step:
    return Step(id=id, action=action, uses=type(action).__name__.lower(), needs=needs, **keys)


class Run(Simulation):
    """`answers`: by path, an error, or a list of answers for one attempt after the other; anything else echoes its input."""

    def __init__(self, *steps: Step, answers: dict[str, Any] | None = None, **keys: Any) -> None:
        self.answers = answers or {}
        self.began: list[str] = []
        super().__init__(Definition(kind="loop", name="test", steps=steps, **keys), self.answer, Random(1))

    def answer(self, command: cmd.Execute) -> Any:
        self.began.append(command.path)
        scripted = self.answers.get(command.path, command.params)
        if isinstance(scripted, list):
            return scripted.pop(0) if len(scripted) > 1 else scripted[0]
        return scripted

    def statuses(self) -> dict[str, str]:
        return {path: step.status for path, step in self.state.steps.items()}

    def events(self, kind: type) -> list[Any]:
        return [event for event in self.journal if isinstance(event, kind)]


BROKEN = ev.Error("shell.exit", "exit code 1")


def test_steps_run_in_order_and_the_last_output_is_the_runs() -> None:
    run = Run(task("a"), task("b", "a", params={"seen": "${{ steps.a.output.from }}"}))
    state = run.run()
    assert run.began == ["a", "b"]
    assert state.output == {"seen": "a"}


def test_the_end_of_a_step_and_the_start_of_the_next_are_one_decision() -> None:
    run = Run(task("a"), task("b", "a"))
    decision = decide(run.state, ev.StepSucceeded(at=1.0, path="a", attempt=1))
    assert [type(event) for event in decision.events] == [ev.StepSucceeded, ev.StepStarted]


def test_steps_without_needs_start_together() -> None:
    run = Run(task("a"), task("b"), task("c", "a", "b"))
    assert sorted(run.state.executing) == ["a", "b"]


def test_a_false_condition_skips_the_step_and_what_needs_it_goes_on() -> None:
    run = Run(
        task("a", condition=parse_expression("1 > 2")),
        task("b", "a", params={"a": "${{ steps.a.output }}", "s": "${{ steps.a.status }}"}),
    )
    assert run.run().output == {"a": None, "s": "skipped"}


def test_a_failed_step_leaves_the_rest_not_run_and_lets_running_ones_finish() -> None:
    run = Run(task("bad"), task("slow"), task("after", "bad"), answers={"bad": BROKEN})
    state = run.run()
    assert (state.status, state.error and state.error.step) == ("failed", "bad")
    assert run.statuses() == {"bad": "failed", "slow": "succeeded", "after": "not_run"}


def test_continue_on_error_keeps_the_error_readable_and_goes_on() -> None:
    run = Run(
        task("bad", continue_on_error=True),
        task("after", "bad", params={"t": "${{ steps.bad.error.type }}", "o": "${{ steps.bad.output }}"}),
        answers={"bad": BROKEN},
    )
    assert run.run().output == {"t": "shell.exit", "o": None}


def test_a_retry_waits_its_backoff_on_a_durable_timer() -> None:
    retry = Retry(attempts=3, delay=10.0, backoff=3.0, jitter=0.0)
    run = Run(task("a", retry=retry), answers={"a": [BROKEN, BROKEN, {"ok": True}]})
    assert run.run().output == {"ok": True}
    pauses = [e.due - e.at for e in run.events(ev.RetryScheduled)]
    assert pauses == [10.0, 30.0]


def test_jitter_is_the_same_in_every_replay_and_within_its_bounds() -> None:
    def pauses() -> list[float]:
        run = Run(task("a", retry=Retry(attempts=4, delay=10.0, backoff=1.0, jitter=0.2)), answers={"a": BROKEN})
        run.run()
        return [round(e.due - e.at, 6) for e in run.events(ev.RetryScheduled)]

    assert pauses() == pauses()
    assert len(set(pauses())) == 3
    assert all(8.0 <= pause <= 12.0 for pause in pauses())


@pytest.mark.parametrize(
    ("type", "keys", "attempts"),
    [
        ("shell.exit", {}, 3),
        ("http.status.503", {}, 3),
        ("http.status.404", {}, 1),
        ("http.status.429", {}, 3),
        ("llm.auth", {}, 1),
        ("llm.auth", {"on": ("llm.*",)}, 3),
        ("timeout", {"on": ("llm.*",)}, 1),
        ("timeout", {"never": ("time*",)}, 1),
        ("my.own", {}, 1),
        ("my.own", {"on": ("my.own",)}, 3),
        ("my.own", {"on": ("any",)}, 3),
        ("timeout", {"never": ("any",)}, 1),
    ],
)
def test_what_is_retried_follows_the_table_unless_told_otherwise(type: str, keys: dict[str, Any], attempts: int) -> None:
    run = Run(task("a", retry=Retry(attempts=3, **keys)), answers={"a": ev.Error(type, "x")})
    error = run.run().error
    assert error is not None
    assert error.attempts == attempts


def test_a_longer_retry_after_of_the_server_wins_up_to_an_hour() -> None:
    run = Run(task("a", retry=Retry(attempts=3, jitter=0.0)))
    for attempt, (asked, waited) in enumerate([(120.0, 120.0), (90000.0, 3600.0)], start=1):
        failed = ev.AttemptFailed(at=run.now, path="a", attempt=attempt, error=BROKEN, retry_after=asked)
        run.deliver(failed)
        assert run.state.next_due == run.now + waited
        run._wake()


def test_a_fallback_recovers_the_step_with_its_last_output_and_sees_the_error() -> None:
    run = Run(
        task("a", fallback=(task("rule", params={"because": "${{ error.type }}"}),)),
        task("b", "a", params={"a": "${{ steps.a.output.because }}"}),
        answers={"a": BROKEN},
    )
    state = run.run()
    assert state.output == {"a": "shell.exit"}
    assert run.statuses() == {"a": "recovered", "a.fallback.rule": "succeeded", "b": "succeeded"}


def test_a_failing_fallback_fails_the_step() -> None:
    run = Run(task("a", fallback=(task("rule"),)), answers={"a": BROKEN, "a.fallback.rule": ev.Error("failed", "no rule")})
    error = run.run().error
    assert error is not None
    assert (error.type, error.step) == ("failed", "a.fallback.rule")


def test_who_takes_over_a_repeat_in_its_fallback_begins_no_other_one() -> None:
    nap = step("nap", Wait(duration=parse_value("1h")))
    run = Run(step("r", Repeat((task("p"),), max=1), fallback=(nap,)), answers={"r[0].p": BROKEN})
    run._perform(run.todo.pop())
    before = list(run.journal)
    run.restart()
    assert run.journal == before
    assert run.run().status == "succeeded"
    assert [begun.path for begun in run.events(ev.BlockStarted)] == ["r[0]", "r.fallback"]


def test_a_retried_group_runs_its_steps_in_a_second_round() -> None:
    group = Group((task("x"), task("y", "x")))
    run = Run(step("g", group, retry=Retry(attempts=2)), answers={"g.y": BROKEN})
    assert run.run().status == "succeeded"
    assert run.began == ["g.x", "g.y", "g@2.x", "g@2.y"]


def test_foreach_keeps_the_order_of_its_items_and_its_limit() -> None:
    items = parse_value([3, 1, 2])
    action = Foreach(items, (task("p", params={"n": "${{ item * 2 }}", "i": "${{ index }}"}),), max_parallel=2)
    run = Run(step("each", action))
    assert len(run.state.executing) == 2
    assert run.run().output == [{"n": 6, "i": 0}, {"n": 2, "i": 1}, {"n": 4, "i": 2}]


def test_a_failed_item_leaves_the_items_behind_it_not_run() -> None:
    run = Run(step("each", Foreach(parse_value([1, 2, 3]), (task("p"),))), answers={"each[1].p": BROKEN})
    error = run.run().error
    assert run.began == ["each[0].p", "each[1].p"]
    assert error is not None
    assert error.step == "each[1].p"


def test_an_empty_foreach_gives_an_empty_list() -> None:
    assert Run(step("each", Foreach(parse_value([]), (task("p"),)))).run().output == []


def test_foreach_over_something_else_than_a_list_is_an_expression_error() -> None:
    error = Run(step("each", Foreach(parse_value("${{ 7 }}"), (task("p"),)))).run().error
    assert error == ev.Error("expression", "`foreach` needs a list, got a number", "each", 1)


def test_repeat_until_sees_its_own_iteration_and_last_sees_the_one_before() -> None:
    body = task("p", params={"n": "${{ 1 if last is none else last.n * 2 }}"})
    run = Run(step("r", Repeat((body,), until=parse_expression("steps.p.output.n >= 8"), every=60.0)))
    assert run.run().output == {"n": 8}
    assert run.now >= 180.0


def test_a_repeat_inside_a_foreach_sees_the_item_of_the_foreach() -> None:
    look = task("p", params={"seen": "${{ [item, index] }}"})
    repeat = Repeat((look,), until=parse_expression("item == 'b' or index == 1"))
    run = Run(step("each", Foreach(parse_value(["a", "b"]), (step("r", repeat),))))
    assert run.run().output == [{"seen": ["a", 1]}, {"seen": ["b", 0]}]


def test_a_foreach_with_a_name_of_its_own_leaves_the_outer_item_as_it_is() -> None:
    inner = Foreach(parse_value([1]), (task("p", params={"seen": "${{ [item, part] }}"}),), item_name="part")
    run = Run(step("each", Foreach(parse_value(["a"]), (step("in", inner),))))
    assert run.run().output == [[{"seen": ["a", 1]}]]


def test_last_in_a_foreach_is_the_output_of_the_item_before() -> None:
    total = task("sum", params={"is": "${{ item + (0 if last is none else last.is) }}"})
    run = Run(step("each", Foreach(parse_value([1, 2, 3]), (total,))))
    assert run.run().output == [{"is": 1}, {"is": 3}, {"is": 6}]


def test_repeat_while_is_looked_at_before_each_iteration() -> None:
    run = Run(step("r", Repeat((task("p"),), condition=parse_expression("index < 2"))))
    run.run()
    assert run.began == ["r[0].p", "r[1].p"]


def test_a_repeat_that_never_comes_true_is_exhausted() -> None:
    never = parse_expression("false")
    assert Run(step("r", Repeat((task("p"),), until=never, max=2))).run().error == ev.Error(
        "repeat.exhausted", "`until` did not come true in 2 iterations", "r", 1
    )
    assert Run(step("r", Repeat((task("p"),), until=never, max=2, on_max="continue"))).run().status == "succeeded"


def test_fail_ends_the_run_with_the_type_it_gives() -> None:
    run = Run(step("stop", Fail(parse_value({"type": "stock.empty", "message": "none left", "data": {"sku": 7}}))))
    assert run.run().error == ev.Error("stock.empty", "none left", "stop", 1, {"sku": 7})


def test_return_ends_the_run_well_and_stops_what_is_under_way() -> None:
    run = Run(task("slow"), step("done", Return(parse_value("early"))), task("never", "done"))
    assert any(isinstance(command, cmd.Stop) and command.path == "slow" for command in run.todo)
    run.todo = [command for command in run.todo if isinstance(command, cmd.Stop)]
    state = run.run()
    assert (state.status, state.output) == ("succeeded", "early")
    assert run.statuses() == {"slow": "cancelled", "done": "succeeded", "never": "not_run"}


def test_return_ends_just_the_handler_it_stands_in_and_changes_nothing_about_the_outcome() -> None:
    leave = step("leave", Return(parse_value({"told": False})), "look", condition=parse_expression("not steps.look.output.open"))
    run = Run(
        task("bad"),
        on_failure=(task("look", params={"open": False}), leave, task("tell", "leave")),
        finally_=(task("end"),),
        answers={"bad": BROKEN},
    )
    state = run.run()
    assert (state.status, state.output, state.error) == ("failed", None, ev.Error("shell.exit", "exit code 1", "bad", 1))
    assert run.began == ["bad", "on_failure.look", "finally.end"]
    assert (run.statuses()["on_failure.leave"], run.statuses()["on_failure.tell"]) == ("succeeded", "not_run")
    assert run.events(ev.BlockFinished)[0].output == {"told": False}


def test_return_within_a_container_of_a_handler_ends_the_whole_handler() -> None:
    leave = step("leave", Return(parse_value(None)), condition=parse_expression("index == 1"))
    loops = [
        step("each", Foreach(parse_value("${{ range(3) }}"), (leave, task("t", "leave")))),
        step("each", Repeat((leave, task("t", "leave")), max=3)),
    ]
    for loop in loops:
        run = Run(task("a"), on_success=(loop, task("after", "each")), finally_=(task("end"),))
        state = run.run()
        assert (state.status, state.output) == ("succeeded", {"from": "a"})
        assert run.began == ["a", "on_success.each[0].t", "finally.end"]
        statuses = run.statuses()
        assert (statuses["on_success.each"], statuses["on_success.each[1].t"]) == ("cancelled", "not_run")
        assert statuses["on_success.after"] == "not_run"


def test_return_in_a_handler_stops_what_is_under_way_in_it() -> None:
    pause = step("pause", Wait(duration=parse_value("1s")))
    handler = (task("slow"), step("nap", Wait(duration=parse_value("1h"))), pause, step("r", Return(parse_value(1)), "pause"))
    run = Run(task("a"), on_success=handler)
    run.deliver(ev.StepSucceeded(at=1.0, path="a", attempt=1))
    run.todo.clear()
    run.deliver(ev.TimerFired(at=2.0, path="on_success.pause", timer="wait"))
    assert run.todo == [cmd.Stop("on_success.slow", 1)]
    run.now = 2.0
    assert run.run().status == "succeeded"
    assert run.statuses() == {
        "a": "succeeded",
        "on_success.slow": "cancelled",
        "on_success.nap": "cancelled",
        "on_success.pause": "succeeded",
        "on_success.r": "succeeded",
    }
    assert run.now < 3600


def test_return_within_what_an_undo_does_ends_just_that_and_counts_as_undone() -> None:
    undo = step("undo", Group((step("r", Return(parse_value(1))), task("never", "r"))))
    run = Run(task("a", undo=undo), task("bad", "a"), on_failure=(task("tell"),), answers={"bad": BROKEN})
    assert run.run().status == "failed"
    assert run.began == ["a", "bad", "on_failure.tell"]
    assert (run.state.steps["a"].undone, run.statuses()["a.undo.never"]) == (True, "not_run")


def test_a_run_is_taken_over_in_the_middle_of_a_handler_that_has_returned() -> None:
    pause = step("pause", Wait(duration=parse_value("1s")))
    run = Run(task("a"), on_success=(task("slow"), pause, step("r", Return(parse_value(1)), "pause")))
    run.deliver(ev.StepSucceeded(at=1.0, path="a", attempt=1))
    run.deliver(ev.TimerFired(at=2.0, path="on_success.pause", timer="wait"))
    state = fold(run.journal, lambda version: run.plan)
    take_over(state, 3.0)  # what executed died with its driver: nobody will answer
    assert (state.status, state.steps["on_success.slow"].status) == ("succeeded", "cancelled")


def test_a_wait_is_a_timer_and_executes_nothing() -> None:
    run = Run(step("w", Wait(duration=parse_value("2h"))))
    assert (run.state.status, run.state.next_due) == ("waiting", 7200.0)
    assert run.run().status == "succeeded"


def test_wait_until_takes_a_time_and_refuses_anything_else() -> None:
    assert Run(step("w", Wait(until=parse_value("1970-01-02T00:00:00Z")))).state.next_due == 86400.0
    error = Run(step("w", Wait(until=parse_value("tomorrow")))).run().error
    assert error is not None
    assert (error.type, "2026-11-23T09:30:00Z" in error.message) == ("input.invalid", True)


def test_a_skill_is_a_run_of_its_own_with_an_id_that_a_replay_computes_again() -> None:
    run = Run(step("s", Skill("child", parse_value({"k": 1}))))
    command = run.todo[0]
    assert isinstance(command, cmd.StartChild)
    again = take_over(fold(run.journal, lambda version: run.plan), 5.0)
    assert again.commands == [command]


def test_a_failed_child_fails_its_step_and_names_the_run() -> None:
    run = Run(step("s", Skill("child", parse_value({}))))
    child = run.state.children["s"]
    run.todo.clear()
    error = ev.Error("timeout", "too slow")
    run.deliver(ev.ChildFinished(at=1.0, path="s", run_id=child, status="failed", error=error))
    assert run.state.error is not None
    assert (run.state.error.type, run.state.error.data["run_id"]) == ("skill.failed", child)


def test_a_detached_skill_hands_over_its_run_id_once_it_is_started() -> None:
    run = Run(step("s", Skill("child", parse_value({}), detach=True)))
    assert run.run().output == {"run_id": run.state.steps["s"].child}


def test_a_detached_skill_that_cannot_start_fails_its_step() -> None:
    run = Run(step("s", Skill("child", parse_value({}), detach=True)))
    run.todo.clear()
    run.deliver(ev.AttemptFailed(at=1.0, path="s", attempt=1, error=ev.Error("skill.not_found", "gone")))
    assert run.statuses() == {"s": "failed"}


def test_an_attempt_that_a_dead_process_left_executes_again_with_the_same_number_and_key() -> None:
    run = Run(task("a"))
    first = run.todo[0]
    run.restart()
    assert run.todo == [first]
    assert isinstance(run.journal[-1], ev.RunRecovered)


def test_a_late_or_repeated_answer_says_nothing() -> None:
    run = Run(task("a", retry=Retry(attempts=2)), task("b", "a"))
    failed = ev.AttemptFailed(at=1.0, path="a", attempt=1, error=BROKEN)
    run.deliver(failed)
    assert decide(run.state, failed).events == []
    assert decide(run.state, ev.StepSucceeded(at=2.0, path="a", attempt=1)).events == []
    assert decide(run.state, ev.TimerFired(at=0.5, path="a", timer="retry")).events == []
    assert decide(run.state, ev.ChildFinished(at=2.0, path="a", run_id="x", status="succeeded")).events == []


def test_an_event_that_cannot_follow_fails_in_one_place() -> None:
    run = Run(task("a"))
    with pytest.raises(IllegalTransition, match="step a: StepSkipped while running"):
        fold([*run.journal, ev.StepSkipped(at=1.0, path="a")], lambda version: run.plan)


def test_a_group_that_takes_too_long_stops_what_is_in_it_and_fails_with_timeout() -> None:
    run = Run(step("g", Group((task("x"), step("w", Wait(duration=parse_value("1h")), "x"))), timeout=60.0))
    error = run.run().error
    assert error is not None
    assert (error.type, error.step) == ("timeout", "g")
    assert run.statuses()["g.w"] == "cancelled"


def test_the_timeout_of_a_run_counts_its_waits() -> None:
    run = Run(step("w", Wait(duration=parse_value("1h"))), timeout=60.0, on_failure=(task("tell"),))
    state = run.run()
    assert state.error is not None
    assert (state.status, state.error.type, run.now < 3600) == ("failed", "timeout", True)
    assert run.statuses()["on_failure.tell"] == "succeeded"


def test_handlers_run_after_the_outcome_and_cannot_change_it() -> None:
    handlers = {"on_failure": (task("tell", params={"m": "${{ error.message }} ${{ steps.a.output.from }}"}),)}
    run = Run(
        task("a"),
        task("bad", "a"),
        **handlers,
        on_success=(task("never"),),
        finally_=(task("end"),),
        answers={"bad": BROKEN, "finally.end": ev.Error("failed", "broken handler")},
    )
    assert run.run().error == ev.Error("shell.exit", "exit code 1", "bad", 1)
    assert run.began == ["a", "bad", "on_failure.tell", "finally.end"]
    assert run.state.steps["on_failure.tell"].output == {"m": "exit code 1 a"}


def test_cancel_stops_attempts_then_runs_its_handlers() -> None:
    run = Run(task("a"), task("b", "a"), on_cancel=(task("tidy"),))
    run.todo.clear()
    run.deliver(ev.CancelRequested(at=1.0, reason="enough"))
    assert run.todo == [cmd.Stop("a", 1)]
    assert run.run().status == "cancelled"
    assert run.statuses() == {"a": "cancelled", "b": "not_run", "on_cancel.tidy": "succeeded"}


def test_undo_steps_run_newest_first_before_the_handlers() -> None:
    undo = {"undo": task("undo", params={"was": "${{ steps.a.output.from }}"})}
    run = Run(
        task("a", **undo), task("b", "a", **undo), task("bad", "b"), on_failure=(task("tell"),), answers={"bad": BROKEN}
    )
    run.run()
    assert run.began == ["a", "b", "bad", "b.undo", "a.undo", "on_failure.tell"]


def test_an_undo_that_fails_does_not_keep_the_others_from_running() -> None:
    undo = {"undo": task("undo")}
    run = Run(task("a", **undo), task("b", "a", **undo), task("bad", "b"), answers={"bad": BROKEN, "b.undo": BROKEN})
    assert run.run().status == "failed"
    assert run.statuses()["a.undo"] == "succeeded"


def test_the_message_of_a_fail_that_is_no_text_reads_as_json() -> None:
    run = Run(step("stop", Fail(parse_value({"message": "${{ {'found': [none, 'é']} }}"}))))
    assert run.run().error == ev.Error("failed", '{"found":[null,"é"]}', "stop", 1)


def test_what_handlers_and_undo_steps_did_is_not_undone() -> None:
    undo = {"undo": task("undo")}
    charge = task("charge", undo=step("undo", Group((task("refund", **undo),))))
    run = Run(charge, task("bad", "charge"), on_failure=(task("tell", **undo),), answers={"bad": BROKEN})
    run.run()
    assert run.began == ["charge", "bad", "charge.undo.refund", "on_failure.tell"]


def test_the_steps_of_an_undo_group_have_the_path_of_its_first_round() -> None:
    undo = {"undo": step("undo", Group((task("a"), task("b", "a"))), retry=Retry(attempts=2, delay=1.0))}
    run = Run(task("pay", **undo), task("ship", "pay"), answers={"ship": BROKEN, "pay.undo.b": BROKEN})
    run.run()
    assert run.began[2:] == ["pay.undo.a", "pay.undo.b", "pay.undo@2.a", "pay.undo@2.b"]


def test_resume_runs_a_step_anew_whose_outcome_was_probed_before_it_failed() -> None:
    probed = task("pay", effect="once", on_unknown="probe", probe=(task("look"),))
    run = Run(probed, answers={"pay": [BROKEN, {}], "pay.probe.look": [{"done": False}]})
    run.restart()
    assert run.run().status == "failed"

    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"


def test_resume_retries_only_what_failed_and_repeats_the_handlers_under_a_new_path() -> None:
    run = Run(
        task("a"), task("bad", "a"), task("c", "bad"), on_failure=(task("tell"),), answers={"bad": [BROKEN, BROKEN, {}]}
    )
    run.run()
    run.deliver(ev.RunResumed(at=run.now))
    run.run()
    assert run.began == ["a", "bad", "on_failure.tell", "bad", "on_failure@2.tell"]
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"
    assert run.began[5:] == ["bad", "c"]


def test_resume_of_a_foreach_runs_the_failed_and_the_missing_items_only_and_keeps_its_limit() -> None:
    action = Foreach(parse_value([1, 2, 3, 4]), (task("p", params={"n": "${{ item }}"}), task("q", "p")), max_parallel=1)
    run = Run(step("each", action), answers={"each[1].q": [BROKEN, {"ok": 1}]})
    run.run()
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now))
    state = run.run()
    assert run.began == ["each[1].q", "each[2].p", "each[2].q", "each[3].p", "each[3].q"]
    assert state.output == [{"from": "q"}, {"ok": 1}, {"from": "q"}, {"from": "q"}]


def test_resume_goes_on_inside_a_group_under_the_same_path() -> None:
    run = Run(step("g", Group((task("x"), task("y", "x")))), task("z", "g"), answers={"g.y": [BROKEN, {}]})
    run.run()
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"
    assert run.began == ["g.x", "g.y", "g.y", "z"]


def test_resume_of_a_failed_skill_step_goes_on_with_the_same_child() -> None:
    run = Run(step("s", Skill("child", parse_value({}))))
    child = run.state.children["s"]
    run.todo.clear()
    run.deliver(ev.ChildFinished(at=1.0, path="s", run_id=child, status="failed"))
    run.deliver(ev.RunResumed(at=2.0))
    assert run.state.children == {"s": child}


def test_what_was_undone_runs_again_after_a_resume() -> None:
    run = Run(task("pay", undo=task("undo")), task("ship", "pay"), answers={"ship": [BROKEN, {}]})
    run.run()
    planned = {i.path: (i.action, i.reason) for i in intents(fold(run.journal, lambda version: run.plan), [])}
    assert planned == {"pay": ("rerun", "undone"), "ship": ("rerun", "failed")}
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"
    assert run.began == ["pay", "ship", "pay.undo", "pay", "ship"]


def test_a_once_step_whose_undo_failed_keeps_its_result_on_resume_and_is_undone_again_when_the_run_fails_again() -> None:
    pay = task("pay", undo=task("undo"), effect="once")
    run = Run(pay, task("ship", "pay"), answers={"ship": BROKEN, "pay.undo": [BROKEN, {}]})
    run.run()
    planned = {i.path: i.action for i in intents(fold(run.journal, lambda version: run.plan), [])}
    assert planned == {"pay": "reuse", "ship": "rerun"}
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "failed"
    assert run.began == ["pay", "ship", "pay.undo", "ship", "pay.undo"]


def test_a_once_step_within_a_group_that_was_undone_executes_again_and_one_whose_groups_undo_failed_does_not() -> None:
    outcomes: list[tuple[Any, list[str]]] = [({}, ["g@2.pay", "ship"]), (BROKEN, ["ship"])]
    for undo, again in outcomes:
        group = Group((task("pay", effect="once"),))
        answers = {"ship": [BROKEN, {}], "g.undo": undo}
        run = Run(step("g", group, undo=task("undo")), task("ship", "g"), answers=answers)
        run.run()
        run.began.clear()
        run.deliver(ev.RunResumed(at=run.now))
        assert run.run().status == "succeeded"
        assert run.began == again


def test_a_run_cannot_wait_for_its_own_end() -> None:
    run = Run(step("w", Wait(run=parse_value("${{ run.id }}"))))
    state = run.run()
    assert state.error is not None
    assert (state.error.type, state.error.message) == ("input.invalid", "a run cannot wait for its own end")


def test_the_plan_of_a_resume_says_that_an_undone_step_within_a_container_runs_again() -> None:
    group = Group((task("pay", undo=task("undo")), task("tell", "pay")))
    run = Run(task("a", undo=task("undo")), step("g", group, "a"), task("ship", "g"), answers={"ship": [BROKEN, {}]})
    run.run()
    planned = {i.path: i.action for i in intents(fold(run.journal, lambda version: run.plan), [])}
    assert planned == {"a": "rerun", "g": "run", "g.pay": "rerun", "g.tell": "reuse", "ship": "rerun"}
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now))
    run.run()
    assert run.began == ["a", "g.pay", "ship"]


def test_what_follows_from_an_answer_that_lay_in_the_mail_is_measured_from_now() -> None:
    wait = Wait(event=parse_value("paid"))
    after = Wait(event=parse_value("shipped"), timeout=60.0)
    run = Run(step("w", wait), step("after", after, "w"))
    run.todo.clear()
    event = {"name": "paid", "data": {}, "id": "e1", "received_at": "1970-01-01T00:00:05Z"}
    decision = decide(run.state, ev.EventOffered(at=5.0, path="w", event=event, kept=True), 1000.0)
    assert {event.at for event in decision.events} == {1000.0}
    assert run.state.next_due == 1060.0


def test_an_approval_keeps_its_own_time_and_what_it_sets_free_begins_now() -> None:
    run = Run(step("ask", Approve(message=parse_value("go?"))), task("go", "ask"))
    run.todo.clear()
    given = ev.ApprovalGiven(at=5.0, path="ask", approved=True, digest=run.state.approvals["ask"], by="ann")
    assert [event.at for event in decide(run.state, given, 1000.0).events] == [5.0, 1000.0, 1000.0]


def test_resume_from_a_step_runs_it_and_all_that_needs_it() -> None:
    run = Run(task("a"), task("b", "a"), task("side"), task("c", "b"), answers={"c": [BROKEN, {}]})
    run.run()
    redo = dependents(run.state, "b")
    assert redo == ["b", "c"]
    planned = {i.path: i.action for i in intents(fold(run.journal, lambda version: run.plan), redo)}
    assert planned == {"a": "reuse", "b": "rerun", "side": "reuse", "c": "rerun"}
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now, redo=redo))
    run.run()
    assert run.began == ["b", "c"]


def test_resume_from_a_step_inside_a_finished_group_opens_the_group_again() -> None:
    run = Run(step("g", Group((task("x"), task("y", "x")))), task("z", "g"), answers={"z": [BROKEN, {}]})
    run.run()
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now, redo=dependents(run.state, "g.y")))
    assert run.run().status == "succeeded"
    assert run.began == ["g.y", "z"]


def test_an_edited_definition_may_change_what_has_not_finished_only() -> None:
    run = Run(task("a"), task("bad", "a", line=7), answers={"bad": BROKEN})
    run.run()
    mended = Run(task("a", line=99), task("bad", "a", params={"new": 1}), task("more", "bad")).plan
    changed = Run(task("a", params={"other": 1}, line=12), task("bad", "a")).plan
    assert conflicts(run.state, mended) == []
    assert [(c.path, c.line) for c in conflicts(run.state, changed)] == [("a", 12)]
    assert conflicts(run.state, changed, redo=["a", "bad"]) == []


def test_a_run_that_moves_to_an_edited_definition_keeps_its_results() -> None:
    run = Run(task("a"), task("bad", "a"), answers={"bad": BROKEN})
    run.run()
    plans = {
        "v": run.plan,
        "w": Run(task("a"), task("bad", "a", params={"new": "${{ steps.a.output.from }}"}), task("more", "bad")).plan,
    }
    state = fold(run.journal, plans.__getitem__)
    decision = decide(state, ev.RunResumed(at=run.now, version="w"))
    started = [command for command in decision.commands if isinstance(command, cmd.Execute)]
    assert [(command.path, command.params) for command in started] == [("bad", {"new": "a"})]
    assert state.steps["more"].status == "pending"


def test_now_is_the_time_of_the_decision_and_run_names_the_run() -> None:
    run = Run(step("w", Wait(duration=parse_value("1m"))), task("a", "w", params={"now": "${{ now }}", "id": "${{ run.id }}"}))
    assert run.run().output == {"now": "1970-01-01T00:01:00.000Z", "id": "sim"}


def test_a_condition_that_comes_to_be_a_secret_fails_its_step() -> None:
    secret = parse_expression("[secrets.T][0]")
    steps = [
        step("s", Group((task("t"),)), condition=secret),
        step("s", Repeat((task("t"),), condition=secret)),
        step("s", Repeat((task("t"),), until=secret)),
    ]
    for one in steps:
        plan = Run(one).plan
        created = ev.RunCreated(at=0.0, run_id="r", name="n", kind="loop", version="v")
        state = fold([created], lambda version, plan=plan: plan, frozenset({"T"}))
        take_over(state, 0.0)
        for path in list(state.executing):
            decide(state, ev.StepSucceeded(at=1.0, path=path, attempt=1))
        error = state.error
        assert error is not None
        said = "a secret can only be inserted, as it is or inside longer text in ${{ [secrets.T][0] }}"
        assert (error.type, error.message) == ("expression", said)


def test_a_secret_travels_as_a_reference_with_its_place() -> None:
    template = parse_value({"auth": "Bearer ${{ secrets.TOKEN }}"})
    plan = Run(Step(id="call", action=Task("http", template), uses="http")).plan
    created = ev.RunCreated(at=0.0, run_id="r", name="n", kind="loop", version="v")
    decision = take_over(fold([created], lambda version: plan, frozenset({"TOKEN"})), 0.0)
    command = decision.commands[0]
    assert isinstance(command, cmd.Execute)
    assert command.params == {"auth": "Bearer ${{ secrets.TOKEN }}"}
    assert command.secrets == [[["auth"], ["Bearer ", {"secret": "TOKEN"}]]]


def once(id: str, *needs: str, **keys: Any) -> Step:
    return task(id, *needs, effect="once", **keys)


def test_an_effect_that_happens_once_is_in_doubt_after_a_crash_and_never_executes_again_by_itself() -> None:
    run = Run(once("charge"), task("after", "charge"))
    run.restart()
    assert run.state.status == "blocked"
    assert [type(command) for command in run.todo] == [cmd.AwaitPerson]
    run.restart()
    assert run.began == []


@pytest.mark.parametrize(
    ("verdict", "status", "began"),
    [("done", "succeeded", ["after"]), ("retry", "succeeded", ["charge", "after"]), ("failed", "failed", [])],
)
def test_a_person_says_what_became_of_an_effect_in_doubt(verdict: str, status: str, began: list[str]) -> None:
    run = Run(once("charge", retry=Retry(attempts=5, on=("*",))), task("after", "charge"))
    run.restart()
    run.todo.clear()
    run.deliver(ev.StepResolved(at=1.0, path="charge", verdict=verdict, output={"id": 7}))
    assert run.run().status == status
    assert run.began == began


def test_an_attempt_of_an_effect_that_was_cut_off_is_in_doubt_and_not_retried() -> None:
    run = Run(once("charge", retry=Retry(attempts=5)), answers={"charge": ev.Error("timeout", "too slow")})
    run._perform(run.todo.pop(0))
    assert run.state.status == "blocked"


def test_on_unknown_fail_lets_the_fallback_take_over() -> None:
    run = Run(once("charge", on_unknown="fail", fallback=(task("tell", params={"type": "${{ error.type }}"}),)))
    run.restart()
    assert run.run().output == {"type": "step.unknown_outcome"}


@pytest.mark.parametrize(
    ("found", "began"),
    [
        ({"done": True, "output": "receipt"}, ["charge.probe.look"]),
        ({"done": False}, ["charge.probe.look", "charge"]),
    ],
)
def test_a_probe_looks_whether_the_effect_has_happened(found: Any, began: list[str]) -> None:
    probe = {"on_unknown": "probe", "probe": (task("look"),)}
    run = Run(once("charge", **probe), answers={"charge.probe.look": found})
    run.restart()
    state = run.run()
    assert run.began == began
    assert state.output == ("receipt" if found["done"] else {"from": "charge"})


def test_a_cancelled_run_keeps_the_doubt_for_its_resume() -> None:
    run = Run(once("charge"))
    run.restart()
    run.deliver(ev.CancelRequested(at=1.0))
    assert (run.state.status, run.statuses()["charge"]) == ("cancelled", "unknown")
    run.todo.clear()
    run.deliver(ev.RunResumed(at=2.0))
    assert run.state.status == "blocked"


def test_a_doubt_of_a_run_that_was_being_cancelled_as_its_process_died_is_asked_about_after_its_resume() -> None:
    run = Run(once("charge"))
    run.deliver(ev.CancelRequested(at=1.0))
    run.restart()
    assert (run.state.status, run.statuses()["charge"]) == ("cancelled", "unknown")
    run.todo.clear()
    run.deliver(ev.RunResumed(at=2.0))
    assert [command.path for command in run.todo if isinstance(command, cmd.AwaitPerson)] == ["charge"]


def test_nobody_is_asked_about_an_effect_whose_group_went_on_without_it() -> None:
    run = Run(step("g", Group((once("charge"),)), timeout=5.0, fallback=(step("rest", Wait(duration=parse_value("1m"))),)))
    run.todo.clear()
    run.deliver(ev.TimerFired(at=5.0, path="g", timer="timeout"))
    run.deliver(ev.AttemptFailed(at=5.0, path="g.charge", attempt=1, error=ev.Error("cancelled", "stopped")))
    run.restart()
    assert not [command for command in run.todo if isinstance(command, cmd.AwaitPerson)]
    assert run.run().steps["g"].status == "recovered"


def test_a_doubt_that_outlived_a_dying_run_can_be_answered_with_failed_while_other_steps_run() -> None:
    run = Run(once("charge"), task("slow"))
    run.deliver(ev.CancelRequested(at=1.0))
    run.restart()
    run.todo.clear()
    run.deliver(ev.RunResumed(at=2.0))
    run.deliver(ev.StepResolved(at=3.0, path="charge", verdict="failed"))
    run.restart()
    assert run.run().status == "failed"


def cut_off_in_a_group(**keys: Any) -> Run:
    """An effect that its group's timeout has stopped; the group has been started once more."""
    group = Group((once("charge", **keys), task("ship", "charge")))
    run = Run(step("g", group, timeout=5.0, retry=Retry(attempts=3, delay=1.0, on=("*",))))
    run.todo = [command for command in run.todo if not isinstance(command, cmd.Execute | cmd.LookupResult)]
    if "idempotency_key" in keys:
        run.deliver(ev.ResultMissing(at=0.0, path="g.charge"))
        run.todo = [command for command in run.todo if not isinstance(command, cmd.Execute)]
    run.deliver(ev.TimerFired(at=5.0, path="g", timer="timeout"))
    run.deliver(ev.AttemptFailed(at=5.0, path="g.charge", attempt=1, error=ev.Error("cancelled", "stopped")))
    run.todo.clear()
    run.now = 5.0
    run._wake()
    return run


def test_a_retried_group_executes_no_effect_that_is_in_doubt_since_the_round_before() -> None:
    run = cut_off_in_a_group()
    assert run.state.status == "blocked"
    statuses = run.statuses()
    assert (statuses["g.charge"], statuses["g@2.charge"]) == ("cancelled", "unknown")  # one effect, one doubt
    run.restart()
    assert {command.path for command in run.todo if isinstance(command, cmd.AwaitPerson)} == {"g@2.charge"}
    assert not run.events(ev.RunRecovered)


@pytest.mark.parametrize(("verdict", "began"), [("done", ["g@2.ship"]), ("retry", ["g@2.charge", "g@2.ship"])])
def test_the_doubt_of_an_earlier_round_is_answered_in_the_next(verdict: str, began: list[str]) -> None:
    run = cut_off_in_a_group()
    run.todo.clear()
    run.deliver(ev.StepResolved(at=7.0, path="g@2.charge", verdict=verdict, output={"id": 7}))
    assert run.run().status == "succeeded"
    assert run.began == began


def test_a_doubt_that_is_a_failure_stays_one_in_every_round() -> None:
    run = cut_off_in_a_group(on_unknown="fail")
    state = run.run()
    assert state.status == "failed"
    assert state.error is not None
    assert state.error.type == "step.unknown_outcome"
    assert run.began == []


def test_a_key_that_is_claimed_in_doubt_goes_over_to_the_next_round() -> None:
    run = cut_off_in_a_group(idempotency_key=parse_value("order-7"))
    run.todo.clear()
    run.deliver(ev.StepResolved(at=7.0, path="g@2.charge", verdict="done", output={"id": 7}))
    kept = [command for command in run.todo if isinstance(command, cmd.StoreResult)]
    assert [(command.path, command.key) for command in kept] == [("g.charge", "order-7")]


def test_a_retried_group_keeps_the_result_of_a_finished_effect() -> None:
    group = Group((once("charge"), task("ship", "charge")))
    run = Run(step("g", group, retry=Retry(attempts=2)), answers={"g.ship": BROKEN})
    assert run.run().status == "succeeded"
    assert run.began == ["g.charge", "g.ship", "g@2.ship"]
    assert run.statuses()["g@2.charge"] == "reused"


def offer(path: str, id: str, data: Any = None, kept: bool = False) -> ev.EventOffered:
    event = {"name": "paid", "data": data, "id": id, "received_at": "1970-01-01T00:00:00.000Z"}
    return ev.EventOffered(at=1.0, path=path, event=event, kept=kept)


def test_a_wait_takes_the_event_that_its_condition_wants() -> None:
    condition = parse_expression("event.data.order == input.order")
    wait = Wait(event=parse_value("paid"), condition=condition)
    run = Run(step("w", wait))
    run.state.input["order"] = 7
    assert decide(run.state, offer("w", "a", {"order": 8})).events == []
    assert decide(run.state, offer("w", "b", {"other": 1})).events == []
    decide(run.state, offer("w", "c", {"order": 7}))
    assert run.state.output["data"] == {"order": 7}


def test_an_event_is_for_every_open_wait_but_a_kept_one_only_for_the_first() -> None:
    wait = Wait(event=parse_value("paid"))
    run = Run(step("one", wait), step("two", wait), step("three", wait, "one", "two"))
    run.todo.clear()
    run.deliver(offer("one", "a"))
    run.deliver(offer("two", "a"))
    assert run.state.subscriptions == {"three": "paid"}
    assert decide(run.state, offer("three", "a", kept=True)).events == []
    run.deliver(offer("three", "b", kept=True))
    assert run.state.status == "succeeded"


def test_a_wait_for_a_run_runs_out_of_time() -> None:
    late = Run(step("w", Wait(run=parse_value("other"), timeout=60.0)))
    late.todo.clear()
    error = late.run().error
    assert error is not None
    assert (error.type, error.message) == ("wait.timeout", "run other did not end within 1m")
    assert late.state.children == {}
    lenient = Run(step("w", Wait(run=parse_value("other"), timeout=60.0, on_timeout="continue")))
    lenient.todo.clear()
    assert lenient.run().output is None


def test_a_wait_for_an_event_runs_out_of_time() -> None:
    late = Run(step("w", Wait(event=parse_value("paid"), timeout=60.0)))
    late.todo.clear()
    error = late.run().error
    assert error is not None
    assert (error.type, error.message) == ("wait.timeout", "no event paid came within 1m")
    lenient = Run(step("w", Wait(event=parse_value("paid"), timeout=60.0, on_timeout="continue")))
    lenient.todo.clear()
    assert lenient.run().status == "succeeded"


def test_an_approval_is_bound_to_what_was_shown() -> None:
    run = Run(step("ok", Approve(parse_value("send it?"), show=parse_value({"amount": 7}))))
    asked = run.todo.pop(0)
    assert isinstance(asked, cmd.AwaitPerson)
    forged = ev.ApprovalGiven(at=1.0, path="ok", approved=True, digest="something else", by="eve")
    assert decide(run.state, forged).events == []
    run.deliver(ev.ApprovalGiven(at=1.0, path="ok", approved=True, digest=asked.digest, by="ann", comment="fine"))
    assert run.state.output["by"] == "ann"


@pytest.mark.parametrize(
    ("on_timeout", "type"), [("fail", "approval.timeout"), ("reject", "approval.rejected"), ("approve", None)]
)
def test_an_approval_that_nobody_gives_ends_as_it_says(on_timeout: Any, type: str | None) -> None:
    run = Run(step("ok", Approve(parse_value("send it?"), timeout=60.0, on_timeout=on_timeout)))
    run.todo.clear()
    error = run.run().error
    assert (error and error.type) == type


def test_an_approval_that_time_gives_has_the_defaults_of_its_form_and_its_time() -> None:
    form = {"count": {"type": "integer", "default": 3}, "note": {"default": None}}
    run = Run(step("ok", Approve(parse_value("send it?"), form=parse_value(form), timeout=60.0, on_timeout="approve")))
    run.todo.clear()
    output = run.run().output
    assert output["data"] == {"count": 3, "note": None}
    assert output["at"] == rfc3339(run.now)


def test_a_recorded_result_is_handed_over_instead_of_running() -> None:
    run = Run(task("charge", idempotency_key=parse_value("order-7")))
    assert run.todo == [cmd.LookupResult("charge", "charge", "order-7", None)]
    run.todo.clear()
    run.deliver(ev.ResultFound(at=1.0, path="charge", output="receipt", source="other/charge"))
    assert (run.began, run.state.output, run.statuses()) == ([], "receipt", {"charge": "reused"})


def test_without_a_recorded_result_the_step_runs_and_keeps_its_own() -> None:
    run = Run(task("charge", idempotency_key=parse_value("order-7")))
    run.todo.clear()
    run.deliver(ev.ResultMissing(at=1.0, path="charge"))
    run._perform(run.todo.pop(0))
    assert run.todo[0] == cmd.StoreResult("charge", "charge", "order-7", {"from": "charge"})


def test_a_failed_step_gives_its_key_back() -> None:
    run = Run(task("charge", idempotency_key=parse_value("order-7")), answers={"charge": BROKEN})
    run.todo.clear()
    run.deliver(ev.ResultMissing(at=1.0, path="charge"))
    run._perform(run.todo.pop(0))
    assert cmd.ReleaseClaim("charge", "charge", "order-7") in run.todo


def test_a_claim_is_kept_through_a_doubt_and_its_answer() -> None:
    run = Run(once("charge", idempotency_key=parse_value("order-7")))
    run.todo.clear()
    run.deliver(ev.ResultMissing(at=1.0, path="charge"))
    run.restart()
    assert run.state.status == "blocked"
    run.todo.clear()
    run.deliver(ev.StepResolved(at=2.0, path="charge", verdict="retry"))
    assert [type(command) for command in run.todo] == [cmd.CancelWait, cmd.Execute]
    run._perform(run.todo[1])
    assert cmd.StoreResult("charge", "charge", "order-7", {"from": "charge"}) in run.todo
    assert not any(isinstance(command, cmd.ReleaseClaim) for command in run.todo)


def test_a_step_that_is_executed_again_after_a_cancel_has_its_inputs_still() -> None:
    run = Run(once("charge", params={"amount": 7}))
    run.restart()
    run.deliver(ev.CancelRequested(at=1.0))
    run.deliver(ev.RunResumed(at=2.0))
    run.todo.clear()
    run.deliver(ev.StepResolved(at=3.0, path="charge", verdict="retry"))
    (execute,) = (command for command in run.todo if isinstance(command, cmd.Execute))
    assert execute.params == {"amount": 7}


def test_what_was_undone_withdraws_its_recorded_result_and_those_in_it() -> None:
    group = Group((task("pay", idempotency_key=parse_value("k")),))
    run = Run(step("g", group, undo=task("undo")), task("bad", "g"), answers={"bad": BROKEN})
    withdrawn: list[Any] = []
    for _ in range(50):
        withdrawn += [command for command in run.todo if isinstance(command, cmd.InvalidateResult)]
        if run.state.is_finished:
            break
        run.todo = [command for command in run.todo if not isinstance(command, cmd.InvalidateResult)]
        pending = run.todo.pop(0)
        if isinstance(pending, cmd.LookupResult):
            run.deliver(ev.ResultMissing(at=1.0, path=pending.path))
        else:
            run._perform(pending)
    assert withdrawn == [cmd.InvalidateResult("g.pay", "g.pay", "k")]


def test_a_group_goes_on_after_a_resume_only_when_what_it_needs_has_run_again() -> None:
    group = Group((task("b"), task("c", "b")))
    run = Run(task("a", undo=task("undo")), step("g", group, "a"), answers={"g.c": [BROKEN, {}]})
    assert run.run().status == "failed"
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now))
    run.restart()
    assert run.run().status == "succeeded"
    assert run.began == ["a", "g.c"]


def test_what_needs_an_undone_step_and_has_finished_is_kept() -> None:
    run = Run(
        task("pay", undo=task("undo")), task("tell", "pay"), task("ship", "tell"), answers={"ship": [BROKEN, {}]}
    )
    assert run.run().status == "failed"
    run.began.clear()
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"
    assert run.began == ["pay", "ship"]


def test_a_group_is_never_in_doubt_itself() -> None:
    group = Group((task("a"),))
    run = Run(step("g", group, effect="once"), answers={"g.a": ev.Error("timeout", "too slow")})
    assert run.run().status == "failed"
    cancelled = Run(step("g", group, effect="once"))
    cancelled.deliver(ev.CancelRequested(at=1.0))
    cancelled.run()
    assert cancelled.statuses()["g"] == "cancelled"


def test_a_keyed_loop_that_a_resume_has_opened_again_may_be_retried() -> None:
    again = Retry(attempts=2, on=("shell.exit",))
    keyed = step("r", Repeat(steps=(task("a"),), max=1), idempotency_key=parse_value("k"), retry=again)
    run = Run(keyed, answers={"r[0].a": BROKEN, "r@2[0].a": [BROKEN, BROKEN, "late"]})
    run.random.random = lambda: 0.9  # type: ignore[method-assign]  # no result is recorded under the key
    assert run.run().status == "failed"
    run.deliver(ev.RunResumed(at=run.now))
    assert run.run().status == "succeeded"
    assert run.began == ["r[0].a", "r@2[0].a", "r@2[0].a", "r@3[0].a"]


# --- one attempt that is lost -----------------------------------------------------------------------------------------


def test_a_lost_attempt_is_performed_again_and_no_other_one() -> None:
    run = Run(task("a"), task("b"))
    decision = decide(run.state, ev.AttemptLost(at=1.0, path="a", attempt=1))
    assert [command.path for command in decision.commands if isinstance(command, cmd.Execute)] == ["a"]
    assert run.state.steps["a"].attempt == 1


def test_a_lost_attempt_of_an_effect_that_happens_once_is_in_doubt() -> None:
    run = Run(step("pay", Task("set", parse_value({})), effect="once"), task("b"))
    decision = decide(run.state, ev.AttemptLost(at=1.0, path="pay", attempt=1))
    assert [type(event) for event in decision.events] == [ev.AttemptLost, ev.OutcomeUnknown]
    assert (run.state.steps["pay"].status, run.state.steps["b"].status) == ("unknown", "running")


def test_a_lost_attempt_that_was_to_stop_has_stopped() -> None:
    run = Run(task("a"))
    decide(run.state, ev.CancelRequested(at=1.0))
    decide(run.state, ev.AttemptLost(at=2.0, path="a", attempt=1))
    assert run.state.status == "cancelled"


def test_the_loss_of_an_attempt_that_is_over_says_nothing() -> None:
    run = Run(task("a"), task("b", "a"))
    decide(run.state, ev.StepSucceeded(at=1.0, path="a", attempt=1))
    assert not decide(run.state, ev.AttemptLost(at=2.0, path="a", attempt=1)).accepted


# --- what an error says ------------------------------------------------------------------------------------------------


def test_a_recovered_step_keeps_the_error_that_it_was_recovered_from() -> None:
    run = Run(
        task("a", fallback=(task("rule"),)),
        task("b", "a", params={"why": "${{ steps.a.error.type }}", "how": "${{ steps.a.status }}"}),
        answers={"a": BROKEN},
    )
    assert run.run().output == {"why": "shell.exit", "how": "recovered"}


def test_the_error_of_a_failed_skill_names_its_run_and_holds_no_chain() -> None:
    run = Run(step("call", Skill("helper", parse_value({}))))
    [child] = run.state.children.values()
    nested = ev.Error("skill.failed", "run x failed: no", data={"run_id": "x"})
    decide(run.state, ev.ChildFinished(at=1.0, path="call", run_id=child, status="failed", error=nested))
    assert run.state.error is not None
    assert (run.state.error.type, run.state.error.data) == ("skill.failed", {"run_id": child})


def test_an_error_has_the_attempts_of_its_step_whoever_made_it() -> None:
    run = Run(step("call", Skill("helper", parse_value({})), retry=Retry(attempts=2, on=("*",), jitter=0.0)))
    for attempt in (1, 2):
        error = ev.Error("skill.not_found", "there is none", step="call")
        decide(run.state, ev.AttemptFailed(at=float(attempt), path="call", attempt=attempt, error=error))
        decide(run.state, ev.TimerFired(at=100.0, path="call", timer="retry"))
    assert run.state.error is not None
    assert run.state.error.attempts == run.state.steps["call"].attempt == 2


def test_a_journal_of_version_2_reads_as_it_was_written() -> None:
    run = Run(task("a", fallback=(task("rule"),)), answers={"a": BROKEN})
    run.run()
    old = [msgspec.structs.replace(run.journal[0], replay_version=2), *run.journal[1:]]
    assert fold(old, lambda version: run.plan).steps["a"].error is None
    assert run.state.steps["a"].error == msgspec.structs.replace(BROKEN, step="a", attempts=1)


# --- chains of events --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "status"), [(31, "succeeded"), (32, "failed")])
def test_a_chain_of_emitted_events_ends_at_32(depth: int, status: str) -> None:
    emit = Step(id="emit", action=Task("emit", parse_value({"event": "again"})), uses="emit")
    run = Run(emit)
    run.journal = [ev.RunCreated(at=0.0, run_id="sim", name="test", kind="loop", version="v", event_depth=depth)]
    run.restart()
    state = run.run()
    assert state.status == status
    if status == "failed":
        assert state.error is not None
        assert (state.error.type, state.error.step, run.began) == ("event.too_deep", "emit", [])
