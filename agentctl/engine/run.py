"""One run while this process holds it: the driver's loop around `core.activation`.

    inbox ──activation──> events, effects ──commit──> commands ──perform──> inbox

Nothing is done in the world before the commit that says so. An activation that is not committed has not happened: the state in
memory is dropped with the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

from agentctl.core import interpreter
from agentctl.core.activation import MAX_ITEMS, Activation, ActiveRun, Saved
from agentctl.core.commands import (
    AwaitEvent,
    AwaitPerson,
    CancelWait,
    InvalidateResult,
    ReleaseClaim,
    Remember,
    SetTimer,
    StartChild,
    StoreResult,
)
from agentctl.core.events import AnyEvent, Error, decode
from agentctl.core.graph import Plan
from agentctl.core.snapshot import LEAST_EVENTS, restore
from agentctl.core.state import RunState
from agentctl.engine.children import ChildStart
from agentctl.engine.definitions import UNREADABLE
from agentctl.engine.entry import entry_of
from agentctl.engine.host import Host, Shared
from agentctl.engine.inbox import Inbox
from agentctl.engine.performer import Performer
from agentctl.errors import AgentctlError, RunUnreadable
from agentctl.ports import NOTHING, Append, Appended, Lease, Progress, Refusal, RunStatus

log = logging.getLogger(__name__)

T = TypeVar("T")

# Commands after whose commit nothing is left to do.
_NO_WORK = (SetTimer, AwaitEvent, AwaitPerson, CancelWait, Remember, StoreResult, ReleaseClaim, InvalidateResult)

ENDING_POLL = 0.05  # seconds between two looks at a lease whose owner was killed a moment ago
ENDING_PATIENCE = 30.0  # seconds in which its warden must have ended the steps; a tree takes 2 s at most

LONG = 2_000  # events; a longer journal is read in a thread, so that the other runs continue meanwhile

# Why a run was let go: it ended; only timers or mail can move it; another process holds it; the engine stops; its journal
# cannot be read.
LetGo = Literal["finished", "rest", "busy", "stopped", "unreadable"]

_NO_STARTS: dict[str, ChildStart] = {}


class HeldRun:
    """`patient`: when another process holds the run, look again later.  `created`: the first line of its journal, if known.
    `lease`: if it is ours already."""

    def __init__(
        self,
        run_id: str,
        shared: Shared,
        host: Host,
        *,
        patient: bool,
        created: bytes | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.run_id = run_id
        self.patient = patient
        self.inbox = Inbox(shared.clock, partial(host.schedule, run_id))
        self.begun = asyncio.Event()  # the first activation is committed, or it was let go of without one
        self._created = created
        self._given = lease
        self._stopping = False
        self._winding_up = False
        self._shared = shared
        self._host = host
        self._cut_off = False  # stopped while there was work under way
        self._lease: Lease | None = None
        self._is_loaded = False

    @property
    def state(self) -> RunState:
        return self._run.state

    @property
    def next_due(self) -> float | None:
        return self.state.next_due

    # --- what the engine asks of it --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Decide nothing more; let go after the commit under way."""
        self._stopping = True
        self._cut_off = not self._only_waits
        self.inbox.wake()

    def wind_up(self) -> None:
        """Start nothing more; let go once all that is under way has ended and is journaled."""
        if not self._is_loaded:
            self.stop()
            return
        self._winding_up = True
        self._run.hold()
        self.inbox.wake()

    def _is_stopping(self) -> bool:
        return self._stopping

    # --- the loop --------------------------------------------------------------------------------------------------

    async def drive(self) -> LetGo:
        """Drive the run until it ends or rests.

        Raises StoreError when a commit failed, LeaseLost when another process drives the run, RunUnreadable.
        """
        leases = await self._leased()
        if not leases:
            return "busy"
        self._lease = leases[0]
        if not self._is_stopping():
            await self._load(leases[0])
        if self._is_stopping():
            await self._retry(lambda: self._shared.store.release(leases))
            return "stopped"
        step = self._run.begin(self._shared.clock.now(), leases[0].memory, self.inbox.events(MAX_ITEMS))
        while True:
            consumed = self.inbox.take(step.taken) if step.taken else ()
            starts = _NO_STARTS
            if any(isinstance(command, StartChild) for command in step.commands):
                starts = await self._performer.prepare(step.commands)
            released, refused = await self._commit(step, consumed, starts)
            self.begun.set()
            if self._is_stopping():
                return await self._give_back(released, "stopped")
            await self._performer.perform(step.commands, starts, refused)
            if self._run.is_finished:
                return await self._give_back(released, "finished")
            if not self._has_work and (released or self._is_at_rest()):
                return await self._give_back(released, "rest")
            if released:  # something came in while the commit that gave the lease back was written
                return "rest"
            if self._winding_up and not self._has_work and not self.state.executing:
                return await self._give_back(False, "stopped")
            if not self._has_work:
                await self.inbox.wait()
                if self._is_stopping():
                    return await self._give_back(False, "stopped")
            self._run.forget()
            step = self._run.take(self.inbox.events(MAX_ITEMS), self._shared.clock.now())

    @property
    def _has_work(self) -> bool:
        return bool(self.inbox) or self._run.has_answers

    async def _leased(self) -> list[Lease]:
        if self._given is not None:
            return [self._given]
        leases = await self._acquired()
        for _ in range(int(ENDING_PATIENCE / ENDING_POLL)):
            if leases or self._is_stopping() or not self._owner_is_dead():
                break
            await asyncio.sleep(ENDING_POLL)
            leases = await self._acquired()
        return leases

    def _acquired(self) -> Awaitable[list[Lease]]:
        return self._retry(lambda: self._shared.store.acquire([self.run_id], self._shared.clock.now()))

    def _owner_is_dead(self) -> bool:
        """Whether the run's driver was killed a moment ago: its warden may have yet to end the steps it left."""
        row = self._shared.store.run(self.run_id)
        return row is not None and row.owner is not None and self._shared.store.is_dead(row.owner)

    async def _load(self, lease: Lease) -> None:
        """Fold the journal and read the mail. Raises RunUnreadable."""
        shared = self._shared
        try:
            state, saved = await self._folded(lease)
            mail = shared.store.mail([self.run_id]) if lease.has_mail else ()
        except UNREADABLE as error:
            raise RunUnreadable(f"run {self.run_id} cannot be driven: {error}") from error
        self._run = ActiveRun(state, state.head, partial(shared.attempts.at_once, self.run_id, state.name), saved)
        if state.executing:
            await shared.attempts.end_left_behind(self.run_id, list(state.executing))
        self._run.forget()
        self._performer = Performer(self._run, self.inbox, shared, self._host)
        self._version = state.version
        self._is_loaded = True
        shared.attempts.expect(state.plan.uses)
        for item in mail:
            self.inbox.receive(item)

    async def _folded(self, lease: Lease) -> tuple[RunState, Saved]:
        """Return the state that the journal adds up to, and of which snapshot it was made."""
        known, self._created = self._created, None
        plan_of = self._shared.definitions.plan
        if known is not None and lease.head == 1:
            return self._fold([decode(known)], plan_of), Saved()
        head, data = (self._shared.store.snapshot(self.run_id) or (0, b"")) if lease.head >= LEAST_EVENTS else (0, b"")
        state = restore(data, plan_of, self._shared.secret_names) if data else None
        saved = Saved() if state is None else Saved(head, len(data))
        journal = self._shared.store.journal(self.run_id, saved.head)
        if lease.head - saved.head <= LONG:
            return self._fold(journal, plan_of, state), saved
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(
            self._fold, journal, lambda version: asyncio.run_coroutine_threadsafe(self._plan(version), loop).result(), state
        ), saved

    async def _plan(self, version: str) -> Plan:
        return self._shared.definitions.plan(version)

    def _fold(self, journal: Iterable[AnyEvent], plan_of: Callable[[str], Plan], state: RunState | None = None) -> RunState:
        return interpreter.fold(journal, plan_of, self._shared.secret_names, state=state)

    async def _commit(
        self, step: Activation, consumed: Sequence[int], starts: Mapping[str, ChildStart]
    ) -> tuple[bool, Mapping[str, Refusal]]:
        """Make the activation one entry of the journal, durable when this returns.

        Returns whether the lease was given back with it, and the model calls that have no room in a budget, by path.
        """
        if not (step.events or consumed or any(start.new is not None for start in starts.values())):
            return False, {}
        assert self._lease is not None
        entry = entry_of(
            step,
            self._run,
            lease=self._lease,
            version=self._version,
            consumed=consumed,
            starts=starts,
            triggers=self._shared.triggers,
            at=self._shared.clock.now(),
            release=self._run.is_finished or self._rests_after(step),
            alone=self._host.is_alone,
        )
        appended = await self._retry(lambda: self._shared.store.append(entry))
        self._version = self.state.version
        self._show(step.events, entry.progress)
        self._notify_host(step, entry, appended)
        return appended.released, {refusal.path: refusal for refusal in appended.refused}

    def _notify_host(self, step: Activation, entry: Append, appended: Appended) -> None:
        if any(starts is not NOTHING for _, starts in entry.emitted):
            self._host.triggered()
        if appended.offered or step.effects.brings_mail:  # the commit may have offered events or results, to us or to others
            self._host.collect()
        elif step.effects.run_event is not None:  # to others
            self._host.collect_soon()

    def _show(self, events: Sequence[AnyEvent], progress: Progress) -> None:
        for observer in self._shared.observers:
            try:
                observer(self.run_id, events, progress)
            except Exception:  # who watches must not harm what is watched
                log.exception("an observer of run %s failed", self.run_id)

    # --- rest ------------------------------------------------------------------------------------------------------

    def _rests_after(self, step: Activation) -> bool:
        """True when the run rests once this activation is committed: nothing but timers is left to do."""
        return self._is_at_rest() and not self._has_work and all(isinstance(command, _NO_WORK) for command in step.commands)

    @property
    def _only_waits(self) -> bool:
        return self.begun.is_set() and self.state.status in ("waiting", "blocked") and not self._host.is_followed(self.run_id)

    def _is_at_rest(self) -> bool:
        state = self.state
        if state.status not in ("waiting", "blocked") or state.held_back or self._host.is_followed(self.run_id):
            return False
        due = self.state.next_due
        return due is None or due > self._shared.clock.now() + self._host.wait_in_memory

    def is_stuck(self, stuck: Container[str]) -> bool:
        """True when only somebody who looks up an outcome can move it on: its own, or that of a child which is among `stuck`."""
        state = self.state
        if state.subscriptions or state.approvals or state.lookups:
            return False
        if any(timer not in ("run", "timeout") for _, timer in state.timers):
            return False
        return bool(state.unknown or state.children) and all(child in stuck for child in state.children.values())

    async def abandon(self, status: RunStatus = "interrupted", error: Error | None = None) -> None:
        """Give the lease back after a failure, if the store lets us; else it goes with this process.

        `error`: what is shown as the reason.
        """
        if self._lease is not None:
            leases = [self._lease]
            with suppress(AgentctlError):
                await self._retry(lambda: self._shared.store.release(leases, status=status, error=error))

    async def _give_back(self, released: bool, why: LetGo) -> LetGo:
        """Let go of the lease, unless a commit did. A run stopped in the middle shows as interrupted."""
        assert self._lease is not None
        if not released:
            cut_off = why == "stopped" and (self._cut_off or self.state.held_back) and not self.state.is_finished
            status: RunStatus | None = "interrupted" if cut_off else None
            leases = [self._lease]
            await self._retry(lambda: self._shared.store.release(leases, status=status))
        return why

    def _retry(self, write: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return self._shared.patience.call(write)
