"""The times on a wall clock that a cron expression names.

A wall time is a number here: the seconds since 1970-01-01 00:00 on that clock, as if it had never been put forward or back.
croniter reads the expression and says which days it names, in UTC, where every day has 24 hours: what it makes of the clocks'
changes differs between its own methods (pallets-eco/croniter 258), and going backwards it has been wrong before. The minutes
of a day are the product of the expression's first two fields, a hundred times as quick as asking for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from agentctl.language.cron import plain_fields

DAY = 86_400  # seconds
_MINUTE = 60


class WallTimes:
    """What a cron expression names. `H` is the definition's own minute, hour or day, derived from `seed`."""

    def __init__(self, expression: str, seed: str) -> None:
        from croniter import croniter  # type: ignore[import-untyped]  # it ships no types

        fields = plain_fields(expression)
        minutes, hours = croniter.expand(" ".join(fields), hash_id=seed.encode())[0][:2]
        self.of_day = tuple(
            hour * 3600 + minute * _MINUTE for hour in _numbers(hours, range(24)) for minute in _numbers(minutes, range(60))
        )
        self._days = croniter(" ".join(["0", "0", *fields[2:]]), hash_id=seed.encode())

    def next_day(self, day: int) -> int | None:
        """The first day named that is not before `day`; both are wall times of a midnight. None: none within 50 years."""
        from croniter import CroniterBadDateError

        try:
            return int(self._days.get_next(float, start_time=float(day - _MINUTE)))
        except CroniterBadDateError:
            return None

    def between(self, after: int, until: int) -> Iterator[int]:
        """The wall times in (after, until], in order."""
        day = self.next_day(after // DAY * DAY)
        while day is not None and day <= until:
            for second in self.of_day:
                if day + second > until:
                    return
                if day + second > after:
                    yield day + second
            day = self.next_day(day + DAY)


@lru_cache(maxsize=1024)  # as many schedules as one host is likely to serve; reading an expression takes 0.1 ms
def wall_times(expression: str, seed: str) -> WallTimes:
    return WallTimes(expression, seed)


def resolved(expression: str, seed: str) -> list[str]:
    """The five plain fields with each `H` replaced by the values that it stands for."""
    from croniter import croniter

    fields = plain_fields(expression)
    if not any(field.startswith("h") for field in fields):
        return fields
    values = croniter.expand(" ".join(fields), hash_id=seed.encode())[0]
    pairs = zip(fields, values, strict=True)
    return [",".join(map(str, value)) if field.startswith("h") else field for field, value in pairs]


def _numbers(field: list[int | str], whole: range) -> list[int]:
    return list(whole) if field == ["*"] else sorted(int(number) for number in field)
