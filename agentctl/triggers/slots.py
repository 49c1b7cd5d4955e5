"""The slots of a schedule: the instants at which it is due, in epoch seconds. Pure: the present is an argument.

A cron schedule names times on the wall clock of a zone. Most of them come once. When the clock is put forward some never come
(`gap`), and when it is put back some come twice (`fold`):

    clock on the wall    01:00  01:30  03:00  03:30       02:00  02:30  02:00  02:30  03:00
                                     ^ gap: 02:00, 02:30                ^ fold: the second 02:00, 02:30
    gap: next            fires once at 03:00              fold: once    fires at the first of the two
    gap: skip            does not fire                    fold: twice   fires at both

An `every` schedule knows no zone: its slots are the whole periods since 1970-01-01T00:00:00Z, so that every host and every
restart agrees about them, and each is measured from the one before, however long its run took.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import dropwhile, islice
from zoneinfo import ZoneInfo

from agentctl.triggers.cron import DAY, WallTimes, wall_times
from agentctl.triggers.schedule import Schedule

_LATEST = 221_845_392_000  # the year 9000, which `datetime` can still show in every zone
_MILLI = 1000


def slots(schedule: Schedule, after: float, until: float = math.inf) -> Iterator[float]:
    """The slots in (after, until], in order and each once; without `until` they may have no end."""
    if schedule.kind == "every":
        return _every(schedule, after, min(until, _LATEST))
    return _cron(schedule, after, min(until, _LATEST))


def next_slots(schedule: Schedule, after: float, count: int) -> list[float]:
    """The first `count` slots later than `after`."""
    return list(islice(slots(schedule, after), count))


def to_come(schedule: Schedule, settled: float, now: float, count: int) -> list[float]:
    """The first `count` slots after `settled` that `due` does not yield yet: with jitter, some of them may be past."""
    coming = slots(schedule, max(settled, now - schedule.jitter))
    return list(islice(dropwhile(lambda slot: start(schedule, slot) <= now, coming), count))


def horizon(schedule: Schedule, until: float, count: int) -> float:
    """A time before `until` from which on there are `count` slots at most. Found without looking at any."""
    if schedule.kind == "every":
        return until - count * schedule.period
    return until - count / len(wall_times(schedule.text, schedule.name).of_day) * DAY


def start(schedule: Schedule, slot: float) -> float:
    """When the run of a slot starts: up to `jitter` seconds later, derived from the definition's name and the slot."""
    if not schedule.jitter:
        return slot
    digest = sha256(f"{schedule.name}\n{float(slot)!r}".encode()).digest()
    return slot + schedule.jitter * int.from_bytes(digest[:8]) / 2**64


def due(schedule: Schedule, handled: float, now: float) -> Iterator[float]:
    """The slots after `handled` whose start has come by `now`, in order.

    `handled`: up to when the schedule is settled: the last slot that was dealt with in any way, or when it was first kept to.
    While the clock is behind that, nothing is due. Jitter makes no slot overtake another: it waits for the one before.
    """
    for slot in slots(schedule, handled, now):
        if start(schedule, slot) > now:
            return
        yield slot


def _every(schedule: Schedule, after: float, until: float) -> Iterator[float]:
    """In whole milliseconds: sums of fractions drift apart, and a slot's time is its identity."""
    period = max(1, round(schedule.period * _MILLI))
    slot = math.floor(after * _MILLI) // period * period
    while slot / _MILLI <= after:
        slot += period
    while slot / _MILLI <= until:
        yield slot / _MILLI
        slot += period


def _cron(schedule: Schedule, after: float, until: float) -> Iterator[float]:
    """A day at a time, for no zone changes its clock twice within a day; days that the expression does not name are left out."""
    walls = wall_times(schedule.text, schedule.name)
    zone = ZoneInfo(schedule.timezone)
    begin, end = math.floor(after), math.floor(until)
    while begin < end:
        # A wall clock is less than a day off UTC: what comes after `begin` is later than `begin - DAY` on the wall.
        day = walls.next_day((begin - DAY) // DAY * DAY)
        if day is None:
            return
        begin = max(begin, day - DAY)
        stop = min(begin + DAY, end)
        yield from map(float, _within(walls, zone, schedule, begin, stop))
        begin = stop


def _within(walls: WallTimes, zone: ZoneInfo, schedule: Schedule, after: int, until: int) -> Iterator[int]:
    """The slots in (after, until], an interval in which the clock is put forward or back once at most."""
    before, behind = _offset(zone, after), _offset(zone, until)
    named = walls.between(after + min(before, behind), until + max(before, behind))
    if before != behind:
        found = {slot for wall in named for slot in _occurrences(zone, schedule, wall)}
        yield from sorted(slot for slot in found if after < slot <= until)
        return
    for wall in named:
        slot = wall - before
        if schedule.fold == "twice" or not datetime.fromtimestamp(slot, zone).fold:
            yield slot


def _occurrences(zone: ZoneInfo, schedule: Schedule, wall: int) -> tuple[int, ...]:
    """The instants at which a wall time fires: one, none or two. By PEP 495, `fold` picks the offset before or after a change."""
    shown = datetime.fromtimestamp(wall, UTC)
    first, second = (wall - _seconds(shown.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first > second:
        return (_end_of_gap(zone, wall, second, first),) if schedule.gap == "next" else ()
    return (first, second) if first < second and schedule.fold == "twice" else (first,)


def _end_of_gap(zone: ZoneInfo, wall: int, before: int, behind: int) -> int:
    """The first instant in (before, behind] at which the wall clock is past a time that it never shows."""
    while behind - before > 1:
        middle = (before + behind) // 2
        if middle + _offset(zone, middle) > wall:
            behind = middle
        else:
            before = middle
    return behind


def _offset(zone: ZoneInfo, instant: int) -> int:
    """How many seconds the wall clock is ahead of UTC."""
    return _seconds(datetime.fromtimestamp(instant, zone))


def _seconds(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None  # it has a zone
    return offset.days * DAY + offset.seconds
