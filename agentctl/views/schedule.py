"""Schedules: settings, past slots with their outcome, and slots to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from agentctl import JSON
from agentctl.core.timestamps import rfc3339
from agentctl.ports import SlotRow
from agentctl.triggers.describe import in_words
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import start
from agentctl.views.runs import timestamp


class ScheduleView(msgspec.Struct, frozen=True):
    """One schedule of the definition in `file`.

    `slots`: slots to come, in time order.
    `past`: settled slots, in time order.
    `paused_at`: since when its definition is paused.
    """

    file: str
    schedule: Schedule
    slots: Sequence[float]
    past: Sequence[SlotRow] = ()
    paused_at: float | None = None


def schedule_document(shown: ScheduleView) -> dict[str, JSON]:
    """One entry of `schedule --json`.

    `slot`, `at`, `starts_at` and `paused_at` are in UTC, `local` is in the schedule's zone, `jitter` in seconds.
    """
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
        "paused_at": timestamp(shown.paused_at),
        "past": [{**_slot(row.slot, zone), **_outcome(row)} for row in shown.past],
        "next": [{**_slot(slot, zone), "starts_at": rfc3339(start(schedule, slot))} for slot in shown.slots],
    }


def backfill_document(slots: Sequence[tuple[Schedule, float, SlotRow | None]]) -> list[JSON]:
    """The document of `schedule backfill --json`; `outcome` is null for a slot without a record."""
    return [
        {
            "schedule": schedule.text,
            **_slot(slot, ZoneInfo(schedule.timezone)),
            **(_outcome(row) if row is not None else {"outcome": None, "reason": "", "run_id": None, "at": None}),
        }
        for schedule, slot, row in slots
    ]


def _slot(slot: float, zone: tzinfo) -> dict[str, JSON]:
    return {"slot": rfc3339(slot), "local": datetime.fromtimestamp(slot, zone).isoformat(timespec="milliseconds")}


def _outcome(row: SlotRow) -> dict[str, JSON]:
    return {"outcome": row.outcome, "reason": row.reason, "run_id": row.run_id, "at": rfc3339(row.at)}
