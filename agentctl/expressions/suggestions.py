"""`did you mean`: the known name that a mistaken one was most likely meant to be."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 100  # characters; a comparison takes a millisecond, and more for longer names


def nearest(name: str, known: Iterable[object]) -> str | None:
    """The known name that looks most like `name`, upper and lower case alike; None when none does."""
    if len(name) >= _LONGEST:
        return None
    import difflib  # only a mistake needs it

    folded = {str(candidate).lower(): str(candidate) for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def suggest(name: str | None) -> str:
    """The end of a sentence about an unknown name: `; did you mean 'x'?`, or nothing."""
    return f"; did you mean '{name}'?" if name else ""


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """`suggest` of the nearest known name."""
    return suggest(nearest(name, known))
