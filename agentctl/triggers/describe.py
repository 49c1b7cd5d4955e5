"""A schedule in English: `every 30 minutes`, `at 09:00, Monday through Friday, in UTC`."""

from __future__ import annotations

import re
from functools import lru_cache

from agentctl.expressions.duration import format_duration
from agentctl.triggers.cron import resolved
from agentctl.triggers.schedule import Schedule

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_ANY = ("*", "?")
# Of each field: how many values it has, and the first of them.
_VALUES = ((60, "0"), (24, "0"), (31, "1"), (12, "1"), (7, "0"))


def in_words(schedule: Schedule) -> str:
    """When it is due, with its zone: `every 30 minutes, in UTC`."""
    words = _every(schedule.period) if schedule.kind == "every" else _cron(tuple(resolved(schedule.text, schedule.name)))
    return words if schedule.kind == "every" else f"{words}, in {schedule.timezone}"


@lru_cache(1024)
def _cron(fields: tuple[str, ...]) -> str:
    """The words of five plain fields. When both fields of days are limited, a day that fits either is meant."""
    minute, hour, day, month, weekday = (_without_idle_step(*field) for field in zip(fields, _VALUES, strict=True))
    if re.fullmatch("(0|sun)-(6|7|sat)|1-7", weekday):
        day = weekday = "*"
    if day not in _ANY and weekday not in _ANY:
        return f"{_described(minute, hour, day, month, '*')}, or {_described(minute, hour, '*', month, weekday)}"
    words = _described(minute, hour, day, month, weekday)
    is_daily = day in _ANY and weekday in _ANY and month == "*" and not set("*/") & set(minute + hour)
    return f"{words}, every day" if is_daily else words


def _without_idle_step(field: str, values: tuple[int, str]) -> str:
    """The first value for a step longer than the range: `*/90` minutes is the minute 0 alone."""
    step = re.fullmatch(r"\*/(\d+)", field)
    return values[1] if step and int(step[1]) >= values[0] else field


def _described(*fields: str) -> str:
    from cron_descriptor import ExpressionDescriptor, Options  # type: ignore[import-untyped]  # it ships no types

    options = Options()
    options.locale_code = "en_US"
    options.use_24hour_time_format = True
    text: str = ExpressionDescriptor(" ".join(fields).upper(), options).get_description()
    return text[:1].lower() + text[1:]


def manners(schedule: Schedule) -> list[str]:
    """What else is special about it: nothing when everything is as by default."""
    words = []
    if schedule.jitter:
        words.append(f"starts up to {format_duration(schedule.jitter)} later than the slot (jitter)")
    if schedule.catch_up == "none":
        words.append("makes up for no slot that was missed (catch_up: none)")
    if schedule.catch_up == "all":
        words.append(f"makes up for the last {schedule.limit} slots that were missed (catch_up: all)")
    if schedule.overlap == "skip":
        words.append("leaves out a slot while a run is still going (overlap: skip)")
    if schedule.overlap == "cancel_running":
        words.append("cancels a run that is still going (overlap: cancel_running)")
    if schedule.gap == "skip":
        words.append("leaves out a time that the clock skips (dst gap: skip)")
    if schedule.fold == "twice":
        words.append("fires twice at a time that comes twice (dst fold: twice)")
    return words


def _every(period: float) -> str:
    for unit, size in _UNITS:
        if period >= size and period % size == 0:
            return f"every {unit}" if period == size else f"every {period / size:g} {unit}s"
    return f"every {format_duration(period)}"
