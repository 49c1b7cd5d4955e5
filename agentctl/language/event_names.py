"""Names of events: dotted parts, as `payment.received`."""

from __future__ import annotations

LONGEST = 200  # characters of an event's name
OWN = "agentctl."  # what the engine's own events begin with
RUN_EVENTS = "agentctl.run."  # ... and those that tell what became of a run


def event_name_flaw(name: object) -> str | None:
    """Why nobody can send an event of this name, in one sentence; None when it can be. (`*` is for those who wait.)"""
    if not isinstance(name, str) or not name:
        return f"an event needs a name such as payment.received, not {name!r}"
    if len(name) > LONGEST:
        return f"the name of an event has at most {LONGEST} characters, not {len(name)}"
    if "*" in name:
        return f"the name of an event is exact, {name!r} is not: `*` is for those who wait for it"
    if not _has_parts(name):
        return f"the name of an event is made of parts joined by dots, without blanks, as payment.received; not {name!r}"
    if name.startswith(OWN):
        return f"events whose names begin with {OWN!r} are agentctl's own; {name!r} needs another name"
    return None


def event_pattern_flaw(pattern: str) -> str | None:
    """Why no event can ever match it; None when one may."""
    if not _has_parts(pattern):
        return f"the name of an event is made of parts joined by dots, without blanks, as payment.received; not {pattern!r}"
    if any("*" in part and part != "*" for part in pattern.split(".")):
        return f"`*` stands for one whole part of a name, as in payment.*; {pattern!r} matches nothing"
    return None


def _has_parts(name: str) -> bool:
    return all(name.split(".")) and not any(char.isspace() or not char.isprintable() for char in name)
