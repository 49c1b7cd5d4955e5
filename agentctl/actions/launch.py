"""Starting a step's process, and the errors of its start and of its end, for `shell` and `python`."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from agentctl import JSON
from agentctl.actions.output import Output, Stderr
from agentctl.actions.pipes import Channel, Feeder
from agentctl.actions.process import NotStarted, run_process
from agentctl.actions.text import as_text, last_lines
from agentctl.actions.warden_process import WARDEN
from agentctl.errors import ActionError
from agentctl.ports import SERVE_TOKEN, Call, Surroundings


async def start(
    argv: Sequence[str],
    call: Call,
    around: Surroundings,
    *,
    cwd: Path,
    env: Mapping[str, JSON],
    stdin: IO[bytes] | int | Feeder,
    stdout: Output,
    stderr: Output,
    channel: Channel | None = None,
    fds: Sequence[int] = (),
    grace: float,
) -> int:
    """`run_process` with the environment of a step. What keeps it from starting is an ActionError that is `not_begun`."""
    lock = around.executor_lock
    if lock is not None:
        WARDEN.hold(lock)
    try:
        return await run_process(
            argv,
            cwd=cwd,
            env=_environment(call, env),
            stdin=stdin,
            stdout=stdout.feed,
            stderr=stderr.feed,
            channel=channel,
            pass_fds=fds,
            grace=grace,
        )
    except NotStarted as error:
        raise _not_started(error.cause, argv[0], cwd) from error
    finally:
        stdout.finish()
        stderr.finish()


def check_end(code: int, ok_codes: Sequence[int], stderr: Stderr) -> None:
    """Nothing for a good end; else raises shell.exit or shell.signal with the end of stderr."""
    if code in ok_codes:
        return
    tail = stderr.tail()
    last = last_lines(tail)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        raise ActionError("shell.signal", f"Killed by {name}" + (f": {last}" if last else "."), {"signal": name, "stderr": tail})
    raise ActionError("shell.exit", f"Exit code {code}" + (f": {last}" if last else "."), {"exit_code": code, "stderr": tail})


def as_file(data: bytes) -> IO[bytes]:
    """An unnamed file that holds these bytes and stands at their start. Raises ActionError where there is no room for it."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        file.write(data)
        file.seek(0)
    except OSError as error:
        raise cannot_start("The process", error) from error
    return file


def cannot_start(what: str, error: OSError) -> ActionError:
    """The error for what the system has no room for just now: descriptors, processes, memory, disk."""
    return ActionError("shell.not_started", f"{what} could not be started: {error.strerror or error}.", outcome="not_begun")


def _environment(call: Call, env: Mapping[str, JSON]) -> dict[str, str]:
    """What the runner has, what the step says (null removes a variable), and what the step is.

    The token is left out: what a step runs, and be it chosen by a model, is not to start further runs by it unasked.
    """
    merged = {name: value for name, value in os.environ.items() if name != SERVE_TOKEN}
    for name, value in env.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = as_text(value)
    return {
        **merged,
        "AGENTCTL_RUN_ID": call.run_id,
        "AGENTCTL_STEP": call.path,
        "AGENTCTL_ATTEMPT": str(call.attempt),
        "AGENTCTL_IDEMPOTENCY_KEY": call.idempotency_key,
    }


def _not_started(error: OSError | ValueError, program: str, cwd: Path) -> ActionError:
    if isinstance(error, ValueError):
        return _not_begun("input.invalid", f"The command cannot be run: {error}.")
    if error.filename is not None and os.fspath(error.filename) == os.fspath(cwd):
        return _not_begun("shell.not_found", f"There is no folder {cwd} to run in.")
    if error.errno == errno.ENOENT:
        return _not_begun("shell.not_found", f"There is no program {program!r} (or the interpreter that its first line names).")
    if error.errno in (errno.EACCES, errno.EPERM):
        return _not_begun("permission.denied", f"{program!r} may not be executed: {error.strerror}.")
    if error.errno == errno.ENOEXEC:
        return _not_begun("shell.not_found", f"{program!r} is no program: {error.strerror}.")
    if error.errno == errno.E2BIG:
        return _not_begun("input.invalid", "The arguments and the environment are too long; pass large values by `stdin`.")
    return cannot_start(repr(program), error)


def _not_begun(type: str, message: str) -> ActionError:
    return ActionError(type, message, outcome="not_begun")
