"""`wait`: for a time, an event or the end of another run."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt, type_name
from agentctl.core.state import RunState, StepState
from agentctl.core.timestamps import parse_instant, representable
from agentctl.core.transition import Transition
from agentctl.expressions.duration import format_duration, parse_duration
from agentctl.model import Wait


class WaitKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        action = _wait(step)
        template = action.duration or action.until or action.event or action.run
        assert template is not None
        value, error = run.evaluate(template, step)
        input: JSON = None
        if error is None:
            try:
                input = _awaited(run, action, value)
                _timeout(step)
            except ValueError as problem:
                error = ev.Error("input.invalid", str(problem))
        if error is not None:
            fail_start(run, step, error)
            return
        start_attempt(run, step, input=input)

    def out_of_time(self, step: StepState, at: float) -> tuple[JSON, ev.Error | None]:
        action, timeout = _wait(step), _timeout(step)
        if timeout is None or action.on_timeout != "fail":
            return None, None
        event = step.input.get("event")
        missed = f"no event {event} came" if event is not None else f"run {step.input['run']} did not end"
        return None, ev.Error("wait.timeout", f"{missed} within {format_duration(timeout)}")

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        if "run" in step.input:
            state.children[step.path] = step.input["run"]
        elif "event" in step.input:
            state.subscriptions[step.path] = step.input["event"]
        else:
            state.set_timer(step.path, "wait", step.input["due"])
            return
        timeout = _timeout(step)
        if timeout is not None:
            state.set_timer(step.path, "wait", event.at + timeout)

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        path = step.path
        if path in state.children:
            return [cmd.AwaitRun(path, state.children[path])]
        if path in state.subscriptions:
            # Not since its start: the answer to the event that made the run may come while the run is still in the queue.
            return [cmd.AwaitEvent(path, state.subscriptions[path], state.created_at)]
        return []


def _wait(step: StepState) -> Wait:
    action = step.node.step.action
    assert isinstance(action, Wait)
    return action


def _timeout(step: StepState) -> float | None:
    """Seconds; for the tool `join` it is an argument."""
    given = step.names["args"]["timeout"] if step.call is not None else None
    return _wait(step).timeout if given is None else parse_duration(given)


def _awaited(run: Transition, action: Wait, value: JSON) -> JSON:
    """Return the input of the attempt. Raises ValueError for a value that names nothing to wait for."""
    if action.run is not None:
        if value == run.state.run_id:
            raise ValueError("a run cannot wait for its own end")
        return {"run": _name(value, "the id of a run")}
    if action.event is not None:
        return {"event": _name(value, "the name of an event")}
    return {"due": representable(run.at + _seconds(value)) if action.duration is not None else parse_instant(value)}


def _name(value: JSON, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`wait` needs {what}, got {type_name(value)}")
    return value


def _seconds(value: JSON) -> float:
    if not isinstance(value, str):
        raise ValueError(f"`wait` needs a duration such as 30s, got {type_name(value)}")
    return parse_duration(value)
