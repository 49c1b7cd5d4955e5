"""Schedules for people and as documents: what they mean, and when they are due next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from agentctl.core.instant import rfc3339
from agentctl.model import JSON
from agentctl.render.text import ago, columns, visible
from agentctl.render.timeline import Line
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import start
from agentctl.triggers.words import in_words, manners

NONE = 'No loop of this project has a schedule. `triggers: [{cron: "*/30 * * * *"}]` in a definition gives it one.'


class Shown(msgspec.Struct, frozen=True):
    """One schedule of the definition in `file`, with slots in the order of time."""

    file: str
    schedule: Schedule
    slots: Sequence[float]


def schedule_document(shown: Shown) -> dict[str, JSON]:
    """`slot` and `starts_at` are UTC, `local` is in the schedule's own zone; jitter in seconds."""
    schedule = shown.schedule
    zone = ZoneInfo(schedule.timezone)
    return {
        "loop": schedule.name,
        "file": shown.file,
        "trigger": schedule.kind,
        "schedule": schedule.text,
        "timezone": schedule.timezone,
        "words": in_words(schedule),
        "catch_up": schedule.catch_up,
        "max": schedule.limit,
        "jitter": schedule.jitter,
        "overlap": schedule.overlap,
        "dst": {"gap": schedule.gap, "fold": schedule.fold},
        "next": [
            {
                "slot": rfc3339(slot),
                "local": datetime.fromtimestamp(slot, zone).isoformat(timespec="milliseconds"),
                "starts_at": rfc3339(start(schedule, slot)),
            }
            for slot in shown.slots
        ],
    }


def schedule_lines(shown: Sequence[Shown], now: float) -> list[Line]:
    """A block for each schedule: its words, then a line for each slot in the zones that matter."""
    lines: list[Line] = []
    for one in shown:
        if lines:
            lines.append(())
        schedule = one.schedule
        lines.append(((visible(schedule.name), "bold"), (f"  {in_words(schedule)}", ""), (f"  {visible(one.file)}", "dim")))
        lines.append(((f"  {schedule.kind}: {schedule.text}", "dim"),))
        lines.extend(((f"  {said}", ""),) for said in manners(schedule))
        lines.extend(((f"    {text}", ""),) for text in _times(one, now) or ["never comes true"])
    return lines


def _times(shown: Shown, now: float) -> list[str]:
    """Each slot by this host's clock, by UTC and by the schedule's own; a clock that shows the same as another is left out."""
    zone = ZoneInfo(shown.schedule.timezone) if shown.schedule.kind == "cron" else UTC
    clocks = [
        [datetime.fromtimestamp(slot).astimezone() for slot in shown.slots],
        [datetime.fromtimestamp(slot, UTC) for slot in shown.slots],
        [datetime.fromtimestamp(slot, zone) for slot in shown.slots],
    ]
    different = {tuple(moment.replace(tzinfo=None, fold=0) for moment in clock): clock for clock in reversed(clocks)}
    kept = [clock for clock in clocks if any(clock is one for one in different.values())]
    starts = [ago(start(shown.schedule, slot), now) for slot in shown.slots]
    return columns([(*map(_clock, row), begins) for *row, begins in zip(*kept, starts, strict=True)]).splitlines()


def _clock(moment: datetime) -> str:
    """`Mon 2026-11-23 16:30:00 CET`, with milliseconds where there are any."""
    part = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%a %Y-%m-%d %H:%M:%S}{part} {moment:%Z}"
