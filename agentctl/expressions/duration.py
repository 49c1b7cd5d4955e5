"""Durations as people write them: `500ms`, `1h30m`, or ISO 8601 `PT90S`. Seconds inside."""

from __future__ import annotations

import re
from functools import lru_cache

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
EXPECTED = "expected a duration such as 500ms, 30s, 5m, 1h30m, 2d, 1w or PT90S"
MAX_SECONDS = 100 * 366 * 86400.0  # a century: beyond that it is a mistake

_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError with a sentence for anything else than a duration; a bare number has no unit."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no duration; {EXPECTED}")
    return _seconds(text.strip())


@lru_cache(maxsize=256)
def _seconds(stripped: str) -> float:
    if not stripped:
        raise ValueError(f"the duration is empty; {EXPECTED}")
    if len(stripped) > 100 or not stripped.isascii():
        raise ValueError(f"{stripped[:30]!r} is no duration; {EXPECTED}")
    if stripped.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {stripped}")
    if re.fullmatch(r"\+?[\d.]+", stripped):
        raise ValueError(f"{stripped} has no unit; write {stripped}s for seconds, {stripped}m for minutes")
    seconds = _iso(stripped) if stripped.startswith("P") else _joined(stripped)
    if seconds > MAX_SECONDS:
        raise ValueError(f"the duration {stripped} is longer than a hundred years")
    return seconds


def _joined(text: str) -> float:
    pieces = _PIECE.findall(text)
    if "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(f"{text!r} is no duration; {EXPECTED}")
    if len({unit for _, unit in pieces}) < len(pieces):
        raise ValueError(f"{text!r} names a unit twice; {EXPECTED}")
    return round(sum(float(number) * UNITS[unit] for number, unit in pieces), 9)


def _iso(text: str) -> float:
    date = text.partition("T")[0]
    if "Y" in date or "M" in date:
        raise ValueError(f"{text}: years and months have no fixed length; use days or weeks")
    match = _ISO.fullmatch(text)
    given = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not given or text.endswith("T"):
        raise ValueError(f"{text!r} is no ISO 8601 duration; expected one such as PT90S or P1DT2H")
    return round(sum(float(number) * UNITS[unit] for unit, number in given.items()), 9)


def format_duration(seconds: float) -> str:
    """For people, in at most two units: `350ms`, `4.2s`, `1m 20s`, `2h 5m`, `3d 4h`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            count, rest = divmod(whole, size)
            rest //= smaller_size
            return f"{count}{unit} {rest}{smaller}" if rest else f"{count}{unit}"
    return f"{whole}s"
