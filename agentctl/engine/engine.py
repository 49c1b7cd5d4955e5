"""The embedded engine: drives any number of runs of one store in one asyncio process.

A run is *held* while this process has its lease and its state in memory: one task each. Whoever holds a run drives its children
too, and keeps it in memory while one of them is held. When only timers or mail can move a run it is released; what becomes of it
then, and which runs are held at all, is decided by the residency: of a foreground command, or of `serve`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import islice

from msgspec import structs

from agentctl.core.events import Error
from agentctl.engine.child_tracker import ChildTracker
from agentctl.engine.client import MAX_CREATED, Client
from agentctl.engine.definitions import Definitions, Registry
from agentctl.engine.host import EngineConfig, Shared
from agentctl.engine.residency.foreground import Foreground
from agentctl.engine.residency.residency import Holder, Residency
from agentctl.engine.run import HeldRun, LetGo
from agentctl.engine.store_retry import StoreRetry
from agentctl.engine.timers import Timers
from agentctl.engine.waiters import Waiters
from agentctl.errors import AgentctlError, LeaseLost, NotFound, RunUnreadable
from agentctl.performing.attempts import Attempts
from agentctl.ports import FINISHED, Lease, RunRow, Until

log = logging.getLogger(__name__)

WAIT_IN_MEMORY = 1.0  # seconds; a run with a timer nearer than this stays in memory
SPREE = 0.02  # seconds for which a run that is alone keeps the event loop


class Engine:
    """Implements `ports.engine.Engine`. Not thread-safe; made and used within one event loop.

    `residency`: makes the residency of this engine.
    """

    name = "engine"

    def __init__(self, config: EngineConfig, residency: Callable[[Holder], Residency] = Foreground) -> None:
        self.store, self.clock, self.observers = config.store, config.clock, config.observers
        self.patience = StoreRetry(self.clock)
        self.timers = Timers(self.clock, self._due)
        self.waiters = Waiters()
        registry = Registry(self.store)
        client = Client(self.store, self.clock, config.triggers, registry, self)
        # An engine is a client, too.
        self.create, self.start, self.create_many = client.create, client.start, client.create_many
        self.resume, self.resolve, self.cancel, self.approve = client.resume, client.resolve, client.cancel, client.approve
        self.send, self.record, self.pause, self.unpause = client.send, client.record, client.pause, client.unpause
        self.on_starts: list[Callable[[], None]] = []  # called when an event of ours starts runs, or is gathered for one
        self.on_news: Callable[[], None] = lambda: None  # called when something in the store may have changed
        self._attempts = Attempts(config.actions, config.surroundings, self.clock, config.workers, self.patience.call)
        self._shared = Shared(
            store=self.store,
            clock=self.clock,
            attempts=self._attempts,
            definitions=Definitions(self.store, registry, config.load_skill, config.surroundings.secrets),
            patience=self.patience,
            triggers=config.triggers,
            observers=config.observers,
            secret_names=frozenset(config.surroundings.secrets.names()),
        )
        self._created: dict[str, bytes] = {}  # runs that nobody here has driven: the first line of their journals
        self._held: dict[str, HeldRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._children = ChildTracker()
        self._detached: set[str] = set()  # held runs that were started with `detach`
        self._collecting: asyncio.Handle | None = None
        self._spree_began = 0.0
        self._stopping = False
        self._winding_up = False
        self._newest = 0  # number of the newest mail that was looked at
        self.residency = residency(self)

    # --- driving ---------------------------------------------------------------------------------------------------

    async def drive(self, run_id: str, *, until: Until = "finished") -> RunRow:
        """See `ports.engine.Engine`. Detached children are driven until they rest, too: nobody else may be there to do it."""
        mail = self.store.mail([run_id])  # before the row: who takes the mail changes the row with it
        row = self.row(run_id)
        if row.status in FINISHED and not mail:
            return row
        if not self._stopping:
            await self._until(run_id, until)
            while self._detached and not self._stopping:
                await self._until(next(iter(self._detached)), "rest")
        return self.row(run_id)

    async def _until(self, run_id: str, until: Until) -> None:
        with self.waiters.watch(run_id, until) as ended:
            if not self.residency.ask_for_turn(run_id):
                self.hold(run_id)
            await ended

    async def start_all(self, run_ids: Iterable[str], *, at_once: int = 100) -> None:
        """Drive many runs until each has ended or rests, `at_once` of them at a time."""
        todo = iter(run_ids)

        async def drive_next() -> None:
            for run_id in todo:
                await self._until(run_id, "rest")

        await asyncio.gather(*(drive_next() for _ in range(at_once)))

    def row(self, run_id: str) -> RunRow:
        """The run's row; a run that was resumed and waits in the queue here is `queued`. Raises NotFound."""
        row = self.store.run(run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id}")
        if row.status in FINISHED and self.residency.is_queued(run_id):
            return structs.replace(row, status="queued", output=None, error=None, finished_at=None)
        return row

    async def begin(self) -> None:
        """Take over what another process left behind, and return when that continues: its journal says so."""
        await self.residency.begin()

    async def run(self) -> None:
        """Take up whatever the residency finds, until cancelled. Raises what makes the store unusable for good."""
        await self.residency.run()

    def look(self) -> None:
        """Something was written to the store that may concern runs: look at it soon."""
        self.residency.look()
        self.on_news()

    # --- stopping --------------------------------------------------------------------------------------------------

    async def stop(self, grace: float = 0.0) -> None:
        """See `ports.engine.Engine`. Returns when the processes of the attempts have ended; `drive` returns then.

        Nothing new is started in the time of grace. Repeated calls do no harm: the shorter grace counts.
        """
        if grace > 0 and not self._stopping:
            self.wind_up()
            await self._until_let_go(grace)
        self._let_all_go()
        await self._attempts.drop()
        await self.residency.leave()
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self.waiters.end_all()

    def wind_up(self) -> None:
        """Start nothing any more. What is under way continues, until `stop`."""
        self._winding_up = True
        for run in self._held.values():
            run.wind_up()
        self._attempts.begin_no_more()

    async def _until_let_go(self, grace: float) -> None:
        """Return when every run is let go of, or when the time is over."""
        out_of_time = asyncio.ensure_future(self.clock.sleep_until(self.clock.now() + grace))
        while self._tasks and not out_of_time.done():
            await asyncio.wait([*self._tasks.values(), out_of_time], return_when=asyncio.FIRST_COMPLETED)
        out_of_time.cancel()

    def _let_all_go(self) -> None:
        self._stopping = True
        self.patience.give_up()
        self.timers.close()
        self.residency.close()
        for run in self._held.values():
            run.stop()

    # --- what can be seen of it ------------------------------------------------------------------------------------

    def holds(self, run_id: str) -> bool:
        """See `ports.engine.Engine`."""
        return run_id in self._held

    @property
    def held(self) -> int:
        """Runs in memory."""
        return len(self._held)

    @property
    def is_closing(self) -> bool:
        return self._stopping or self._winding_up

    @property
    def is_idle(self) -> bool:
        """Nothing moves until a timer fires or mail comes. For clocks that skip idle time."""
        waits = all(run.inbox.is_waited_for for run in self._held.values())
        return not self._attempts and self.residency.is_quiet and waits

    @property
    def is_tried(self) -> bool:
        """The store cannot be written at the moment."""
        return self.patience.is_tried

    # --- what its client wrote (client.Listener) -------------------------------------------------------------------

    def created(self, first_events: dict[str, bytes]) -> None:
        for run_id in islice(first_events, MAX_CREATED - len(self._created)):
            self._created[run_id] = first_events[run_id]

    def mailed(self, run_ids: Iterable[str]) -> None:
        self.deliver(run_ids)

    def triggered(self) -> None:
        """An event of ours has started runs, or is being gathered for one."""
        for notify in self.on_starts:
            notify()
        self.residency.triggered()

    # --- what held runs ask for (host.Host) -------------------------------------------------------------------------

    @property
    def wait_in_memory(self) -> float:
        return 0.0 if self.waiters.wants_rest else WAIT_IN_MEMORY

    @property
    def is_alone(self) -> bool:
        """One run is held here and nothing of it is under way. Now and then False all the same: timers, signals, the screen."""
        if self.residency.shares_loop:
            return False
        now = asyncio.get_running_loop().time()
        if len(self._held) == 1 and not self._attempts and now < self._spree_began + SPREE:
            return True
        self._spree_began = now
        return False

    def schedule(self, run_id: str, due: float) -> None:
        self.timers.set(run_id, due)

    def is_followed(self, run_id: str) -> bool:
        return self._children.has_child(run_id)

    def expect(self, waiting: str, target: str) -> None:
        self.residency.expect(waiting, target)

    def take_up(self, run_id: str, *, parent: str, detached: bool = False) -> None:
        if self.is_closing or not self.residency.wants_child(run_id, detached=detached):
            return
        self.hold(run_id, patient=True)
        if detached:
            self._detached.add(run_id)
        else:
            self._children.add(run_id, parent)

    # --- a held run, from outside ----------------------------------------------------------------------------------

    def is_held(self, run_id: str) -> bool:
        return run_id in self._held

    def hold(self, run_id: str, *, patient: bool = False, lease: Lease | None = None) -> HeldRun:
        """Drive a run, unless it is held already. `patient`, `lease`: see `HeldRun`."""
        if run_id in self._held:
            return self._held[run_id]
        run = self._held[run_id] = HeldRun(
            run_id,
            self._shared,
            self,
            patient=patient or self.residency.is_kept(run_id),
            created=self._created.pop(run_id, None),
            lease=lease,
        )
        self.residency.taken(run_id)
        self._tasks[run_id] = asyncio.get_running_loop().create_task(self._drive(run))
        return run

    async def _drive(self, run: HeldRun) -> None:
        try:
            why: LetGo = "stopped"
            try:
                why = await run.drive()
            except LeaseLost as error:
                await self._attempts.drop(run.run_id)
                self.waiters.fail(run.run_id, error)
                why = "busy"
            except RunUnreadable as error:
                await run.abandon("blocked", Error(error.kind, str(error)))
                if not self.waiters.fail(run.run_id, error):
                    log.error("%s", error)
                why = "unreadable"
            finally:
                self._forget(run)
            self._after(run, why)
        except Exception as error:
            await self._break(run, error)

    def _forget(self, run: HeldRun) -> None:
        run.begun.set()
        del self._held[run.run_id]
        del self._tasks[run.run_id]
        self.timers.clear(run.run_id)
        self._detached.discard(run.run_id)

    def _after(self, run: HeldRun, why: LetGo) -> None:
        """The run is out of memory: who waits for it learns why, and the residency decides when it continues."""
        run_id = run.run_id
        if why == "finished":
            self.residency.finished(run_id)
            if run.inbox.mail and not self._winding_up:
                self.hold(run_id)
        elif self._stopping or why == "stopped":
            self.waiters.end(run_id)
        elif why == "rest":
            self.residency.rested(run)
        elif why == "busy":
            self.residency.busy(run)
        else:
            self.residency.unreadable(run_id)
        self._free_parent(run_id)

    async def _break(self, run: HeldRun, error: Exception) -> None:
        """The run cannot be driven any further: the store cannot be written or read, or there is a bug.

        What was not committed has not happened; who drives the run next does it again. Where the residency does not survive it,
        nothing more is begun, and nobody waits for ever.
        """
        if not self._stopping and self.residency.survives(run.run_id, error):
            await self._attempts.drop(run.run_id)
            is_bug = not isinstance(error, AgentctlError)
            await run.abandon(error=Error("internal", f"driving the run failed unexpectedly: {error!r}") if is_bug else None)
            self._free_parent(run.run_id)
            return
        if not isinstance(error, AgentctlError):
            log.error("driving run %s failed unexpectedly", run.run_id, exc_info=error)
        self._let_all_go()
        await self._attempts.drop()
        await run.abandon()
        self.waiters.fail_all(error)

    def _free_parent(self, child: str) -> None:
        """The run is held no more: the one that stayed in memory for its sake need not."""
        parent = self._children.discard(child)
        if parent in self._held:
            self._held[parent].inbox.wake()

    # --- time and mail ---------------------------------------------------------------------------------------------

    def _due(self, run_id: str) -> None:
        if run_id in self._held:
            self._held[run_id].inbox.ring()
        else:
            self.residency.due(run_id)

    def deliver(self, run_ids: Iterable[str]) -> None:
        """Hand the mail of these runs, as far as they are driven here, to their inboxes."""
        if self._stopping:
            return
        ids = list(run_ids)
        ours = [run_id for run_id in ids if run_id in self._held]
        if len(ours) < len(ids) and not self._winding_up:
            ours += self.residency.runs_to_wake([run_id for run_id in ids if run_id not in self._held])
        for mail in self.store.mail(ours) if ours else ():
            self.hold(mail.run_id).inbox.receive(mail)

    def collect(self) -> None:
        """Deliver what came since the last look. The cost is of the news, not of the runs that wait."""
        news = self.store.mailed(self._newest)
        if news:
            self._newest = news[-1][0]
            self.deliver({run_id for _, run_id in news})
        self.residency.collected()

    def collect_soon(self) -> None:
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_soon(self._collect_at_last)

    def _collect_at_last(self) -> None:
        self._collecting = None
        if not self._stopping:
            try:
                self.collect()
            except AgentctlError as error:
                self.waiters.fail_all(error)
