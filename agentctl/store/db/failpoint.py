"""The two numbered points at which every commit can be made to kill this process: just before it, and just after it.

AGENTCTL_CRASH_AT=K     SIGKILL at the K-th point this process passes (from 1; odd: before a COMMIT, even: after it)
AGENTCTL_CRASH_COUNT=F  write the number of points passed so far to file F, at each point

Only tests set these. All commits of the store go through `commit`, so killing at point k for every k up to the count
tries every state that a crash can leave behind.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path


class CrashPoints:
    def __init__(self, crash_at: int | None, count_file: str | None) -> None:
        self.crash_at = crash_at
        self.count_file = count_file
        self.passed = 0

    def reach(self) -> None:
        self.passed += 1
        if self.count_file:
            Path(self.count_file).write_text(str(self.passed), encoding="utf-8")
        if self.passed == self.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _from_environment() -> CrashPoints | None:
    crash_at = os.environ.get("AGENTCTL_CRASH_AT")
    count_file = os.environ.get("AGENTCTL_CRASH_COUNT")
    if not crash_at and not count_file:
        return None
    return CrashPoints(int(crash_at) if crash_at else None, count_file)


_points = _from_environment()


def commit(connection: sqlite3.Connection) -> None:
    """COMMIT. The only place where the store does."""
    if _points is None:
        connection.execute("COMMIT")
        return
    _points.reach()
    connection.execute("COMMIT")
    _points.reach()
