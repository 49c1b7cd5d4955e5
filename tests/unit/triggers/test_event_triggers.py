"""What an event starts: `if`, `input`, what is gathered, and who is left out of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from msgspec import structs

from agentctl.core.events import Parent
from agentctl.errors import DefinitionInvalid
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Batch, Concurrency, Debounce, Flow, Input, Trigger
from agentctl.ports import NOTHING, NewEvent, NewRun, RunRow, StoredDefinition, Subscription, Triggered
from agentctl.testing.definitions import set_step, stored
from agentctl.triggers.events import EventTriggers, run_of_gathered, starts_of

AT = 1_800_000_000.0


class Deployed:
    """As much of a Store as the triggers of events read."""

    def __init__(self, *definitions: StoredDefinition, runs: list[RunRow] | None = None) -> None:
        self.definitions = {one.version: one for one in definitions}
        self.rows = {row.id: row for row in runs or []}

    def subscriptions(self, event: str) -> list[Subscription]:
        return [
            Subscription(one.definition.name, one.version, number)
            for one in self.definitions.values()
            for number, trigger in enumerate(one.definition.triggers)
            if trigger.what == event
        ]

    def definition(self, version: str) -> StoredDefinition | None:
        return self.definitions[version]

    def run(self, run_id: str) -> RunRow | None:
        return self.rows.get(run_id)


def loop(*triggers: Trigger, name: str = "demo", **more: Any) -> StoredDefinition:
    return stored(name, set_step("only", a=1), triggers=triggers, **more)


def on(event: str = "order.paid", condition: str | None = None, **inputs: str) -> Trigger:
    return Trigger(
        kind="event",
        what=event,
        condition=None if condition is None else parse_expression(condition),
        input={name: parse_value(value) for name, value in inputs.items()} or None,
    )


def paid(data: Any = None, name: str = "order.paid") -> NewEvent:
    return NewEvent(name, {"order": 7, "by": "ada"} if data is None else data, "e1", AT)


def starts(*definitions: StoredDefinition, event: NewEvent | None = None, runs: list[RunRow] | None = None) -> Triggered:
    return EventTriggers(Deployed(*definitions, runs=runs), {"least": 5}).starts(event or paid())


def only(found: Triggered) -> NewRun:
    assert (len(found.runs), found.gather) == (1, [])
    return found.runs[0]


ORDER = {"order": Input({"type": "integer"})}


def test_the_keys_of_the_data_that_are_inputs_are_the_input() -> None:
    created = only(starts(loop(on(), input=ORDER))).created
    assert (created.input, created.trigger, created.problem) == ({"order": 7}, "event", None)
    assert created.event == {"name": "order.paid", "data": paid().data, "id": "e1", "received_at": "2027-01-15T08:00:00.000Z"}
    assert created.vars == {"least": 5}


def test_an_input_mapping_takes_the_place_of_the_keys() -> None:
    mapped = loop(on(order="${{ event.data.order * 2 }}"), input={**ORDER, "by": Input({}, True, "nobody")})
    assert only(starts(mapped)).created.input == {"order": 14, "by": "nobody"}


def test_an_event_whose_data_are_no_mapping_brings_no_input() -> None:
    assert only(starts(loop(on()), event=paid([1, 2]))).created.input == {}


@pytest.mark.parametrize(("condition", "starting"), [("event.data.order > vars.least", 1), ("event.data.order > 7", 0)])
def test_an_if_that_does_not_hold_starts_nothing(condition: str, starting: int) -> None:
    assert len(starts(loop(on(condition=condition))).runs) == starting


def test_an_if_that_cannot_be_evaluated_starts_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert starts(loop(on(condition="event.data.amount > 3"))) is NOTHING
    assert "does not start demo" in caplog.text
    assert "amount" in caplog.text


@pytest.mark.parametrize("data", [{"order": "seven"}, {}, []])
def test_an_event_that_makes_no_valid_input_starts_a_run_that_fails(data: Any) -> None:
    limited = loop(on(), input=ORDER, flow=Flow(concurrency=Concurrency(1, parse_value("${{ input.order }}"))))
    run = only(starts(limited, event=paid(data)))
    assert run.created.problem is not None
    assert run.created.problem.type == "input.invalid"
    assert "'order'" in run.created.problem.message
    assert run.limits.places == ()  # it does no work, so it takes nobody's place


def test_an_input_that_cannot_be_evaluated_starts_a_run_that_fails() -> None:
    problem = only(starts(loop(on(order="${{ event.data.none }}"), input=ORDER))).created.problem
    assert problem is not None
    assert (problem.type, "cannot be evaluated" in problem.message) == ("input.invalid", True)


def test_a_run_that_an_event_starts_has_the_limits_of_its_definition() -> None:
    limited = loop(on(), input=ORDER, flow=Flow(concurrency=Concurrency(2, parse_value("${{ input.order }}"))))
    [place] = only(starts(limited)).limits.places
    assert (place.group, place.limit) == ("demo concurrency 7", 2)


def test_an_event_starts_a_definition_once_by_the_first_trigger_that_fits() -> None:
    twice = loop(on(condition="false"), on(order="1"), on(order="2"), input={"order": Input({})})
    assert only(starts(twice)).created.input == {"order": "1"}


def test_an_event_starts_every_definition_that_it_triggers() -> None:
    assert names(starts(loop(on(), name="a"), loop(on(), name="b"), loop(on("x"), name="c"))) == ["a", "b"]


def test_without_a_subscription_nothing_is_looked_at() -> None:
    assert starts(loop(on("other"))) is NOTHING


def test_a_definition_that_cannot_be_used_any_more_keeps_no_other_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    old, good = loop(on(), name="old"), loop(on(), name="good")

    class Newer(Deployed):
        def definition(self, version: str) -> StoredDefinition | None:
            if version == old.version:
                raise DefinitionInvalid(["old.yaml:1:1: error[unknown-key]: there is no 'stepz'"])
            return super().definition(version)

    assert names(EventTriggers(Newer(old, good), {}).starts(paid())) == ["good"]
    assert "cannot be used any more" in caplog.text


# --- what is gathered --------------------------------------------------------------------------------------------------


def test_events_of_a_definition_with_batch_are_gathered_by_its_key() -> None:
    batched = loop(on(), flow=Flow(batch=Batch(10, 60.0, parse_value("${{ event.data.by }}"))))
    [gather] = starts(batched).gather
    assert (gather.name, gather.trigger, gather.group, gather.seconds, gather.size) == ("demo", 0, 'demo batch "ada"', 60.0, 10)


def test_the_key_of_a_debounce_sees_the_input_that_the_event_brings() -> None:
    debounced = loop(on(), input=ORDER, flow=Flow(debounce=Debounce(5.0, parse_value("${{ input.order }}"))))
    [gather] = starts(debounced).gather
    assert (gather.group, gather.seconds, gather.size) == ("demo debounce 7", 5.0, None)


def test_a_key_that_cannot_be_evaluated_starts_a_run_that_fails() -> None:
    problem = only(starts(loop(on(), flow=Flow(debounce=Debounce(5.0, parse_value("${{ event.data.none }}")))))).created.problem
    assert problem is not None
    assert problem.type == "expression"


def documents(*numbers: int) -> list[Any]:
    return [paid({"order": number}).document(AT + number) for number in numbers]


def test_the_event_of_a_batch_holds_all_of_its_events() -> None:
    batched = loop(on(orders="${{ event.data.events | map(attribute='data.order') }}"), flow=Flow(batch=Batch(10, 60.0)),
                   input={"orders": Input({"type": "array"})})  # fmt: skip
    created = run_of_gathered(batched, 0, documents(1, 2, 3), {}, AT + 9).created
    assert created.input == {"orders": [1, 2, 3]}
    assert created.event["data"]["events"] == documents(1, 2, 3)
    assert (created.event["received_at"], created.at) == ("2027-01-15T08:00:03.000Z", AT + 9)


def test_the_event_of_a_debounce_is_the_newest() -> None:
    debounced = loop(on(), input=ORDER, flow=Flow(debounce=Debounce(5.0)))
    created = run_of_gathered(debounced, 0, documents(3), {}, AT + 9).created
    assert (created.event, created.input) == (documents(3)[0], {"order": 3})


def test_a_gathered_run_is_as_deep_as_the_deepest_of_its_events() -> None:
    debounced = loop(on(), input=ORDER, flow=Flow(debounce=Debounce(5.0)))
    [gathered] = starts_of(debounced, 0, structs.replace(paid({"order": 1}), depth=7), {}).gather
    assert gathered.depth == 7
    assert run_of_gathered(debounced, 0, documents(1), {}, AT, depth=gathered.depth).created.event_depth == 7


def test_a_batch_of_a_definition_that_gathers_no_more_loses_no_event() -> None:
    plain = loop()
    created = run_of_gathered(plain, 4, documents(1, 2), {}, AT).created
    assert (created.event["data"]["events"], created.trigger) == (documents(1, 2), "event")


# --- supervision -------------------------------------------------------------------------------------------------------

FAILED = "agentctl.run.failed"


def row(run_id: str, name: str, *, parent: Parent | None = None, event: Any = None) -> RunRow:
    return RunRow(id=run_id, name=name, kind="loop", version="v", status="failed", parent=parent, event=event)


def told_of(run_id: str) -> NewEvent:
    return NewEvent(FAILED, {"run_id": run_id, "loop": "?"}, f"{run_id}:failed:1", AT)


def watching(*names: str) -> list[StoredDefinition]:
    return [loop(on(FAILED), name=name) for name in names]


def names(found: Triggered) -> list[str]:
    return [run.created.name for run in found.runs]


def test_a_definition_is_not_started_by_what_became_of_its_own_run() -> None:
    assert names(starts(*watching("a", "b"), event=told_of("r1"), runs=[row("r1", "a")])) == ["b"]


def test_nor_by_that_of_a_run_which_its_run_called() -> None:
    rows = [row("r1", "a"), row("r2", "helper", parent=Parent("r1", "call")), row("r3", "deep", parent=Parent("r2", "call"))]
    assert names(starts(*watching("a", "b"), event=told_of("r3"), runs=rows)) == ["b"]


def test_two_loops_that_watch_each_other_do_not_go_on_for_ever() -> None:
    first = row("r1", "worker")
    second = row("r2", "a", event=told_of("r1").document(AT))
    third = row("r3", "b", event=told_of("r2").document(AT))
    assert names(starts(*watching("a", "b"), event=told_of("r1"), runs=[first])) == ["a", "b"]
    assert names(starts(*watching("a", "b"), event=told_of("r2"), runs=[first, second])) == ["b"]
    assert names(starts(*watching("a", "b"), event=told_of("r3"), runs=[first, second, third])) == []


def test_neither_do_they_when_what_they_watch_is_gathered() -> None:
    gathered = {"name": FAILED, "data": {"events": [told_of("r1").document(AT), told_of("r2").document(AT)]}, "id": "e"}
    rows = [row("r1", "x"), row("r2", "b"), row("r3", "a", event=gathered)]
    assert names(starts(*watching("a", "b", "c"), event=told_of("r3"), runs=rows)) == ["c"]


def test_an_event_that_only_looks_like_one_of_a_run_keeps_nobody_back() -> None:
    behind = {"name": "user.said", "data": {"run_id": "r1", "events": [1, {"data": 2}]}, "id": "e"}
    rows = [row("r1", "a"), row("r2", "c", event=behind)]
    assert names(starts(*watching("a", "b"), event=told_of("r2"), runs=rows)) == ["a", "b"]
