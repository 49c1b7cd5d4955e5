"""The `format`s of schema.json: values that are text to a schema and more than that to us.

Each raises ValueError with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.suggestions import did_you_mean, suggest
from agentctl.language.cron import cron_flaw
from agentctl.language.sizes import parse_size

_CONTINENTS = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")


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


def _time_or_expression(value: Any) -> None:
    """A constant time that no clock reaches, such as milliseconds since 1970, is a slip."""
    from agentctl.expressions.filters_own import moment

    if isinstance(value, bool) or not isinstance(value, str | int | float) or "${{" in str(value):
        return
    try:
        moment(value)
    except ExpressionError as error:
        hint = "; are these milliseconds?" if isinstance(value, int | float) and value > 0 else ""
        raise ValueError(f"{error.message}{hint}") from None


def _size(value: Any) -> None:
    if isinstance(value, str | int):
        parse_size(value)


def _time_zone(value: Any) -> None:
    if isinstance(value, str) and (flaw := zone_flaw(value)):
        raise ValueError(flaw)


def zone_flaw(name: str) -> str | None:
    """Why there is no time zone of that name, with the nearest one; None when there is one."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        names = available_timezones()
        cities = {zone.rsplit("/", 1)[-1].lower(): zone for zone in sorted(names) if zone.startswith(_CONTINENTS)}
        meant = cities.get(name.strip().replace(" ", "_").lower())
        hint = suggest(meant) if meant else did_you_mean(name, names)
        return f"there is no time zone '{name}'{hint or '; expected one such as UTC or Europe/Berlin'}"
    return None


def _cron(value: Any) -> None:
    if isinstance(value, str) and (flaw := cron_flaw(value)):
        raise ValueError(flaw)


def _json_schema(value: Any) -> None:
    from agentctl.spec.schemas import schema_error

    if isinstance(value, dict) and (found := schema_error(value)):
        raise InnerError(*found)


def _output_schema(value: Any) -> None:
    """The short form, too. One that is put together by expressions is known only when it is used."""
    from agentctl.spec.schemas import schema_error, spelled_out

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
    "agentctl-time-or-expression": _time_or_expression,
    "agentctl-timezone": _time_zone,
    "agentctl-cron": _cron,
    "agentctl-json-schema": _json_schema,
    "agentctl-output-schema": _output_schema,
}
