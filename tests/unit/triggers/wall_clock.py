"""A slow and simple second opinion on slots: walk through the minutes, look at the clock on the wall, match the numbers.

Also random cron expressions, made together with the sets of numbers that they mean, so that no parser has to be trusted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = 60
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


class Expression(NamedTuple):
    """A cron expression, and what it means: a set of numbers for each field, None for a star."""

    text: str
    fields: tuple[frozenset[int] | None, ...]

    def names(self, wall: datetime) -> bool:
        minute, hour, day, month, weekday = self.fields
        if (minute is not None and wall.minute not in minute) or (hour is not None and wall.hour not in hour):
            return False
        if month is not None and wall.month not in month:
            return False
        by_day = day is None or wall.day in day
        by_weekday = weekday is None or wall.isoweekday() % 7 in weekday
        return by_day or by_weekday if day is not None and weekday is not None else by_day and by_weekday


def expression(text: str) -> Expression:
    """Of numbers, `a-b`, `*/n`, `a-b/n` and lists of them, nothing else."""
    return Expression(text, tuple(_field(field, *bounds) for field, bounds in zip(text.split(), RANGES, strict=True)))


def _field(text: str, low: int, high: int) -> frozenset[int] | None:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*" and not step:
            return None
        first, _, last = span.partition("-") if span != "*" else (str(low), "-", str(high))
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


class Minute(NamedTuple):
    """What the clock on the wall shows at an instant, whether it did before, and what it skipped since the minute before."""

    instant: int
    wall: datetime
    again: bool
    skipped: tuple[datetime, ...]


def minutes(zone: ZoneInfo, begin: int, until: int) -> list[Minute]:
    """Every whole minute of [begin, until]. Whatever was shown before `begin` is not known to come again."""
    found: list[Minute] = []
    seen: set[datetime] = set()
    before = _wall(zone, begin)
    for instant in range(begin, until + 1, MINUTE):
        wall = _wall(zone, instant)
        jump = int((wall - before).total_seconds()) // MINUTE
        found.append(Minute(instant, wall, wall in seen, tuple(before + timedelta(minutes=ahead) for ahead in range(1, jump))))
        seen.add(wall)
        before = wall
    return found


def walk(expression: Expression, clock: list[Minute], after: int, gap: str, fold: str) -> list[float]:
    """The slots later than `after`."""
    return [
        float(minute.instant)
        for minute in clock
        if (expression.names(minute.wall) and not (fold == "once" and minute.again))
        or (minute.skipped and gap == "next" and any(expression.names(wall) for wall in minute.skipped))
        if minute.instant > after
    ]


def _wall(zone: ZoneInfo, instant: int) -> datetime:
    shown = datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)
    assert shown.second == 0, "walking by minutes needs a zone that is whole minutes off UTC"
    return shown


def changes(zone: ZoneInfo, year: int) -> list[int]:
    """The instants in a year at which the clock is put forward or back."""
    found = []
    end = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    previous = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for instant in range(previous, end + 1, 24 * 3600):
        if _offset(zone, previous) != _offset(zone, instant):
            low, high = previous, instant
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if _offset(zone, middle) != _offset(zone, low) else (middle, high)
            found.append(high)
        previous = instant
    return found


def _offset(zone: ZoneInfo, instant: int) -> timedelta | None:
    return datetime.fromtimestamp(instant, zone).utcoffset()


@st.composite
def _fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, frozenset[int] | None]:
    kind = draw(st.sampled_from(["*", "*", "number", "list", "range", "step", "range step"]))
    numbers = st.integers(low, high)
    if kind == "*":
        return "*", None
    if kind == "list":
        chosen = draw(st.lists(numbers, min_size=2, max_size=4, unique=True))
        return ",".join(map(str, chosen)), frozenset(chosen)
    first, last = sorted((draw(numbers), draw(numbers)))
    step = draw(st.integers(2, max(2, high // 2)))
    if kind == "number" or (first == last and kind != "step"):
        return str(first), frozenset([first])
    if kind == "range":
        return f"{first}-{last}", frozenset(range(first, last + 1))
    if kind == "step":
        return f"*/{step}", frozenset(range(low, high + 1, step))
    return f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    fields = [draw(_fields(low, high)) for low, high in RANGES]
    return Expression(" ".join(text for text, _ in fields), tuple(numbers for _, numbers in fields))
