"""The JSON documents of LANGUAGE section 10: runs, steps and events as plain mappings, times in RFC 3339."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from agentctl.core.events import AnyEvent, Error, Usage
from agentctl.ports import RunRow
from agentctl.render.text import milliseconds, timestamp

if TYPE_CHECKING:
    from agentctl.core.resume import Intent
    from agentctl.render.journal import StepView

JSON = Any

_TIMES = ("at", "due", "scheduled_at")  # the keys of events that hold epoch seconds


def usage_document(usage: Usage | None) -> JSON:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "model": usage.model,
    }


def error_document(error: Error | None) -> JSON:
    return None if error is None else error.to_json()


def run_document(row: RunRow) -> dict[str, JSON]:
    """One run as in `history --json`. `parent` is `{run_id, path}` of the step that started it."""
    return {
        "run_id": row.id,
        "loop": row.name,
        "kind": row.kind,
        "version": row.version,
        "status": row.status,
        "trigger": row.trigger,
        "parent": None if row.parent is None else {"run_id": row.parent.run_id, "path": row.parent.path},
        "created_at": timestamp(row.created_at),
        "started_at": timestamp(row.started_at),
        "finished_at": timestamp(row.finished_at),
        "duration_ms": milliseconds(row.started_at, row.finished_at),
        "steps_done": row.steps_done,
        "steps_total": row.steps_total,
        "usage": usage_document(row.usage),
        "error": error_document(row.error),
    }


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
        "output": step.output,
        "error": error_document(step.error),
        "started_at": timestamp(step.started_at),
        "finished_at": timestamp(step.finished_at),
        "usage": usage_document(step.usage),
    }


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


def show_document(row: RunRow, steps: Iterable[StepView], events: Iterable[AnyEvent]) -> dict[str, JSON]:
    return {
        "run": {**run_document(row), "input": row.input, "output": row.output, "event": row.event},
        "steps": [step_document(step) for step in steps],
        "events": [event_document(number, event) for number, event in enumerate(events, start=1)],
    }
