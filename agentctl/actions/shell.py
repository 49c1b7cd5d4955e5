"""`shell`: a script or a program, in a process of its own.

Params: {run | argv, cwd, env, stdin, parse: text|json|yaml|lines, ok_codes: [0], interpreter}. Output: stdout, parsed.
Errors: shell.exit {exit_code, stderr}, shell.signal {signal, stderr}, shell.not_found, permission.denied, output.invalid,
input.invalid.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from agentctl import JSON
from agentctl.actions.launch import as_file, check_end, start
from agentctl.actions.output import Stderr, Stdout
from agentctl.actions.process import GRACE
from agentctl.actions.text import as_text, last_lines, read_json, read_yaml
from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

ARGUMENT = 100_000  # bytes; Linux refuses a single argument over 128 KiB, so longer scripts are handed over as a file

# How each interpreter is told to stop at the first error, and to take its script from an argument.
SHELLS: dict[str, list[str]] = {name: ["-eu"] for name in ("sh", "dash", "ash", "ksh", "zsh")}
SHELLS["bash"] = ["-eu", "-o", "pipefail"]
LANGUAGES: dict[str, str] = {"python": "-c", "python3": "-c", "node": "-e", "perl": "-e", "ruby": "-e"}


class ShellAction:
    instant = False

    def __init__(self, grace: float = GRACE) -> None:
        """`grace`: seconds between TERM and KILL when a step is stopped."""
        self.grace = grace

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        params = call.params
        with ExitStack() as stack:
            argv, fds = _command(params, stack)
            stdin = stack.enter_context(_stdin(params.get("stdin")))
            stdout, stderr = Stdout(call, around, "stdout"), Stderr(call, around, "stderr")
            stack.callback(stdout.close)
            cwd, env = around.root / (params.get("cwd") or ""), params.get("env") or {}
            code = await start(argv, call, cwd, env, stdin, stdout, stderr, fds, self.grace)
            check_end(code, params.get("ok_codes") or [0], stderr)
            kept = stdout.kept()
            how = params.get("parse") or "text"
            if kept is None and how == "yaml":  # its parser takes seconds for a MiB: other runs must not wait for it
                return Outcome(await asyncio.to_thread(_parse, stdout.data, how))
            return Outcome(_parse(stdout.data, how) if kept is None else kept)


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
def _stdin(value: JSON) -> Iterator[IO[bytes] | int]:
    """Nothing, or a file with the text: no pipe, so nobody has to feed it."""
    if value is None:
        yield subprocess.DEVNULL
        return
    with as_file(as_text(value).encode("utf-8", "surrogatepass")) as file:
        yield file


def _parse(data: bytes, how: str) -> JSON:
    text = data.decode("utf-8", "replace")
    if how == "text":
        return text.removesuffix("\n")
    if how == "lines":
        return text.removesuffix("\n").split("\n") if text else []
    try:
        return read_json(data) if how == "json" else read_yaml(text)
    except ValueError as error:
        shown = last_lines(text, 1)[:200]
        raise ActionError("output.invalid", f"The output is no {how.upper()}: {error}.", {"output": shown}) from None
