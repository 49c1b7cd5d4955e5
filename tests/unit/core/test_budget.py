"""What is left for a call of a model, and what a run knows of its loop's memory."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core import budget
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.interpreter import decide, fold, take_over
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Budget, Definition, Foreach, Group, Retry, Skill, Step, Task
from agentctl.testing.simulation import Simulation


def call(id: str, *needs: str, tokens: int = 100, prompt: str = "", **keys: Any) -> Step:
    params = {"prompt": prompt, "max_tokens": tokens}
    return Step(id=id, action=Task("llm", parse_value(params)), uses="llm", needs=needs, **keys)


def run_of(*steps: Step, tokens: int | None = None, usd: float | None = None, per: Any = "run") -> Simulation:
    definition = Definition(kind="loop", name="test", steps=steps, budget=Budget(tokens, usd, per))
    return Simulation(definition, lambda command: None, Random(1))


def answered(run: Simulation, path: str, tokens: int = 0, *, attempt: int = 1, usd: float | None = None) -> None:
    usage = ev.Usage(output_tokens=tokens, usd=usd)
    run.deliver(ev.StepSucceeded(at=1.0, path=path, attempt=attempt, output="said", usage=usage))


def failed(run: Simulation, path: str, type: str, usage: ev.Usage | None = None) -> None:
    run.deliver(ev.AttemptFailed(at=1.0, path=path, attempt=1, error=ev.Error(type, "no"), usage=usage))


def test_a_call_that_does_not_fit_what_is_left_is_never_made() -> None:
    run = run_of(call("a"), call("b", "a"), tokens=150)
    answered(run, "a", 90)
    error = run.state.steps["b"].error
    assert error is not None
    assert (error.type, error.attempts, run.state.status) == ("budget.exceeded", 1, "failed")
    assert "of 150 tokens 90 are spent; it may take 100" in error.message
    assert not any(isinstance(event, ev.StepStarted) and event.path == "b" for event in run.journal)


def test_a_call_that_fits_exactly_is_made() -> None:
    run = run_of(call("a"), call("b", "a"), tokens=150)
    answered(run, "a", 50)
    assert list(run.state.executing) == ["b"]


def test_calls_under_way_hold_what_they_may_take() -> None:
    run = run_of(call("a"), call("b"), call("c"), tokens=250)
    assert list(run.state.executing) == ["a", "b"]
    assert "200 are reserved for calls under way" in run.state.steps["c"].error.message  # type: ignore[union-attr]  # it has failed


def test_a_fallback_takes_the_place_of_a_call_there_is_no_budget_for() -> None:
    rule = Step(id="rule", action=Task("set", parse_value({"by": "rule"})), uses="set")
    run = run_of(call("a", fallback=(rule,)), tokens=50)
    assert list(run.state.executing) == ["a.fallback.rule"]


def test_a_call_over_budget_is_not_tried_again() -> None:
    run = run_of(call("a", retry=Retry(attempts=5)), tokens=50)
    assert run.state.status == "failed"
    assert not run.state.timers


def test_a_second_attempt_has_to_fit_as_well() -> None:
    run = run_of(call("a", retry=Retry(attempts=2)), tokens=150)
    failed(run, "a", "llm.invalid_output", ev.Usage(output_tokens=90))
    run._wake()
    error = run.state.error
    assert error is not None
    assert (error.type, error.attempts) == ("budget.exceeded", 2)


@pytest.mark.parametrize(("type", "left"), [("llm.unavailable", ["b"]), ("timeout", [])])
def test_a_call_that_was_cut_off_counts_as_what_it_might_have_cost(type: str, left: list[str]) -> None:
    run = run_of(call("a", continue_on_error=True), call("b", "a"), tokens=150)
    failed(run, "a", type)
    assert list(run.state.executing) == left


def test_a_call_whose_process_died_counts_too() -> None:
    run = run_of(call("a"), call("b", "a"), tokens=300)
    run.restart()
    run.restart()
    assert run.state.lost_tokens == 200
    answered(run, "a", 1)
    assert run.state.steps["b"].error.type == "budget.exceeded"  # type: ignore[union-attr]  # it has failed


def test_a_call_is_not_made_again_and_again_by_processes_that_die() -> None:
    run = run_of(call("a"), tokens=250)
    run.restart()
    assert list(run.state.executing) == ["a"]
    run.restart()
    assert run.state.error.type == "budget.exceeded"  # type: ignore[union-attr]  # it has failed


class Buying(Simulation):
    """Every call that is performed costs exactly its estimate, whether its answer arrives or not. `sold`: tokens."""

    sold = 0

    def _execute(self, command: cmd.Execute) -> None:
        if command.uses != "llm":
            super()._execute(command)
            return
        tokens = budget.estimate(command.params)
        self.sold += tokens
        if self.random.random() < 0.2:
            self.restart()  # the answer is lost
            return
        usage = ev.Usage(output_tokens=tokens)
        self.deliver(ev.StepSucceeded(at=self.now, path=command.path, attempt=command.attempt, usage=usage))


@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 1500), parallel=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_a_budget_holds_whatever_happens(seed: int, tokens: int, parallel: int) -> None:
    retry = Retry(attempts=2, delay=1.0)
    inner = call("q", tokens=90, retry=retry, timeout=5.0)
    each = Foreach(parse_expression("range(6)"), (inner,), max_parallel=parallel)
    steps = (
        Step(id="each", action=each, uses="foreach", continue_on_error=True),
        Step(
            id="group", action=Group((call("x"), call("y"))), uses="steps", retry=retry, needs=("each",), continue_on_error=True
        ),
    )
    definition = Definition(kind="loop", name="test", steps=steps, budget=Budget(tokens))
    run = Buying(definition, lambda command: None, Random(seed), trouble=0.2)
    state = run.run()
    assert run.sold <= tokens
    spent = state.usage.output_tokens if state.usage is not None else 0
    assert spent + state.lost_tokens <= tokens


def test_dollars_that_are_known_to_be_spent_end_the_calls() -> None:
    run = run_of(call("a"), call("b", "a"), call("c", "b"), usd=0.10)
    answered(run, "a", 5, usd=0.09)
    answered(run, "b", 5, usd=0.02)
    assert "$0.1100 of $0.1 are spent" in run.state.error.message  # type: ignore[union-attr]  # it has failed


def test_unknown_prices_count_as_nothing() -> None:
    run = run_of(call("a"), call("b", "a"), usd=0.10)
    answered(run, "a", 10**9)
    assert list(run.state.executing) == ["b"]


def test_a_resume_does_not_set_the_spending_to_zero() -> None:
    run = run_of(call("a"), call("b", "a"), tokens=150)
    answered(run, "a", 90)
    run.deliver(ev.RunResumed(at=2.0))
    assert run.state.status == "failed"
    assert run.state.error.type == "budget.exceeded"  # type: ignore[union-attr]  # it has failed


def test_an_estimate_is_of_what_is_read_and_of_the_longest_answer() -> None:
    assert budget.estimate({"prompt": "x" * 41, "max_tokens": 9}) == 11 + 9
    assert budget.estimate({"messages": [], "system": "y" * 6}) == 2 + budget.ANSWER_TOKENS


def test_what_a_child_cost_is_the_runs_and_a_resumed_childs_share_is_counted_once() -> None:
    skill = Step(id="s", action=Skill("child", parse_value({})), uses="skill", retry=Retry(attempts=2, delay=0.0, on=("*",)))
    run = run_of(skill, call("a", "s"), tokens=250)
    child = run.state.children["s"]
    spent = ev.Usage(output_tokens=100, usd=0.5)
    run.deliver(ev.ChildFinished(at=1.0, path="s", run_id=child, status="failed", error=ev.Error("failed", "no"), usage=spent))
    run._wake()
    run.state.children["s"] = child  # as after a resume, which goes on with the same child
    more = ev.Usage(output_tokens=130, usd=0.7)
    decide(run.state, ev.ChildFinished(at=2.0, path="s", run_id=child, status="succeeded", usage=more))
    usage = run.state.usage
    assert usage is not None
    assert (usage.output_tokens, round(usage.usd or 0, 6)) == (130, 0.7)
    assert list(run.state.executing) == ["a"]


def test_a_budget_of_the_day_is_the_stores_business() -> None:
    run = run_of(call("a"), tokens=1, per="day")
    assert list(run.state.executing) == ["a"]
    [account] = budget.accounts_of(run.state)
    assert budget.dated(account, 86_400.0).key == "day/test/1970-01-02"


def test_a_run_draws_on_the_budgets_of_the_runs_above_it() -> None:
    run = run_of(call("a"), tokens=1000)
    above = ev.Account("run/above", tokens=300)
    run.state.accounts = [above]
    assert budget.accounts_of(run.state) == [above, ev.Account("run/sim", tokens=1000)]


def test_state_is_what_was_remembered_when_the_run_started() -> None:
    show = Step(id="a", action=Task("set", parse_value({"cursor": "${{ state.cursor }}"})), uses="set")
    definition = Definition(kind="loop", name="test", steps=(show,))
    plan = Simulation(definition, lambda command: None, Random(1)).plan
    created = ev.RunCreated(at=0.0, run_id="r", name="test", kind="loop", version="v")
    state = fold([created], lambda version: plan)
    decision = take_over(state, 1.0, {"cursor": 7})
    [execute] = [command for command in decision.commands if isinstance(command, cmd.Execute)]
    assert execute.params == {"cursor": 7}
    assert fold([created, *decision.events], lambda version: plan).memory == {"cursor": 7}


def test_only_what_a_remember_step_itself_put_out_is_remembered() -> None:
    step = Step(id="a", action=Task("remember", parse_value({"k": 1})), uses="remember")
    run = Simulation(Definition(kind="loop", name="test", steps=(step,)), lambda command: None, Random(1))
    decision = decide(run.state, ev.StepSucceeded(at=1.0, path="a", attempt=1, output={"k": 1}))
    assert cmd.Remember("a", {"k": 1}) in decision.commands
