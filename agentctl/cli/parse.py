"""What people type, read: points in time, durations, counts, statuses."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from agentctl.errors import UsageError
from agentctl.expressions.suggestions import did_you_mean


def point_in_time(option: str, text: str, now: float) -> float:
    """`7d` (that long ago), `2026-11-23`, `2026-11-23T15:40:51Z` -> epoch seconds. A time without a zone is local."""
    from agentctl.expressions.duration import parse_duration

    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} takes a duration as `7d` or a time as `2026-11-23T15:40:51Z`, not {text!r}") from None
    return moment.timestamp()


def duration(option: str, text: str) -> float:
    """`90d` -> seconds."""
    from agentctl.expressions.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def count(option: str, text: str, most: int | None = None) -> int:
    """A whole number from 1, and `most` at most."""
    number = int(text[:18]) if text.isascii() and text.isdigit() else 0
    if number < 1 or (most is not None and number > most):
        limits = "from 1" if most is None else f"from 1 to {most:,}"
        raise UsageError(f"{option} takes a whole number {limits}, not {text!r}")
    return number


def run_statuses(given: list[str]) -> tuple[str, ...]:
    """The values of --status, each also as a list with commas; unknown ones are refused."""
    from agentctl.ports import RunStatus

    known = get_args(RunStatus)
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise UsageError(f"{word!r} is no status of a run{did_you_mean(word, known)} (known: {', '.join(known)})")
    return tuple(words)
