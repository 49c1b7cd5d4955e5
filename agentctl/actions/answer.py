"""What a child process of ours answers through its channel: `R` and a result as JSON, or `F` and a failure, then a newline."""

from __future__ import annotations

from typing import Any

from agentctl import JSON
from agentctl.actions.launch import cannot_start
from agentctl.actions.output import Kept
from agentctl.actions.pipes import Channel
from agentctl.expressions.json_text import read_json
from agentctl.ports import LargeOutput, Surroundings


class Answer:
    """Fed by a `Channel`. `failure`: what the child says went wrong, once it is complete; else there is a result."""

    def __init__(self, around: Surroundings, limit: int) -> None:
        self.is_complete = False
        self._kind = b""
        self._scrubber = around.scrubber()
        self._kept = Kept(around, limit)

    def feed(self, chunk: bytes) -> bool:
        """Take what came; True when it is the end. JSON on one line holds no newline."""
        if not self._kind:
            self._kind, chunk = chunk[:1], chunk[1:]
        self.is_complete = chunk.endswith(b"\n")
        body = chunk.removesuffix(b"\n")
        self._kept.add(body, self._scrubber.feed(body) + (self._scrubber.finish() if self.is_complete else b""))
        return self.is_complete

    @property
    def has_begun(self) -> bool:
        return bool(self._kind)

    @property
    def is_failure(self) -> bool:
        return self._kind == b"F"

    @property
    def failure(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self._kept.data)
        return found

    def result(self) -> JSON | LargeOutput:
        return self._kept.large("json") if self._kept.is_large else read_json(self._kept.data)

    def close(self) -> None:
        self._kept.close()


def open_channel(answer: Answer) -> Channel:
    """Raises ActionError when there are no descriptors left."""
    try:
        return Channel(answer.feed)
    except OSError as error:
        raise cannot_start("The process", error) from error
