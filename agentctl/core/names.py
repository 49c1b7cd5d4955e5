"""Names of events: dotted parts, as `payment.received`."""

from __future__ import annotations

LONGEST = 200  # characters of an event's name


def event_name_flaw(name: object) -> str | None:
    """Why an event cannot have this name, in one sentence; None when it can. (`*` is for those who wait.)"""
    if not isinstance(name, str) or not name:
        return f"an event needs a name such as payment.received, not {name!r}"
    if len(name) > LONGEST:
        return f"the name of an event has at most {LONGEST} characters, not {len(name)}"
    if "*" in name:
        return f"the name of an event is exact, {name!r} is not: `*` is for those who wait for it"
    if not all(name.split(".")) or any(char.isspace() or not char.isprintable() for char in name):
        return f"the name of an event is made of parts joined by dots, without blanks, as payment.received; not {name!r}"
    return None
