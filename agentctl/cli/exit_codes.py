"""The exit codes that commands return; those of errors stand with them, in `errors`."""

from __future__ import annotations

FAILED = 1  # a run, a test case, a check
INVALID = 2  # a file has mistakes
UNFINISHED = 3  # the run waits, or nobody drives it yet
INTERRUPTED = 130  # as a shell reports a process that Ctrl-C ended
CUT_OFF = 141  # ... and one that SIGPIPE ended
