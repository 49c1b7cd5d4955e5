"""A large output on its way into a process or a request: its file, read piece by piece."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO

from agentctl import JSON
from agentctl.errors import ActionError
from agentctl.expressions.large import is_reference
from agentctl.ports import Surroundings

CHUNK = 65536


class Streamed:
    """The file of a large output. `size`: bytes of it that are the value: the newline at the end of a text is not."""

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        if kind == "text" and self.size:
            file.seek(self.size - 1)
            self.size -= file.read(1) == b"\n"
        file.seek(0)

    async def chunks(self) -> AsyncIterator[bytes]:
        left = self.size
        while left and (chunk := self.file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


@contextmanager
def opened(value: JSON, around: Surroundings) -> Iterator[Streamed | None]:
    """The file of a parameter that is a large output; None for any other value. Raises ActionError when it is gone."""
    if not is_reference(value):
        yield None
        return
    try:
        file = around.open(value)
    except OSError as error:
        message = f"The large output {value['file']} cannot be read: {error.strerror}."
        raise ActionError("input.invalid", message, outcome="not_begun") from error
    with file:
        yield Streamed(file, value["kind"])
