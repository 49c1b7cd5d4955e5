"""The JSON documents of LANGUAGE section 10: runs, steps and events as plain mappings, times in RFC 3339."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from agentctl import JSON, ports
from agentctl.core.events import AnyEvent, Error, Usage
from agentctl.ports import Feedback, QueuePosition, RunRow
from agentctl.render.text import timestamp

if TYPE_CHECKING:
    from agentctl.core.resume import Intent
    from agentctl.render.journal import StepView

_TIMES = ("at", "due", "scheduled_at")  # the keys of events that hold epoch seconds


def usage_document(usage: Usage | None) -> JSON:
    return None if usage is None else ports.usage_document(usage)


def error_document(error: Error | None) -> JSON:
    return None if error is None else error.to_json()


def run_document(row: RunRow, stalled_since: float | None = None) -> dict[str, JSON]:
    """One run as in `history --json`. `stalled_since`: if it makes no progress."""
    return {**row.to_json(), "stalled_since": timestamp(stalled_since)}


def outcome_document(row: RunRow) -> dict[str, JSON]:
    """What `run` and `resume` answer."""
    return {
        "run_id": row.id,
        "loop": row.name,
        "status": row.status,
        "output": row.output,
        "error": error_document(row.error),
    }


def status_document(row: RunRow) -> dict[str, JSON]:
    return {"run_id": row.id, "status": row.status}


def intent_document(intent: Intent) -> dict[str, JSON]:
    """One step of `resume --plan`; action: reuse, rerun, run, conflict."""
    return {"path": intent.path, "action": intent.action, "reason": intent.reason}


def step_document(step: StepView) -> dict[str, JSON]:
    return {
        "path": step.path,
        "action": step.action,
        "status": step.status,
        "attempts": step.attempts,
        "input": input_document(step),
        "output": step.output,
        "error": error_document(step.error),
        "started_at": timestamp(step.started_at),
        "finished_at": timestamp(step.finished_at),
        "usage": usage_document(step.usage),
        "source": step.source,
        "waits_for": step.waits_for,
    }


def input_document(step: StepView) -> JSON:
    """The parameters of a step as they were evaluated, secrets by name; null before its first attempt. Times in RFC 3339."""
    if step.action == "wait" and isinstance(step.input, dict) and "due" in step.input:
        return {**step.input, "due": timestamp(step.input["due"])}
    return step.input


def event_document(number: int, event: AnyEvent) -> dict[str, JSON]:
    """`{seq, at, type, path, ...}`; `path` is null for what concerns the whole run. `seq` counts from 1."""
    fields: dict[str, JSON] = msgspec.to_builtins(event)
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


def show_document(
    row: RunRow,
    steps: Iterable[StepView],
    events: Iterable[AnyEvent],
    said: Feedback | None = None,
    standing: QueuePosition | None = None,
    stalled_since: float | None = None,
) -> dict[str, JSON]:
    """`standing`: what the run waits for in line, if it does."""
    more = {
        "input": row.input,
        "output": row.output,
        "event": row.event,
        "feedback": None if said is None else said.to_json(),
        "waits_for": None if standing is None else standing.reason or None,
    }
    return {
        "run": {**run_document(row, stalled_since), **more},
        "steps": [step_document(step) for step in steps],
        "events": [event_document(number, event) for number, event in enumerate(events, start=1)],
    }
