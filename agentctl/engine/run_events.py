"""The events by which loops supervise loops: `agentctl.run.succeeded|failed|cancelled|blocked` (LANGUAGE section 6).

Each is put out in the commit in which the run gets there, by whoever drives it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.core.events import AnyEvent, Error, RunFinished
from agentctl.core.state import RunState
from agentctl.language.event_names import RUN_EVENTS
from agentctl.ports import NewEvent


def news_of(state: RunState, events: Sequence[AnyEvent], *, head: int, was_blocked: bool, at: float) -> NewEvent | None:
    """What a turn made of its run, if others may want to know. `events`: the turn's.  `head`: how many the journal holds then."""
    if state.is_finished:
        if not events or not isinstance(events[-1], RunFinished):  # it had ended before
            return None
        error = state.error
    elif state.status == "blocked" and not was_blocked:
        error = _doubt(state)
    else:
        return None
    data = {
        "run_id": state.run_id,
        "loop": state.name,
        "status": state.status,
        "error": None if error is None else error.to_json(),
        "trigger": state.trigger,
    }
    return NewEvent(RUN_EVENTS + state.status, data, f"{state.run_id}:{state.status}:{head}", at)


def _doubt(state: RunState) -> Error | None:
    """Why the run is blocked: the first of its steps whose outcome nobody knows."""
    return next((step.error for step in state.unknown.values()), None)
