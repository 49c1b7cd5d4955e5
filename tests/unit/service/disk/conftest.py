"""What the tests of hot deploy and of file triggers stand on: a real project and store, and a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentctl.language.project.project import Project, find
from agentctl.service.component import Component
from agentctl.store.ledger import Ledger, open_store


class HandClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._now

    async def sleep_until(self, due: float) -> None:
        while self._now < due:
            await self._moved.wait()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._moved.set()
        self._moved = asyncio.Event()


class Disk:
    """A project's folder. Whoever watches it is not told of changes but by looking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("agentctl.yaml", "vars: {channel: ops}\n")

    @property
    def project(self) -> Project:
        return find(self.root, environment={})

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "project")


@pytest.fixture
def store(disk: Disk) -> Iterator[Ledger]:
    opened = open_store(disk.project.store_path)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `watchfiles` is not installed."""
    import sys

    monkeypatch.setitem(sys.modules, "watchfiles", None)


@pytest.fixture
def running() -> Callable[[Component], AbstractAsyncContextManager[None]]:
    """`async with running(part)`: it has begun and works, within the block."""

    @asynccontextmanager
    async def manager(part: Component) -> Any:
        await part.begin()
        task = asyncio.create_task(part.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                task.result()

    return manager


@pytest.fixture
def eventually(clock: HandClock) -> Callable[..., Awaitable[None]]:
    """`await eventually(lambda: ...)`: time passes until it holds; a test that waits in vain fails there."""

    async def wait(holds: Callable[[], Any], *, step: float = 0.1, seconds: float = 10.0) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, "it never came about"
            clock.advance(step)
            await asyncio.sleep(0.002)

    return wait
