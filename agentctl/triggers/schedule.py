"""A `cron` or `every` trigger of a definition, read (docs/language.md, Triggers)."""

from __future__ import annotations

from typing import Literal

import msgspec

from agentctl.expressions.duration import parse_duration
from agentctl.model import Definition, Trigger
from agentctl.spec.triggers import ScheduleSettings

Kind = Literal["cron", "every"]
CatchUp = Literal["none", "latest", "all"]
Overlap = Literal["queue", "skip", "cancel_running"]
Gap = Literal["next", "skip"]
Fold = Literal["once", "twice"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule of the definition `name`. Times in seconds.

    `text`: the trigger as written, blanks made one.  `period`: of `every`, 0 for cron.  `limit`: how many missed slots
    `catch_up: all` makes up for at most.  `jitter`: how much later than its slot a run starts at most.
    """

    name: str
    kind: Kind
    text: str
    period: float = 0.0
    timezone: str = "UTC"
    catch_up: CatchUp = "latest"
    limit: int = 100
    jitter: float = 0.0
    overlap: Overlap = "queue"
    gap: Gap = "next"
    fold: Fold = "once"

    @property
    def key(self) -> str:
        """What a slot belongs to: the same for as long as the slots are, whatever else about the trigger is edited.

        Two triggers of one definition with the same key are one schedule: a slot fires once.
        """
        return f"every {self.period:.15g}s" if self.kind == "every" else f"cron {self.text} {self.timezone}"


def schedules(definition: Definition, timezone: str) -> tuple[Schedule, ...]:
    """The schedules among a definition's triggers, in the order written, each key once. `timezone`: the project's, for a trigger
    that names none."""
    found: dict[str, Schedule] = {}
    for trigger in definition.triggers:
        if trigger.kind in ("cron", "every"):
            schedule = _schedule(definition.name, trigger, timezone)
            found.setdefault(schedule.key, schedule)
    return tuple(found.values())


def _schedule(name: str, trigger: Trigger, timezone: str) -> Schedule:
    kind: Kind = "cron" if trigger.kind == "cron" else "every"
    text = " ".join(trigger.what.split())
    settings = msgspec.convert(trigger.settings, ScheduleSettings)
    return Schedule(
        name=name,
        kind=kind,
        text=text,
        period=parse_duration(text) if kind == "every" else 0.0,
        timezone=settings.timezone or timezone,
        catch_up=settings.catch_up,
        limit=settings.max,
        jitter=parse_duration(settings.jitter),
        overlap=settings.overlap,
        gap=settings.dst.gap,
        fold=settings.dst.fold,
    )
