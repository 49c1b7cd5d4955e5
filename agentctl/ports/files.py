"""The files beside a store: large outputs and logs."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path
from typing import Protocol

from agentctl import JSON


class Files(Protocol):
    """Large outputs (payloads) and the logs of runs."""

    def log_path(self, run_id: str) -> Path:
        """The file that holds the run's log: JSON lines `{at, path, attempt, stream, text}`."""

    def payload(self, data: bytes | mmap, descriptor: int | None = None) -> dict[str, JSON]:
        """Keep a large output as a file beside the store; returns `{file, bytes, sha256}`. Idempotent.

        descriptor: of a nameless file in the store's folder that holds `data`; it gets its name without being copied, if it can.
        """
