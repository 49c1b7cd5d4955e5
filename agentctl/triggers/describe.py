"""A schedule in English: `every 30 minutes`, `at 09:00 on Monday to Friday`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentctl.expressions.duration import format_duration
from agentctl.triggers.schedule import Schedule

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SHORT = {name[:3].lower(): number for number, name in enumerate(_WEEKDAYS)} | {
    name[:3].lower(): number for number, name in enumerate(_MONTHS, start=1)
}
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_MOST_TIMES = 4  # times of a day that are listed one by one

_Spans = list[tuple[int, int]]  # first and last of what a field names
_Field = int | _Spans  # the step of `*/n`, 1 for a star; or spans


def in_words(schedule: Schedule) -> str:
    """When it is due, with its zone: `every 30 minutes, in UTC`. What has no simple words is told as cron has it."""
    if schedule.kind == "every":
        return _every(schedule.period)
    fields = [_field(text) for text in schedule.text.split()]
    said = None if None in fields else _cron([field for field in fields if field is not None])
    return f"{said or f'by the cron expression {schedule.text}'}, in {schedule.timezone}"


def manners(schedule: Schedule) -> list[str]:
    """What else is special about it: nothing when everything is as by default."""
    said = []
    if schedule.jitter:
        said.append(f"starts up to {format_duration(schedule.jitter)} later than the slot (jitter)")
    if schedule.catch_up == "none":
        said.append("makes up for no slot that was missed (catch_up: none)")
    if schedule.catch_up == "all":
        said.append(f"makes up for the last {schedule.limit} slots that were missed (catch_up: all)")
    if schedule.overlap == "skip":
        said.append("leaves out a slot while a run is still going (overlap: skip)")
    if schedule.overlap == "cancel_running":
        said.append("cancels a run that is still going (overlap: cancel_running)")
    if schedule.gap == "skip":
        said.append("leaves out a time that the clock skips (dst gap: skip)")
    if schedule.fold == "twice":
        said.append("fires twice at a time that comes twice (dst fold: twice)")
    return said


def _every(period: float) -> str:
    for unit, size in _UNITS:
        if period >= size and period % size == 0:
            return f"every {unit}" if period == size else f"every {period / size:g} {unit}s"
    return f"every {format_duration(period)}"


def _field(text: str) -> _Field | None:
    """None: there are no simple words for it."""
    if text in ("*", "?"):
        return 1
    if step := re.fullmatch(r"\*/(\d+)", text):
        return int(step[1])
    spans = []
    for part in text.lower().split(","):
        if not (found := re.fullmatch(r"([a-z]{3}|\d+)(?:-([a-z]{3}|\d+))?", part)):
            return None
        first, last = (_SHORT.get(word, word) for word in (found[1], found[2] or found[1]))
        if not (str(first).isdigit() and str(last).isdigit()) or int(first) > int(last) or (found[2] and first == last):
            return None
        spans.append((int(first), int(last)))
    return spans


def _cron(fields: Sequence[_Field]) -> str | None:
    minute, hour, day, month, weekday = fields
    times, days = _times(minute, hour), _days(day, month, weekday)
    if times is None or days is None:
        return None
    if day == weekday == 1 and isinstance(minute, list) and isinstance(hour, list):
        days = f"every day {days}"
    return f"{times} {days}".strip()


def _times(minute: _Field, hour: _Field) -> str | None:
    if isinstance(minute, list) and isinstance(hour, list):
        return _times_of_day(minute, hour)
    if isinstance(hour, int):
        return _minutes(minute) if hour == 1 else _every_hours(minute, hour)
    during = _joined([f"{first:02d}:00 to {last:02d}:59" for first, last in hour])
    said = _minutes(minute)
    return None if said is None else f"{said} from {during}"


def _minutes(minute: _Field) -> str | None:
    if minute == 1:
        return "every minute"
    if isinstance(minute, int):
        return f"every {minute} minutes" if 60 % minute == 0 else None
    if minute == [(0, 0)]:
        return "every hour"
    return f"at {_named('minute', minute)} of every hour"


def _every_hours(minute: _Field, step: int) -> str | None:
    if 24 % step or not isinstance(minute, list):
        return None
    return f"every {step} hours" if minute == [(0, 0)] else f"every {step} hours at {_named('minute', minute)}"


def _times_of_day(minute: _Spans, hour: _Spans) -> str | None:
    minutes, hours = (sorted({number for first, last in spans for number in range(first, last + 1)}) for spans in (minute, hour))
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return f"at {_joined([f'{each:02d}:{part:02d}' for each in hours for part in minutes])}"
    if minutes == [0] and len(hour) == 1:
        return f"every hour from {hours[0]:02d}:00 to {hours[-1]:02d}:00"
    return f"at {_named('minute', minute)} of the {_named('hour', hour)}"


def _days(day: _Field, month: _Field, weekday: _Field) -> str | None:
    said = []
    if isinstance(day, list):
        said.append(f"on {_named('day', day)}{' of the month' if month == 1 else ''}")
    elif day != 1:
        return None
    if isinstance(weekday, list):
        # Cron's own rule: with both written, either is enough.
        said.append(f"{'or ' if said else ''}on {_listed([(first % 7, last % 7) for first, last in weekday], _WEEKDAYS)}")
    elif weekday != 1:
        return None
    if isinstance(month, list):
        said.append(f"in {_listed([(first - 1, last - 1) for first, last in month], _MONTHS)}")
    elif month != 1:
        return None
    return " ".join(said)


def _named(noun: str, spans: _Spans) -> str:
    """`minute 5`, `minutes 5 and 35`, `days 1 to 7`."""
    many = len(spans) > 1 or spans[0][0] != spans[0][1]
    return f"{noun}{'s' if many else ''} {_joined([_span(str(first), str(last)) for first, last in spans])}"


def _listed(spans: _Spans, names: Sequence[str]) -> str:
    return _joined([_span(names[first], names[last]) for first, last in spans])


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
