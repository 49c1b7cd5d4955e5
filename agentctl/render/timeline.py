"""`show` for people: a header, then one line per step with a bar for its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentctl.ports import RunRow
from agentctl.render.history import stalled_line, took
from agentctl.render.text import (
    ago,
    cells,
    clock,
    compact,
    cut,
    error_line,
    indented,
    pad,
    seconds,
    size,
    style,
    summary,
    symbol,
    usage_text,
    visible,
)
from agentctl.views.run import RunView, input_document
from agentctl.views.steps import StepView, tree_order

if TYPE_CHECKING:
    from rich.text import Text

BAR = 28  # columns of the bar
PATHS = 34  # columns of the path at most
_EIGHTHS = " ▏▎▍▌▋▊▉█"

Line = tuple[tuple[str, str], ...]  # (text, style) pieces


def header(row: RunRow, now: float) -> list[Line]:
    """Return the facts about the run, one per line."""
    length = took(row, now)
    begun = "not yet" if row.started_at is None else clock(row.started_at)
    facts = [
        ("run", row.id, ""),
        (row.kind, visible(row.name), "bold"),
        ("status", f"{symbol(row.status)} {row.status}", style(row.status)),
        ("started", begun + (f", took {length}" if length else ""), ""),
        ("trigger", row.trigger, ""),
    ]
    if row.parent is not None:
        facts.append(("parent", visible(f"{row.parent.run_id} at {row.parent.path}"), ""))
    facts.append(("steps", f"{row.steps_done} of {row.steps_total}", ""))
    if row.usage is not None:
        facts.append(("used", usage_text(row.usage), ""))
    if row.wake_at is not None and row.status == "waiting":
        facts.append(("wakes", f"{clock(row.wake_at)} ({ago(row.wake_at, now)})", ""))
    if row.input:
        facts.append(("input", summary(row.input, 200), ""))
    return [((f"{name:<9}", "dim"), (text, mark)) for name, text, mark in facts if text]


def timeline(row: RunRow, steps: Sequence[StepView], now: float, *, width: int = 120, inputs: bool = False) -> list[Line]:
    """Return one line per step in tree order, with the error below a failed one; `inputs`: with evaluated parameters."""
    begin, end = span(row, steps, now)
    by_path = {step.path: step for step in steps}
    ordered = tree_order(by_path)
    names = {path: "  " * depth + visible(label) for depth, path, label in ordered}
    column = min(PATHS, max((cells(name) for name in names.values()), default=0))
    lines: list[Line] = []
    for _, path, _ in ordered:
        step = by_path[path]
        lines.append(_step_line(step, pad(cut(names[path], column), column), begin, end, now, width))
        if inputs:
            lines.extend(_input_lines(input_document(step)))
        if step.error is not None and step.status in ("failed", "recovered", "retrying", "cancelled", "unknown"):
            lines.append(((" " * 4 + error_line(step.error, width - 4), style("failed") if step.status == "failed" else "dim"),))
    return lines


def span(row: RunRow, steps: Sequence[StepView], now: float) -> tuple[float, float]:
    """Return the time that the bars cover: from the first start to the last end, or to now."""
    starts = [step.started_at for step in steps if step.started_at is not None]
    ends = [_end(step, now) for step in steps if step.started_at is not None]
    begin = min(starts, default=row.started_at or row.created_at)
    return begin, max(ends, default=begin)


def bar(start: float, stop: float, begin: float, end: float, width: int = BAR) -> str:
    """Draw a bar from start to stop in `width` columns for begin..end; even an instant leaves a mark."""
    length = max(end - begin, 1e-9)
    first = min(int((start - begin) / length * width), width - 1)
    eighths = round((stop - start) / length * width * 8)
    full, rest = divmod(min(max(eighths, 1), (width - first) * 8), 8)
    return pad(" " * first + "█" * full + (_EIGHTHS[rest] if rest else ""), width)


def _end(step: StepView, now: float) -> float:
    return now if step.finished_at is None else step.finished_at


def _step_line(step: StepView, name: str, begin: float, end: float, now: float, width: int) -> Line:
    mark = style(step.status)
    if step.started_at is None:
        drawn, length = " " * BAR, ""
    else:
        drawn = bar(step.started_at, _end(step, now), begin, end)
        length = seconds(_end(step, now) - step.started_at)
    notes = remarks(step)
    left = f"{name}  {step.action:<8}  "
    room = max(width - cells(left) - BAR - 14, 10)
    return (
        (f"{symbol(step.status)} ", mark),
        (left, ""),
        (drawn, mark),
        (f"  {length:>8}", ""),
        (f"  {cut(notes, room)}" if notes else "", "dim"),
    )


def _input_lines(given: Any) -> list[Line]:
    """Return one parameter per line, `name: value`; texts of several lines are indented."""
    if not isinstance(given, dict):
        return [] if given is None else [(("      ", ""), (indented(given), "dim"))]
    lines: list[Line] = []
    for name, value in given.items():
        text = visible(value, lines=True) if isinstance(value, str) else compact(value)
        first, *more = text.rstrip("\n").split("\n")
        lines.append(((f"      {visible(name)}: ", "dim"), (first, "")))
        lines.extend(((f"        {line}", ""),) for line in more)
    return lines


def remarks(step: StepView) -> str:
    """Return what a bar does not show: an unusual status, attempts, usage, the child run, the output."""
    notes = []
    if step.waits_for is not None:
        notes.append(f"waits for the result of {visible(step.waits_for)}")
    elif step.source is not None:
        notes.append(f"reused from {visible(step.source)}")
    elif step.status not in ("succeeded", "failed", "running", "pending"):
        notes.append(status_in_words(step))
    if step.attempts > 1:
        notes.append(size(step.attempts, "attempt"))
    if used := usage_text(step.usage):
        notes.append(used)
    if step.child is not None:
        notes.append(f"run {step.child}")
    if step.error is None and (output := summary(step.output, 120)):
        notes.append(output)
    return "  ".join(notes)


def status_in_words(step: StepView) -> str:
    """Return the status in words; for a wait, also its target: `waiting for run 6lp5h48ldzzr`."""
    given = step.input
    if step.status != "waiting" or step.action != "wait" or not isinstance(given, dict):
        return step.status.replace("_", " ")
    if "run" in given:
        return f"waiting for run {visible(given['run'])}"
    if "event" in given:
        return f"waiting for event {visible(given['event'])}"
    return f"waiting until {clock(given['due'])}"


def ending(row: RunRow) -> list[Line]:
    """Return the run's error, or its output in one line."""
    if row.error is not None:
        where = f"at {visible(row.error.step)}: " if row.error.step else ""
        return [(("error    ", "dim"), (where + error_line(row.error, 400), "red"))]
    if row.output is not None:
        return [(("output   ", "dim"), (summary(row.output, 400), ""))]
    return []


