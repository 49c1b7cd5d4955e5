"""The cron expressions of the language: aliases, what is refused and what to write instead.

croniter reads the fields. Three things differ from it: `9-9` is 9 alone (croniter takes it for every value), an alias never
depends on the definition's name, and there are five fields only.
"""

from __future__ import annotations

import re

from agentctl.expressions.suggestions import did_you_mean

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_OTHER_ALIASES = {"@midnight": "@daily", "@annually": "@yearly"}
_EXPECTED = "expected five fields: minute, hour, day of month, month, day of week, such as */30 * * * *"
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    dict(zip(_MONTHS, range(1, 13), strict=True)),
    dict(zip(_WEEKDAYS, range(7), strict=True)),
)
_RANGE = re.compile(r"([a-z]{3}|\d+)-([a-z]{3}|\d+)(?:/\d+)?")
_STEP = re.compile(r"(\*|\d+-\d+)/(\d+)")
_UNITS = ("m", "h")  # for `every`, of the first two fields


def plain_fields(expression: str) -> list[str]:
    """The five fields of an expression that has no flaw, in lower case, aliases and ranges of one value resolved."""
    fields = ALIASES.get(expression.strip().lower(), expression).lower().split()
    return [",".join(_plain(part, number) for part in field.split(",")) for number, field in enumerate(fields)]


def _plain(part: str, field: int) -> str:
    found = _RANGE.fullmatch(part)
    if not found:
        return part
    first, last = (str(_NUMBERS[field].get(end, end)) for end in found.groups())
    return first if first.isdigit() and last.isdigit() and int(first) == int(last) else part


def cron_flaw(expression: str) -> str | None:
    """Why nothing can be scheduled by it, with what to write instead; None when it can be."""
    text = expression.strip()
    return _alias_flaw(text) if text.startswith("@") else _zone_flaw(text) or _field_flaw(text, text.split())


def _alias_flaw(text: str) -> str | None:
    alias, _, rest = text.lower().partition(" ")
    if alias in ALIASES and not rest:
        return None
    if alias == "@every":
        return f"'{text}' is not a cron expression; write 'every: {rest.strip() or '5m'}' instead of 'cron'"
    if alias == "@reboot":
        return "'@reboot' is no time; to run a loop when the machine starts, let a systemd unit call `agentctl run NAME`"
    if alias in _OTHER_ALIASES:
        return f"'{text}' is not supported; write {_OTHER_ALIASES[alias]}"
    return f"'{text}' is not supported{did_you_mean(alias, ALIASES)}; {_EXPECTED}, or one of {', '.join(ALIASES)}"


def _zone_flaw(text: str) -> str | None:
    zone = re.match(r"(?:CRON_)?TZ=(\S*)\s*(.*)", text, re.IGNORECASE)
    if not zone:
        return None
    return f"a cron expression holds no time zone; write 'cron: \"{zone[2]}\"' and 'timezone: {zone[1].strip(chr(34))}' beside it"


def _field_flaw(text: str, fields: list[str]) -> str | None:
    if len(fields) == 6:
        return _seconds_flaw(text, fields)
    if len(fields) != 5:
        return f"'{text}' has {len(fields)} field{'s' if len(fields) != 1 else ''}; {_EXPECTED}"
    if any(re.search(r"(?<![a-z])r", field.lower()) for field in fields):
        return "R (a random time) is not supported: a schedule has to be the same at every start"
    for part in fields[4].lower().split(","):
        if last := re.fullmatch(r"([0-7]|[a-z]{3})l", part):
            day = _NUMBERS[4].get(last[1], last[1])
            return f"'{part.upper()}' is not supported; the last such day of a month is written L{day}"
    from croniter import croniter  # type: ignore[import-untyped]  # it ships no types

    for number, (name, lowest, highest) in enumerate(_FIELDS):
        alone = ["*"] * 5
        alone[number] = plain_fields(text)[number]
        if not croniter.is_valid(" ".join(alone), hash_id=b"agentctl"):
            return f"'{fields[number]}' is no {name}, which goes from {lowest} to {highest}; {_EXPECTED}"
    if not croniter.is_valid(" ".join(plain_fields(text)), hash_id=b"agentctl", strict=True):
        return f"'{text}' never comes true; {_EXPECTED}"
    return None


def _seconds_flaw(text: str, fields: list[str]) -> str:
    """Quartz and Spring have the seconds first, croniter has them last."""
    seconds = re.fullmatch(r"\*/(\d+)", fields[0])
    if seconds and set(fields[1:]) <= {"*", "?"}:
        return f"'{text}' has 6 fields; for every {seconds[1]} seconds write 'every: {seconds[1]}s' instead of 'cron'"
    shorter = fields[:-1] if fields[-1] == "0" and fields[0] != "0" else fields[1:]
    return f"'{text}' has 6 fields; leave out the seconds: write '{' '.join(shorter)}'"


def cron_doubt(expression: str) -> str | None:
    """What is probably not meant by an expression that has no flaw; None when there is nothing."""
    for number, (field, (name, lowest, highest)) in enumerate(zip(plain_fields(expression), _FIELDS, strict=True)):
        for part in field.split(","):
            found = _STEP.fullmatch(part)
            if not found:
                continue
            first, last = (lowest, highest) if found[1] == "*" else map(int, found[1].split("-"))
            if number == 4 and found[1] == "*":
                last = 6
            if int(found[2]) > last - first:
                instead = (
                    f"; for every {found[2]}{_UNITS[number]} write 'every: {found[2]}{_UNITS[number]}'" if number < 2 else ""
                )
                return f"the step of '{part}' is longer than the range, so it names the {name} {first} alone{instead}"
    return None
