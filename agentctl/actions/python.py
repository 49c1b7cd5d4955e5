"""`python`: one function, called in a child process in the project's root; JSON in, JSON out.

Params: {function: "package.module:name", with: {...}, max_output: 1GiB}. Output: what the function returned.
Errors: python.exception {exception}, output.invalid, shell.too_large, shell.exit and shell.signal when the process ended before
the function did, shell.not_started.
"""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack

import msgspec

from agentctl.actions import call_function
from agentctl.actions.answer import Answer, open_channel
from agentctl.actions.launch import as_file, check_end, start
from agentctl.actions.output import MAX_OUTPUT, Output, Stderr
from agentctl.actions.process import GRACE
from agentctl.errors import ActionError
from agentctl.language.sizes import parse_size
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class PythonAction:
    def __init__(self, grace: float = GRACE) -> None:
        """`grace`: seconds between TERM and KILL when a step is stopped."""
        self.grace = grace

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        function, arguments = call.params["function"], call.params.get("with") or {}
        if not isinstance(function, str) or not _TARGET.fullmatch(function):
            raise ActionError("input.invalid", f"`python` expects package.module:function, got {function!r}.")
        with ExitStack() as stack:
            stdin = stack.enter_context(as_file(msgspec.json.encode(arguments)))
            answer = Answer(around, parse_size(call.params.get("max_output", MAX_OUTPUT)))
            stack.callback(answer.close)
            channel = open_channel(answer)
            stack.callback(channel.close)
            stdout, stderr = Output(call, around, "stdout"), Stderr(call, around, "stderr")
            # -P: the folder of the child's own file must not be searched for modules; the child adds the project's root.
            argv = [sys.executable, "-P", call_function.__file__, str(around.root), function, str(channel.writing.fileno())]
            code = await start(
                argv,
                call,
                around,
                cwd=around.root,
                env={},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                channel=channel,
                grace=self.grace,
            )
            _check(answer, code, stderr)
            return Outcome(answer.result())


def make(context: ActionContext) -> PythonAction:
    return PythonAction()


def _check(answer: Answer, code: int, stderr: Stderr) -> None:
    """Raise the ActionError of a call that gave no result."""
    if not answer.is_complete:
        try:
            check_end(code, [0], stderr)
        except ActionError as error:
            if answer.has_begun:
                error.outcome = "unknown"
            raise
        message = "The function ended the process before it returned anything."
        raise ActionError("shell.exit", message, {"exit_code": 0, "stderr": stderr.tail()}, outcome="unknown")
    if not answer.is_failure:
        return
    failure = answer.failure
    if failure["failure"] == "result":
        raise ActionError("output.invalid", failure["message"])
    raise ActionError("python.exception", failure["message"], {"exception": failure["exception"]})