def show_lines(shown: RunView, now: float, *, width: int = 120, inputs: bool = False) -> list[Line]:
    """Return the whole page of `show`: header, timeline, result."""
    row = shown.row
    parts = [header(row, now), timeline(row, shown.steps, now, width=width, inputs=inputs), ending(row)]
    lines: list[Line] = []
    for part in parts:
        if part:
            lines.extend([((("", ""),)), *part] if lines else part)
    return lines


def remark_lines(shown: RunView, now: float, resume: str) -> list[str]:
    """Return what else is worth a line: its place in the queue, a stall, feedback. `resume`: the command that resumes the run."""
    lines = []
    if shown.position is not None and shown.position.reason:
        lines.append(shown.position.reason)
    if shown.stalled_since is not None:
        lines.append(stalled_line(shown.row, shown.stalled_since, now, resume))
    for one in shown.feedback:
        author, note = f" by {visible(one.by)}" if one.by else "", f": {visible(one.note)}" if one.note else ""
        lines.append(f"feedback {one.verdict}{author}{note}")
    return lines


def plain(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def coloured(lines: Sequence[Line], *, fold: bool = False) -> Text:
    """Build the text for a terminal. Long lines are cut off, or folded with `fold`."""
    from rich.text import Text

    text = Text(no_wrap=not fold, overflow="fold" if fold else "ellipsis")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for piece, mark in line:
            text.append(piece, mark or None)
    return text
