"""The embedded engine: drives any number of runs of one store in one asyncio process.

A run is *held* while this process has its lease and its state in memory: one task each. When only timers or mail can move it,
it is *parked*: the lease goes back, its memory is freed, and an entry in the heap of timers is all that is left of it here.
Whoever holds a run drives its children too, and stays in memory while one of them is held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import islice

from agentctl.engine.child_tracker import ChildTracker
from agentctl.engine.client import MAX_CREATED, Client
from agentctl.engine.definitions import Definitions, Registry
from agentctl.engine.host import EngineConfig, Shared
from agentctl.engine.poller import Poller
from agentctl.engine.queue import AdmissionQueue
from agentctl.engine.run import HeldRun, LetGo
from agentctl.engine.store_retry import StoreRetry
from agentctl.engine.timers import Timers
from agentctl.engine.waiters import Waiters
from agentctl.errors import AgentctlError, LeaseLost, NotFound, StoreBusy
from agentctl.performing.attempts import Attempts
from agentctl.ports import FINISHED, Lease, Progress, QueuePosition, RunRow, Until

log = logging.getLogger(__name__)

WAIT_IN_MEMORY = 1.0  # seconds; a run with a timer nearer than this stays in memory
RETRY_LEASE = 1.0  # seconds until a run that another process holds is tried again
SPREE = 0.02  # seconds for which a run that is alone keeps the event loop


class Engine:
    """Implements `ports.engine.Engine`. Not thread-safe; made and used within one event loop."""

    def __init__(self, equipment: EngineConfig) -> None:
        store, clock = equipment.store, equipment.clock
        registry = Registry(store)
        client = Client(store, clock, equipment.triggers, registry, self)
        # An engine is a client, too.
        self.create, self.start, self.create_many = client.create, client.start, client.create_many
        self.resume, self.resolve, self.cancel, self.approve = client.resume, client.resolve, client.cancel, client.approve
        self.send, self.record, self.pause, self.unpause = client.send, client.record, client.pause, client.unpause
        self.store = store
        self.on_starts: list[Callable[[], None]] = []  # called when an event of ours starts runs, or is gathered for one
        self._clock = clock
        self._created: dict[str, bytes] = {}  # runs that nobody here has driven: the first line of their journals
        self._patience = StoreRetry(clock)
        self._attempts = Attempts(
            equipment.actions, equipment.surroundings, clock, equipment.workers, self._patience.call
        )
        self._parts = Shared(
            store=store,
            clock=clock,
            attempts=self._attempts,
            definitions=Definitions(store, registry, equipment.load_skill, equipment.surroundings.secrets),
            patience=self._patience,
            triggers=equipment.triggers,
            observers=equipment.observers,
            secret_names=frozenset(equipment.surroundings.secrets.names()),
        )
        self._timers = Timers(clock, self._due)
        self._held: dict[str, HeldRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parked: set[str] = set()
        self._stuck: set[str] = set()  # those of them that only a word on an outcome in doubt can move on
        self._family = ChildTracker()
        self._expected: dict[str, set[str]] = {}  # run -> those that wait for its end
        self._detached: set[str] = set()  # held runs that were started with `detach`
        self._watches = Waiters()
        self._line = AdmissionQueue(
            store, clock, self._patience, self._turn_has_come, self._watches.rest, self._timers.set, self._watches.fail_all
        )
        self._lookout = Poller(store, self._has_runs, self._look_around)
        self._collecting: asyncio.Handle | None = None
        self._spree_began = 0.0
        self._stopping = False
        self._winding_up = False
        self._newest = 0  # number of the newest mail that was looked at

    # --- driving ---------------------------------------------------------------------------------------------------

    async def drive(self, run_id: str, *, until: Until = "finished") -> RunRow:
        """Drive a run and its children, until it ended or (`rest`) until only waiting is left; returns what it came to.

        A run that is `blocked`, itself or by a child, and that only a word on the outcome in doubt can move on is left, too.
        Children that it started with `detach` are driven until they rest, too: nobody else may be there to do it.
        After `stop` it returns at once, with the run interrupted. Raises NotFound, StoreBusy when another process holds the run,
        LeaseLost, and any StoreError that kept a commit from being written: what was committed before stands.
        """
        mail = self.store.mail([run_id])  # before the row: who takes the mail changes the row with it
        row = self._row(run_id)
        if row.status in FINISHED and not mail:
            return row
        if not self._stopping:
            await self._until(run_id, until)
            while self._detached and not self._stopping:
                await self._until(next(iter(self._detached)), "rest")
        return self._row(run_id)

    async def _until(self, run_id: str, until: Until) -> None:
        with self._watches.watch(run_id, until) as ended:
            if run_id in self._line:
                self._line.look()
            else:
                self._hold(run_id)
            await ended

    async def start_all(self, run_ids: Iterable[str], *, at_once: int = 100) -> None:
        """Drive many runs until each has ended or rests, `at_once` of them at a time."""
        todo = iter(run_ids)

        async def drive_next() -> None:
            for run_id in todo:
                await self._until(run_id, "rest")

        await asyncio.gather(*(drive_next() for _ in range(at_once)))

    async def stop(self, grace: float = 0.0) -> None:
        """Let go of everything: attempts under way are stopped and left without an outcome (they execute again), leases go back.

        Before that they have `grace` seconds to end and have their outcomes journaled, while nothing new is started. Returns when
        the processes of the attempts have ended; `drive` returns then. Repeated calls do no harm: the shorter grace counts.
        """
        if grace > 0 and not self._stopping:
            self.wind_up()
            await self._until_let_go(grace)
        self._let_all_go()
        await self._attempts.drop()
        await self._line.leave()
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self._parked.clear()
        self._watches.end_all()

    def wind_up(self) -> None:
        """Start nothing any more. What is under way goes on, until `stop`."""
        self._winding_up = True
        for run in self._held.values():
            run.wind_up()
        self._attempts.begin_no_more()

    async def _until_let_go(self, grace: float) -> None:
        """Returns when all is let go of, or when the time is over."""
        out_of_time = asyncio.ensure_future(self._clock.sleep_until(self._clock.now() + grace))
        while self._tasks and not out_of_time.done():
            await asyncio.wait([*self._tasks.values(), out_of_time], return_when=asyncio.FIRST_COMPLETED)
        out_of_time.cancel()

    def holds(self, run_id: str) -> bool:
        """The run is in this process's hands just now, so observers are told of all that happens to it."""
        return run_id in self._held

    @property
    def is_idle(self) -> bool:
        """Nothing moves until a timer fires or mail comes. For clocks that skip idle time."""
        return not self._attempts and self._line.is_quiet and all(run.inbox.is_waited_for for run in self._held.values())

    # --- what its client wrote (client.Listener) -------------------------------------------------------------------

    def created(self, first_events: dict[str, bytes]) -> None:
        for run_id in islice(first_events, MAX_CREATED - len(self._created)):
            self._created[run_id] = first_events[run_id]

    def mailed(self, run_ids: Iterable[str]) -> None:
        self._deliver(run_ids)

    def triggered(self) -> None:
        for notify in self.on_starts:
            notify()

    # --- what held runs ask for (host.Host) -------------------------------------------------------------------------

    @property
    def wait_in_memory(self) -> float:
        return 0.0 if self._watches.wants_rest else WAIT_IN_MEMORY

    @property
    def is_alone(self) -> bool:
        """One run is held here and nothing of it is under way. Now and then False all the same: timers, signals, the screen."""
        now = asyncio.get_running_loop().time()
        if len(self._held) == 1 and not self._attempts and now < self._spree_began + SPREE:
            return True
        self._spree_began = now
        return False

    def schedule(self, run_id: str, due: float) -> None:
        self._timers.set(run_id, due)

    def is_followed(self, run_id: str) -> bool:
        return self._family.has_child(run_id)

    def expect(self, waiting: str, target: str) -> None:
        self._expected.setdefault(target, set()).add(waiting)

    def take_up(self, run_id: str, *, parent: str, detached: bool = False) -> None:
        if self._stopping or self._winding_up or run_id in self._line:
            return
        self._hold(run_id, patient=True)
        if detached:
            self._detached.add(run_id)
        else:
            self._family.add(run_id, parent)

    def _hold(self, run_id: str, *, patient: bool = False) -> HeldRun:
        return self._held.get(run_id) or self._take(run_id, patient=patient or run_id in self._parked)

    def _take(self, run_id: str, *, patient: bool, lease: Lease | None = None) -> HeldRun:
        created = self._created.pop(run_id, None)
        run = self._held[run_id] = HeldRun(run_id, self._parts, self, patient=patient, created=created, lease=lease)
        self._parked.discard(run_id)
        self._line.discard(run_id)
        self._stuck.discard(run_id)
        self._tasks[run_id] = asyncio.get_running_loop().create_task(self._drive(run))
        self._go_on_looking()
        return run

    def _go_on_looking(self) -> None:
        self._lookout.go_on()

    # --- a held run, from outside ----------------------------------------------------------------------------------

    async def _drive(self, run: HeldRun) -> None:
        try:
            why: LetGo = "stopped"
            try:
                why = await run.drive()
            except LeaseLost as error:
                await self._attempts.drop(run.run_id)
                self._watches.fail(run.run_id, error)
                why = "busy"
            finally:
                self._forget(run)
            self._after(run, why)
        except Exception as error:
            await self._break(run, error)

    async def _break(self, run: HeldRun, error: Exception) -> None:
        """The store cannot be written or read, or there is a bug: nothing more is begun, and nobody waits for ever.

        What was not committed has not happened; who drives these runs next does it again.
        """
        if not isinstance(error, AgentctlError):
            log.error("driving run %s failed unexpectedly", run.run_id, exc_info=error)
        self._let_all_go()
        await self._attempts.drop()
        await run.abandon()
        self._watches.fail_all(error)

    def _let_all_go(self) -> None:
        self._stopping = True
        self._patience.give_up()
        self._timers.close()
        self._lookout.close()
        for run in self._held.values():
            run.stop()

    def _forget(self, run: HeldRun) -> None:
        run.begun.set()
        del self._held[run.run_id]
        del self._tasks[run.run_id]
        self._timers.clear(run.run_id)
        self._detached.discard(run.run_id)

    def _after(self, run: HeldRun, why: LetGo) -> None:
        """The run is out of memory: who waits for it is told, and it is parked if it goes on later."""
        run_id = run.run_id
        if why == "finished":
            self._ended(run_id)
            if run.inbox.mail and not self._winding_up:
                self._hold(run_id)
        elif self._stopping or why == "stopped":
            self._watches.end(run_id)
        elif why == "rest":
            self._park(run)
        elif why == "busy":
            self._taken(run)
        self._free_parent(run_id)

    def _ended(self, run_id: str) -> None:
        self._line.look()
        self._watches.end(run_id)
        self._deliver(self._expected.pop(run_id, ()))

    def _park(self, run: HeldRun) -> None:
        self._parked.add(run.run_id)
        if run.inbox and not self._winding_up:  # it came while the lease was being given back
            self._hold(run.run_id)
            return
        if run.next_due is not None:
            self._timers.set(run.run_id, run.next_due)
        self._watches.rest(run.run_id)
        if run.is_stuck(self._stuck):
            self._stuck.add(run.run_id)
            self._watches.end(run.run_id)

    def _taken(self, run: HeldRun) -> None:
        """Another process drives the run. One that was ours, or a child of ours, is looked at again."""
        standing = self.store.queue_position(run.run_id, self._clock.now())
        if standing is not None and standing.ours:
            self._line_up(run, standing)
            return
        row = self.store.run(run.run_id)
        if row is not None and row.status in FINISHED and row.owner is None:  # else another process is resuming it
            self._ended(run.run_id)
        elif row is not None and run.patient:
            self._parked.add(run.run_id)
            self._timers.set(run.run_id, self._clock.now() + RETRY_LEASE)
            self._watches.rest(run.run_id)
        else:
            self._watches.fail(run.run_id, StoreBusy(f"run {run.run_id} is being driven by another process"))

    def _line_up(self, run: HeldRun, standing: QueuePosition) -> None:
        """There is no place for the run yet."""
        self._line.add(run.run_id, standing.until)
        if not standing.reason:  # one was given free just now
            self._line.look()
            return
        for observer in self._parts.observers:
            observer(run.run_id, [], Progress(status="queued", started_at=None, finished_at=None, steps_done=0, steps_total=0))
        self._watches.rest(run.run_id)
        if run.inbox.mail:  # it is to be cancelled
            self._line.look()

    def _turn_has_come(self, lease: Lease) -> None:
        run = self._take(lease.run_id, patient=True, lease=lease)
        if self._stopping or self._winding_up:
            run.stop()

    def _free_parent(self, child: str) -> None:
        """The run is held no more: the one that stayed in memory for its sake need not."""
        parent = self._family.discard(child)
        if parent in self._held:
            self._held[parent].inbox.wake()

    # --- time and mail ---------------------------------------------------------------------------------------------

    def _due(self, run_id: str) -> None:
        if run_id in self._held:
            self._held[run_id].inbox.ring()
        elif run_id in self._line:
            self._line.look()
        elif run_id in self._parked and not self._winding_up:
            self._hold(run_id)

    def _deliver(self, run_ids: Iterable[str]) -> None:
        """Hand the mail of these runs, as far as they are ours, to their inboxes."""
        ours = [run_id for run_id in run_ids if run_id in self._held or (self._is_kept(run_id) and not self._winding_up)]
        if ours and not self._stopping:
            for mail in self.store.mail(ours):
                if mail.run_id in self._line:
                    self._line.look()
                else:
                    self._hold(mail.run_id).inbox.receive(mail)

    def _is_kept(self, run_id: str) -> bool:
        """It goes on here later."""
        return run_id in self._parked or run_id in self._line

    def collect(self) -> None:
        """Deliver what came since the last look. The cost is of the news, not of the runs that wait."""
        news = self.store.mailed(self._newest)
        if news:
            self._newest = news[-1][0]
            self._deliver({run_id for _, run_id in news})

    def _row(self, run_id: str) -> RunRow:
        row = self.store.run(run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id}")
        return row

    def collect_soon(self) -> None:
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_soon(self._collect_at_last)

    def _collect_at_last(self) -> None:
        self._collecting = None
        if not self._stopping:
            try:
                self.collect()
            except AgentctlError as error:
                self._watches.fail_all(error)

    def _has_runs(self) -> bool:
        return bool(self._held or self._parked or self._line)

    def _look_around(self) -> None:
        """What other processes wrote or left: mail for our runs, the end of a run that was parked here, a place that is free."""
        try:
            self._line.look_if_free()  # though nothing was written: who has the place may have died
            if self.store.changed():
                self.collect()
                for run_id in self._watches.runs():
                    if run_id in self._parked and self._row(run_id).status in FINISHED:
                        self._parked.discard(run_id)
                        self._ended(run_id)
        except AgentctlError as error:
            self._watches.fail_all(error)
