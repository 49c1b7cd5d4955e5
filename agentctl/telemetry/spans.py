"""Runs as traces: the journal of a run, folded into spans. Pure; `telemetry` sends them.

Ids follow from the journal alone, so a process that takes a run over continues in the same trace, and a span that began in a
process that died ends in the next one. A run is a span, and so is each of its steps; the steps of a group lie under it, a child
run under the step that started it. What a run works on is left out: no input, no output, no message of an error, which may quote
both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal

import msgspec

from agentctl.core.events import (
    AnyEvent,
    AttemptFailed,
    Error,
    OutcomeUnknown,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepFailed,
    StepKeyed,
    StepStarted,
    StepSucceeded,
    Usage,
    add_usage,
)
from agentctl.paths import declared_path, parent_path
from agentctl.telemetry.genai import call_attributes

Value = str | int | float | bool


class Moment(msgspec.Struct, frozen=True):
    """Something that happened within a span. `at`: epoch seconds."""

    name: str
    at: float
    attributes: dict[str, Value]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One that has ended. `begin`, `end`: epoch seconds.  `parent`: id of the span above it.  `error`: the type of one."""

    name: str
    id: int
    parent: int | None
    begin: float
    end: float
    kind: Literal["internal", "client"] = "internal"
    attributes: Mapping[str, Value]
    moments: list[Moment] = []
    error: str | None = None


class _Open(msgspec.Struct):
    id: int
    begin: float
    attempts: int = 0
    asked: Any = None  # the parameters of an llm step
    usage: Usage | None = None
    moments: list[Moment] = []


def trace_id(root: str) -> int:
    """128 bits, of the topmost run."""
    return int.from_bytes(sha256(f"trace {root}".encode()).digest()[:16])


def _span_id(run_id: str, path: str, begin: float) -> int:
    """64 bits; a step, or a run, that begins again has another."""
    return int.from_bytes(sha256(f"span {run_id}/{path} {begin!r}".encode()).digest()[:8])


class RunSpans:
    """One run. `above`: id of the span of the step that started it.  `actions`: path pattern -> word (`core.paths`).

    `facts`: attributes of the run's span, some of which its steps have, too.
    """

    def __init__(self, run_id: str, name: str, facts: dict[str, Value], actions: Mapping[str, str], above: int | None) -> None:
        self.children: dict[str, int] = {}  # run id -> id of the span of the step that started it
        self._run_id = run_id
        self._name = name
        self._facts = facts
        self._actions = actions
        self._above = above
        self._run: _Open | None = None
        self._steps: dict[str, _Open] = {}
        self._resumed = False

    def feed(self, events: Iterable[AnyEvent]) -> Iterator[Span]:
        """Take the next events of the journal; returns the spans that end with them."""
        for event in events:
            match event:
                case RunStarted() | RunResumed():
                    self._begin_run(event)
                case RunRecovered():
                    self._note(self._run, Moment("recovered", event.at, {}))
                case StepKeyed():
                    self._begin(event.path, event.at)
                case StepStarted():
                    self._begin_attempt(event)
                case AttemptFailed():
                    self._fail_attempt(event)
                case OutcomeUnknown():
                    self._note(self._steps.get(event.path), Moment("outcome unknown", event.at, _of(event.error)))
                case StepSucceeded():
                    yield from self._end(event.path, event.at, event.status, usage=event.usage)
                case StepFailed():
                    yield from self._end(event.path, event.at, "failed", event.error)
                case StepCancelled():
                    yield from self._end(event.path, event.at, "cancelled")
                case RunFinished():
                    yield from self._end_run(event)

    def _begin_run(self, event: RunStarted | RunResumed) -> None:
        if self._run is None:
            self._run = _Open(_span_id(self._run_id, "", event.at), event.at)
            self._resumed = isinstance(event, RunResumed)

    def _begin(self, path: str, at: float) -> _Open:
        step = self._steps.get(path)
        if step is None:
            step = self._steps[path] = _Open(_span_id(self._run_id, path, at), at)
        return step

    def _begin_attempt(self, event: StepStarted) -> None:
        step = self._begin(event.path, event.at)
        step.attempts = event.attempt
        if self._action(event.path) == "llm" and event.input is not None:
            step.asked = event.input
        if event.child is not None:
            self.children[event.child] = step.id

    def _fail_attempt(self, event: AttemptFailed) -> None:
        step = self._steps.get(event.path)
        if step is not None and event.usage is not None:
            step.usage = add_usage(step.usage, event.usage)
        self._note(step, Moment("attempt failed", event.at, {"agentctl.step.attempt": event.attempt, **_of(event.error)}))

    @staticmethod
    def _note(span: _Open | None, moment: Moment) -> None:
        if span is not None:
            span.moments = [*span.moments, moment]

    def _end(
        self, path: str, at: float, status: str, error: Error | None = None, usage: Usage | None = None
    ) -> Iterator[Span]:
        step = self._steps.pop(path, None)
        if step is None:
            return
        usage = step.usage if usage is None else add_usage(step.usage, usage)
        action = self._action(path)
        attributes: dict[str, Value] = {
            "agentctl.run.id": self._run_id,
            "agentctl.definition": self._name,
            "agentctl.step.path": path,
            "agentctl.step.action": action,
            "agentctl.step.status": status,
            "agentctl.step.attempts": step.attempts,
        }
        is_call = action == "llm" and step.attempts > 0
        if is_call:
            attributes |= call_attributes(step.asked, usage)
        yield Span(
            name=f"chat {attributes.get('gen_ai.request.model', '')}".strip() if is_call else f"{action} {path}",
            id=step.id,
            parent=self._holder(path),
            begin=step.begin,
            end=at,
            kind="client" if is_call else "internal",
            attributes=attributes | _of(error),
            moments=step.moments,
            error=None if error is None else error.type,
        )

    def _holder(self, path: str) -> int | None:
        """The span of the nearest step around it that is under way, else that of the run."""
        around = parent_path(path)
        while around and around not in self._steps:
            around = parent_path(around)
        if around:
            return self._steps[around].id
        return None if self._run is None else self._run.id

    def _end_run(self, event: RunFinished) -> Iterator[Span]:
        for path in sorted(self._steps, key=len, reverse=True):  # whatever a return or a cancel cut off
            yield from self._end(path, event.at, "cancelled")
        run, self._run = self._run, None
        if run is None:
            return  # it was cancelled before it started
        resumed: dict[str, Value] = {"agentctl.run.resumed": True} if self._resumed else {}
        yield Span(
            name=f"run {self._name}",
            id=run.id,
            parent=self._above,
            begin=run.begin,
            end=event.at,
            attributes={**self._facts, "agentctl.run.status": event.status, **resumed, **_of(event.error)},
            moments=run.moments,
            error=event.error.type if event.error is not None and event.status == "failed" else None,
        )

    def _action(self, path: str) -> str:
        return self._actions.get(declared_path(path), "step")


def _of(error: Error | None) -> dict[str, Value]:
    """The type alone: messages may quote what a step worked on."""
    return {} if error is None else {"error.type": error.type}
