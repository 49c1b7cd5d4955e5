"""What an event starts: the event triggers of deployed definitions, their `if` and `input`, and what is gathered instead.

An event starts a definition once, by the first of its triggers that fits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from agentctl import JSON
from agentctl.core.events import Error
from agentctl.core.flow import group
from agentctl.core.timestamps import rfc3339
from agentctl.errors import DefinitionInvalid, ExpressionError, InputInvalid
from agentctl.expressions.large import loaded
from agentctl.expressions.template import Template
from agentctl.model import RUN_EVENTS, Definition, Trigger
from agentctl.ports import NOTHING, Deployments, Gather, Journals, NewEvent, NewRun, Runs, StoredDefinition, Triggered
from agentctl.triggers.starts import new_run

log = logging.getLogger(__name__)

_DEFINITIONS_KEPT = 256


class NeededTriggered(Deployments, Journals, Runs, Protocol):
    """What is needed of the store here."""


class EventTriggers:
    """Implements `ports.Triggers`. `vars`: the project's, as of now."""

    def __init__(self, store: NeededTriggered, vars: Mapping[str, JSON]) -> None:
        self._store = store
        self._vars = dict(vars)
        self._definitions: dict[str, StoredDefinition] = {}

    def starts(self, event: NewEvent) -> Triggered:
        subscriptions = self._store.subscriptions(event.name)
        if not subscriptions:
            return NOTHING
        settled = self._causes(event) if event.name.startswith(RUN_EVENTS) else set()
        runs: list[NewRun] = []
        gathers: list[Gather] = []
        for subscription in subscriptions:
            stored = self._definition(subscription.version)
            if stored is None or subscription.name in settled:
                continue
            try:
                starts = starts_of(stored, subscription.trigger, event, self._vars)
            except Exception:  # a bug that one definition brings out concerns no other, nor the run that emits the event
                log.exception("event %s (%s) does not start %s", event.name, event.id, subscription.name)
                continue
            if starts is not NOTHING:
                settled.add(subscription.name)
            runs += starts.runs
            gathers += starts.gather
        return Triggered(runs, gathers) if runs or gathers else NOTHING

    def _definition(self, version: str) -> StoredDefinition | None:
        """A stored definition never changes, so it is read once. None: another agentctl took it, and this one refuses it."""
        stored = self._definitions.get(version)
        if stored is None:
            try:
                stored = self._store.definition(version)
            except DefinitionInvalid as error:
                log.warning("an event does not start a definition that cannot be used any more: %s", error)
            if stored is not None:
                if len(self._definitions) >= _DEFINITIONS_KEPT:
                    self._definitions.clear()
                self._definitions[version] = stored
        return stored

    def _causes(self, event: NewEvent) -> set[str]:
        """The definitions whose runs led to what became of a run: its own, those that called it, and those whose end started it.

        None of them is started by it, so that no loops supervise each other for ever.
        """
        names: set[str] = set()
        seen: set[str] = set()
        todo = _named_runs(event.name, event.data)
        while todo:
            run_id = todo.pop()
            row = None if run_id in seen else self._store.run(run_id)
            seen.add(run_id)
            if row is not None:
                names.add(row.name)
                todo += [row.parent.run_id] if row.parent is not None else _runs_behind(row.event)
        return names


def patterns(definition: Definition) -> list[str]:
    """Of each trigger the events it is for, "" when it is for none: as `Store.deploy` takes them."""
    return [trigger.what if trigger.kind == "event" else "" for trigger in definition.triggers]


def _runs_behind(event: JSON) -> list[str]:
    """The runs whose ends are the event that started a run; it may stand for several that were gathered."""
    if not isinstance(event, dict):
        return []
    data = event.get("data")
    gathered = data.get("events") if isinstance(data, dict) else None
    if isinstance(gathered, list):
        return [run_id for one in gathered if isinstance(one, dict) for run_id in _runs_behind(one)]
    return _named_runs(event.get("name"), data)


def _named_runs(name: JSON, data: JSON) -> list[str]:
    is_end = isinstance(name, str) and name.startswith(RUN_EVENTS) and isinstance(data, dict)
    run_id = data.get("run_id") if is_end else None
    return [run_id] if isinstance(run_id, str) else []


def starts_of(stored: StoredDefinition, number: int, event: NewEvent, vars: Mapping[str, JSON]) -> Triggered:
    """What an event starts by trigger `number` of one definition: a run, or something to be gathered for one, or NOTHING.

    An `if` that cannot be evaluated on the event does not hold. An event that makes no valid input starts a run that fails, and
    so does one that this cannot deal with: whoever sends it, and what else it starts, does not suffer.
    """
    try:
        return _starts_of(stored, number, event, vars)
    except Exception as error:  # a mistake of ours, shown on the definition that it concerns
        log.exception("event %s (%s) cannot be made a run of %s", event.name, event.id, stored.definition.name)
        message = f"event {event.name} cannot be made an input: {type(error).__name__}: {error}"
        problem = Error("internal", message, data={"event_id": event.id})
        kind = stored.definition.triggers[number].kind
        document = event.document(event.at)
        run = new_run(
            stored, {}, at=event.at, trigger=kind, event=document, vars=dict(vars), problem=problem, event_depth=event.depth
        )
        return Triggered(runs=[run])


