"""Events that a run puts out: by its `emit` steps, and by what becomes of it (`agentctl.run.succeeded` and the like)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent, Error, RunFinished, StepSucceeded
from agentctl.core.state import RunState
from agentctl.core.timestamps import rfc3339
from agentctl.model import RUN_EVENTS


class NewEvent(msgspec.Struct, frozen=True):
    """Something that happened, for every wait and trigger that matches it.

    `at`: the sender's time; it is not received before.
    `headers`: of a webhook's delivery, by lower-case name; None for everything else.
    `depth`: how many events led to this one, itself included; 0 for one from outside.
    `content_id`: a second id that follows from the content: an event with a known one is a duplicate under any `id`.
    """

    name: str
    data: JSON
    id: str
    at: float
    headers: Mapping[str, str] | None = None
    depth: int = 0
    content_id: str | None = None

    def document(self, received_at: float) -> dict[str, JSON]:
        """The event as expressions see it."""
        document = {"name": self.name, "data": self.data, "id": self.id, "received_at": rfc3339(received_at)}
        return document if self.headers is None else {**document, "headers": dict(self.headers)}


def emission(state: RunState, event: AnyEvent) -> NewEvent | None:
    """The event that an `emit` step puts out by succeeding. Ask before the success is folded in."""
    if not isinstance(event, StepSucceeded):
        return None
    step = state.steps.get(event.path)
    if step is None or step.uses != "emit" or event.status != "succeeded":
        return None
    return NewEvent(event.output["name"], event.output["data"], event.output["id"], event.at, depth=state.event_depth + 1)


def run_event(state: RunState, events: Sequence[AnyEvent], *, head: int, was_blocked: bool, at: float) -> NewEvent | None:
    """The event by which other loops learn that the run has ended or is blocked. None: neither happened.

    `events`: those of one activation.  `head`: length of the journal with them.
    """
    if not state.is_finished and not state.unknown:
        return None
    if state.is_finished:
        if not events or not isinstance(events[-1], RunFinished):  # it had ended before
            return None
        if state.ended_before:
            return None
        error = state.error
    elif state.status == "blocked" and not was_blocked:
        error = _first_doubt(state)
    else:
        return None
    data = {
        "run_id": state.run_id,
        "loop": state.name,
        "status": state.status,
        "error": None if error is None else error.to_json(),
        "trigger": state.trigger,
    }
    return NewEvent(RUN_EVENTS + state.status, data, f"{state.run_id}:{state.status}:{head}", at, depth=state.event_depth + 1)


def _first_doubt(state: RunState) -> Error | None:
    return next((step.error for step in state.unknown.values()), None)
