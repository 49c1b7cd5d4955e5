"""The two outputs of a process: to the run's log by whole lines, and kept for the step's output in bounded memory."""

from __future__ import annotations

import codecs
import tempfile
from typing import IO

from agentctl import JSON
from agentctl.ports import Call, Surroundings

KEPT = 1 << 20  # bytes of output that stay in memory and in the journal; more becomes a file
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
        self._around = around
        self._scrubber = around.scrubber()
        self._lines = LogLines(call, around, stream)

    def feed(self, chunk: bytes) -> None:
        clean = self._scrubber.feed(chunk)
        self._lines.feed(clean)
        self._keep(chunk, clean)

    def finish(self) -> None:
        """Call it once, when the process has ended."""
        clean = self._scrubber.finish()
        self._lines.feed(clean, final=True)
        self._keep(b"", clean)

    def _keep(self, raw: bytes, clean: bytes) -> None:
        """Told of each chunk as it came, and of what the scrubber let go with it."""


class Stderr(Output):
    """Keeps the end of what it was fed."""

    _tail = b""

    def _keep(self, raw: bytes, clean: bytes) -> None:
        self._tail = (self._tail + clean)[-TAIL:]

    def tail(self) -> str:
        return self._tail.decode("utf-8", "replace")


class Stdout(Output):
    """Keeps everything: up to 1 MiB in memory as it came, more in a nameless file, scrubbed."""

    def __init__(self, call: Call, around: Surroundings, stream: str) -> None:
        super().__init__(call, around, stream)
        self._raw = bytearray()
        self._clean = bytearray()
        self._file: IO[bytes] | None = None

    def _keep(self, raw: bytes, clean: bytes) -> None:
        if self._file is not None:
            self._file.write(clean)
            return
        self._raw += raw
        self._clean += clean
        if len(self._raw) > KEPT:
            self._file = tempfile.TemporaryFile(dir=self._around.store)  # noqa: SIM115  # closed by `close`
            self._file.write(self._clean)
            self._raw.clear()
            self._clean.clear()

    @property
    def data(self) -> bytes:
        """What came, if it was not too much; not scrubbed, so that a secret cannot tear a JSON document."""
        return bytes(self._raw)

    def kept(self) -> JSON:
        """`{file, bytes, sha256}` when the output was over 1 MiB, else None."""
        return None if self._file is None else self._around.keep(self._file)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
