"""`python`: one function, called in a child process in the project's root; JSON in, JSON out.

Params: {function: "package.module:name", with: {...}}. Output: what the function returned (over 1 MiB: `{file, bytes, sha256}`).
Errors: python.exception {exception}, output.invalid, shell.exit and shell.signal when the process ended before the function did.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import ExitStack
from typing import IO

import msgspec

from agentctl import JSON
from agentctl.actions import call_function
from agentctl.actions.launch import as_file, check_end, start
from agentctl.actions.output import KEPT, Output, Stderr
from agentctl.actions.process import GRACE
from agentctl.actions.text import read_json
from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class PythonAction:
    instant = False

    def __init__(self, grace: float = GRACE) -> None:
        """`grace`: seconds between TERM and KILL when a step is stopped."""
        self.grace = grace

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        function, arguments = call.params["function"], call.params.get("with") or {}
        if not isinstance(function, str) or not _TARGET.fullmatch(function):
            raise ActionError("input.invalid", f"`python` expects package.module:function, got {function!r}.")
        with ExitStack() as stack:
            stdin = stack.enter_context(as_file(msgspec.json.encode(arguments)))
            channel = stack.enter_context(tempfile.TemporaryFile(dir=around.store))
            stdout, stderr = Output(call, around, "stdout"), Stderr(call, around, "stderr")
            # -P: the folder of the child's own file must not be searched for modules; the child adds the project's root.
            argv = [sys.executable, "-P", call_function.__file__, str(around.root), function, str(channel.fileno())]
            code = await start(argv, call, around.root, {}, stdin, stdout, stderr, [channel.fileno()], self.grace)
            if not os.fstat(channel.fileno()).st_size:
                check_end(code, [0], stderr)
                message = "The function ended the process before it returned anything."
                raise ActionError("shell.exit", message, {"exit_code": 0, "stderr": stderr.tail()})
            return Outcome(_result(channel, around))


def make(context: ActionContext) -> PythonAction:
    return PythonAction()


def _result(channel: IO[bytes], around: Surroundings) -> JSON:
    """What the child wrote: the function's result, or an ActionError."""
    channel.seek(0)
    answer = read_json(channel.read())
    if "failure" not in answer:
        return _kept(answer["result"], around)
    if answer["failure"] == "result":
        raise ActionError("output.invalid", answer["message"])
    raise ActionError("python.exception", answer["message"], {"exception": answer["exception"]})


def _kept(result: JSON, around: Surroundings) -> JSON:
    data = msgspec.json.encode(result)
    return result if len(data) <= KEPT else around.keep(msgspec.json.encode(around.scrub(result)))
