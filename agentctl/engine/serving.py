"""The engine of `agentctl serve`: drives every run of the store, for months.

Unlike an engine that drives the runs it was given, it forgets a run that rests: the store says when it is due (`Intake`). And it
outlives trouble: a write that the store refuses is tried again, a run that cannot be driven is set aside, the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from agentctl.engine.dispatcher import MOST_HELD, Intake
from agentctl.engine.engine import Engine
from agentctl.engine.host import EngineConfig
from agentctl.engine.run import HeldRun
from agentctl.engine.store_retry import is_passing
from agentctl.errors import AgentctlError, StoreError

log = logging.getLogger(__name__)


class ServingEngine(Engine):
    """`begin`, then `run` until cancelled, then `stop(grace)`. `most_held`: runs in memory at a time.

    `on_news` is called whenever something may have changed in the store, by this process or another.
    """

    name = "engine"

    def __init__(self, equipment: EngineConfig, *, most_held: int = MOST_HELD) -> None:
        super().__init__(equipment)
        self._most_held = most_held
        self._intake = Intake(self.store, self._clock, self)
        self._hopeless: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_news: Callable[[], None] = lambda: None
        self._patience.endure()

    async def begin(self) -> None:
        """Take over what was left behind, and return when that goes on: its journal says so."""
        self._intake.is_woken = self.store.listen(self.look)
        self._intake.take_up()
        await asyncio.gather(*(run.begun.wait() for run in self._held.values()))

    async def run(self) -> None:
        """Take up whatever can be driven, until cancelled. Raises what makes the store unusable for good."""
        intake = asyncio.ensure_future(self._intake.run())
        try:
            await asyncio.wait([intake, self._hopeless], return_when=asyncio.FIRST_COMPLETED)
            for ended in (self._hopeless, intake):
                if ended.done():
                    ended.result()
        finally:
            intake.cancel()

    def triggered(self) -> None:
        super().triggered()
        self.collect()  # the start of a run may have told others to end

    def look(self) -> None:
        """Something was written to the store that may concern runs: look at it soon."""
        self._intake.look()
        self.on_news()

    @property
    def is_tried(self) -> bool:
        """The store cannot be written for the time being."""
        return self._patience.is_tried

    @property
    def held(self) -> int:
        """Runs in memory."""
        return len(self._held)

    # --- what the intake asks for (intake.Holder) ------------------------------------------------------------------

    @property
    def room(self) -> int:
        return 0 if self._stopping or self._winding_up else self._most_held - len(self._held)

    def take(self, run_id: str) -> None:
        self._hold(run_id)

    # --- where it differs from an engine that was given its runs ---------------------------------------------------

    @property
    def is_alone(self) -> bool:
        return False  # there are listeners and timekeepers in this event loop

    def expect(self, waiting: str, target: str) -> None:
        pass  # whatever ends here, its mail is collected

    def take_up(self, run_id: str, *, parent: str, detached: bool = False) -> None:
        if run_id not in self._held and (detached or self.room <= 0):
            self._intake.look()  # it waits in the store for its turn, and its parent for its end
        else:
            super().take_up(run_id, parent=parent, detached=detached)

    def collect(self) -> None:
        super().collect()
        self.look()

    def _go_on_looking(self) -> None:
        pass  # the intake does

    def _ended(self, run_id: str) -> None:
        self._intake.went_well(run_id)
        self._watches.end(run_id)
        self.collect()

    def _park(self, run: HeldRun) -> None:
        self._intake.went_well(run.run_id)
        if run.inbox and not self._winding_up:
            self._hold(run.run_id)
        else:
            self._watches.rest(run.run_id)
            self._intake.look()

    def _taken(self, run: HeldRun) -> None:
        pass  # who holds it drives it; what keeps it in the queue will change, and the store will say so

    def _deliver(self, run_ids: Iterable[str]) -> None:
        ours = list(run_ids)
        super()._deliver(ours)
        if any(run_id not in self._held for run_id in ours):
            self._intake.look()

    async def _break(self, run: HeldRun, error: Exception) -> None:
        """One run cannot be driven: it is let go of and tried again later. A store that is broken for good ends all."""
        if self._stopping or (isinstance(error, StoreError) and not is_passing(error)):
            await super()._break(run, error)
            if not self._hopeless.done():
                self._hopeless.set_exception(error)
            return
        if isinstance(error, AgentctlError):
            log.error("run %s cannot be driven now: %s", run.run_id, error)
        else:
            log.error("driving run %s failed unexpectedly", run.run_id, exc_info=error)
        self._intake.set_aside(run.run_id)
        await self._attempts.drop(run.run_id)
        await run.abandon()
        self._free_parent(run.run_id)