def _starts_of(stored: StoredDefinition, number: int, event: NewEvent, vars: Mapping[str, JSON]) -> Triggered:
    definition = stored.definition
    document = event.document(event.at)
    scope = _scope(document, vars, event.at)
    if not _holds(definition, number, event, scope):
        return NOTHING
    flow = definition.flow
    wanted = flow.batch or flow.debounce
    if wanted is None:
        return Triggered(runs=[_run(stored, number, document, vars, event.at, depth=event.depth)])
    kind = "debounce" if flow.batch is None else "batch"
    try:
        pile = group(definition.name, kind, *_key(wanted.key, definition, document, scope))
    except (ExpressionError, RecursionError, ValueError) as error:  # ValueError: a number with thousands of digits
        reason = "its value is nested too deeply" if isinstance(error, RecursionError) else str(error)
        problem = Error("expression", f"the key under which events are gathered cannot be evaluated: {reason}")
        return Triggered(runs=[_run(stored, number, document, vars, event.at, problem, depth=event.depth)])
    size = None if flow.batch is None else flow.batch.size
    gather = Gather(name=definition.name, trigger=number, group=pile, seconds=wanted.seconds, size=size, depth=event.depth)
    return Triggered(gather=[gather])


def run_of_gathered(
    stored: StoredDefinition, number: int, events: list[JSON], vars: Mapping[str, JSON], at: float, *, depth: int = 0
) -> NewRun:
    """The run of gathered events, oldest first. Its event is the newest; of a batch, with all of them as `data.events`."""
    newest = events[-1]
    is_batch = stored.definition.flow.batch is not None or len(events) > 1  # they were a batch when they came
    document = {**newest, "data": {"events": events}} if is_batch else newest
    return _run(stored, number, document, vars, at, depth=depth)


def _holds(definition: Definition, number: int, event: NewEvent, scope: dict[str, JSON]) -> bool:
    condition = definition.triggers[number].condition
    if condition is None:
        return True
    try:
        return bool(condition.evaluate(scope))
    except ExpressionError as error:
        log.warning(
            "event %s (%s) does not start %s: the `if` of its trigger cannot be evaluated: %s",
            event.name, event.id, definition.name, error.message,
        )  # fmt: skip
        return False


def _key(key: Template | None, definition: Definition, document: JSON, scope: dict[str, JSON]) -> tuple[JSON, ...]:
    """Its value, if there is one. Its `input` is what the event brings by itself, not yet checked."""
    if key is None:
        return ()
    given = {name: declared.default for name, declared in definition.input.items() if declared.has_default}
    return (key.evaluate({**scope, "input": {**given, **_own_input(definition, document["data"])}}),)


def _run(
    stored: StoredDefinition,
    number: int,
    document: dict[str, JSON],
    vars: Mapping[str, JSON],
    at: float,
    problem: Error | None = None,
    *,
    depth: int = 0,
) -> NewRun:
    """A run with the input that its trigger makes of an event; it fails as it starts when that cannot be."""
    definition = stored.definition
    trigger = definition.triggers[number] if number < len(definition.triggers) else None
    given, flaw = _input(definition, trigger, document, _scope(document, vars, at))
    return new_run(
        stored,
        given,
        at=at,
        trigger="event" if trigger is None else trigger.kind,
        event=document,
        vars=dict(vars),
        problem=problem or flaw,
        event_depth=depth,
    )


def _input(
    definition: Definition, trigger: Trigger | None, document: JSON, scope: dict[str, JSON]
) -> tuple[dict[str, JSON], Error | None]:
    from agentctl.language.inputs import check_inputs

    given: dict[str, JSON] = {}
    try:
        if trigger is None or trigger.input is None:
            given = _own_input(definition, document["data"])
        else:
            for name, value in trigger.input.items():
                given[name] = value.evaluate(scope)
        return check_inputs(definition, loaded(given)), None
    except ExpressionError as error:
        flaw = f"the `input` of the trigger cannot be evaluated on event {document['name']}: {error.message}"
    except InputInvalid as error:
        flaw = f"event {document['name']} does not make a valid input: {error}"
    return given, Error("input.invalid", flaw, data={"event_id": document["id"]})


def _own_input(definition: Definition, data: JSON) -> dict[str, JSON]:
    """The keys of an event's data that are inputs."""
    return {name: data[name] for name in definition.input if name in data} if isinstance(data, dict) else {}


def _scope(document: JSON, vars: Mapping[str, JSON], at: float) -> dict[str, JSON]:
    return {"event": document, "vars": vars, "now": rfc3339(at)}
