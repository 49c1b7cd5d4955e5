"""The `format`s of schema.json: values that are text to a schema and more than that to us.

Each raises ValueError with a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agentctl.expressions.duration import parse_duration
from agentctl.language.sizes import parse_size


class InnerError(ValueError):
    """What is wrong is deeper inside the value, at `path`."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def _duration(value: Any) -> None:
    if isinstance(value, str):
        parse_duration(value)


def _span(value: Any) -> None:
    if isinstance(value, str) and parse_duration(value) <= 0:
        raise ValueError(f"'{value}' is no time at all; expected a duration above zero such as 30s")


def _duration_or_expression(value: Any) -> None:
    if isinstance(value, str) and "${{" not in value:
        parse_duration(value)


def _size(value: Any) -> None:
    if isinstance(value, str | int):
        parse_size(value)


def _time_zone(value: Any) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone '{value}'; expected one such as UTC or Europe/Berlin") from None


def _cron(value: Any) -> None:
    """Five fields, nothing random, and a date that comes: croniter would read a sixth field as seconds."""
    if not isinstance(value, str):
        return
    expected = "expected five fields: minute, hour, day of month, month, day of week, such as */30 * * * *"
    if value.strip().startswith("@"):
        raise ValueError(f"'{value}' is not supported; {expected}")
    fields = value.split()
    if len(fields) != 5:
        raise ValueError(f"'{value}' has {len(fields)} field{'s' if len(fields) != 1 else ''}; {expected}")
    if any(re.search(r"(?<![A-Z])R", field.upper()) for field in fields):
        raise ValueError("R (a random time) is not supported: a schedule has to be the same at every start")
    from croniter import croniter  # type: ignore[import-untyped]  # it ships no types

    if not croniter.is_valid(value, hash_id=b"agentctl", strict=True):
        raise ValueError(f"'{value}' never comes true or has a field out of range; {expected}")


def _json_schema(value: Any) -> None:
    from agentctl.language.check.schemas import schema_error

    if isinstance(value, dict) and (found := schema_error(value)):
        raise InnerError(*found)


def _output_schema(value: Any) -> None:
    """The short form, too. One that is put together by expressions is known only when it is used."""
    from agentctl.language.check.schemas import schema_error, spelled_out

    if not isinstance(value, dict) or "${{" in repr(value):
        return
    whole = spelled_out(value)
    if found := schema_error(whole):
        path, message = found
        raise InnerError(path if whole is value else path[1:], message)


FORMATS: dict[str, Callable[[Any], None]] = {
    "agentctl-duration": _duration,
    "agentctl-duration-or-expression": _duration_or_expression,
    "agentctl-span": _span,
    "agentctl-size": _size,
    "agentctl-timezone": _time_zone,
    "agentctl-cron": _cron,
    "agentctl-json-schema": _json_schema,
    "agentctl-output-schema": _output_schema,
}
