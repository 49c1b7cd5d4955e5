"""`run` and `resume` while they drive: one plain line per event, or a live picture of the steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentctl.core.events import (
    AnyEvent,
    BlockFinished,
    OutcomeUnknown,
    RetryScheduled,
    RunFinished,
    RunRecovered,
    StepCancelled,
    StepFailed,
    StepResolved,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from agentctl.ports import QueuePosition
from agentctl.render.text import cells, clock, cut, error_line, pad, seconds, size, style, summary, symbol, usage_text, visible
from agentctl.render.timeline import Line, status_in_words
from agentctl.views.steps import JournalView, StepView, is_undo, tree_order

_SHOWN_AS = {"running": 0, "retrying": 0, "waiting": 0, "unknown": 0, "failed": 1}  # the rest: 2, the first to be left out


def progress_lines(view: JournalView, events: Iterable[AnyEvent]) -> list[str]:
    """Return the lines about these events, already applied to `view`; each line begins with the run's name."""
    name = visible(view.name)
    return [f"{name}  {text}" for event in events if (text := _line(view, event))]


def _line(view: JournalView, event: AnyEvent) -> str:
    match event:
        case StepSucceeded():
            return _ended(view.step(event.path), event.status)
        case StepFailed():
            return f"{_ended(view.step(event.path), 'failed')}  {error_line(event.error)}"
        case StepSkipped():
            return f"{symbol('skipped')} {visible(event.path)}  skipped"
        case StepCancelled():
            return f"{symbol('cancelled')} {visible(event.path)}  cancelled"
        case RetryScheduled():
            pause = seconds(event.due - event.at)
            return f"{symbol('retrying')} {visible(event.path)}  attempt {event.attempt} in {pause}  {error_line(event.error)}"
        case OutcomeUnknown():
            return f"{symbol('unknown')} {visible(event.path)}  in doubt: {error_line(event.error)}"
        case StepResolved():
            by = f" by {visible(event.by)}" if event.by else ""
            return f"{symbol('unknown')} {visible(event.path)}  looked up{by}: {event.verdict}"
        case BlockFinished() if event.error is not None and is_undo(event.path):
            undone = visible(event.path.rpartition(".undo")[0])
            return f"{symbol('failed')} {undone}  NOT UNDONE, what it did still stands: {error_line(event.error)}"
        case StepStarted() if event.child is not None:
            return f"{symbol('running')} {visible(event.path)}  run {event.child}"
        case StepStarted():
            return _line_of_awaited_run(view.step(event.path))
        case RunRecovered():
            return f"{symbol('interrupted')} continues where it was interrupted"
        case RunFinished():
            length = "" if view.started_at is None else f" in {seconds(event.at - view.started_at)}"
            return f"{symbol(event.status)} {event.status}{length}"
    return ""


def line_of_result(view: JournalView, path: str, holder: str) -> str:
    """Return the line about a step that waits for the result of another step with its key."""
    return f"{visible(view.name)}  {symbol('waiting')} {visible(path)}  waits for the result of {visible(holder)}"


def lines_of_awaited_runs(view: JournalView) -> list[str]:
    """Return the lines about steps that wait for the end of another run, for a run that was started before."""
    name = visible(view.name)
    return [f"{name}  {line}" for step in view.steps.values() if (line := _line_of_awaited_run(step))]


def _line_of_awaited_run(step: StepView) -> str:
    awaited = step.status == "waiting" and step.action == "wait" and isinstance(step.input, dict) and "run" in step.input
    return f"{symbol('waiting')} {visible(step.path)}  {status_in_words(step)}" if awaited else ""


def line_of_position(name: str, position: QueuePosition) -> str:
    """Return the line about a run that waits in the queue."""
    until = "" if position.until is None else f" (until {clock(position.until)})"
    return f"{visible(name)}  {symbol('queued')} {visible(position.reason)}{until}"


