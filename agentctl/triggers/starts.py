"""A start of a definition: the run to make, and what flow control says of it (docs/language.md, Flow control)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from msgspec import structs

from agentctl import JSON
from agentctl.core.events import REPLAY_VERSION, Account, Error, Parent, RunCreated
from agentctl.core.flow import Limits, Once, Place, Window, group
from agentctl.core.timestamps import rfc3339
from agentctl.errors import ExpressionError, InputInvalid
from agentctl.expressions.template import Template
from agentctl.language.inputs import priority_flaw
from agentctl.model import Definition, Rate
from agentctl.ports import NewRun, StoredDefinition
from agentctl.triggers.ids import new_run_id

log = logging.getLogger(__name__)

Scope = Mapping[str, JSON]

_ASKED_FOR = ("manual", "skill")  # who starts these gets a problem as an error; of others it is in the history


def new_run(  # long: what a run is made with, named once as a parameter and once as a field
    stored: StoredDefinition,
    given: dict[str, JSON],
    *,
    at: float,
    run_id: str | None = None,
    trigger: str = "manual",
    event: JSON = None,
    vars: dict[str, JSON] | None = None,
    scheduled_at: float | None = None,
    places: Sequence[Place] = (),
    parent: Parent | None = None,
    accounts: Sequence[Account] = (),
    permissions: Sequence[JSON] = (),
    awaited: bool = True,
    problem: Error | None = None,
    event_depth: int = 0,
) -> NewRun:
    """The run of a definition with an input that was checked, and its limits. `places`: that it needs beside those of the
    definition (the overlap of a schedule).  `problem`: why it is to fail as it starts.

    Flow control that cannot be evaluated is such a problem; for a run that a person or a step starts it raises InputInvalid.
    """
    definition = stored.definition
    created = RunCreated(
        at=at,
        run_id=run_id or new_run_id(),
        name=definition.name,
        kind=definition.kind,
        version=stored.version,
        input=given,
        trigger=trigger,
        event=event,
        parent=parent,
        scheduled_at=scheduled_at,
        vars=vars or {},
        accounts=list(accounts),
        permissions=list(permissions),
        problem=problem,
        replay_version=REPLAY_VERSION,
        event_depth=event_depth,
    )
    return _limited(definition, created, awaited, places)


def _limited(definition: Definition, created: RunCreated, awaited: bool, places: Sequence[Place]) -> NewRun:
    if created.problem is not None:  # it does no work, so it takes no place
        return NewRun(created=created, awaited=awaited)
    try:
        limits = limits_of(definition, scope_of(created))
    except InputInvalid as error:
        if created.trigger in _ASKED_FOR:
            raise
        return NewRun(created=structs.replace(created, problem=Error("expression", str(error))), awaited=awaited)
    if created.parent is not None:
        limits = of_a_call(limits)
    return NewRun(created=created, awaited=awaited, limits=structs.replace(limits, places=(*limits.places, *places)))


def scope_of(created: RunCreated) -> dict[str, JSON]:
    """What the expressions of flow control see."""
    run = {
        "id": created.run_id,
        "loop": created.name,
        "version": created.version,
        "attempt": 1,
        "started_at": None,
        "scheduled_at": None if created.scheduled_at is None else rfc3339(created.scheduled_at),
        "trigger": created.trigger,
    }
    names = {"input": created.input, "run": run, "vars": created.vars, "now": rfc3339(created.at)}
    return names if created.event is None else {**names, "event": created.event}


def limits_of(definition: Definition, scope: Scope) -> Limits:
    """The flow control of a definition for one start. Raises InputInvalid, naming the key that cannot be evaluated."""
    flow, name = definition.flow, definition.name
    places: tuple[Place, ...] = ()
    if flow.concurrency is not None:
        written = flow.concurrency
        places = (Place(_group(name, "concurrency", written.key, scope), written.limit, written.on_limit),)
    dedupe = None
    if flow.dedupe is not None:
        dedupe = Once(_group(name, "dedupe", flow.dedupe.key, scope), flow.dedupe.seconds)
    return Limits(
        priority=0.0 if flow.priority is None else _priority(name, flow.priority, scope),
        places=places,
        throttle=_window(name, "throttle", flow.throttle, scope),
        rate_limit=_window(name, "rate_limit", flow.rate_limit, scope),
        dedupe=dedupe,
    )


def of_a_call(limits: Limits) -> Limits:
    """For a run that a step calls: it is wanted, so it may have to wait, but is never left out, and ends no other."""
    places = tuple(structs.replace(place, on_limit="queue") for place in limits.places)
    return structs.replace(limits, places=places, rate_limit=None, dedupe=None)


def _window(name: str, kind: str, rate: Rate | None, scope: Scope) -> Window | None:
    return None if rate is None else Window(_group(name, kind, rate.key, scope), rate.limit, rate.per)


def _group(name: str, kind: str, key: Template | None, scope: Scope) -> str:
    if key is None:
        return group(name, kind)
    value = _evaluated(name, f"the key of {kind}", key, scope)
    if kind == "dedupe" and value in (None, ""):
        raise InputInvalid(f"{name}: the key of dedupe is empty, so this start cannot be distinguished from others")
    try:
        return group(name, kind, value)
    except RecursionError:
        raise InputInvalid(f"{name}: the key of {kind} is nested too deeply") from None
    except ValueError:  # a number with thousands of digits, which Python does not write out
        raise InputInvalid(f"{name}: the key of {kind} is too large to compare") from None


def _priority(name: str, template: Template, scope: Scope) -> float:
    value = _evaluated(name, "priority", template, scope)
    if flaw := priority_flaw(value):
        raise InputInvalid(f"{name}: {flaw}")
    return float(value)



def _evaluated(name: str, what: str, template: Template, scope: Scope) -> JSON:
    try:
        return template.evaluate(scope)
    except ExpressionError as error:
        raise InputInvalid(f"{name}: {what} cannot be evaluated: {error.message}") from None
    except Exception as error:  # a mistake of ours, on one definition: the others start all the same
        log.exception("%s: %s cannot be evaluated", name, what)
        raise InputInvalid(f"{name}: {what} cannot be evaluated: {type(error).__name__}: {error}") from None
