"""Definitions for tests, written in Python: what `language` would make of their YAML."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from agentctl import model
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.ports import StoredDefinition

AT_ONCE = ("",)  # as `needs`: waits for nothing


def stored(name: str, *steps: model.Step, kind: Any = "loop", **more: Any) -> StoredDefinition:
    """A definition whose steps run in order where they do not say otherwise; its version is the hash of its content."""
    definition = model.Definition(kind=kind, name=name, steps=in_order(*steps), **more)
    version = hashlib.sha256(model.encode(definition)).hexdigest()
    return StoredDefinition(version=version, definition=definition, source="", file=f"{name}.yaml")


def in_order(*steps: model.Step) -> tuple[model.Step, ...]:
    """Each step needs the one before it, unless its `needs` say something else."""
    made: list[model.Step] = []
    for step in steps:
        before = (made[-1].id,) if made else ()
        needs = tuple(need for need in step.needs if need) if step.needs else before
        made.append(msgspec.structs.replace(step, needs=needs))
    return tuple(made)


def task(id: str, params: Any = None, *, uses: str = "shell", **more: Any) -> model.Step:
    return model.Step(id=id, action=model.Task(uses, parse_value(params or {})), uses=uses, **more)


def set_step(id: str, **values: Any) -> model.Step:
    return task(id, values, uses="set")


def wait(id: str, duration: str) -> model.Step:
    return model.Step(id=id, action=model.Wait(duration=parse_value(duration)), uses="wait")


def wait_for_event(id: str, name: str, condition: str | None = None, **more: Any) -> model.Step:
    """`more`: timeout, on_timeout."""
    test = None if condition is None else parse_expression(condition)
    return model.Step(id=id, action=model.Wait(event=parse_value(name), condition=test, **more), uses="wait")


def approve(id: str, message: str = "Continue?", show: Any = None, form: Any = None, **more: Any) -> model.Step:
    """`more`: timeout, on_timeout."""
    shown = None if show is None else parse_value(show)
    action = model.Approve(message=parse_value(message), show=shown, form=parse_value(form or {}), **more)
    return model.Step(id=id, action=action, uses="approve")


def wait_for_run(id: str, run_id: str) -> model.Step:
    return model.Step(id=id, action=model.Wait(run=parse_value(run_id)), uses="wait")


def skill(id: str, name: str, arguments: Any = None, *, detach: bool = False, **more: Any) -> model.Step:
    action = model.Skill(name, parse_value(arguments or {}), detach)
    return model.Step(id=id, action=action, uses="skill", **more)


def on_event(name: str, condition: str | None = None, **inputs: str) -> model.Trigger:
    """An event trigger. `inputs`: its `input`, as written; without any it is the keys of the event's data."""
    return model.Trigger(
        kind="event",
        what=name,
        condition=None if condition is None else parse_expression(condition),
        input={name: parse_value(value) for name, value in inputs.items()} or None,
    )


def inputs(*names: str) -> dict[str, model.Input]:
    """Declared inputs that take any value."""
    return {name: model.Input(schema={}) for name in names}
