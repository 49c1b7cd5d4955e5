"""The residency of `agentctl serve`: the engine drives every run of the store, for months.

A run that rests is forgotten: the store says when it is due (`Dispatcher`). A write that the store refuses is tried again; a run
that cannot be driven is set aside, and the others continue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agentctl.engine.residency.dispatcher import MOST_HELD, Dispatcher
from agentctl.engine.residency.residency import Holder
from agentctl.engine.run import HeldRun
from agentctl.engine.store_retry import is_passing
from agentctl.errors import AgentctlError, StoreError

log = logging.getLogger(__name__)


class Serving:
    """Implements `Residency`. `most_held`: runs in memory at a time."""

    shares_loop = True

    def __init__(self, holder: Holder, *, most_held: int = MOST_HELD) -> None:
        self._holder = holder
        self._most_held = most_held
        self._dispatcher = Dispatcher(holder.store, holder.clock, self)
        self._hopeless: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holder.patience.endure()

    async def begin(self) -> None:
        self._dispatcher.is_woken = self._holder.store.listen(self._holder.look)
        begun = self._dispatcher.take_up()
        await asyncio.gather(*(run.begun.wait() for run in begun))

    async def run(self) -> None:
        dispatching = asyncio.ensure_future(self._dispatcher.run())
        try:
            await asyncio.wait([dispatching, self._hopeless], return_when=asyncio.FIRST_COMPLETED)
            for ended in (self._hopeless, dispatching):
                if ended.done():
                    ended.result()
        finally:
            dispatching.cancel()

    def look(self) -> None:
        self._dispatcher.look()

    # --- what the dispatcher asks for (dispatcher.Runs) ---

    @property
    def room(self) -> int:
        return 0 if self._holder.is_closing else self._most_held - self._holder.held

    def take(self, run_id: str) -> HeldRun:
        return self._holder.hold(run_id)

    def collect(self) -> None:
        self._holder.collect()

    # --- before a run is held ---

    def wants_child(self, run_id: str, *, detached: bool) -> bool:
        if self._holder.is_held(run_id) or (self.room > 0 and not detached):
            return True
        self._dispatcher.look()  # it waits in the store for its turn, and its parent for its end
        return False

    def is_kept(self, run_id: str) -> bool:
        return False

    def is_queued(self, run_id: str) -> bool:
        return False

    def ask_for_turn(self, run_id: str) -> bool:
        return False

    def taken(self, run_id: str) -> None:
        pass  # the store is the queue

    # --- after it was held ---

    def finished(self, run_id: str) -> None:
        self._dispatcher.succeeded(run_id)
        self._holder.waiters.end(run_id)
        self._holder.collect()

    def rested(self, run: HeldRun) -> None:
        self._dispatcher.succeeded(run.run_id)
        if run.inbox and not self._holder.is_closing:
            self._holder.hold(run.run_id)
        else:
            self._holder.waiters.rest(run.run_id)
            self._dispatcher.look()

    def busy(self, run: HeldRun) -> None:
        """Who holds it drives it; what keeps it in the queue will change, and the store will say so."""
        self._holder.waiters.rest(run.run_id)

    def unreadable(self, run_id: str) -> None:
        self._dispatcher.set_aside(run_id)

    def survives(self, run_id: str, error: Exception) -> bool:
        if isinstance(error, StoreError) and not is_passing(error):
            if not self._hopeless.done():
                self._hopeless.set_exception(error)
            return False
        if isinstance(error, AgentctlError):
            log.error("run %s cannot be driven now: %s", run_id, error)
        else:
            log.error("driving run %s failed unexpectedly", run_id, exc_info=error)
        self._dispatcher.set_aside(run_id)
        return True

    # --- news ---

    def expect(self, waiting: str, target: str) -> None:
        pass  # whatever ends here, its mail is collected

    def runs_to_wake(self, run_ids: Sequence[str]) -> Sequence[str]:
        self._dispatcher.look()
        return ()

    def due(self, run_id: str) -> None:
        pass  # the dispatcher knows

    def collected(self) -> None:
        self._holder.look()

    def triggered(self) -> None:
        self._holder.collect()  # the start of a run may have mailed others

    # --- the end ---

    @property
    def is_quiet(self) -> bool:
        return True

    def close(self) -> None:
        pass

    async def leave(self) -> None:
        pass
