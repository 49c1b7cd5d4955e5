"""One run while this process holds it: the loop of journal and interpreter.

    inbox ──decide──> events ──commit──> commands ──perform──> inbox

What waits in the inbox when the run's turn comes is decided one after the other and becomes one entry of the journal, so the
end of a step and the start of the next are one commit. Nothing is done in the world before the commit that says so.
A turn that is not committed has not happened: the state in memory is thrown away with the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import Literal, Protocol, TypeVar

import msgspec

from agentctl.core import interpreter
from agentctl.core.commands import (
    AwaitEvent,
    AwaitPerson,
    AwaitRun,
    CancelChild,
    Command,
    Execute,
    Forget,
    GiveBack,
    KeepResult,
    Remember,
    SetTimer,
    StartChild,
    Stop,
    Withdraw,
)
from agentctl.core.events import (
    AnyEvent,
    AttemptFailed,
    CancelRequested,
    ChildFinished,
    RunCreated,
    RunResumed,
    TimerFired,
    decode,
)
from agentctl.engine.attempts import Attempts
from agentctl.engine.children import Birth, Children
from agentctl.engine.definitions import Definitions
from agentctl.engine.insist import Patience
from agentctl.engine.keys import key_orders
from agentctl.engine.memory import remembered
from agentctl.engine.money import over_budget, reservations, settlements
from agentctl.engine.progress import progress_of
from agentctl.engine.supervision import news_of
from agentctl.engine.waits import emission, waits_of
from agentctl.errors import AgentctlError
from agentctl.ports import (
    FINISHED,
    NOTHING,
    Append,
    Awaiter,
    Clock,
    Lease,
    Mail,
    NewEvent,
    NewRun,
    Observer,
    Progress,
    Refusal,
    Reply,
    RunStatus,
    Starts,
    Store,
    Triggers,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

# Commands after whose commit nothing is left to do.
_NO_WORK = SetTimer | AwaitEvent | AwaitPerson | Forget | Remember | KeepResult | GiveBack | Withdraw
MOST_AT_ONCE = 500  # answers taken into one entry: bounds what a turn of a wide foreach holds in memory

# Why a run was let go: it ended; only timers or mail can move it; another process holds it; we were told to stop.
LetGo = Literal["finished", "rest", "busy", "stopped"]


class Host(Protocol):
    """What a held run needs of the engine around it."""

    @property
    def linger(self) -> float:
        """Seconds; a timer nearer than this is waited for in memory."""

    @property
    def is_alone(self) -> bool:
        """Nothing but this run wants the event loop now. Asked before every commit."""

    def schedule(self, run_id: str, due: float) -> None:
        """Call `on_clock` at `due`."""

    def take_up(self, run_id: str, *, parent: str, detached: bool = False) -> None:
        """Drive that run too, now or soon. `parent` stays in memory as long as it is held, unless it is `detached`."""

    def expect(self, waiting: str, target: str) -> None:
        """Look for mail of run `waiting` as soon as run `target` ends in this process."""

    def collect(self) -> None:
        """Look for new mail of all runs that are driven here."""

    def collect_soon(self) -> None:
        """The same in a later turn of the event loop, once for all that ask for it meanwhile."""

    def set_off(self) -> None:
        """An event of ours has started runs, or is being gathered for one."""

    def is_followed(self, run_id: str) -> bool:
        """True while a child of this run is being driven here: its end will want this run at once."""


class Parts(msgspec.Struct, frozen=True):
    """What all runs of an engine share."""

    store: Store
    clock: Clock
    attempts: Attempts
    definitions: Definitions
    triggers: Triggers
    patience: Patience
    observers: Sequence[Observer]
    secret_names: frozenset[str]


class Turn(msgspec.Struct):
    """What one look into the inbox came to. `refused`: by path, llm calls for which there was no room in a budget."""

    events: list[AnyEvent] = []
    commands: list[Command] = []
    consumed: list[int] = []
    emitted: list[tuple[NewEvent, Starts]] = []
    births: dict[str, Birth] = {}  # by the path of the step that starts the child
    refused: dict[str, Refusal] = {}

    @property
    def spawn(self) -> list[NewRun]:
        return [birth.new for birth in self.births.values() if birth.new is not None]

    @property
    def replies(self) -> list[Reply]:
        return [birth.resumed for birth in self.births.values() if birth.resumed is not None]


class HeldRun:
    """`patient`: when another process holds the run, look again later.  `created`: the first line of its journal, if known.
    `lease`: if it is ours already."""

    def __init__(
        self,
        run_id: str,
        parts: Parts,
        host: Host,
        *,
        patient: bool,
        created: bytes | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.run_id = run_id
        self.patient = patient
        self._created = created
        self._given = lease
        self.begun = asyncio.Event()  # the first turn is committed, or it was let go of without one
        self.quiet = False  # waits for its inbox
        self._stopping = False
        self._winding_up = False
        self._parts = parts
        self._host = host
        self._inbox: deque[AnyEvent | Mail] = deque()
        self._seen: set[int] = set()  # ids of mail that is in the inbox or was
        self._waker: asyncio.Future[None] | None = None
        self._timers: list[tuple[float, str, str]] = []
        self._cut_off = False  # stopped while there was work under way
        self._lease: Lease | None = None

    # --- what others tell it ---------------------------------------------------------------------------------------

    def receive(self, item: AnyEvent | Mail) -> None:
        """Put an answer or mail into the inbox; mail that is there already is left out."""
        if isinstance(item, Mail):
            if item.id in self._seen:
                return
            self._seen.add(item.id)
        self._inbox.append(item)
        self.wake()

    def wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def on_clock(self) -> None:
        """Some timer of this run may be due."""
        now = self._parts.clock.now()
        while self._timers and self._timers[0][0] <= now:
            _, path, timer = heappop(self._timers)
            self._inbox.append(TimerFired(at=now, path=path, timer=timer))
        if self._timers:
            self._host.schedule(self.run_id, self._timers[0][0])
        self.wake()

    def stop(self) -> None:
        """Decide nothing more; let go after the commit under way."""
        self._stopping = True
        self._cut_off = not self._only_waits
        self.wake()

    def wind_up(self) -> None:
        """Start nothing more; let go once all that is under way has ended and is journaled."""
        if self._lease is None:
            self.stop()
            return
        self._winding_up = True
        interpreter.hold(self.state)
        self.wake()

    def _is_stopping(self) -> bool:
        return self._stopping

    @property
    def has_news(self) -> bool:
        """Something came in that was not decided on."""
        return bool(self._inbox)

    @property
    def mail(self) -> list[Mail]:
        """Mail that was not decided on."""
        return [item for item in self._inbox if isinstance(item, Mail)]

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
                await self._bear_children(turn)
            released = await self._commit(turn)
            self.begun.set()
            if self._is_stopping():
                return await self._give_back(released, "stopped")
            distant = self._perform(turn)
            if distant:
                await self._reach_out(distant)
            if self.state.is_finished:
                return await self._give_back(released, "finished")
            if not self._inbox and (released or self._is_at_rest()):
                return await self._give_back(released, "rest")
            if released:  # something came in while the commit that gave the lease back was written
                return "rest"
            if self._winding_up and not self._inbox and not self.state.executing:
                return await self._give_back(False, "stopped")
            if not self._inbox:
                await self._sleep()
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
        if self.state.status == "queued" and any(isinstance(mail.event, CancelRequested) for mail in self.mail):
            return Turn()  # cancelled before it began: it does not start for the sake of being stopped
        decision = interpreter.take_over(self.state, parts.clock.now(), lease.memory)
        return Turn(events=decision.events, commands=decision.commands)

    def _answer(self, turn: Turn) -> None:
        """Decide on what lies in the inbox, in the order in which it came."""
        now = self._parts.clock.now()
        for _ in range(min(len(self._inbox), MOST_AT_ONCE)):
            item = self._inbox.popleft()
            if isinstance(item, Mail):
                if isinstance(item.event, RunResumed) and turn.events:  # needs the whole journal: see `forget`
                    self._inbox.appendleft(item)
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
            self.receive(mail)

    async def _bear_children(self, turn: Turn) -> None:
        """Children that are awaited still: one whose end was in the mail of this very turn is not."""
        for command in turn.commands:
            if isinstance(command, StartChild) and (command.detach or self.state.children.get(command.path) == command.run_id):
                birth = partial(self._children.birth, command, self._parts.clock.now(), self.state)
                turn.births[command.path] = await self._insist(birth)

    async def _commit(self, turn: Turn) -> bool:
        """One entry for the whole turn, durable when this returns. True: the lease was given back with it."""
        spawn = turn.spawn if turn.births else ()
        if not (turn.events or turn.consumed or spawn):
            return False
        assert self._lease is not None
        news = self._news_of(turn)
        progress = progress_of(self.state, self._version)
        release = self.state.is_finished or self._rests_after(turn)
        waits, forgotten = waits_of(self.state, turn.commands)
        keys = key_orders(self.state, turn.commands)
        entry = Append(
            lease=self._lease,
            head=self._head,
            events=turn.events,
            progress=progress,
            spawn=spawn,
            replies=turn.replies if turn.births else (),
            consumed=turn.consumed,
            emitted=[*turn.emitted, *news],
            forgotten=forgotten,
            waits=waits,
            keys=keys,
            at=self._parts.clock.now(),
            remember=remembered(turn.commands),
            settle=settlements(self.state, turn.events),
            reserve=reservations(self.state, turn.commands, self._parts.clock.now()),
            release=release,
            alone=self._host.is_alone,
        )
        refused = await self._insist(lambda: self._parts.store.append(entry))
        turn.refused = {refusal.path: refusal for refusal in refused}
        self._head += len(turn.events)
        self._version = self.state.version
        self._show(turn.events, progress)
        if any(starts is not NOTHING for _, starts in entry.emitted):
            self._host.set_off()
        if waits or keys or turn.emitted:  # the commit may have offered events or results, to us or to others
            self._host.collect()
        elif news:  # to others
            self._host.collect_soon()
        return release

    def _show(self, events: Sequence[AnyEvent], progress: Progress) -> None:
        for observer in self._parts.observers:
            try:
                observer(self.run_id, events, progress)
            except Exception:  # who watches must not harm what is watched
                log.exception("an observer of run %s failed", self.run_id)

    def _news_of(self, turn: Turn) -> list[tuple[NewEvent, Starts]]:
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
                self._inbox.append(over_budget(turn.refused[command.path], command.attempt, self._parts.clock.now()))
            elif isinstance(command, Execute):
                answer = attempts.at_once(self.run_id, name, command)
                if answer is not None:
                    self._inbox.append(answer)
                else:
                    attempts.start(self.run_id, name, command, self.receive)
            elif isinstance(command, SetTimer):
                self._set_timer(command)
            elif isinstance(command, Stop):
                attempts.stop(self.run_id, command.path, command.attempt, self.receive)
            elif isinstance(command, StartChild):
                self._start_child(command, turn.births.get(command.path, Birth()))
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

    def _set_timer(self, command: SetTimer) -> None:
        heappush(self._timers, (command.due, command.path, command.timer))
        if self._timers[0][0] <= self._parts.clock.now():
            self.on_clock()
        else:
            self._host.schedule(self.run_id, self._timers[0][0])

    # --- other runs ------------------------------------------------------------------------------------------------

    def _start_child(self, command: StartChild, birth: Birth) -> None:
        if birth.problem is not None:
            attempt = self.state.steps[command.path].attempt
            self.receive(AttemptFailed(at=self._parts.clock.now(), path=command.path, attempt=attempt, error=birth.problem))
        elif birth.ended is not None:
            self.receive(birth.ended)
        elif birth.new is not None:
            if command.detach:
                started = ChildFinished(at=self._parts.clock.now(), path=command.path, run_id=command.run_id, status="started")
                self.receive(started)
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
        return self._is_at_rest() and not self._inbox and all(isinstance(command, _NO_WORK) for command in turn.commands)

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

    async def _sleep(self) -> None:
        self._waker = asyncio.get_running_loop().create_future()
        self.quiet = True
        try:
            await self._waker
        finally:
            self.quiet = False
            self._waker = None

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
