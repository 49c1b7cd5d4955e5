"""`shell`: a script or a program, in a process of its own.

Params: {run | argv, cwd, env, stdin, parse: text|json|yaml|lines|bytes, ok_codes: [0], interpreter, max_output: 1GiB}. Output:
stdout, parsed. Errors: shell.exit {exit_code, stderr}, shell.signal {signal, stderr}, shell.not_found, shell.not_started,
shell.too_large, permission.denied, output.invalid, input.invalid.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from agentctl import JSON
from agentctl.actions.launch import as_file, check_end, start
from agentctl.actions.output import MAX_OUTPUT, Stderr, Stdout
from agentctl.actions.parse import parsed
from agentctl.actions.pipes import Feeder
from agentctl.actions.process import GRACE
from agentctl.actions.streamed import opened
from agentctl.actions.text import as_text
from agentctl.actions.walls import check_arguments
from agentctl.errors import ActionError
from agentctl.language.sizes import parse_size
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

ARGUMENT = 100_000  # bytes; Linux refuses a single argument over 128 KiB, so longer scripts are handed over as a file

# The options that make each interpreter stop at the first error, or take its script from an argument.
SHELLS: dict[str, list[str]] = {name: ["-eu"] for name in ("sh", "dash", "ash", "ksh", "zsh")}
SHELLS["bash"] = ["-eu", "-o", "pipefail"]
LANGUAGES: dict[str, str] = {"python": "-c", "python3": "-c", "node": "-e", "perl": "-e", "ruby": "-e"}


class ShellAction:
    def __init__(self, grace: float = GRACE) -> None:
        """`grace`: seconds between TERM and KILL when a step is stopped."""
        self.grace = grace

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        params = call.params
        limit = parse_size(params.get("max_output", MAX_OUTPUT))
        with ExitStack() as stack:
            argv, fds = _command(params, stack)
            cwd = around.root / (params.get("cwd") or "")
            if "arguments" in params:  # of a tool whose model gives them
                argv += check_arguments(params["arguments"], cwd, around.root)
            stdin = stack.enter_context(_stdin(params.get("stdin"), around))
            stdout, stderr = Stdout(call, around, "stdout", limit), Stderr(call, around, "stderr")
            stack.callback(stdout.kept.close)
            code = await start(
                argv,
                call,
                around,
                cwd=cwd,
                env=params.get("env") or {},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                fds=fds,
                grace=self.grace,
            )
            check_end(code, params.get("ok_codes") or [0], stderr)
            return Outcome(await parsed(stdout.kept, params.get("parse") or "text", around, limit))


def make(context: ActionContext) -> ShellAction:
    return ShellAction()


def _command(params: dict[str, JSON], stack: ExitStack) -> tuple[list[str], list[int]]:
    """The argv, and the descriptors that it needs."""
    if "argv" in params:
        argv = params["argv"]
        if not isinstance(argv, list) or not argv:
            raise ActionError("input.invalid", "`shell` expects a list with the program and its arguments, got an empty one.")
        return [as_text(element) for element in argv], []
    interpreter, script = params.get("interpreter") or "sh", params["run"].encode()
    name = os.path.basename(interpreter)
    options = [interpreter, *SHELLS.get(name, [])]
    if len(script) <= ARGUMENT and name in SHELLS:
        return [*options, "-c", params["run"], name], []  # the last one is `$0`: how the shell's own messages begin
    if len(script) <= ARGUMENT and name in LANGUAGES:
        return [*options, LANGUAGES[name], params["run"]], []
    file = stack.enter_context(as_file(script))
    return [*options, f"/dev/fd/{file.fileno()}"], [file.fileno()]


@contextmanager
def _stdin(value: JSON, around: Surroundings) -> Iterator[IO[bytes] | int | Feeder]:
    """Nothing, a file with the text, or, of a large output, what feeds it to the process."""
    with opened(value, around) as large:
        if large is not None:
            yield Feeder(large.file, large.size)
        elif value is None:
            yield subprocess.DEVNULL
        else:
            with as_file(as_text(value).encode("utf-8", "surrogatepass")) as file:
                yield file
