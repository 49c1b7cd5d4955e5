"""Filters that Jinja does not have: durations, hashes, regular expressions, dates."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.duration import format_duration, parse_duration
from agentctl.expressions.limits import check_text, spend, spend_text
from agentctl.expressions.values import a_kind, to_text

_DIRECTIVES = frozenset("aAbBdFGHIjmMpSTuUVwWyYzZf%")  # %s would read the zone of the machine, %c and %x its language
_MAX_FORMAT = 200  # characters


def duration(value: Any) -> Any:
    """Seconds of a text such as `1h30m`; the text of a number of seconds, `1h 30m`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return format_duration(value)
    if not isinstance(value, str):
        raise ExpressionError(f"expected a duration in a string or a number of seconds, not {a_kind(value)}")
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ExpressionError(str(error)) from None
    return int(seconds) if seconds.is_integer() else seconds


def sha256(value: Any) -> str:
    """The hash, in hexadecimal, of a text in UTF-8, or of a value's compact JSON."""
    import hashlib

    text = to_text(value)
    spend_text(len(text))
    return hashlib.sha256(text.encode()).hexdigest()


def regex_search(value: Any, pattern: str, group: int | str = 0) -> str | None:
    """The first match, or that group of it; null when there is none."""
    from agentctl.expressions.regex import compile_pattern

    return compile_pattern(pattern).search(to_text(value), group)


def regex_replace(value: Any, pattern: str, replacement: str = "", count: int = 0) -> str:
    r"""All matches, or the first `count`, replaced; `\1` and `\g<name>` in the replacement are groups."""
    from agentctl.expressions.regex import compile_pattern

    pieces, length = [], 0
    for piece in compile_pattern(pattern).replace(to_text(value), to_text(replacement), count):
        pieces.append(piece)
        length += len(piece)
        spend(len(piece) // 64)
        check_text(length)
    return "".join(pieces)


def date(value: Any, format: str | None = None) -> str:
    """A time (RFC 3339 text, or seconds since 1970) in UTC: in RFC 3339, or by a strftime format."""
    found = moment(value)
    if format is None:
        return found.isoformat().replace("+00:00", "Z")
    if len(format) > _MAX_FORMAT:
        raise ExpressionError(f"the format is longer than {_MAX_FORMAT} characters")
    for directive in re.findall(r"%(.?)", format, re.DOTALL):
        if directive not in _DIRECTIVES:
            raise ExpressionError(f"`%{directive}` is no directive of a date; expected one such as %Y, %m, %d, %H, %M")
    return found.strftime(format)


def moment(value: Any) -> datetime:
    """A time in UTC, from RFC 3339 text or seconds since 1970. Raises ExpressionError."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    shown = f"'{value[:40]}'" if isinstance(value, str) else value if isinstance(value, (int, float)) else a_kind(value)
    raise ExpressionError(f"{shown} is no time; expected RFC 3339 text or seconds since 1970")
