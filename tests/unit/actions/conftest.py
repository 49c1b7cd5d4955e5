"""Surroundings of a step in a temporary folder, and the processes that a test may leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions.secrets import Secrets
from agentctl.actions.surroundings import LocalSurroundings
from agentctl.core.events import Error
from agentctl.ports import Call


class Files:
    """The methods of a store that surroundings use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log_path(self, run_id: str) -> Path:
        return self.folder / "logs" / f"{run_id}.jsonl"

    def executor_lock_fd(self) -> None:
        return None

    def payload(self, data: bytes | mmap, descriptor: int | None = None) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        file = self.folder / "payloads" / digest
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return {"file": str(file), "bytes": len(data), "sha256": digest}


class Around(LocalSurroundings):
    """The real surroundings, with what a test wants to know of them."""

    def records(self, stream: str | None = None) -> list[dict[str, Any]]:
        path = self.store / "logs" / "run.jsonl"
        if not path.exists():
            return []
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [record for record in records if stream in (None, record["stream"])]

    def logged(self, stream: str) -> list[str]:
        return [record["text"] for record in self.records(stream)]


@pytest.fixture
def make_around(tmp_path: Path) -> Callable[..., Around]:
    def make(environ: dict[str, str] | None = None, **options: Any) -> Around:
        root, folder = tmp_path / "root", tmp_path / "store"
        root.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        return Around(root, Files(folder), Secrets(root, environ=environ or {}), **options)  # type: ignore[arg-type]  # as much of a store as is asked

    return make


@pytest.fixture
def around(make_around: Callable[..., Around]) -> Around:
    return make_around()


@pytest.fixture
def call() -> Callable[..., Call]:
    def make(previous: Error | None = None, timeout: float | None = None, **params: Any) -> Call:
        return Call(
            run_id="run",
            name="test",
            path="probe",
            attempt=1,
            idempotency_key="run/probe",
            params=params,
            previous=previous,
            timeout=timeout,
        )

    return make


def alive(pid: int) -> bool:
    """Whether the process lives; a zombie that nobody has collected yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def becomes(true: Callable[[], bool], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Whether the process lives at this moment."""
    return alive


@pytest.fixture
def dead() -> Callable[[int], bool]:
    """Whether the process is dead, or dies within a moment."""
    return lambda pid: becomes(lambda: not alive(pid))


@pytest.fixture
def written() -> Callable[[Path], str]:
    """The text of a file that another process is about to write."""

    def read(path: Path) -> str:
        assert becomes(lambda: path.exists() and path.read_text().endswith("\n")), f"{path} was not written"
        return path.read_text()

    return read


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)
