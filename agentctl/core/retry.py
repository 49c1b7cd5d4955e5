"""Whether a failed attempt is tried again, and when. Pure: jitter is derived, not drawn."""

from __future__ import annotations

from fnmatch import fnmatchcase
from hashlib import sha256

from agentctl.core.events import Error
from agentctl.model import Retry
from agentctl.spec import error_type

MAX_RETRY_AFTER = 3600.0  # seconds; a server may not put us off for longer


def matches(type: str, patterns: tuple[str, ...]) -> bool:
    """True when a dotted error type fits one of the patterns; `*` stands for any text, `any` for every type."""
    return any(pattern == "any" or fnmatchcase(type, pattern) for pattern in patterns)


def is_retryable(type: str, retry: Retry) -> bool:
    """Say whether a type of error is tried again: `never` wins over `on`; without `on` the action's spec decides."""
    if matches(type, retry.never):
        return False
    if retry.on is not None:
        return matches(type, retry.on)
    known = error_type(type)
    return known is not None and known.retryable


def delay(retry: Retry, attempt: int, seed: str, retry_after: float | None = None) -> float:
    """Seconds to pause before attempt `attempt` + 1. `seed` names run, step and attempt, so that a replay computes the same."""
    try:
        pause = min(retry.max_delay, retry.delay * retry.backoff ** (attempt - 1))
    except OverflowError:
        pause = retry.max_delay
    if retry.jitter:
        share = int.from_bytes(sha256(seed.encode()).digest()[:8]) / 2**64  # uniform in [0, 1)
        pause *= 1 + retry.jitter * (2 * share - 1)
    return max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER))


def next_due(retry: Retry, error: Error, *, attempt: int, at: float, seed: str, retry_after: float | None) -> float | None:
    """Epoch seconds of the attempt after `attempt`, which failed at `at` with `error`; None when there is none."""
    if attempt >= retry.attempts or not is_retryable(error.type, retry):
        return None
    return at + delay(retry, attempt, seed, retry_after)
