"""A step whose needs are met: it is skipped, or its inputs are evaluated and its first attempt begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentctl.core import events as ev
from agentctl.core.instant import parse_instant
from agentctl.core.state import StepState
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.values import extract_secrets
from agentctl.model import Fail, Foreach, Return, Skill, Task, Wait

if TYPE_CHECKING:
    from agentctl.core.interpreter import _Decider

JSON = Any


def start(run: _Decider, step: StepState) -> None:
    """Decide what becomes of a ready step. An expression that fails is a failed first attempt, so that its fallback applies."""
    condition = step.node.step.condition
    if condition is not None:
        value, error = run.evaluate(condition, step.frame)
        if error is not None:
            _fail(run, step, error)
            return
        if not value:
            run.emit(ev.StepSkipped(at=run.at, path=step.path))
            return
    _START[step.node.kind](run, step)


def _fail(run: _Decider, step: StepState, error: ev.Error) -> None:
    run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt + 1, error=error))


def _task(run: _Decider, step: StepState) -> None:
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


def _group(run: _Decider, step: StepState) -> None:
    run.emit_started(step)


def _foreach(run: _Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Foreach)
    items, error = run.evaluate(action.items, step.frame)
    if error is None and not isinstance(items, list):
        error = ev.Error("expression", f"`foreach` needs a list, got {_kind(items)}")
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input={"items": items})


def _skill(run: _Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Skill)
    arguments, error = run.evaluate(action.arguments, step.frame)
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input=arguments or {}, child=step.child)


def _wait(run: _Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Wait)
    template = action.duration or action.until or action.run
    assert template is not None
    value, error = run.evaluate(template, step.frame)
    input: JSON = None
    if error is None:
        try:
            if action.run is not None:
                input = {"run": _run_id(value)}
            else:
                input = {"due": run.at + _seconds(value) if action.duration is not None else parse_instant(value)}
        except ValueError as problem:
            error = ev.Error("input.invalid", str(problem))
    if error is not None:
        _fail(run, step, error)
        return
    run.emit_started(step, input=input)


def _run_id(value: JSON) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`wait: {{run}}` needs the id of a run, got {_kind(value)}")
    return value


def _seconds(value: JSON) -> float:
    if not isinstance(value, str):
        raise ValueError(f"`wait` needs a duration such as 30s, got {_kind(value)}")
    return parse_duration(value)


def _fail_step(run: _Decider, step: StepState) -> None:
    action = step.node.step.action
    assert isinstance(action, Fail)
    params, error = run.evaluate(action.params, step.frame)
    if error is None:
        message = params.get("message") or "failed"
        said = message if isinstance(message, str) else str(message)
        error = ev.Error(str(params.get("type") or "failed"), said, data=params.get("data"))
    _fail(run, step, error)


def _return(run: _Decider, step: StepState) -> None:
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
    "fail": _fail_step,
    "return": _return,
}
