"""One run in memory: what goes in, and what a driver is told to journal, to change and to do."""

from __future__ import annotations

from typing import Any

from agentctl import model
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.activation import MAX_ITEMS, Activation, ActiveRun
from agentctl.core.graph import Plan
from agentctl.core.interpreter import fold
from agentctl.testing.definitions import approve, stored, task, wait_for_event

NOW = 1_800_000_000.0


def run_of(*steps: model.Step, journal: list[ev.AnyEvent] | None = None, instant: Any = lambda command: None) -> ActiveRun:
    """A run of these steps: queued, or as its journal says."""
    definition = stored("x", *steps).definition
    created = ev.RunCreated(at=NOW, run_id="r", name="x", kind="loop", version="v", replay_version=ev.REPLAY_VERSION)
    events = journal or [created]
    plan = Plan(definition)
    return ActiveRun(fold(events, lambda version: plan), len(events), instant)


def types(step: Activation) -> list[str]:
    return [type(event).__name__ for event in step.events]


def did(path: str, output: Any = None) -> ev.StepSucceeded:
    return ev.StepSucceeded(at=NOW, path=path, attempt=1, output=output)


def test_a_run_that_begins_starts_its_first_step() -> None:
    step = run_of(task("a"), task("b")).begin(NOW, {})
    assert types(step) == ["RunStarted", "StepStarted"]
    assert [command.path for command in step.commands if isinstance(command, cmd.Execute)] == ["a"]


def test_the_end_of_a_step_and_the_start_of_the_next_are_one_activation() -> None:
    run = run_of(task("a"), task("b"))
    run.begin(NOW, {})
    step = run.take([did("a")], NOW)
    assert types(step) == ["StepSucceeded", "StepStarted"]
    assert step.taken == 1
    assert run.head == 5


def test_an_instant_action_is_no_command_and_its_answer_is_the_next_activation() -> None:
    def instant(command: cmd.Execute) -> ev.AnyEvent | None:
        return did(command.path, "at once") if command.uses == "set" else None

    run = run_of(task("a", uses="set"), task("b"), instant=instant)
    first = run.begin(NOW, {})
    assert (types(first), first.commands, run.has_answers) == (["RunStarted", "StepStarted"], [], True)
    second = run.take([], NOW)
    assert types(second) == ["StepSucceeded", "StepStarted"]
    assert ([type(command) for command in second.commands], run.has_answers) == ([cmd.Execute], False)


def test_an_emitted_event_is_an_effect_of_the_success_of_its_step() -> None:
    run = run_of(task("e", uses="emit"))
    run.begin(NOW, {})
    answer = did("e", {"name": "order.placed", "data": {"n": 1}, "id": "one"})
    [event] = run.take([answer], NOW).effects.emitted
    assert (event.name, event.data, event.id) == ("order.placed", {"n": 1}, "one")
    assert not run.take([answer], NOW).effects.emitted, "an answer that comes twice emits once"


def test_the_end_of_a_run_is_an_effect_once() -> None:
    run = run_of(task("a"))
    run.begin(NOW, {})
    ended = run.take([did("a")], NOW).effects.run_event
    assert ended is not None
    assert (ended.name, ended.id) == ("agentctl.run.succeeded", "r:succeeded:6")
    assert run.take([ev.CancelRequested(at=NOW)], NOW).effects.run_event is None


def test_a_wait_opens_and_closes_as_an_effect() -> None:
    run = run_of(wait_for_event("w", "go"))
    opened = run.begin(NOW, {}).effects
    assert [(wait.path, wait.kind, wait.name) for wait in opened.waits] == [("w", "event", "go")]
    offer = ev.EventOffered(at=NOW, path="w", event={"name": "go", "data": {}, "id": "1", "received_at": ""})
    assert run.take([offer], NOW).effects.closed == ["w"]


def test_what_a_person_is_asked_is_an_effect() -> None:
    [wait] = run_of(approve("ask", "Ship it?", {"n": 1})).begin(NOW, {}).effects.waits
    assert (wait.kind, wait.subject["message"], wait.subject["show"]) == ("approval", "Ship it?", {"n": 1})


def test_a_run_that_was_cancelled_in_the_queue_does_not_start() -> None:
    step = run_of(task("a")).begin(NOW, {}, [ev.CancelRequested(at=NOW)])
    assert types(step) == ["CancelRequested", "Settled", "RunFinished"]


def test_a_resume_waits_for_an_activation_of_its_own() -> None:
    run = run_of(task("a"))
    run.begin(NOW, {})
    failed = ev.AttemptFailed(at=NOW, path="a", attempt=1, error=ev.Error("permission.denied", "no"))
    step = run.take([failed, ev.RunResumed(at=NOW)], NOW)
    assert (types(step)[-1], step.taken, run.is_finished) == ("RunFinished", 1, True)


def test_a_wide_inbox_is_taken_in_pieces() -> None:
    run = run_of(task("a"))
    run.begin(NOW, {})
    late: list[ev.AnyEvent] = [did("nothing")] * (MAX_ITEMS + 1)
    assert run.take(late, NOW).taken == MAX_ITEMS
