"""What people see while a run goes on: a live picture on a terminal, else one plain line for each thing that happens."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from agentctl.cli import output
from agentctl.core.events import AnyEvent, RetryScheduled
from agentctl.model import Definition
from agentctl.ports import FINISHED, Progress, RunRow, Store
from agentctl.render.journal import JournalView, view
from agentctl.render.progress import picture, progress_lines, waiting_line
from agentctl.render.timeline import coloured

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_REFRESH = 0.125  # seconds between two frames


class Watch:
    """An Observer of every run that an engine drives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views: dict[str, JournalView] = {}  # the first is the run that was asked for
        self._definitions: dict[str, Definition | None] = {}  # by version: a foreach may start the same skill often
        self._wake_at: dict[str, float | None] = {}
        self._live: Live | None = None
        self.plain = not sys.stderr.isatty()

    def begin(self, run_id: str) -> None:
        """Take in what happened to a run before we drive it."""
        self._views[run_id] = self._opened(run_id)

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        seen = self._views.get(run_id)
        if seen is None:
            seen = self._views[run_id] = self._opened(run_id)  # these events included: they are durable
        else:
            seen.apply(events)
        if progress.status not in FINISHED:
            seen.status = progress.status
        if self.plain:
            for line in progress_lines(seen, events):
                output.note(line)
            if not any(isinstance(event, RetryScheduled) for event in events):  # whose line says how long
                self._tell_of_waiting(run_id, seen.name, progress)
        if progress.status in FINISHED and run_id != next(iter(self._views)):  # a child: its parent's step shows the outcome
            del self._views[run_id]
            self._wake_at.pop(run_id, None)

    def settle(self, row: RunRow) -> None:
        """What the last picture says of the run: how the store has it now."""
        self._views[row.id].status = row.status

    def _tell_of_waiting(self, run_id: str, name: str, progress: Progress) -> None:
        wake_at = progress.wake_at if progress.status == "waiting" else None
        if wake_at is not None and wake_at != self._wake_at.get(run_id) and wake_at - time.time() > 1:
            output.note(waiting_line(name, wake_at, time.time()))
        self._wake_at[run_id] = wake_at

    def _opened(self, run_id: str) -> JournalView:
        """The view of a run that somebody else, or nobody yet, has driven."""
        row = self._store.run(run_id)
        assert row is not None  # the engine drives it
        if row.version not in self._definitions:
            stored = self._store.definition(row.version)
            self._definitions[row.version] = None if stored is None else stored.definition
        return view(run_id, self._definitions[row.version], self._store.journal(run_id))

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """While inside, the picture is kept up to date; the last one stays on the screen."""
        if self.plain:
            yield
            return
        from rich.live import Live

        screen = output.console(stderr=True)
        with Live(self._frame(screen), console=screen, auto_refresh=False) as live:
            self._live = live
            refreshing = asyncio.create_task(self._refresh(live, screen))
            try:
                yield
            finally:
                refreshing.cancel()
                live.update(self._frame(screen), refresh=True)

    def close(self) -> None:
        """Give the terminal back at once."""
        if self._live is not None:
            self._live.stop()

    async def _refresh(self, live: Live, screen: Console) -> None:
        while True:
            live.update(self._frame(screen), refresh=True)
            await asyncio.sleep(_REFRESH)

    def _frame(self, screen: Console) -> Text:
        first, *children = self._views.values() or [JournalView("", {})]
        return coloured(picture([first, *children], time.time(), width=screen.width, height=screen.height - 1))