def _ended(step: StepView, status: str) -> str:
    parts = [f"{symbol(status)} {visible(step.path)}"]
    if status not in ("succeeded", "failed"):
        parts.append(f"{status} from {visible(step.source)}" if step.source else status)
    if step.started_at is not None and step.finished_at is not None:
        parts.append(seconds(step.finished_at - step.started_at))
    if step.attempts > 1:
        parts.append(size(step.attempts, "attempt"))
    if used := usage_text(step.usage):
        parts.append(used)
    return "  ".join(parts)


def waiting_line(name: str, wake_at: float, now: float) -> str:
    """Return the line about a run that only waits for a time."""
    return f"{visible(name)}  {symbol('waiting')} waiting until {clock(wake_at)} (in {seconds(wake_at - now)})"


# --- the live picture ----------------------------------------------------------------------------------------------


def picture(views: Sequence[JournalView], now: float, *, width: int, height: int) -> list[Line]:
    """Draw every driven run with its steps in at most `height` lines: active and failed steps before finished ones."""
    left = max(height - len(views) * 2, 4)
    share = max(left // len(views), 3)
    rooms = [min(len(view.steps), share) for view in views]
    rooms[0] = max(left - sum(rooms[1:]), share)  # the requested run gets what its children leave
    lines: list[Line] = []
    for view, room in zip(views, rooms, strict=True):
        lines.append(_title(view, now))
        shown, hidden = _choose(view, room)
        for depth, path, label in tree_order(shown):
            lines.append(_step_line(view.steps[path], "  " * (depth + 1), label, now, width))
        if hidden:
            lines.append(((f"    … {size(hidden, 'more step')}, none active", "dim"),))
    return lines


def _title(view: JournalView, now: float) -> Line:
    length = "" if view.started_at is None else seconds((view.finished_at or now) - view.started_at)
    return (
        (f"{symbol(view.status)} ", style(view.status)),
        (visible(view.name), "bold"),
        (f"  {view.run_id}  {view.status}  {length}", "dim"),
    )


def _choose(view: JournalView, room: int) -> tuple[list[str], int]:
    """Return the paths to draw, in order, and how many were left out."""
    steps = view.steps
    if len(steps) <= room:
        return list(steps), 0
    ranked = sorted(
        steps.values(), key=lambda step: (_SHOWN_AS.get(step.status, 2), -(step.finished_at or step.started_at or 0.0))
    )
    kept = {step.path for step in ranked[:room]}
    return [path for path in steps if path in kept], len(steps) - len(kept)


def _step_line(step: StepView, indent: str, label: str, now: float, width: int) -> Line:
    left = pad(cut(f"{indent}{visible(label)}", 40), 24)
    notes = cut(_notes(step, now), max(width - cells(left) - 16, 10))
    return (
        (f"{symbol(step.status)} ", style(step.status)),
        (left, "" if step.status != "pending" else "dim"),
        (f" {_elapsed(step, now):>8} ", ""),
        (f" {notes}" if notes else "", "dim"),
    )


def _elapsed(step: StepView, now: float) -> str:
    return "" if step.started_at is None else seconds((step.finished_at or now) - step.started_at)


def _notes(step: StepView, now: float) -> str:
    """Return attempt, countdown and tokens, then the error or the first line of the output."""
    notes = []
    if step.status == "retrying" and step.due is not None:
        notes.append(f"attempt {step.attempts + 1} in {seconds(max(step.due - now, 0.0))}")
    elif step.attempts > 1:
        notes.append(f"attempt {step.attempts}")
    if step.waits_for is not None:
        notes.append(f"waits for the result of {visible(step.waits_for)}")
    elif step.source is not None:
        notes.append(f"reused from {visible(step.source)}")
    elif step.status in ("recovered", "reused", "unknown", "skipped", "cancelled", "waiting", "not_run"):
        notes.append(status_in_words(step))
    if used := usage_text(step.usage):
        notes.append(used)
    if step.error is not None and step.status in ("failed", "retrying", "unknown"):
        notes.append(error_line(step.error))
    elif step.status not in ("pending", "failed") and (output := summary(step.output)):
        notes.append(output)
    return "  ".join(notes)
