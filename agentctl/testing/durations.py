"""Durations written out in full, as the language reads them back: `3d20s`, `1m30.5s`."""

from __future__ import annotations

from agentctl.expressions.duration import UNITS


def exact_duration(seconds: float) -> str:
    """To the millisecond; `0s` for none."""
    rest = round(seconds * 1000)
    pieces = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, round(UNITS[unit] * 1000))
        if count:
            pieces.append(f"{count}{unit}")
    if rest and (rest >= 1000 or pieces):
        pieces.append(f"{rest / 1000:g}s")
    elif rest:
        pieces.append(f"{rest}ms")
    return "".join(pieces) or "0s"
