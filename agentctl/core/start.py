"""A step whose needs are met: it is skipped, or its inputs are evaluated and its first attempt begins."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.frames import without_rounds
from agentctl.core.state import StepState
from agentctl.core.timestamps import parse_instant
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.template import Template
from agentctl.expressions.values import extract_secrets
from agentctl.model import Approve, Fail, Foreach, Return, Skill, Task, Wait

if TYPE_CHECKING:
    from agentctl.core.decider import Decider


def start(run: Decider, step: StepState) -> None:
    """Decide what becomes of a ready step. An expression that fails is a failed first attempt, so that its fallback applies."""
    definition = step.node.step
    if step.key is None:  # else all this was decided before the search for a recorded result
        if definition.condition is not None:
            wanted, error = run.holds(definition.condition, step.frame)
            if error is not None:
                _fail(run, step, error)
                return
            if not wanted:
                run.emit(ev.StepSkipped(at=run.at, path=step.path))
                return
        path = without_rounds(step.path)
        if step.node.is_once and path in run.state.once:  # a retried container keeps it
            output, source = run.state.once[path], f"{run.state.run_id}/{path}"
            run.emit(ev.StepSucceeded(at=run.at, path=step.path, output=output, status="reused", source=source))
            return
        if path in run.state.doubts:
            said = "the outcome of its attempt in an earlier round is not known"
            error = ev.Error("step.unknown_outcome", said, step.path, step.attempt)
            run.emit(ev.OutcomeUnknown(at=run.at, path=step.path, error=error))
            return
        key = definition.cache.key if definition.cache is not None else definition.idempotency_key
        if key is not None:
            _look_for_result(run, step, key)
            return
    begin(run, step)


def begin(run: Decider, step: StepState) -> None:
    """Evaluate the inputs of a step and begin its next attempt."""
    _START[step.node.kind](run, step)


def _look_for_result(run: Decider, step: StepState, key: Template) -> None:
    value, error = run.evaluate(key, step.frame)
    if error is None and key.names_secrets and extract_secrets(value)[1]:
        error = ev.Error("expression", "a key is recorded, so no secret may be part of it")
    elif error is None and (value is None or value == ""):
        error = ev.Error("expression", "the key of the step is empty")
    if error is not None:
        _fail(run, step, error)
        return
    cache = step.node.step.cache
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    run.emit(ev.StepKeyed(at=run.at, path=step.path, key=text, ttl=cache.ttl if cache is not None else None))


def _fail(run: Decider, step: StepState, error: ev.Error) -> None:
    run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt + 1, error=error))


def _task(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Task)
    params, error = run.evaluate(action.params, step.frame)
    if error is not None:
        _fail(run, step, error)
        return
    secrets: list[JSON] = []
    if action.params.names_secrets:
        params, secrets = extract_secrets(params)
    run.emit_started(step, input=params, secrets=secrets)


def _group(run: Decider, step: StepState) -> None:
    run.emit_started(step)


def _foreach(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Foreach)
    items, error = run.evaluate(action.items, step.frame)
    if error is None and not isinstance(items, list):
        error = ev.Error("expression", f"`foreach` needs a list, got {_kind(items)}")
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input={"items": items})


def _skill(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Skill)
    arguments, error = run.evaluate(action.arguments, step.frame)
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input=arguments or {}, child=step.child)


def _wait(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Wait)
    template = action.duration or action.until or action.event or action.run
    assert template is not None
    value, error = run.evaluate(template, step.frame)
    input: JSON = None
    if error is None:
        try:
            if action.run is not None:
                input = {"run": _name(value, "the id of a run")}
                if value == run.state.run_id:
                    raise ValueError("a run cannot wait for its own end")
            elif action.event is not None:
                input = {"event": _name(value, "the name of an event")}
            else:
                input = {"due": run.at + _seconds(value) if action.duration is not None else parse_instant(value)}
        except ValueError as problem:
            error = ev.Error("input.invalid", str(problem))
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input=input)


def _name(value: JSON, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`wait` needs {what}, got {_kind(value)}")
    return value


def _seconds(value: JSON) -> float:
    if not isinstance(value, str):
        raise ValueError(f"`wait` needs a duration such as 30s, got {_kind(value)}")
    return parse_duration(value)


def _approve(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Approve)
    message, error = run.evaluate(action.message, step.frame)
    show: JSON = None
    if error is None and action.show is not None:
        show, error = run.evaluate(action.show, step.frame)
    if error is not None:
        _fail(run, step, error)
        return
    shown = {"message": message, "show": show, "form": action.form}
    digest = sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
    run.emit_started(step, input={**shown, "digest": digest})


def _fail_step(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Fail)
    params, error = run.evaluate(action.params, step.frame)
    if error is None:
        type, message = (_text(params.get(key)) or "failed" for key in ("type", "message"))
        error = ev.Error(type, message, data=params.get("data"))
    _fail(run, step, error)


def _text(value: JSON) -> str:
    """As a value reads inside longer text; null is no text."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _return(run: Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Return)
    value, error = run.evaluate(action.value, step.frame)
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input={"value": value})


def _kind(value: JSON) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "null")


_START = {
    "task": _task,
    "group": _group,
    "foreach": _foreach,
    "repeat": _group,
    "skill": _skill,
    "wait": _wait,
    "approve": _approve,
    "fail": _fail_step,
    "return": _return,
}
