"""One run with its steps and events: what `show` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent
from agentctl.expressions import large
from agentctl.ports import Feedback, QueuePosition, RunRow, usage_document
from agentctl.views.journal import complete, items_not_run, view
from agentctl.views.runs import error_document, run_document, timestamp
from agentctl.views.steps import StepView

if TYPE_CHECKING:
    from agentctl.core.state import RunState

_TIMES = ("at", "due", "scheduled_at")  # keys of events that hold epoch seconds


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `show` presents it.

    `steps`: every step and every list of steps, in the order of their first event.
    `not_run`: steps of foreach items that never started.
    `position`: its place in the queue, if it waits there.
    `stalled_since`: set when the run makes no progress.
    """

    row: RunRow
    steps: Sequence[StepView]
    not_run: Sequence[StepView] = ()
    events: Sequence[AnyEvent] = ()
    feedback: Sequence[Feedback] = ()
    position: QueuePosition | None = None
    stalled_since: float | None = None


def run_view(
    row: RunRow,
    events: Sequence[AnyEvent],
    state: RunState,
    *,
    awaited: Mapping[str, str],
    feedback: Sequence[Feedback] = (),
    position: QueuePosition | None = None,
    stalled_since: float | None = None,
) -> RunView:
    """Build the view of a run.

    `state`: its journal, folded.
    `awaited`: path -> RUN/path of the step whose result this step waits for.
    """
    return RunView(
        row=row,
        steps=step_views(row, events, state, awaited),
        not_run=items_not_run(state),
        events=events,
        feedback=feedback,
        position=position,
        stalled_since=stalled_since,
    )


def step_views(row: RunRow, events: Sequence[AnyEvent], state: RunState, awaited: Mapping[str, str]) -> list[StepView]:
    """Build the views of all steps of a run."""
    steps = complete(view(row.id, state.plan.definition, events), state)
    for step in steps:
        step.waits_for = awaited.get(step.path)
    return steps


def show_document(shown: RunView) -> dict[str, JSON]:
    """The document of `show --json`."""
    row = shown.row
    run = {
        **run_document(row, stalled_since=shown.stalled_since, feedback=shown.feedback),
        "input": row.input,
        "output": large.shown(row.output),
        "event": row.event,
        "waits_for": None if shown.position is None else shown.position.reason or None,
    }
    steps = [step for step in shown.steps if not step.block]
    return {
        "run": run,
        "steps": [step_document(step) for step in [*steps, *shown.not_run]],
        "events": [event_document(number, event) for number, event in enumerate(shown.events, start=1)],
    }


def step_document(step: StepView) -> dict[str, JSON]:
    call = {} if step.tool is None else {"tool": step.tool, "key": step.key}
    return {
        "path": step.path,
        "action": step.action,
        "status": step.status,
        "attempts": step.attempts,
        "input": input_document(step),
        "output": large.shown(step.output),
        "error": error_document(step.error),
        "started_at": timestamp(step.started_at),
        "finished_at": timestamp(step.finished_at),
        "usage": None if step.usage is None else usage_document(step.usage),
        "source": step.source,
        "waits_for": step.waits_for,
        **call,
    }


def input_document(step: StepView) -> JSON:
    """The evaluated parameters of a step, secrets by name; null before its first attempt. Times in RFC 3339."""
    if step.action == "wait" and isinstance(step.input, dict) and "due" in step.input:
        return {**step.input, "due": timestamp(step.input["due"])}
    return large.shown(step.input)


def event_document(number: int, event: AnyEvent) -> dict[str, JSON]:
    """`{seq, at, type, path, ...}`; `path` is null for an event of the whole run. `seq` counts from 1."""
    fields: dict[str, JSON] = large.shown(msgspec.to_builtins(event))
    for key in _TIMES:
        if key in fields:
            fields[key] = timestamp(fields[key])
    return {
        "seq": number,
        "at": fields.pop("at"),
        "type": fields.pop("type"),
        "path": fields.pop("path", None),
        **fields,
    }
