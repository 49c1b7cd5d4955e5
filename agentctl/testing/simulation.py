"""A driver without a world: it performs the interpreter's commands out of order, twice, late, and dies at any moment.

Nothing here sleeps or does I/O: time is a number that jumps. `Simulation` keeps the journal as a store would (what was not
committed is lost with a crash) and checks after every event that the run is still a legal one.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.graph import Plan
from agentctl.core.interpreter import Decision, decide, fold, forget, take_over
from agentctl.core.lifecycle import ENDED, WELL
from agentctl.core.snapshot import restore, save
from agentctl.core.state import RunState
from agentctl.model import Definition
from agentctl.paths import without_rounds

Outcome = Callable[[cmd.Execute], "ev.Error | JSON"]


class Illegal(AssertionError):
    """The interpreter broke one of its promises."""


def snapshot(state: RunState) -> JSON:
    """All that matters of a state, to compare two of them."""
    steps = {p: (s.status, s.attempt, s.output, s.error, s.stopping, s.iteration) for p, s in state.steps.items()}
    return {
        "phase": state.phase,
        "outcome": (state.outcome, state.output, state.error),
        "steps": steps,
        "executing": sorted(state.executing),
        "children": dict(state.children),
        "timers": dict(state.timers),
        "frames": sorted(state.frames),
        "counts": (state.head, state.steps_done, state.steps_total),
    }


class Simulation:
    """One run of `definition`, driven to its end by `run`. `outcome` answers an attempt; `random` makes the trouble.

    `forgetful`: after every commit it forgets what it may, as the engine does, and a new process continues from a snapshot.
    """

    def __init__(
        self, definition: Definition, outcome: Outcome, random: Random, *, trouble: float = 0.0, forgetful: bool = False
    ) -> None:
        self.plan = Plan(definition)
        self.outcome = outcome
        self.random = random
        self.trouble = trouble
        self.forgetful = forgetful
        self.now = 0.0
        self.journal: list[ev.AnyEvent] = [
            ev.RunCreated(
                at=0.0,
                run_id="sim",
                name=definition.name,
                kind=definition.kind,
                version="v",
                replay_version=ev.REPLAY_VERSION,
            )
        ]
        self.todo: list[cmd.Command] = []
        self.sent: list[ev.AnyEvent] = []  # what was delivered already, to deliver again
        self.executed: dict[str, int] = {}  # path -> performed attempts, crashes included
        self.intents: set[str] = set()  # effects that were begun and whose outcome is unknown
        self.crashes = 0
        self.saved: tuple[int, bytes] | None = None  # length of the journal, snapshot of the state
        self.claims: set[str] = set()  # steps that hold the claim on a key
        self.restart()

    def restart(self) -> None:
        """A new process: everything but the journal is gone."""
        self.todo.clear()
        answers = ev.StepSucceeded | ev.AttemptFailed
        self.sent = [event for event in self.sent if not isinstance(event, answers)]  # attempts died with their process
        self.state = self._loaded()
        if self.forgetful:
            forget(self.state)
        self._commit(take_over(self.state, self.now))

    def _loaded(self) -> RunState:
        if self.saved is None:
            return fold(self.journal, lambda version: self.plan)
        length, data = self.saved
        state = restore(data, lambda version: self.plan)
        if state is None:
            raise Illegal("the snapshot cannot be restored")
        return fold(self.journal[length:], lambda version: self.plan, state=state)

    def _save(self) -> None:
        """Take a snapshot, now and then. Where the state has none, the last one still holds."""
        if len(self.journal) % 3 == 0 and (data := save(self.state)) is not None:
            self.saved = (len(self.journal), data)

    def run(self, most: int = 20_000) -> RunState:
        """Drive until the run has finished. Raises Illegal when it comes to rest before, or never does."""
        for _ in range(most):
            if self.state.is_finished:
                return self.state
            if self.random.random() < self.trouble:
                self._make_trouble()
            elif self.todo:
                self._perform(self.todo.pop(self.random.randrange(len(self.todo))))
            else:
                self._wake()
        raise Illegal(f"the run does not end: {snapshot(self.state)}")

    def _make_trouble(self) -> None:
        if self.random.random() < 0.5:
            self.crashes += 1
            self.restart()
        elif self.sent:
            self.deliver(self.random.choice(self.sent), again=True)

    def _perform(self, command: cmd.Command) -> None:
        match command:
            case cmd.Execute():
                self._execute(command)
            case cmd.Stop(path, attempt):
                error = ev.Error("cancelled", "stopped")
                self.deliver(ev.AttemptFailed(at=self.now, path=path, attempt=attempt, error=error))
            case cmd.StartChild(path, run_id, detach=False) | cmd.AwaitRun(path, run_id):
                failed = self.random.random() < 0.2
                why = ev.Error("failed", "the child failed") if failed else None
                status = "failed" if failed else "succeeded"
                self.deliver(ev.ChildFinished(at=self.now, path=path, run_id=run_id, status=status, output="out", error=why))
            case cmd.StartChild(path, run_id):
                self.deliver(ev.ChildFinished(at=self.now, path=path, run_id=run_id, status="started"))
            case cmd.AwaitEvent(path, name):
                event = {"name": name, "data": {}, "id": f"e{len(self.journal)}"}
                self.deliver(ev.EventOffered(at=self.now, path=path, event=event))
            case cmd.AwaitPerson(path, "approval", digest):
                approved = self.random.random() < 0.7
                self.deliver(ev.ApprovalGiven(at=self.now, path=path, approved=approved, digest=digest, by="somebody"))
            case cmd.AwaitPerson(path):
                verdict = self.random.choice(["done", "retry", "failed"])
                self.deliver(ev.StepResolved(at=self.now, path=path, verdict=verdict, output="looked up"))
            case cmd.LookupResult(path):
                found = self.random.random() < 0.3
                missing = ev.ResultMissing(at=self.now, path=path)
                self.deliver(ev.ResultFound(at=self.now, path=path, output="kept", source="other/x") if found else missing)
            case cmd.CancelChild(path, run_id):
                self.deliver(ev.ChildFinished(at=self.now, path=path, run_id=run_id, status="cancelled"))
            case _:
                pass  # timers are looked up in the state when nothing else is left

    def _execute(self, command: cmd.Execute) -> None:
        self.executed[command.path] = self.executed.get(command.path, 0) + 1
        step = self.state.steps[command.path]
        self._check_once(command)
        if step.status in ENDED and not self.todo_is_stale(command):
            raise Illegal(f"{command.path} has {step.status} and executes again")
        self.now += self.random.random()
        answer = self.outcome(command)
        if isinstance(answer, ev.Error):
            self.deliver(ev.AttemptFailed(at=self.now, path=command.path, attempt=command.attempt, error=answer))
        else:
            self.deliver(ev.StepSucceeded(at=self.now, path=command.path, attempt=command.attempt, output=answer))

    def _check_once(self, command: cmd.Execute) -> None:
        """An `effect: once` step that was begun executes again, in no round, before it is known how that went."""
        step = self.state.steps[command.path]
        if not step.node.is_once or step.attempt != command.attempt or self.todo_is_stale(command):
            return
        effect = without_rounds(command.path)
        if effect in self.intents:
            raise Illegal(f"{command.path} has `effect: once` and executes again without a word on what became of it")
        self.intents.add(effect)

    def todo_is_stale(self, command: cmd.Execute) -> bool:
        """An attempt that a Stop overtook: performed late, its answer is dropped."""
        return self.state.steps[command.path].status == "cancelled"

    def _wake(self) -> None:
        due = self.state.next_due
        if due is None:
            raise Illegal(f"the run waits for nothing: {snapshot(self.state)}")
        self.now = max(self.now, due)
        for path, timer in [key for key, at in self.state.timers.items() if at <= self.now]:
            self.deliver(ev.TimerFired(at=self.now, path=path, timer=timer))

    def deliver(self, event: ev.AnyEvent, *, again: bool = False) -> None:
        """Hand an event in. What a driver sent before may come again, at any time: `_commit` checks that it does no harm."""
        if isinstance(event, ev.RunResumed):  # a finished run was let go: it is loaded again
            self.state = fold(self.journal, lambda version: self.plan)
            self.saved = None
        decision = decide(self.state, event)
        if not again:
            self.sent.append(event)
        self._commit(decision)

    def _commit(self, decision: Decision) -> None:
        self._check(decision.events)
        if decision.events and self.random.random() < self.trouble:
            self.crashes += 1  # died before the commit: the events never were
            self.restart()
            return
        self.journal += decision.events
        self.todo += decision.commands
        self._count_claims(decision)
        for event in decision.events:
            self._learn(event)
        rebuilt = fold(self.journal, lambda version: self.plan)
        if self.forgetful:
            forget(self.state)
            rebuilt.steps = {path: step for path, step in rebuilt.steps.items() if path in self.state.steps}
            self._save()
        if snapshot(rebuilt) != snapshot(self.state):
            raise Illegal(f"the journal does not fold to the state:\n{snapshot(rebuilt)}\n{snapshot(self.state)}")

    def _learn(self, event: ev.AnyEvent) -> None:
        """What became of an effect, if the event says so."""
        match event:
            case ev.StepSucceeded(path=path) | ev.StepResolved(path=path) | ev.AttemptWithdrawn(path=path):
                self.intents.discard(without_rounds(path))
            case ev.AttemptFailed(path=path, error=error) if not error.leaves_doubt and error.type != "step.unknown_outcome":
                self.intents.discard(without_rounds(path))
            case ev.BlockFinished(path=path, output={"done": bool()}):
                self.intents.discard(without_rounds(path).removesuffix(".probe"))
            case ev.RunResumed():  # whoever resumes wants what failed to be executed again, but has said nothing of doubts
                self.intents &= self.state.doubts.keys()

    def _count_claims(self, decision: Decision) -> None:
        """Who holds a key, as a store would have it."""
        self.claims |= {event.path for event in decision.events if isinstance(event, ev.ResultMissing)}
        self.claims -= {command.path for command in decision.commands if isinstance(command, cmd.StoreResult | cmd.ReleaseClaim)}

    def _check(self, events: list[ev.AnyEvent]) -> None:
        """No step starts before its needs have succeeded."""
        for event in events:
            if isinstance(event, ev.StepStarted | ev.StepSkipped):
                step = self.state.steps[event.path]
                frame = step.frame
                for need in step.node.step.needs:
                    other = frame.steps[frame.block.index[need]]
                    gone_on = other.status in WELL or (other.status == "failed" and other.node.step.continue_on_error)
                    if not gone_on:
                        raise Illegal(f"{event.path} started while {other.path} was {other.status}")
