"""The names an expression sees, looked up lazily so that evaluating costs the same in a run of any size (docs/language.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentctl import JSON
from agentctl.core.lifecycle import ENDED
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.timestamps import rfc3339
from agentctl.expressions.values import Lookup, SecretNames


class StepView(Lookup):
    """`steps.x`: one finished step."""

    __slots__ = ("_step",)
    _NAMES = ("output", "status", "error", "attempts", "started_at", "finished_at", "usage")

    def __init__(self, step: StepState) -> None:
        self._step = step

    def get(self, name: str) -> JSON:
        step = self._step
        if name == "output":
            return step.output
        if name == "status":
            return step.status
        if name == "error":
            return step.error.to_json() if step.error is not None else None
        if name == "attempts":
            return step.attempt
        if name in ("started_at", "finished_at"):
            at = getattr(step, name)
            return rfc3339(at) if at is not None else None
        if name == "usage":
            return step.usage.to_json() if step.usage is not None else None
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        return self._NAMES

    def to_json(self) -> JSON:
        return {name: self.get(name) for name in self._NAMES}


def _has_ended(step: StepState) -> bool:
    return step.status in ENDED or (step.status == "unknown" and step.finished_at is not None)


class StepsView(Lookup):
    """`steps`: the finished steps of a frame and of those around it, the inner ones first."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def get(self, name: str) -> StepView:
        frame: Frame | None = self._frame
        while frame is not None:
            index = frame.block.index.get(name)
            if index is not None:
                step = frame.steps[index]
                if not _has_ended(step):
                    raise KeyError(name)
                return StepView(step)
            frame = frame.outer
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        frame: Frame | None = self._frame
        while frame is not None:
            yield from (step.node.step.id for step in frame.steps if _has_ended(step))
            frame = frame.outer

    def to_json(self) -> JSON:
        return {name: self.get(name).to_json() for name in self.names()}


class Scope(dict[str, Any]):
    """The names of one frame. `run` and `now` are made when asked for: few expressions do, and `now` changes with every event."""

    __slots__ = ("_state",)

    def __init__(self, state: RunState, names: dict[str, Any]) -> None:
        super().__init__(names)
        self._state = state

    def __missing__(self, name: str) -> JSON:
        if name == "now":
            return rfc3339(self._state.at)
        if name == "run":
            found = self[name] = _run(self._state)
            return found
        raise KeyError(name)


def scope_of(state: RunState, frame: Frame) -> dict[str, Any]:
    """The scope of expressions in `frame`; made once."""
    scope = frame.scope
    if scope is None:
        outer = scope_of(state, frame.outer) if frame.outer is not None else _run_names(state)
        scope = frame.scope = Scope(state, {**outer, **frame.vars, "steps": StepsView(frame)})
    return scope


def scope_at(state: RunState, place: Frame | StepState) -> dict[str, Any]:
    """The scope of expressions in a list, or of one step: the call of a tool sees its arguments as well."""
    if isinstance(place, Frame):
        return scope_of(state, place)
    scope = scope_of(state, place.frame)
    return Scope(state, {**scope, **place.names}) if place.names else scope


def _run_names(state: RunState) -> dict[str, Any]:
    names: dict[str, Any] = {
        "input": state.input,
        "state": state.memory,
        "vars": state.vars,
        "secrets": SecretNames(state.secret_names),
    }
    if state.event is not None:
        names["event"] = state.event
    return names


def _run(state: RunState) -> dict[str, JSON]:
    return {
        "id": state.run_id,
        "loop": state.name,
        "version": state.version,
        "attempt": state.attempt,
        "started_at": rfc3339(state.started_at) if state.started_at is not None else None,
        "scheduled_at": rfc3339(state.scheduled_at) if state.scheduled_at is not None else None,
        "trigger": state.trigger,
    }
