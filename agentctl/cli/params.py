"""The parameters that several commands share, and how their values are read."""

from __future__ import annotations

import codecs
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from agentctl.cli import complete
from agentctl.errors import InputInvalid, UsageError
from agentctl.expressions.suggestions import did_you_mean

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Db = Annotated[str | None, typer.Option("--db", metavar="PATH", help="The store's file, instead of the project's own.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Exit as soon as only waiting is left (exit code 3).")]
_RUN = "A unique prefix of a run id, or `last`."
Run = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.runs)]
UnfinishedRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.unfinished_runs)]
ResumableRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.resumable_runs)]

# Which runs are meant, for commands that read several.
OfLoop = Annotated[
    str | None,
    typer.Option("--loop", metavar="NAME", help="Only runs of this loop or skill.", autocompletion=complete.definitions),
]
InStatus = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help="Only runs in this status; repeatable.", autocompletion=complete.statuses),
]
Since = Annotated[str | None, typer.Option("--since", metavar="7d|TIME", help="Only runs created since then.")]


# --- values --------------------------------------------------------------------------------------------------------


def point_in_time(option: str, text: str, now: float) -> float:
    """Read `7d` (that long ago), `2026-11-23` or `2026-11-23T15:40:51Z` as epoch seconds. A time without a zone is local."""
    from agentctl.expressions.duration import parse_duration

    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} takes a duration as `7d` or a time as `2026-11-23T15:40:51Z`, not {text!r}") from None
    return moment.timestamp()


def duration(option: str, text: str) -> float:
    """Read `90d` as seconds."""
    from agentctl.expressions.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def count(option: str, text: str, most: int | None = None) -> int:
    """Read a whole number from 1 to `most`."""
    number = int(text[:18]) if text.isascii() and text.isdigit() else 0
    if number < 1 or (most is not None and number > most):
        limits = "from 1" if most is None else f"from 1 to {most:,}"
        raise UsageError(f"{option} takes a whole number {limits}, not {text!r}")
    return number


def run_statuses(given: list[str]) -> tuple[str, ...]:
    """Read the values of --status; each may be a list with commas."""
    from agentctl.ports import RunStatus

    known = get_args(RunStatus)
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise UsageError(f"{word!r} is not a status of a run{did_you_mean(word, known)} (known: {', '.join(known)})")
    return tuple(words)


def json_file(source: str) -> bytes:
    """Read a file, or stdin for `-`, without a byte order mark. Raises OSError."""
    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    return data.removeprefix(codecs.BOM_UTF8)


def input_file(source: str | None) -> dict[str, Any] | None:
    """Read the mapping of `--input-file`. Raises InputInvalid."""
    if source is None:
        return None
    import msgspec

    try:
        value = msgspec.json.decode(json_file(source))
    except OSError as error:
        raise InputInvalid(f"{source} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputInvalid(f"{source} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputInvalid(f"{source} must hold a JSON object of inputs, name to value")
    return value
