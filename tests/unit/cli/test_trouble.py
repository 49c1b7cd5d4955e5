"""What is logged inside reaches people as one line, never as a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import logging
from agentctl.cli.output import show_log
show_log()
try:
    raise ValueError("bad\\x1b[2J")
except ValueError:
    logging.getLogger("agentctl.engine.run").exception("an observer failed")
    logging.getLogger("asyncio").exception("never retrieved")
"""


def stderr_of(repository, **more: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "AGENTCTL_DEBUG"}
    environment = {**kept, "PYTHONPATH": str(repository), **more}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_our_own_trouble_is_one_harmless_line_and_others_are_silent(repository) -> None:
    assert stderr_of(repository) == "error: an observer failed: ValueError: bad\\x1b[2J\n"


def test_debug_shows_everything(repository) -> None:
    shown = stderr_of(repository, AGENTCTL_DEBUG="1")
    assert "Traceback" in shown
    assert "never retrieved" in shown
