"""One run while this process holds it: the loop of journal and interpreter.

    inbox ──decide──> events ──commit──> commands ──perform──> inbox

What waits in the inbox when the run's turn comes is decided one after the other and becomes one entry of the journal, so the
end of a step and the start of the next are one commit. Nothing is done in the world before the commit that says so.
A turn that is not committed has not happened: the state in memory is thrown away with the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

from agentctl.core import interpreter
from agentctl.core.commands import (
    AwaitEvent,
    AwaitPerson,
    AwaitRun,
    CancelChild,
    CancelWait,
    Execute,
    InvalidateResult,
    ReleaseClaim,
    Remember,
    SetTimer,
    StartChild,
    Stop,
    StoreResult,
)
from agentctl.core.events import AnyEvent, AttemptFailed, CancelRequested, ChildFinished, RunCreated, RunResumed, decode
from agentctl.engine.budgets import over_budget
from agentctl.engine.children import Children, ChildStart
from agentctl.engine.host import Host, Shared
from agentctl.engine.inbox import Inbox
from agentctl.engine.run_events import news_of
from agentctl.engine.turn import Turn, entry_of
from agentctl.engine.waits import emission
from agentctl.errors import AgentctlError
from agentctl.ports import FINISHED, NOTHING, Append, Awaiter, Lease, Mail, NewEvent, Progress, Reply, RunStatus, Triggered

log = logging.getLogger(__name__)

T = TypeVar("T")

# Commands after whose commit nothing is left to do.
_NO_WORK = SetTimer | AwaitEvent | AwaitPerson | CancelWait | Remember | StoreResult | ReleaseClaim | InvalidateResult
MOST_AT_ONCE = 500  # answers taken into one entry: bounds what a turn of a wide foreach holds in memory

# Why a run was let go: it ended; only timers or mail can move it; another process holds it; we were told to stop.
LetGo = Literal["finished", "rest", "busy", "stopped"]


class HeldRun:
    """`patient`: when another process holds the run, look again later.  `created`: the first line of its journal, if known.
    `lease`: if it is ours already."""

    def __init__(
        self,
        run_id: str,
        parts: Shared,
        host: Host,
        *,
        patient: bool,
        created: bytes | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.run_id = run_id
        self.patient = patient
        self.inbox = Inbox(parts.clock, partial(host.schedule, run_id))
        self._created = created
        self._given = lease
        self.begun = asyncio.Event()  # the first turn is committed, or it was let go of without one
        self._stopping = False
        self._winding_up = False
        self._parts = parts
        self._host = host
        self._cut_off = False  # stopped while there was work under way
        self._lease: Lease | None = None

    # --- what others tell it ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Decide nothing more; let go after the commit under way."""
        self._stopping = True
        self._cut_off = not self._only_waits
        self.inbox.wake()

    def wind_up(self) -> None:
        """Start nothing more; let go once all that is under way has ended and is journaled."""
        if self._lease is None:
            self.stop()
            return
        self._winding_up = True
        interpreter.hold(self.state)
        self.inbox.wake()

    def _is_stopping(self) -> bool:
        return self._stopping

    @property
    def next_due(self) -> float | None:
        return self.state.next_due

    # --- the loop --------------------------------------------------------------------------------------------------

    async def drive(self) -> LetGo:
        """Drive the run until it ends or rests. Raises StoreError when a commit failed, LeaseLost when the run is another's."""
        leases = await self._leased()
        if not leases:
            return "busy"
        self._lease = leases[0]
        if self._is_stopping():
            await self._insist(lambda: self._parts.store.release(leases))
            return "stopped"
        turn = self._load(leases[0])
        while True:
            self._answer(turn)
            if any(isinstance(command, StartChild) for command in turn.commands):
                await self._start_children(turn)
            released = await self._commit(turn)
            self.begun.set()
            if self._is_stopping():
                return await self._give_back(released, "stopped")
            distant = self._perform(turn)
            if distant:
                await self._reach_out(distant)
            if self.state.is_finished:
                return await self._give_back(released, "finished")
            if not self.inbox and (released or self._is_at_rest()):
                return await self._give_back(released, "rest")
            if released:  # something came in while the commit that gave the lease back was written
                return "rest"
            if self._winding_up and not self.inbox and not self.state.executing:
                return await self._give_back(False, "stopped")
            if not self.inbox:
                await self.inbox.wait()
                if self._is_stopping():
                    return await self._give_back(False, "stopped")
            interpreter.forget(self.state)
            turn = Turn()

    async def _leased(self) -> list[Lease]:
        if self._given is not None:
            return [self._given]
        return await self._insist(lambda: self._parts.store.acquire([self.run_id], self._parts.clock.now()))

    def _load(self, lease: Lease) -> Turn:
        """Fold the journal; the turn holds what is still open."""
        parts = self._parts
        known, self._created = self._created, None
        events = [decode(known)] if known is not None and lease.head == 1 else list(parts.store.journal(self.run_id))
        created = events[0]
        assert isinstance(created, RunCreated)
        self._children = Children(parts.store, parts.definitions, created)
        self.state = interpreter.fold(events, parts.definitions.plan, parts.secret_names)
        self._version = self.state.version
        self._was_blocked = self.state.status == "blocked"
        self._head = len(events)
        parts.attempts.expect(self.state.plan.uses)
        interpreter.forget(self.state)
        if lease.has_mail:
            self._read_mail()
        if self.state.status == "queued" and any(isinstance(mail.event, CancelRequested) for mail in self.inbox.mail):
            return Turn()  # cancelled before it began: it does not start for the sake of being stopped
        decision = interpreter.take_over(self.state, parts.clock.now(), lease.memory)
        return Turn(events=decision.events, commands=decision.commands)

    def _answer(self, turn: Turn) -> None:
        """Decide on what lies in the inbox, in the order in which it came."""
        now = self._parts.clock.now()
        for _ in range(min(len(self.inbox), MOST_AT_ONCE)):
            item = self.inbox.take()
            if isinstance(item, Mail):
                if isinstance(item.event, RunResumed) and turn.events:  # needs the whole journal: see `forget`
                    self.inbox.put_back(item)
                    break
                turn.consumed.append(item.id)
                item = item.event
            emitted = emission(self.state, item)
            decision = interpreter.decide(self.state, item, now)
            if emitted is not None and decision.events:
                turn.emitted.append((emitted, self._parts.triggers.starts(emitted)))
            turn.events += decision.events
            turn.commands += decision.commands

    def _read_mail(self) -> None:
        for mail in self._parts.store.mail([self.run_id]):
            self.inbox.receive(mail)

    async def _start_children(self, turn: Turn) -> None:
        """Children that are awaited still: one whose end was in the mail of this very turn is not."""
        for command in turn.commands:
            if isinstance(command, StartChild) and (command.detach or self.state.children.get(command.path) == command.run_id):
                birth = partial(self._children.birth, command, self._parts.clock.now(), self.state)
                turn.births[command.path] = await self._insist(birth)

    async def _commit(self, turn: Turn) -> bool:
        """One entry for the whole turn, durable when this returns. True: the lease was given back with it."""
        if turn.is_empty:
            return False
        assert self._lease is not None
        turn.news = self._news_of(turn)
        entry = entry_of(
            turn,
            self.state,
            lease=self._lease,
            head=self._head,
            version=self._version,
            at=self._parts.clock.now(),
            release=self.state.is_finished or self._rests_after(turn),
            alone=self._host.is_alone,
        )
        refused = await self._insist(lambda: self._parts.store.append(entry))
        turn.refused = {refusal.path: refusal for refusal in refused}
        self._head += len(turn.events)
        self._version = self.state.version
        self._show(turn.events, entry.progress)
        self._tell_host(turn, entry)
        return entry.release

    def _tell_host(self, turn: Turn, entry: Append) -> None:
        if any(starts is not NOTHING for _, starts in entry.emitted):
            self._host.triggered()
        if entry.waits or entry.keys or turn.emitted:  # the commit may have offered events or results, to us or to others
            self._host.collect()
        elif turn.news:  # to others
            self._host.collect_soon()

    def _show(self, events: Sequence[AnyEvent], progress: Progress) -> None:
        for observer in self._parts.observers:
            try:
                observer(self.run_id, events, progress)
            except Exception:  # who watches must not harm what is watched
                log.exception("an observer of run %s failed", self.run_id)

    def _news_of(self, turn: Turn) -> list[tuple[NewEvent, Triggered]]:
        """If the run comes to its end or to a doubt with this turn, the event that says so is part of its commit."""
        head, at = self._head + len(turn.events), self._parts.clock.now()
        news = news_of(self.state, turn.events, head=head, was_blocked=self._was_blocked, at=at)
        self._was_blocked = self.state.status == "blocked"
        return [] if news is None else [(news, self._parts.triggers.starts(news))]

    def _perform(self, turn: Turn) -> list[AwaitRun | CancelChild | StartChild]:
        """Do what the commit said. Returns what takes a further write, or a look at what the commit did to other runs."""
        attempts, name = self._parts.attempts, self.state.name
        distant: list[AwaitRun | CancelChild | StartChild] = []
        for command in turn.commands:
            if isinstance(command, Execute) and command.path in turn.refused:
                self.inbox.receive(over_budget(turn.refused[command.path], command.attempt, self._parts.clock.now()))
            elif isinstance(command, Execute):
                answer = attempts.at_once(self.run_id, name, command)
                if answer is not None:
                    self.inbox.receive(answer)
                else:
                    attempts.start(self.run_id, name, command, self.inbox.receive)
            elif isinstance(command, SetTimer):
                self.inbox.set_timer(command.path, command.timer, command.due)
            elif isinstance(command, Stop):
                attempts.stop(self.run_id, command.path, command.attempt, self.inbox.receive)
            elif isinstance(command, StartChild):
                self._start_child(command, turn.births.get(command.path, ChildStart()))
                distant.append(command)
            elif isinstance(command, AwaitRun | CancelChild):
                distant.append(command)
        return distant

    async def _reach_out(self, commands: list[AwaitRun | CancelChild | StartChild]) -> None:
        for command in commands:
            if isinstance(command, AwaitRun):
                await self._await_run(command)
            elif isinstance(command, CancelChild):
                await self._cancel_child(command)
        self._read_mail()  # a run may have ended before its end was awaited

    # --- other runs ------------------------------------------------------------------------------------------------

    def _start_child(self, command: StartChild, birth: ChildStart) -> None:
        if birth.problem is not None:
            attempt = self.state.steps[command.path].attempt
            self.inbox.receive(AttemptFailed(at=self._parts.clock.now(), path=command.path, attempt=attempt, error=birth.problem))
        elif birth.ended is not None:
            self.inbox.receive(birth.ended)
        elif birth.new is not None:
            if command.detach:
                started = ChildFinished(at=self._parts.clock.now(), path=command.path, run_id=command.run_id, status="started")
                self.inbox.receive(started)
            else:
                self._host.expect(self.run_id, command.run_id)
            self._host.take_up(command.run_id, parent=self.run_id, detached=command.detach)

    async def _await_run(self, command: AwaitRun) -> None:
        """The store tells us by mail, at once when that run has ended or never was. Our own child is driven by us."""
        store, target = self._parts.store, command.run_id
        self._host.expect(self.run_id, target)
        await self._insist(lambda: store.await_run(Awaiter(run_id=self.run_id, path=command.path, target=target)))
        row = store.run(target)
        if row is not None and row.status not in FINISHED and row.parent is not None and row.parent.run_id == self.run_id:
            self._host.take_up(target, parent=self.run_id)

    async def _cancel_child(self, command: CancelChild) -> None:
        if self._parts.store.run(command.run_id) is None:
            return  # it could not be started, and that is its answer
        cancel = CancelRequested(at=self._parts.clock.now(), reason=f"run {self.run_id}, which called it, was cancelled")
        await self._insist(lambda: self._parts.store.post([Reply(run_id=command.run_id, event=cancel)]))
        self._host.take_up(command.run_id, parent=self.run_id)
        self._host.collect()

    # --- rest ------------------------------------------------------------------------------------------------------

    def _rests_after(self, turn: Turn) -> bool:
        """True when the run rests once this turn is committed: nothing but timers is left to do."""
        return self._is_at_rest() and not self.inbox and all(isinstance(command, _NO_WORK) for command in turn.commands)

    @property
    def _only_waits(self) -> bool:
        return self.begun.is_set() and self.state.status in ("waiting", "blocked") and not self._host.is_followed(self.run_id)

    def _is_at_rest(self) -> bool:
        state = self.state
        if state.status not in ("waiting", "blocked") or state.held_back or self._host.is_followed(self.run_id):
            return False
        due = self.state.next_due
        return due is None or due > self._parts.clock.now() + self._host.linger

    def is_stuck(self, stuck: Container[str]) -> bool:
        """True when only somebody who looks up an outcome can move it on: its own, or that of a child which is among `stuck`."""
        state = self.state
        if state.subscriptions or state.approvals or state.lookups:
            return False
        if any(timer not in ("run", "timeout") for _, timer in state.timers):
            return False
        return bool(state.unknown or state.children) and all(child in stuck for child in state.children.values())

    async def abandon(self) -> None:
        """Give the lease back after a failure, if the store lets us; else it goes with this process."""
        if self._lease is not None:
            leases = [self._lease]
            with suppress(AgentctlError):
                await self._insist(lambda: self._parts.store.release(leases, status="interrupted"))

    async def _give_back(self, released: bool, why: LetGo) -> LetGo:
        """Let go of the lease, unless a commit did. A run stopped in the middle shows as interrupted."""
        assert self._lease is not None
        if not released:
            cut_off = why == "stopped" and (self._cut_off or self.state.held_back) and not self.state.is_finished
            status: RunStatus | None = "interrupted" if cut_off else None
            leases = [self._lease]
            await self._insist(lambda: self._parts.store.release(leases, status=status))
        return why

    def _insist(self, write: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return self._parts.patience.insist(write)
