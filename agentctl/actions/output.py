"""The outputs of a process: to the run's log by whole lines, and kept for the step's output in bounded memory."""

from __future__ import annotations

import codecs
import errno
import os
import tempfile
from pathlib import Path
from typing import IO, Literal

from agentctl.errors import ActionError
from agentctl.language.sizes import format_size
from agentctl.ports import Call, LargeOutput, Surroundings

KEPT = 1 << 20  # bytes of output that stay in memory and in the journal; more becomes a file
IN_MEMORY = 64 << 20  # bytes that are kept in memory when the disk takes no file
MAX_OUTPUT = 1 << 30  # bytes that a step may put out, where it does not say
RESERVE = 16 << 20  # bytes of the disk that outputs and logs leave to the store, so that what happens can be recorded
TAIL = 4096  # bytes of stderr that a failed step keeps
LINE = 65536  # characters after which a line without an end is logged all the same


class LogLines:
    """A stream cut into blocks of whole lines for the log. Feed it scrubbed bytes."""

    def __init__(self, call: Call, around: Surroundings, stream: str) -> None:
        self._call, self._around, self._stream = call, around, stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, chunk: bytes, final: bool = False) -> None:
        text = self._rest + self._decoder.decode(chunk, final)
        whole, newline, self._rest = text.rpartition("\n")
        if newline:
            self._log(whole)
        if len(self._rest) >= LINE or (final and self._rest):
            self._log(self._rest)
            self._rest = ""

    def _log(self, text: str) -> None:
        self._around.log(self._call, self._stream, text)


class Output:
    """One output of a process: scrubbed and logged. Subclasses keep something of it."""

    def __init__(self, call: Call, around: Surroundings, stream: str) -> None:
        self._scrubber = around.scrubber()
        self._lines = LogLines(call, around, stream)

    def feed(self, chunk: bytes) -> None:
        clean = self._scrubber.feed(chunk)
        self._lines.feed(clean)
        self._keep(chunk, clean)

    def finish(self) -> None:
        """Take what the scrubber held back. Call it once, when the process has ended."""
        clean = self._scrubber.finish()
        self._lines.feed(clean, final=True)
        self._keep(b"", clean)

    def _keep(self, raw: bytes, clean: bytes) -> None:
        """Take each chunk as it came, and what the scrubber let go with it."""


class Stderr(Output):
    """Keeps the end of what it was fed."""

    _tail = b""

    def _keep(self, raw: bytes, clean: bytes) -> None:
        self._tail = (self._tail + clean)[-TAIL:]

    def tail(self) -> str:
        return self._tail.decode("utf-8", "replace")


class Stdout(Output):
    """Keeps all of it in a `Kept`."""

    def __init__(self, call: Call, around: Surroundings, stream: str, limit: int = MAX_OUTPUT) -> None:
        super().__init__(call, around, stream)
        self.kept = Kept(around, limit)

    def _keep(self, raw: bytes, clean: bytes) -> None:
        self.kept.add(raw, clean)


class Kept:
    """Bytes of a step's output: up to 1 MiB in memory as they came, more in a nameless file, scrubbed.

    A full disk does not end the step, whose effects continue. What the disk does not take stays in memory, up to IN_MEMORY.
    Raises ActionError with an unknown outcome when there is more than that, or more than `limit`.
    """

    def __init__(self, around: Surroundings, limit: int) -> None:
        self._folder = around.store
        self._limit = limit
        self._size = 0
        self._raw = bytearray()
        self._clean = bytearray()
        self._file: IO[bytes] | None = None
        self._is_large = False

    def add(self, raw: bytes, clean: bytes) -> None:
        self._size += len(raw)
        if self._size > self._limit:
            message = f"The output is over {format_size(self._limit)} (`max_output`)."
            raise ActionError("shell.too_large", message, outcome="unknown")
        self._clean += clean
        if not self._is_large:
            self._raw += raw
            if len(self._raw) <= KEPT:
                return
            self._is_large = True
            self._raw.clear()
        self._spill()

    def _spill(self) -> None:
        """Move what is in memory to the file, as far as the disk takes it."""
        try:
            if not has_room(self._folder):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._file is None:
                self._file = nameless_file(self._folder)
            while self._clean:
                del self._clean[: self._file.write(self._clean)]
        except OSError as error:
            if len(self._clean) > IN_MEMORY:
                message = f"The output cannot be kept: {error.strerror}."
                raise ActionError("output.invalid", message, outcome="unknown") from error

    @property
    def is_large(self) -> bool:
        return self._is_large

    @property
    def data(self) -> bytes:
        """What came, if it was not too much; not scrubbed, so that a secret cannot tear a JSON document."""
        return bytes(self._raw)

    def large(self, kind: Literal["text", "json", "bytes"]) -> LargeOutput:
        """All of it, to be kept as a file beside the store. It belongs to the caller from then on."""
        file, self._file = self._file, None
        return LargeOutput(file, bytes(self._clean), kind)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def has_room(folder: Path) -> bool:
    """Whether the disk of `folder` has more room than what is reserved for the store."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize > RESERVE


def nameless_file(folder: Path) -> IO[bytes]:
    """An unbuffered file without a name. Where the system allows it, the file can be given one later (`os.link`)."""
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "w+b", 0)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):  # else: not on this file system
                raise
    return tempfile.TemporaryFile(dir=folder, buffering=0)
