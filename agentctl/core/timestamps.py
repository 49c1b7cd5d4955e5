"""Times as text and back. Pure: nothing here reads a clock."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339 UTC with milliseconds: `2026-11-23T15:40:51.123Z`."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse_instant(value: object) -> float:
    """Epoch seconds from RFC 3339 text (a time without a zone is UTC) or from a number of epoch seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a time such as 2026-11-23T09:30:00Z, got {value!r}")
    if not isinstance(value, str):
        return float(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"expected a time such as 2026-11-23T09:30:00Z, got {value!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
