"""Schedules for people and as documents: what they mean, what became of their slots, and when they are due next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from agentctl import JSON
from agentctl.core.timestamps import rfc3339
from agentctl.ports import SlotRow
from agentctl.render.text import ago, clock, columns, visible
from agentctl.render.timeline import Line
from agentctl.triggers.describe import in_words, manners
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import start

NONE = 'No loop of this project has a schedule. `triggers: [{cron: "*/30 * * * *"}]` in a definition gives it one.'


class Shown(msgspec.Struct, frozen=True):
    """One schedule of the definition in `file`, with slots to come and slots of the past, both in the order of time.

    `paused_at`: since when its definition is paused.
    """

    file: str
    schedule: Schedule
    slots: Sequence[float]
    past: Sequence[SlotRow] = ()
    paused_at: float | None = None


def schedule_document(shown: Shown) -> dict[str, JSON]:
    """`slot`, `at`, `starts_at` and `paused_at` are UTC, `local` is in the schedule's own zone; jitter in seconds. Both lists are
    in the order of time."""
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
        "paused_at": None if shown.paused_at is None else rfc3339(shown.paused_at),
        "past": [{**_slot(row.slot, zone), **_became(row)} for row in shown.past],
        "next": [{**_slot(slot, zone), "starts_at": rfc3339(start(schedule, slot))} for slot in shown.slots],
    }


def backfill_document(slots: Sequence[tuple[Schedule, float, SlotRow | None]]) -> list[JSON]:
    """The slots of a backfill, with what has become of them; `outcome` is null where nothing has."""
    return [
        {
            "schedule": schedule.text,
            **_slot(slot, ZoneInfo(schedule.timezone)),
            **(_became(row) if row is not None else {"outcome": None, "reason": "", "run_id": None, "at": None}),
        }
        for schedule, slot, row in slots
    ]


def format_backfill(slots: Sequence[tuple[Schedule, float, SlotRow | None]]) -> str:
    """A line a slot, in this host's time."""
    return columns(
        [
            (schedule.text, _clock(datetime.fromtimestamp(slot).astimezone()), "nothing recorded" if row is None else _told(row))
            for schedule, slot, row in slots
        ]
    )


def _slot(slot: float, zone: tzinfo) -> dict[str, JSON]:
    return {"slot": rfc3339(slot), "local": datetime.fromtimestamp(slot, zone).isoformat(timespec="milliseconds")}


def _became(row: SlotRow) -> dict[str, JSON]:
    return {"outcome": row.outcome, "reason": row.reason, "run_id": row.run_id, "at": rfc3339(row.at)}


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
        if one.paused_at is not None:
            since = f"{clock(one.paused_at)} ({ago(one.paused_at, now)})"
            lines.append(((f"  paused since {since}: its slots are skipped", "yellow"),))
        times = _times(one, now)
        lines.extend(((f"    {text}", "dim"),) for text in times[: len(one.past)])
        lines.extend(((f"    {text}", ""),) for text in times[len(one.past) :])
        if not one.slots:
            lines.append((("    never comes true", ""),))
    return lines


def _times(shown: Shown, now: float) -> list[str]:
    """Each slot, past and to come, by this host's clock, by UTC and by the schedule's own; a clock that shows the same as
    another is left out."""
    zone = ZoneInfo(shown.schedule.timezone) if shown.schedule.kind == "cron" else UTC
    moments = [*(row.slot for row in shown.past), *shown.slots]
    clocks = [
        [datetime.fromtimestamp(moment).astimezone() for moment in moments],
        [datetime.fromtimestamp(moment, UTC) for moment in moments],
        [datetime.fromtimestamp(moment, zone) for moment in moments],
    ]
    different = {tuple(moment.replace(tzinfo=None, fold=0) for moment in clock): clock for clock in reversed(clocks)}
    kept = [clock for clock in clocks if any(clock is one for one in different.values())]
    said = [*map(_told, shown.past), *(ago(start(shown.schedule, slot), now) for slot in shown.slots)]
    return columns([(*map(_clock, row), words) for *row, words in zip(*kept, said, strict=True)]).splitlines()


def _told(row: SlotRow) -> str:
    """What became of a slot, in words."""
    if row.run_id is None:
        return f"{row.outcome}: {visible(row.reason)}"
    return f"{row.outcome}: run {row.run_id}" + (f" ({visible(row.reason)})" if row.reason else "")


def _clock(moment: datetime) -> str:
    """`Mon 2026-11-23 16:30:00 CET`, with milliseconds where there are any."""
    part = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%a %Y-%m-%d %H:%M:%S}{part} {moment:%Z}"
