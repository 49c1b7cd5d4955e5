"""What a step finds around it on this machine: the project's folder, the store's folder, the run's log, the secrets."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Collection
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Protocol

import msgspec

from agentctl import JSON
from agentctl.actions.left_behind import end_left_behind
from agentctl.actions.output import has_room
from agentctl.actions.secrets import Secrets
from agentctl.errors import StoreFull
from agentctl.ports import Call, Files, Journals, LargeOutput, Scrubber

# A link is not followed, and a pipe without a reader is not waited for: the owner of the folder may have put one there.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LOG_LIMIT = 50 << 20  # bytes of log that one run may write

_DIGEST = re.compile(r"[0-9a-f]{64}")

_encode = msgspec.json.Encoder().encode


class FilesAndLock(Files, Journals, Protocol):
    """What is needed of the store here."""


class LocalSurroundings:
    """See `ports.Surroundings`. `folder`: the store's, if it is not the one above the logs; `log_limit`: bytes for each run."""

    def __init__(
        self, root: Path, store: FilesAndLock, secrets: Secrets, folder: Path | None = None, log_limit: int = LOG_LIMIT
    ) -> None:
        self.root = root
        self.store = folder or store.log_path("run").parent.parent
        self.secrets = secrets
        self._store = store
        self._log_limit = log_limit
        self._cut: set[str] = set()

    def scrub(self, value: JSON) -> JSON:
        return self.secrets.scrub(value)

    def scrubber(self) -> Scrubber:
        return self.secrets.scrubber()

    def log(self, call: Call, stream: str, text: str) -> None:
        """One record `{at, path, attempt, stream, text}` for each line of `text`, all in one write.

        A log that cannot be written (a disk that is full, or has no more room than the store needs) is no reason to fail a step,
        so that is passed over in silence.
        """
        if call.run_id in self._cut:
            return
        lines = self.secrets.scrub(text).split("\n")
        with contextlib.suppress(OSError):
            if has_room(self.store):
                self._append(call, stream, lines)

    def _append(self, call: Call, stream: str, lines: list[str]) -> None:
        path = self._store.log_path(call.run_id)
        try:
            descriptor = os.open(path, _APPEND, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            descriptor = os.open(path, _APPEND, 0o600)
        try:
            data = self._records(call, stream, lines)
            if os.fstat(descriptor).st_size + len(data) > self._log_limit:
                self._cut.add(call.run_id)
                data = self._records(call, "note", [f"The log of this run is cut here: it has reached {self._log_limit} bytes."])
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    @staticmethod
    def _records(call: Call, stream: str, lines: list[str]) -> bytes:
        at = round(time.time(), 3)
        record = {"at": at, "path": call.path, "attempt": call.attempt, "stream": stream}
        return b"".join(_encode({**record, "text": line}) + b"\n" for line in lines)

    @property
    def executor_lock(self) -> int | None:
        return self._store.executor_lock_fd()

    def end_left_behind(self, run_id: str, paths: Collection[str]) -> None:
        end_left_behind(run_id, paths)

    def keep(self, output: LargeOutput) -> dict[str, JSON]:
        """See `ports.Surroundings`. A file is read through a memory map: its size costs no memory."""
        return {**self._kept(output), "kind": output.kind}

    def _kept(self, output: LargeOutput) -> dict[str, JSON]:
        if output.file is None:
            return self._store.payload(output.rest)
        try:
            while output.rest:
                output.rest = output.rest[output.file.write(output.rest) :]
        except OSError as error:
            raise StoreFull(f"a large output cannot be kept: {error.strerror}") from error
        return self._store.payload(mmap(output.file.fileno(), 0, access=ACCESS_READ), output.file.fileno())

    def open(self, reference: dict[str, JSON]) -> IO[bytes]:
        """See `ports.Surroundings`. Only files of the store are opened, by their hash."""
        digest = str(reference["sha256"])
        if not _DIGEST.fullmatch(digest):
            raise FileNotFoundError(errno.ENOENT, "it is no file of the store")
        return open(self.store / "payloads" / digest, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
