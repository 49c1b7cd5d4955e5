"""Times as text and back. Pure: nothing here reads a clock."""

from __future__ import annotations

from datetime import UTC, datetime

# Epoch seconds of the first and the last moment that RFC 3339 can write.
EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339 UTC with milliseconds: `2026-11-23T15:40:51.123Z`."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse_instant(value: object) -> float:
    """Epoch seconds from RFC 3339 text (a time without a zone is UTC) or from a number of epoch seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a time such as 2026-11-23T09:30:00Z, got {value!r}")
    if not isinstance(value, str):
        return representable(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"expected a time such as 2026-11-23T09:30:00Z, got {value!r}") from None
    return representable((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def representable(at: float) -> float:
    """Return `at` in epoch seconds. Raises ValueError for a time outside the years 1 to 9999."""
    if not EARLIEST <= at <= LATEST:  # NaN is not, either
        hint = "; epoch seconds are expected, not milliseconds" if LATEST < at < LATEST * 1000 else ""
        raise ValueError(f"{str(at)[:30]} is no time between the years 1 and 9999{hint}")
    return float(at)
