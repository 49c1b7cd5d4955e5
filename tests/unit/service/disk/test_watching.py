"""Being told of changes by the system, where `watchfiles` is installed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentctl.engine.clock import SystemClock
from agentctl.service.disk.deployer import Deployer
from agentctl.service.disk.watching import LOOK_AGAIN, Wakeup, watch

pytest.importorskip("watchfiles")

SOON = LOOK_AGAIN + 5.0  # seconds: a folder is looked for every LOOK_AGAIN


@asynccontextmanager
async def watching(*folders: Path) -> AsyncIterator[Callable[[Path], Any]]:
    """Within the block, `told(path)` writes to it until the watcher has told of it."""
    heard: set[str] = set()
    task = asyncio.create_task(watch(lambda: folders, heard.add, SystemClock()))

    async def told(path: Path) -> None:
        deadline = time.monotonic() + SOON
        while str(path) not in heard:
            assert time.monotonic() < deadline, f"nothing was told of {path}, but of {heard}"
            path.write_text(str(time.monotonic()))
            await asyncio.sleep(0.2)
        heard.clear()

    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_change_is_told_in_a_folder_and_below_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    async with watching(tmp_path) as told:
        await told(tmp_path / "a.yaml")
        await told(tmp_path / "inner/b.yaml")


async def test_a_folder_that_appears_later_is_watched_and_one_that_is_replaced_too(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with watching(folder) as told:
        await asyncio.sleep(0)
        folder.mkdir()
        await told(folder / "a.yaml")
        folder.rename(tmp_path / "before")
        folder.mkdir()
        await told(folder / "b.yaml")


async def test_without_the_package_nothing_is_watched_and_nothing_fails(
    tmp_path: Path, unwatched: None
) -> None:
    await asyncio.wait_for(watch(lambda: [tmp_path], lambda path: None, SystemClock()), 5)


async def test_folders_that_cannot_be_watched_are_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object, **__: object) -> Any:
        raise OSError(28, "inotify watch limit reached")
        yield

    monkeypatch.setattr("watchfiles.awatch", full)
    await asyncio.wait_for(watch(lambda: [tmp_path], lambda path: None, SystemClock()), 5)
    assert "cannot be watched" in caplog.text
    assert "limit reached" in caplog.text


async def test_an_edit_is_deployed_long_before_the_next_look(disk: Any, store: Any, running: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "agentctl.service")
    disk.write("loops/health.yaml", "loop: health\nsteps: [{shell: 'echo 0'}]\n")
    deployer = Deployer(disk.project, store, SystemClock())
    took = []
    async with running(deployer):
        await asyncio.sleep(0.5)
        for number in range(1, 4):
            changed = asyncio.Event()
            deployer.on_change[:] = [changed.set]
            aside = disk.write("loops/.draft", f"loop: health\nsteps: [{{shell: 'echo {number}'}}]\n")
            began = time.monotonic()
            aside.replace(disk.root / "loops/health.yaml")
            await asyncio.wait_for(changed.wait(), SOON)
            took.append(time.monotonic() - began)
    assert min(took) < LOOK_AGAIN / 2


async def test_a_bell_that_was_rung_before_is_heard_at_once_and_once(clock: Any) -> None:
    bell = Wakeup(clock)
    bell.set()
    bell.set()
    await asyncio.wait_for(bell.wait(clock.now() + 3600), 5)
    waiting = asyncio.create_task(bell.wait(clock.now() + 3600))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    bell.set()
    await asyncio.wait_for(waiting, 5)
