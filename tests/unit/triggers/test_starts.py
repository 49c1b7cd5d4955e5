"""What flow control says of a start, from the keys of its definition."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl import model
from agentctl.core.events import Error, Parent
from agentctl.core.flow import Limits, Once, Place, Window
from agentctl.errors import InputInvalid
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.ports import NewRun
from agentctl.testing.definitions import inputs, set_step, stored
from agentctl.triggers.starts import new_run

EVENT = {"name": "go", "data": {"id": 7}, "id": "e1", "received_at": "2027-01-15T08:00:00.000Z"}


def started(flow: model.Flow, **more: Any) -> NewRun:
    definition = stored("demo", set_step("end", done=True), input=inputs("who"), flow=flow)
    return new_run(definition, {"who": "ada"}, **{"at": 1.0, "run_id": "r1", "vars": {"team": "core"}, **more})


def test_a_definition_without_flow_control_has_no_limits() -> None:
    assert started(model.Flow()).limits == Limits()


def test_every_key_is_evaluated_for_the_start() -> None:
    flow = model.Flow(
        concurrency=model.Concurrency(2, parse_value("${{ input.who }}"), "skip"),
        throttle=model.Rate(3, 60.0, parse_value("${{ vars.team }}/${{ run.trigger }}")),
        rate_limit=model.Rate(4, 3600.0),
        dedupe=model.Dedupe(parse_value("${{ event.data.id }}"), 5.0),
        priority=parse_expression("event.data.id * 2"),
    )
    assert started(flow, trigger="event", event=EVENT).limits == Limits(
        priority=14.0,
        places=(Place('demo concurrency "ada"', 2, "skip"),),
        throttle=Window('demo throttle "core/event"', 3, 60.0),
        rate_limit=Window("demo rate_limit", 4, 3600.0),
        dedupe=Once("demo dedupe 7", 5.0),
    )


def test_what_else_a_start_needs_a_place_in_stands_beside_the_definitions_own() -> None:
    overlap = Place('demo overlap "every 30s"', 1, "skip", overlap=True)
    places = started(model.Flow(concurrency=model.Concurrency(2)), places=[overlap]).limits.places
    assert places == (Place("demo concurrency", 2), overlap)


def test_a_run_that_a_step_calls_may_have_to_wait_and_no_more() -> None:
    flow = model.Flow(
        concurrency=model.Concurrency(1, None, "cancel_running"),
        throttle=model.Rate(3, 60.0),
        rate_limit=model.Rate(4, 60.0),
        dedupe=model.Dedupe(parse_value("k")),
    )
    limits = started(flow, trigger="skill", parent=Parent(run_id="p", path="call")).limits
    assert limits == Limits(places=(Place("demo concurrency", 1),), throttle=Window("demo throttle", 3, 60.0))


BROKEN = model.Flow(concurrency=model.Concurrency(1, parse_value("${{ event.data.id }}")))


@pytest.mark.parametrize("trigger", ["manual", "skill"])
def test_a_key_that_cannot_be_evaluated_is_told_to_whoever_starts_the_run(trigger: str) -> None:
    with pytest.raises(InputInvalid, match="demo: the key of concurrency cannot be evaluated"):
        started(BROKEN, trigger=trigger)


@pytest.mark.parametrize("trigger", ["cron", "every", "event", "webhook", "file"])
def test_of_a_run_that_is_triggered_it_is_the_problem_and_the_run_takes_nobodys_place(trigger: str) -> None:
    made = started(BROKEN, trigger=trigger, places=[Place("demo overlap", 1)])
    assert made.limits == Limits()
    assert made.created.problem is not None
    assert (made.created.problem.type, made.created.problem.message[:32]) == ("expression", "demo: the key of concurrency can")


def test_a_run_that_has_a_problem_already_takes_nobodys_place() -> None:
    made = started(BROKEN, trigger="event", event=EVENT, problem=Error("input.invalid", "no"))
    assert (made.limits, made.created.problem) == (Limits(), Error("input.invalid", "no"))


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_key_tells_nothing_apart(value: Any) -> None:
    with pytest.raises(InputInvalid, match="demo: the key of dedupe is empty"):
        started(model.Flow(dedupe=model.Dedupe(parse_value(value))))


@pytest.mark.parametrize("boost", [400, 10, "high"])
def test_a_priority_out_of_range_is_a_problem_of_its_run_and_of_nothing_else(boost: Any) -> None:
    flow = model.Flow(priority=parse_expression("10 ** vars.boost if vars.boost is number else vars.boost"))
    vars = {"boost": boost}
    problem = started(flow, trigger="cron", vars=vars).created.problem
    assert problem is not None
    assert "priority has to be a number from -1,000,000,000" in problem.message
    assert len(problem.message) < 200
    with pytest.raises(InputInvalid, match="priority has to be a number"):
        started(flow, vars=vars)


def test_a_key_that_is_nested_without_end_is_a_problem_of_its_run() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    flow = model.Flow(concurrency=model.Concurrency(1, parse_expression("vars.deep")))
    made = started(flow, trigger="cron", vars={"deep": deep})
    assert made.created.problem is not None
    assert "nested too deeply" in made.created.problem.message
