"""Names of events: dotted parts, as `payment.received`; and patterns of names, as `payment.*`."""

from __future__ import annotations

from agentctl.expressions.suggestions import did_you_mean
from agentctl.model import RUN_EVENTS

LONGEST = 200  # characters of an event's name
LONGEST_ID = 255  # characters of the id that somebody gives an event
OWN = "agentctl."  # what the engine's own events begin with
_TOLD = tuple(RUN_EVENTS + status for status in ("succeeded", "failed", "cancelled", "blocked"))
_FILES = (OWN + "file.created", OWN + "file.modified")
_WEBHOOK = OWN + "webhook."
_MADE_OF = "the name of an event is made of parts joined by dots, printable and without blanks, as payment.received"
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"  # decoders put it where bytes were no text: two names would become one


def event_name_flaw(name: object) -> str | None:
    """Why nobody can send an event of this name, in one sentence; None when it can be. (`*` is for those who wait.)"""
    if not isinstance(name, str) or not name:
        return f"an event needs a name such as payment.received, not {name!r}"
    if len(name) > LONGEST:
        return f"the name of an event has at most {LONGEST} characters, not {len(name)}"
    if "*" in name:
        return f"the name of an event is exact, {name!r} is not: `*` is for those who wait for it"
    if not _has_parts(name):
        return f"{_MADE_OF}; not {name!r}"
    if name.startswith(OWN):
        return f"events whose names begin with {OWN!r} are agentctl's own; {name!r} needs another name"
    return None


def event_id_flaw(given: object) -> str | None:
    """Why an event cannot have this id, in one sentence; None when it can."""
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_ID:
        shown = f"one of {len(given)}" if isinstance(given, str) and given else repr(given)
        return f"the id of an event is a text of 1 to {LONGEST_ID} characters, not {shown}"
    try:
        given.encode()
    except UnicodeEncodeError:
        return f"the id of an event is a text in UTF-8, not {given!r}"
    return None


def trigger_pattern_flaw(pattern: str) -> str | None:
    """Why no event can ever start anything by it; None when one may. Deliveries and files start what has a trigger for them."""
    return event_pattern_flaw(pattern) or _own_flaw(pattern, _TOLD, "starts anything")


def wait_pattern_flaw(pattern: str) -> str | None:
    """Why no event can ever end a wait for it; None when one may."""
    if pattern.startswith(_WEBHOOK):
        return event_pattern_flaw(pattern)
    return event_pattern_flaw(pattern) or _own_flaw(pattern, (*_TOLD, *_FILES), "is ever sent")


def _own_flaw(pattern: str, names: tuple[str, ...], what: str) -> str | None:
    if not pattern.startswith(OWN) or any(event_matches(pattern, name) for name in names):
        return None
    return f"no event {pattern!r} {what}; agentctl's own are {', '.join(names)}{did_you_mean(pattern, names)}"


def event_pattern_flaw(pattern: str) -> str | None:
    """Why no event can ever match it; None when one may."""
    if not _has_parts(pattern):
        return f"{_MADE_OF}; not {pattern!r}"
    if any("*" in part and part != "*" for part in pattern.split(".")):
        return f"`*` stands for one whole part of a name, as in payment.*; {pattern!r} matches nothing"
    return None


def event_matches(pattern: str, name: str) -> bool:
    """Whether an event of that name is one that the pattern means: `*` stands for one whole part."""
    wanted, parts = pattern.split("."), name.split(".")
    return len(wanted) == len(parts) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=True))


def _has_parts(name: str) -> bool:
    return all(name.split(".")) and not any(char.isspace() or not char.isprintable() or char == _NO_TEXT for char in name)
