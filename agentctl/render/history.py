"""`history` for people: a table on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentctl.ports import FINISHED, RunRow
from agentctl.render.text import (
    SHORT_ID,
    ago,
    cells,
    clock,
    columns,
    cut,
    error_line,
    seconds,
    style,
    symbol,
    usage_text,
    visible,
)

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("run", "name", "status", "trigger", "started", "took", "steps", "used", "error")
EMPTY = "No runs yet. `agentctl run FILE` makes the first one."
_LEAST_ERROR = 24  # the least useful width of the error column
_LEAST_NAME = 10
_DISPENSABLE = ("trigger", "used", "steps")  # on a narrow terminal; `agentctl show` has them
NONE = "No runs like that."
NO_REASONS: Mapping[str, str] = MappingProxyType({})


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the shortest prefixes, of one length and at least eight characters, that distinguish these runs."""
    length = SHORT_ID
    while len({run_id[:length] for run_id in ids}) < len(set(ids)):
        length += 1
    return {run_id: run_id[:length] for run_id in ids}


def cells_of(row: RunRow, short: str, now: float, reason: str = "") -> tuple[str, ...]:
    """Return one run as the texts of COLUMNS. `reason`: why it waits in the queue."""
    begun = row.started_at or row.created_at
    return (
        short,
        visible(row.name),
        f"{symbol(row.status)} {row.status}",
        visible(row.trigger),
        f"{clock(begun)} ({ago(begun, now)})",
        took(row, now),
        f"{row.steps_done}/{row.steps_total}",
        usage_text(row.usage),
        visible(reason) if row.error is None else error_line(row.error),
    )


def took(row: RunRow, now: float) -> str:
    """Return the time from start to end, or so far; nothing for a run that no process drives."""
    if row.started_at is None:
        return ""
    if row.status in FINISHED and row.finished_at is not None:
        return seconds(row.finished_at - row.started_at)
    return f"{seconds(now - row.started_at)}…" if row.status in ("running", "waiting", "blocked") else ""


def stalled(since: float, now: float) -> str:
    """Return the reason column of a run that makes no progress."""
    return f"stalled for {seconds(now - since)}"


def stalled_line(row: RunRow, since: float, now: float, resume: str) -> str:
    """Return a sentence about a run that makes no progress. `resume`: the command that resumes it."""
    idle = f"no process is driving it; continue it with agentctl serve or {resume}"
    why = "its steps report nothing" if row.status == "running" else idle
    return f"{stalled(since, now)}, since {clock(since)}: {why}"


def format_history(rows: Sequence[RunRow], now: float, reasons: Mapping[str, str] = NO_REASONS) -> str:
    """Return plain aligned lines, readable without colour, with full ids for scripts."""
    return columns([COLUMNS, *(cells_of(row, row.id, now, reasons.get(row.id, "")) for row in rows)])


def history_table(rows: Sequence[RunRow], now: float, reasons: Mapping[str, str] = NO_REASONS, *, width: int) -> Table:
    """Return a table for a terminal of `width` columns: short ids, no empty columns, the error in the remaining width."""
    from rich.table import Table
    from rich.text import Text

    short = short_ids([row.id for row in rows])
    lines = [cells_of(row, short[row.id], now, reasons.get(row.id, "")) for row in rows]
    if _needed(lines) + _LEAST_ERROR > width:
        lines = [_without_date(line, row, now) for line, row in zip(lines, rows, strict=True)]
    lines = _fitted(lines, width)
    kept = [column for column in range(len(COLUMNS)) if any(line[column] for line in lines)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in kept:
        table.add_column(COLUMNS[column], no_wrap=True, min_width=max(cells(line[column]) for line in lines))
    for row, line in zip(rows, lines, strict=True):
        styles = {"status": style(row.status), "error": "dim" if row.error is None else "red"}
        table.add_row(*(Text(line[column], styles.get(COLUMNS[column], "")) for column in kept))
    return table


def _without_date(line: tuple[str, ...], row: RunRow, now: float) -> tuple[str, ...]:
    return _with(line, "started", ago(row.started_at or row.created_at, now))


def _fitted(lines: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Fit the lines into `width` columns: leave out what matters least, shorten the names, cut the errors."""
    least = _LEAST_ERROR if any(line[-1] for line in lines) else 0
    for name in _DISPENSABLE:
        if _needed(lines) + least <= width:
            break
        lines = [_with(line, name, "") for line in lines]
    longest = max(cells(line[COLUMNS.index("name")]) for line in lines)
    room = max(longest - max(_needed(lines) + least - width, 0), _LEAST_NAME)
    lines = [_with(line, "name", cut(line[COLUMNS.index("name")], room)) for line in lines]
    return [_with(line, "error", cut(line[-1], max(width - _needed(lines), least))) for line in lines]


def _with(line: tuple[str, ...], column: str, text: str) -> tuple[str, ...]:
    number = COLUMNS.index(column)
    return (*line[:number], text, *line[number + 1 :])


def _needed(lines: Sequence[Sequence[str]]) -> int:
    """Return the width of all columns but the error."""
    widths = [max(cells(line[column]) for line in lines) for column in range(len(COLUMNS) - 1)]
    return sum(max(width, len(name)) + 2 for width, name in zip(widths, COLUMNS, strict=False) if width)
