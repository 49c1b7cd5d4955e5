"""What people see while a run is driven: a live picture on a terminal, otherwise one plain line per event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from agentctl.cli import output, queries
from agentctl.core.events import AnyEvent, RetryScheduled, StepKeyed, StepStarted
from agentctl.model import Definition
from agentctl.ports import FINISHED, UNFINISHED, HistoryFilter, Progress, RunRow, Store, Waiting
from agentctl.render.progress import (
    line_of_position,
    line_of_result,
    lines_of_awaited_runs,
    picture,
    progress_lines,
    waiting_line,
)
from agentctl.render.timeline import coloured
from agentctl.render.waits import waiting_lines
from agentctl.views.journal import apply, view
from agentctl.views.steps import JournalView

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text


_REFRESH = 0.125  # seconds between two frames


class Questions(Protocol):
    """Asks a person for approvals (`prompt.Asker`)."""

    def ask(self, waiting: Waiting) -> None:
        """Queue a question."""

    def look(self, run_id: str) -> None:
        """Withdraw the open question if the run does not need its answer any more."""


class Watch:
    """An Observer of every run that an engine drives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views: dict[str, JournalView] = {}  # the first is the requested run
        self._definitions: dict[str, Definition | None] = {}  # by version: a foreach may start the same skill often
        self._heads: dict[str, int] = {}  # events in each view
        self.is_shared = False  # another process may drive these runs too, so that only the journal has all news
        self._wake_at: dict[str, float | None] = {}
        self._live: Live | None = None
        self._paused = False
        self._where = ""
        self._reported: set[tuple[str, str, float]] = set()  # waits, by run, path and start
        self._unreported: set[str] = set()  # runs that may have new waits
        self.asker: Questions | None = None  # asks for approvals on the terminal
        self.plain = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"  # it cannot redraw

    def begin(self, run_id: str, where: str) -> None:
        """Take in what happened to a run before we drive it. `where`: the options of commands that lead to the store."""
        self._views[run_id] = self._opened(run_id)
        self._where = where

    def report_all_waits(self, run_id: str) -> None:
        """Report the waits of a run and of its unfinished children, before any of them is driven."""
        seen = self._views.get(run_id)
        for line in lines_of_awaited_runs(seen) if self.plain and seen is not None else ():
            output.note(line)
        self.report_waits(run_id)
        for child in self._store.history(HistoryFilter(parent=run_id, status=UNFINISHED)):
            self.report_all_waits(child.id)

    def report_waits(self, run_id: str) -> bool:
        """Print what a run waits for and how to answer, each wait once; return whether anything was printed."""
        waits = [found for found in self._store.waits(run_id) if found.kind != "unknown"]  # reported at the end
        new = [found for found in waits if (found.run_id, found.path, found.since) not in self._reported]
        seen = self._views.get(run_id)
        for path, holder in self._store.awaited_results(run_id).items():
            if seen is None or seen.step(path).waits_for == holder:
                continue
            seen.step(path).waits_for = holder
            if self.plain:
                output.note(line_of_result(seen, path, holder))
            other = self._store.run(holder.partition("/")[0])
            if other is not None and other.status == "interrupted":
                self._report_undriven(other)
        for waiting in new:
            self._reported.add((waiting.run_id, waiting.path, waiting.since))
            self._report(waiting)
        return bool(new)

    def _look_for_waits(self, run_id: str, seen: JournalView, events: Sequence[AnyEvent]) -> bool:
        """Report new waits, except one that a kept event is about to end; return whether anything was printed."""
        if any(_may_wait(seen, event) for event in events):
            self._unreported.add(run_id)
        if run_id not in self._unreported or self._store.mail([run_id]):
            return False
        self._unreported.discard(run_id)
        return self.report_waits(run_id)

    def _report(self, waiting: Waiting) -> None:
        if self.asker is not None and waiting.kind == "approval" and waiting.answered is None:
            self.asker.ask(waiting)
            return
        for line in waiting_lines(waiting, self._where):
            output.note(line)

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        seen = self._views.get(run_id)
        if seen is None:
            seen = self._views[run_id] = self._opened(run_id)  # includes these events: they are durable
        else:
            events = self._new(run_id, events)
            apply(seen, events)
        if progress.status not in FINISHED:
            seen.status = progress.status
        if not events:
            self._report_position(run_id, seen.name)
        for line in progress_lines(seen, events) if self.plain else ():
            output.note(line)
        reported = self._look_for_waits(run_id, seen, events)
        retrying = any(isinstance(event, RetryScheduled) for event in events)  # whose lines say how long
        if self.plain and not reported and not retrying:
            self._report_timed_wait(run_id, seen.name, progress)
        if self.asker is not None:
            self.asker.look(run_id)
        if progress.status in FINISHED and run_id != next(iter(self._views)):  # the parent's step shows the outcome of a child
            del self._views[run_id]
            self._wake_at.pop(run_id, None)

    def _new(self, run_id: str, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
        if self.is_shared:
            events = list(self._store.journal(run_id, after=self._heads[run_id]))
        self._heads[run_id] += len(events)
        return events

    def catch_up(self, is_ours: Callable[[str], bool]) -> None:
        """Show what another process did with the watched runs, except those whose events we get directly."""
        for run_id in list(self._views):
            row = None if is_ours(run_id) else self._store.run(run_id)
            if row is not None and row.head > self._heads[run_id]:
                self(run_id, (), progress_of(row))
                self._show_children(run_id)

    def _show_children(self, run_id: str) -> None:
        for child in self._store.history(HistoryFilter(parent=run_id, status=UNFINISHED)):
            if child.id not in self._views:
                self._views[child.id] = self._opened(child.id)

    def _report_position(self, run_id: str, name: str) -> None:
        standing = self._store.queue_position(run_id)
        if standing is not None and standing.reason:
            output.note(line_of_position(name, standing))
            for holder in map(self._store.run, standing.holders):
                if holder is not None and holder.owner is None:  # a run that only waits keeps its place without a driver
                    self._report_undriven(holder)

    def _report_undriven(self, row: RunRow) -> None:
        """Report a run that no process drives and whose end we wait for: the wait would never end."""
        if self._store.serving() is None:
            by = f"agentctl serve, or agentctl resume {row.id}{self._where}"
            output.note(f"  no process is driving run {row.id} ({row.status}); continue it with: {by}")

    def settle(self, row: RunRow) -> None:
        """Set the status that the last picture shows."""
        self._views[row.id].status = row.status

    def _report_timed_wait(self, run_id: str, name: str, progress: Progress) -> None:
        wake_at = progress.wake_at if progress.status == "waiting" else None
        if wake_at is not None and wake_at != self._wake_at.get(run_id) and wake_at - time.time() > 1:
            output.note(waiting_line(name, wake_at, time.time()))
        self._wake_at[run_id] = wake_at

    def _opened(self, run_id: str) -> JournalView:
        """Build the view of a run that another process, or none yet, has driven."""
        row = queries.row_of(self._store, run_id)
        if row.version not in self._definitions:
            stored = self._store.definition(row.version)
            self._definitions[row.version] = None if stored is None else stored.definition
        events = list(self._store.journal(run_id))
        self._heads[run_id] = len(events)
        return view(run_id, self._definitions[row.version], events)

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Keep the picture up to date; the last one stays on the screen."""
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

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the screen to others for a while."""
        self._paused = True
        if self._live is not None:
            self._live.stop()
        try:
            yield
        finally:
            self._paused = False
            if self._live is not None:
                self._live.start()

    def close(self) -> None:
        """Release the terminal at once."""
        if self._live is not None:
            self._live.stop()

    async def _refresh(self, live: Live, screen: Console) -> None:
        while True:
            if not self._paused:
                live.update(self._frame(screen), refresh=True)
            await asyncio.sleep(_REFRESH)

    def _frame(self, screen: Console) -> Text:
        first, *children = self._views.values() or [JournalView("", {})]
        return coloured(picture([first, *children], time.time(), width=screen.width, height=screen.height - 1))


def progress_of(row: RunRow) -> Progress:
    """Return the progress that an observer would have been given for a run as stored."""
    return Progress(
        status=row.status,
        started_at=row.started_at,
        finished_at=row.finished_at,
        steps_done=row.steps_done,
        steps_total=row.steps_total,
        usage=row.usage,
        output=row.output,
        error=row.error,
        wake_at=row.wake_at,
    )


def _may_wait(seen: JournalView, event: AnyEvent) -> bool:
    """Return whether the store may have a new wait: for an event, a person, or another run's result."""
    if isinstance(event, StepStarted):
        return seen.step(event.path).action in ("wait", "approve")
    return isinstance(event, StepKeyed)
