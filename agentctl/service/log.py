"""The log of the service, on stderr: short lines for people, and lines with a priority and fields for the journal of systemd.

Whatever may hold a secret (inputs, outputs, what steps write) does not enter this log. Error messages were scrubbed before they
were journaled.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from agentctl.core.events import AnyEvent, OutcomeUnknown, RunFinished, RunStarted
from agentctl.core.timestamps import rfc3339
from agentctl.ports import Progress, Runs

LEVELS = ("debug", "info", "warning", "error")

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog(3)
_LONGEST = 400  # characters of an error's message

log = logging.getLogger(__name__)


def begin_log(level: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Our own records of `level` and above go to stderr; of other packages, warnings."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_ForJournal() if _is_journal(stream, environ) else _ForPeople(dated=not stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("agentctl").setLevel(level.upper())


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd connected this very stream to its journal: `$JOURNAL_STREAM` names the file, and may be inherited."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _ForPeople(logging.Formatter):
    """`15:04:05 warning: message`; with date and zone where it goes to a file."""

    def __init__(self, *, dated: bool) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z" if dated else "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        word = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        record.message = f"{word}{_one_line(record.message)}"
        return super().formatMessage(record)


class _ForJournal(logging.Formatter):
    """`<4>message run=... loop=...`: every line with its priority, as sd-daemon(3) has it."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelname, 6)}>"
        fields = {"logger": record.name, **getattr(record, "fields", {})}
        record.message = record.getMessage()
        first = " ".join([_one_line(record.message), *(f"{name}={_quoted(value)}" for name, value in fields.items())])
        more = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join(priority + line for line in [first, *more])


def _one_line(text: str) -> str:
    """Without anything that a terminal or a log would act upon: one record is one line."""
    return "".join(character if character.isprintable() else " " for character in text)


def _quoted(value: object) -> str:
    text = _one_line(str(value))
    if text and not any(character in ' "=\\' for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class RunLog:
    """An Observer: a line when a run starts, ends, or is left in doubt."""

    def __init__(self, store: Runs) -> None:
        self._store = store

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        for event in events:
            match event:
                case RunStarted():
                    self._log_run(logging.INFO, run_id, "started")
                case RunFinished():
                    level = logging.INFO if event.status == "succeeded" else logging.WARNING
                    self._log_run(level, run_id, event.status, progress)
                case OutcomeUnknown():
                    text = f"does not know whether step {event.path} took effect; `agentctl inbox` has it"
                    self._log_run(logging.WARNING, run_id, text, path=event.path)

    def _log_run(self, level: int, run_id: str, text: str, ended: Progress | None = None, **more: str) -> None:
        if not log.isEnabledFor(level):
            return
        row = self._store.run(run_id)
        loop = row.name if row is not None else ""
        fields: dict[str, object] = {"run": run_id, "loop": loop, "trigger": row.trigger if row is not None else "", **more}
        why = ""
        if ended is not None:
            fields |= {"status": ended.status, "steps": ended.steps_done}
            if ended.started_at is not None and ended.finished_at is not None:
                fields |= {"started_at": rfc3339(ended.started_at), "seconds": round(ended.finished_at - ended.started_at, 3)}
            if ended.error is not None:
                fields["error"] = ended.error.type
                why = f": {ended.error.message[:_LONGEST]}"
        log.log(level, "%s %s %s%s", loop, run_id, text, why, extra={"fields": fields})
