"""Schedules as lines: their meaning, the outcome of past slots, and the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from agentctl.ports import SlotRow
from agentctl.render.text import ago, clock, columns, visible
from agentctl.render.timeline import Line
from agentctl.triggers.describe import in_words, manners
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import start
from agentctl.views.schedule import ScheduleView

NONE = 'No loop of this project has a schedule. `triggers: [{cron: "*/30 * * * *"}]` in a definition gives it one.'


def format_backfill(slots: Sequence[tuple[Schedule, float, SlotRow | None]]) -> str:
    """Return one line per slot, in local time."""
    return columns(
        [
            (schedule.text, _clock(datetime.fromtimestamp(slot).astimezone()), _outcome(row))
            for schedule, slot, row in slots
        ]
    )


def schedule_lines(shown: Sequence[ScheduleView], now: float) -> list[Line]:
    """Return a block per schedule: its description, then one line per slot in each relevant zone."""
    lines: list[Line] = []
    for one in shown:
        if lines:
            lines.append(())
        schedule = one.schedule
        lines.append(((visible(schedule.name), "bold"), (f"  {in_words(schedule)}", ""), (f"  {visible(one.file)}", "dim")))
        lines.append(((f"  {schedule.kind}: {schedule.text}", "dim"),))
        lines.extend(((f"  {text}", ""),) for text in manners(schedule))
        if one.paused_at is not None:
            since = f"{clock(one.paused_at)} ({ago(one.paused_at, now)})"
            lines.append(((f"  paused since {since}: its slots are skipped", "yellow"),))
        times = _times(one, now)
        lines.extend(((f"    {text}", "dim"),) for text in times[: len(one.past)])
        lines.extend(((f"    {text}", ""),) for text in times[len(one.past) :])
        if not one.slots:
            lines.append((("    never matches", ""),))
    return lines


def _times(shown: ScheduleView, now: float) -> list[str]:
    """Return each slot in local time, UTC and the schedule's zone. A zone that shows the same times as another is left out."""
    zone = ZoneInfo(shown.schedule.timezone) if shown.schedule.kind == "cron" else UTC
    moments = [*(row.slot for row in shown.past), *shown.slots]
    clocks = [
        [datetime.fromtimestamp(moment).astimezone() for moment in moments],
        [datetime.fromtimestamp(moment, UTC) for moment in moments],
        [datetime.fromtimestamp(moment, zone) for moment in moments],
    ]
    different = {tuple(moment.replace(tzinfo=None, fold=0) for moment in clock): clock for clock in reversed(clocks)}
    kept = [clock for clock in clocks if any(clock is one for one in different.values())]
    remarks = [*map(_outcome, shown.past), *(ago(start(shown.schedule, slot), now) for slot in shown.slots)]
    return columns([(*map(_clock, row), words) for *row, words in zip(*kept, remarks, strict=True)]).splitlines()


def _outcome(row: SlotRow | None) -> str:
    """Describe the outcome of a slot. None: nothing is recorded about it."""
    if row is None:
        return "nothing recorded"
    if row.run_id is None:
        return f"{row.outcome}: {visible(row.reason)}"
    return f"{row.outcome}: run {row.run_id}" + (f" ({visible(row.reason)})" if row.reason else "")


def _clock(moment: datetime) -> str:
    """`Mon 2026-11-23 16:30:00 CET`, with milliseconds where there are any."""
    part = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%a %Y-%m-%d %H:%M:%S}{part} {moment:%Z}"
