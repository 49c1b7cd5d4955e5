"""One run in memory: the loop of journal and interpreter. Pure; a driver owns time, disk and network.

    inbox ──> activation ──> events, commands, effects ──the driver journals, then performs──> inbox

What waits in the inbox when the run's turn comes is decided one after the other and becomes one activation, so the end of a step
and the start of the next are one entry of the journal. A driver performs nothing before that entry is durable. An activation
that does not become durable has not happened: the driver drops the `ActiveRun` and loads the run again.

The loop of a driver:

    step = run.begin(now, memory, inbox)
    while True:
        journal step.events and apply step.effects      one commit, where the store can; their answers are mail
        perform step.commands                           attempts, timers, children; they answer into the inbox
        if run.is_finished or only waiting is left: leave
        run.forget()
        wait for the inbox, unless run.has_answers
        step = run.take(inbox, now)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from agentctl import JSON
from agentctl.core import interpreter
from agentctl.core.commands import Command, Execute
from agentctl.core.effects import NO_EFFECTS, Effects, effects_of
from agentctl.core.emission import NewEvent, emission, run_event
from agentctl.core.events import AnyEvent, CancelRequested, RunResumed
from agentctl.core.interpreter import Decision
from agentctl.core.snapshot import is_worthwhile, save
from agentctl.core.state import RunState

IN_MEMORY = 10  # times as many events are journaled between two snapshots of a run that stays in memory
MAX_ITEMS = 500  # answers in one activation: bounds what a wide foreach holds in memory

# Answers an attempt of an action that needs no time and touches nothing (`set`); None: the driver has to perform it.
Instant = Callable[[Execute], "AnyEvent | None"]


class Activation(msgspec.Struct, frozen=True):
    """What one look into the inbox came to.

    `events`: to journal.
    `commands`: to perform once the events are durable.
    `effects`: what becomes durable with the events in what runs share.
    `taken`: how many items of the inbox it decided on; the others are for a later activation.
    """

    events: list[AnyEvent]
    commands: list[Command]
    effects: Effects
    taken: int


class Saved(msgspec.Struct, frozen=True):
    """The last snapshot of a run. `head`: length of the journal that it stands for.  `size`: in bytes, 0 when there is none."""

    head: int = 0
    size: int = 0


_NOT_SAVED = Saved()


class ActiveRun:
    """A run and its state, between a load and a release.

    `head`: length of its journal.
    `instant`: see `Instant`.
    `saved`: the snapshot that the driver has of it.
    """

    def __init__(self, state: RunState, head: int, instant: Instant = lambda command: None, saved: Saved = _NOT_SAVED) -> None:
        self.state = state
        self.head = head
        self._instant = instant
        self._saved = saved
        self._answers: deque[AnyEvent] = deque()
        self._was_blocked = state.status == "blocked"

    @property
    def is_finished(self) -> bool:
        return self.state.is_finished

    @property
    def has_answers(self) -> bool:
        """Instant actions have been answered: `take` has something to decide on, whatever the inbox holds."""
        return bool(self._answers)

    def begin(self, now: float, memory: dict[str, JSON] | None = None, inbox: Sequence[AnyEvent] = ()) -> Activation:
        """Take the run over: its commands are everything that is still open.

        `memory`: the durable values of its name, for a run that starts.
        """
        if self.state.status == "queued" and any(isinstance(event, CancelRequested) for event in inbox):
            decision = Decision([], [])  # it does not start for the sake of being stopped
        else:
            decision = interpreter.take_over(self.state, now, memory, more=bool(inbox))
        return self._activation(decision, inbox, now)

    def take(self, inbox: Sequence[AnyEvent], now: float) -> Activation:
        """Decide on what came in, in order, and on the answers of instant actions."""
        return self._activation(Decision([], []), inbox, now)

    def forget(self) -> None:
        """Drop what no decision looks at again. To be called between activations, when nothing is left to perform."""
        interpreter.forget(self.state)

    def snapshot(self, *, rests: bool) -> bytes | None:
        """Return the state, to be kept with the events of the last activation in place of the snapshot before, if that pays.

        `rests`: the run leaves memory, so it will be loaded again; else only a crash reads the snapshot.
        None: the journal has not grown enough since the last one, or the state has no snapshot.
        """
        events = self.head - self._saved.head
        if not is_worthwhile(events if rests else events // IN_MEMORY, self._saved.size) or len(self.state.ended) > MAX_ITEMS:
            return None  # what `forget` drops next need not be kept
        data = save(self.state)
        self._saved = Saved(self.head, self._saved.size if data is None else len(data))
        return data

    def hold(self) -> None:
        """Start nothing new from now on: no attempt, no wait, no child."""
        interpreter.hold(self.state)

    def _activation(self, decision: Decision, inbox: Sequence[AnyEvent], now: float) -> Activation:
        events, commands = decision.events, decision.commands
        emitted: list[NewEvent] = []
        taken = 0
        for event in inbox[:MAX_ITEMS]:
            if events and isinstance(event, RunResumed):  # it needs the whole state, of which `forget` drops parts
                break
            taken += 1
            left = len(inbox) - taken + len(self._answers)
            self._decide(event, now, events, commands, emitted, more=left > 0)
        for left in reversed(range(min(len(self._answers), MAX_ITEMS - taken))):
            self._decide(self._answers.popleft(), now, events, commands, emitted, more=left > 0 or taken < len(inbox))
        if not events and not commands:
            return Activation(events, commands, NO_EFFECTS, taken)
        self.head += len(events)
        effects = effects_of(self.state, events, commands, emitted=emitted, run_event=self._run_event(events, now), at=now)
        return Activation(events, self._answer_instants(commands), effects, taken)

    def _decide(
        self,
        event: AnyEvent,
        now: float,
        events: list[AnyEvent],
        commands: list[Command],
        emitted: list[NewEvent],
        *,
        more: bool,
    ) -> None:
        put_out = emission(self.state, event)
        decision = interpreter.decide(self.state, event, now, more=more)
        if put_out is not None and decision.accepted:
            emitted.append(put_out)
        events += decision.events
        commands += decision.commands

    def _run_event(self, events: list[AnyEvent], now: float) -> NewEvent | None:
        found = run_event(self.state, events, head=self.head, was_blocked=self._was_blocked, at=now)
        self._was_blocked = bool(self.state.unknown) and self.state.status == "blocked"
        return found

    def _answer_instants(self, commands: Iterable[Command]) -> list[Command]:
        """The commands without those that were answered; the next activation decides on the answers.

        So each of them is an entry of the journal of its own, as that of any other step.
        """
        left: list[Command] = []
        for command in commands:
            answer = self._instant(command) if isinstance(command, Execute) else None
            if answer is None:
                left.append(command)
            else:
                self._answers.append(answer)
        return left
