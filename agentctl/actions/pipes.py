"""The ends of a child's pipes that this process holds, watched by the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import IO

CHUNK = 65536

Sink = Callable[[bytes], bool | None]  # True: it has all that it wants


class Reader:
    """What a child writes. Each chunk goes to `sink`; the first failure of the sink closes the pipe.

    last: when something came last, by the monotonic clock.
    closed: done at the end of the pipe, or once it is closed here.
    failure: what the sink raised.
    """

    def __init__(self, file: IO[bytes], sink: Sink, on_failure: Callable[[], None]) -> None:
        self.last = 0.0
        self.failure: Exception | None = None
        self._file = file
        self._sink = sink
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(file.fileno(), False)
        self._loop.add_reader(file.fileno(), self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._file.fileno(), CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self.last = time.monotonic()
        try:
            if self._sink(chunk):
                self.close()
        except Exception as failure:
            self.failure = failure
            self.close()
            self._on_failure()

    def close(self) -> None:
        if not self.closed.done():
            self._loop.remove_reader(self._file.fileno())
            self._file.close()
            self.closed.set_result(None)


class Channel:
    """A pipe through which a child answers, beside its two outputs. The child finds the writing end under its number."""

    def __init__(self, sink: Sink) -> None:
        reading, writing = os.pipe()
        self.sink = sink
        self.reading, self.writing = os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)

    def close(self) -> None:
        self.writing.close()
        self.reading.close()


class Feeder:
    """What a child reads from a pipe: the first `size` bytes of a file, given as fast as the child takes them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self._pending = b""
        self._pipe: IO[bytes] | None = None

    def start(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        os.set_blocking(pipe.fileno(), False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_writer(pipe.fileno(), self._write)

    def _write(self) -> None:
        assert self._pipe is not None
        if not self._pending:
            self._pending = self._file.read(min(CHUNK, self._left))
            self._left -= len(self._pending)
        if not self._pending:
            self.close()
            return
        try:
            self._pending = self._pending[os.write(self._pipe.fileno(), self._pending) :]
        except BlockingIOError:
            return
        except OSError:  # the child reads no more
            self.close()

    def close(self) -> None:
        if self._pipe is not None and not self._pipe.closed:
            self._loop.remove_writer(self._pipe.fileno())
            self._pipe.close()
