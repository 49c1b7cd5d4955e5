"""The output of a process as the value that a step was asked for: `parse: text|json|yaml|lines|bytes`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import IO

from agentctl import JSON
from agentctl.actions import parse_output
from agentctl.actions.answer import Answer, open_channel
from agentctl.actions.launch import as_file
from agentctl.actions.output import Kept
from agentctl.actions.process import NotStarted, run_process
from agentctl.actions.text import last_lines, read_output
from agentctl.errors import ActionError
from agentctl.ports import LargeOutput, Surroundings

SLOW_YAML = 32 << 10  # bytes of YAML from which its parser, which takes seconds for a MiB, gets a process of its own
STDERR = 4096  # bytes of what a failed parser prints


async def parsed(kept: Kept, how: str, around: Surroundings, limit: int) -> JSON | LargeOutput:
    """Raises ActionError output.invalid for what cannot be read as `how` says."""
    if how == "bytes" or (how == "text" and kept.is_large):
        return kept.large("bytes" if how == "bytes" else "text")
    if kept.is_large or (how == "yaml" and len(kept.data) > SLOW_YAML):
        return await _in_a_process(kept, how, around, limit)
    try:
        return read_output(kept.data, how)
    except ValueError as error:
        raise _invalid(how, str(error), kept.data, around) from None


async def _in_a_process(kept: Kept, how: str, around: Surroundings, limit: int) -> JSON | LargeOutput:
    with ExitStack() as stack:
        stdin = stack.enter_context(_contents(kept))
        answer = Answer(around, limit)
        stack.callback(answer.close)
        channel = open_channel(answer)
        stack.callback(channel.close)
        stderr = bytearray()
        try:
            code = await run_process(
                [sys.executable, "-P", parse_output.__file__, how, str(channel.writing.fileno())],
                cwd=around.root,
                env=os.environ,
                stdin=stdin,
                stdout=lambda chunk: None,
                stderr=lambda chunk: stderr.extend(chunk[: STDERR - len(stderr)]),
                channel=channel,
                grace=0,
            )
        except NotStarted as error:
            raise ActionError("output.invalid", f"The output could not be read: {error}.", outcome="unknown") from error
        if not answer.is_complete:
            reason = last_lines(stderr.decode("utf-8", "replace")) or f"exit code {code}"
            raise ActionError("output.invalid", f"The output could not be read as {how.upper()}: {reason}.")
        if answer.is_failure:
            raise _invalid(how, answer.failure["failure"], kept.data, around)
        return answer.result()


def _contents(kept: Kept) -> IO[bytes]:
    """A file with all of the output, standing at its start."""
    if not kept.is_large:
        return as_file(kept.data)
    large = kept.large("text")
    assert large.file is not None
    if large.rest:
        large.close()
        raise ActionError("output.invalid", "The output cannot be kept: there is no room on the disk.", outcome="unknown")
    large.file.seek(0)
    return large.file


def _invalid(how: str, reason: str, data: bytes, around: Surroundings) -> ActionError:
    clean = str(around.scrub(data.decode("utf-8", "replace")))  # before it is cut: a part of a secret cannot be found
    shown = last_lines(clean, 1)[:200]
    return ActionError("output.invalid", f"The output is no {how.upper()}: {reason}.", {"output": shown})
