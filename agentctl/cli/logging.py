"""Log records on the screen: what went wrong inside, in one line each, with the traceback for those who ask for it."""

from __future__ import annotations

import logging
import os

from agentctl.cli import output
from agentctl.render.text import visible


class _OneLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        cause = "" if error is None else f": {type(error).__name__}: {error}"
        output.note(f"{record.levelname.lower()}: {visible(record.getMessage() + cause)}")


def show_log() -> None:
    """Our own warnings and errors go to stderr; other packages are silent. AGENTCTL_DEBUG=1: everything, with tracebacks."""
    if os.environ.get("AGENTCTL_DEBUG") == "1":
        logging.basicConfig(level=logging.INFO)
        return
    logging.getLogger().addHandler(logging.NullHandler())
    ours = logging.getLogger("agentctl")
    ours.setLevel(logging.WARNING)
    ours.addHandler(_OneLine())
    ours.propagate = False
