"""Notice at once that something changed on disk, where `watchfiles` is installed. The callers also look from time to time.

Folders are watched, never files: a file that is replaced by another of its name would be lost from sight.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from agentctl.engine.clock import sleep_unless
from agentctl.ports import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN = 2.0  # seconds between two looks at the disk without a notification
_STEP = 100  # milliseconds without a change until one is reported, and between two looks of the watching thread for its end


class Wakeup:
    """A flag that anybody in the event loop can set, and one waits for; set twice before it is seen, it is seen once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flag = asyncio.Event()

    def set(self) -> None:
        self._flag.set()

    async def wait(self, until: float) -> None:
        """Return when it is set, or has been since the last wait; and at the time `until` at the latest."""
        await sleep_unless(self._flag, self._clock, until)
        self._flag.clear()


async def watch(
    folders: Callable[[], Iterable[Path]], wake: Callable[[str], None], clock: Clock, *, recursive: bool = True
) -> None:
    """Call `wake` with the path of whatever changes in any of the folders, or with `recursive` below them, until cancelled.

    The folders may come, go, be replaced, and become others; which they are is asked again every few seconds. Returns where they
    cannot be watched at all.
    """
    try:
        from watchfiles import awatch
    except ImportError:
        return
    while True:
        watched = _present(folders())
        if watched:
            changes = awatch(
                *watched,
                watch_filter=None,
                step=_STEP,
                rust_timeout=int(LOOK_AGAIN * 1000),
                yield_on_timeout=True,
                ignore_permission_denied=True,
                recursive=recursive,
            )
            try:
                async for change in changes:
                    for _, path in change:
                        wake(path)
                    if _present(folders()) != watched:
                        break
            except FileNotFoundError:
                pass  # a folder that has gone since it was looked for
            except (OSError, RuntimeError) as error:
                log.warning("changes of files are seen some seconds later, because folders cannot be watched: %s", error)
                return
            finally:
                await changes.aclose()
        await clock.sleep_until(clock.now() + LOOK_AGAIN)


def _present(folders: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Which of them are there, and as what: one that was replaced by another of its name is another."""
    found = {}
    for folder in folders:
        with suppress(OSError):
            status = os.stat(folder)
            found[folder] = status.st_dev, status.st_ino
    return found
