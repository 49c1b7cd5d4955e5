"""Runs on a stage: the interpreter of production, with time that jumps, steps that are mocked, and a crash on demand.

`Simulator` drives one run and the runs it starts, in memory. What is to come stands in an agenda, sorted by virtual time. A crash
empties it but for what comes from outside (events, people), folds every journal again and takes the runs over, as a new process
would. What the world has seen (attempts that were performed, events that were kept) no crash undoes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.activation import Activation
from agentctl.core.lifecycle import ENDED
from agentctl.core.timestamps import rfc3339
from agentctl.language.cases import Case
from agentctl.paths import without_rounds
from agentctl.ports import StoredDefinition
from agentctl.testing.external_events import ExternalEvents
from agentctl.testing.mocks import Answer, Broken, Mocks
from agentctl.testing.result_cache import ResultCache
from agentctl.testing.stage import Action, StagedRun, soon
from agentctl.testing.staged_children import Children

MOST = 500_000  # things that happen in one case
ROOT = "test"

# When a crash strikes: after a commit, before anything it asks for is done; or before it, so that its content is lost.
Moment = Literal["after", "before"]


class Simulator:
    """`load`: a skill by name.  `crash`: (number of the commit from 1, moment); None for a run without one.

    After `play`: `commits`, the last event of each in words; `began`, path -> attempts begun, in the order of the first ones;
    `inputs`, path -> the parameters of the last first attempt; `memory`, name -> what its definition remembers;
    `broken_promises`, what must never have happened.
    `is_comparable`: False when a crash lost an outcome for good, so that the run may end otherwise than without it.
    """

    def __init__(
        self,
        case: Case,
        created: ev.RunCreated,
        stored: StoredDefinition,
        load: Callable[[str], StoredDefinition],
        mocks: Mocks,
        crash: tuple[int, Moment] | None = None,
    ) -> None:
        self.case = case
        self.start = self.now = created.at
        self.mocks = mocks
        self.crashed = False
        self.commits: list[str] = []
        self.began: dict[str, int] = {}
        self.inputs: dict[str, JSON] = {}
        self.broken_promises: list[str] = []
        self.is_comparable = True
        self.runs: dict[str, StagedRun] = {}
        self.memory: dict[str, dict[str, JSON]] = {stored.definition.name: dict(case.state)}
        self._crash = crash
        self._agenda: list[tuple[float, int, bool, Action]] = []
        self._sequence = 0
        self._performed: dict[tuple[str, str, int], tuple[float, Answer]] = {}
        self._tries: dict[tuple[str, str], list[Answer]] = {}  # (run id, path) of `effect: once` steps -> how they ended
        self._children = Children(self, load)
        self._results = ResultCache(self)
        self._outside = ExternalEvents(self)
        self.root = self.create("", stored, created)

    def play(self) -> None:
        """Until nothing is left to happen. Raises Broken."""
        for _ in range(MOST):
            if not self._agenda:
                return
            at, _, _, action = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            action()
        raise Broken(f"the case does not come to an end: {MOST:,} things have happened, up to {rfc3339(self.now)}")

    # --- for those that play along ---------------------------------------------------------------------------------

    def at(self, due: float, action: Action, *, lasting: bool = False) -> None:
        """`lasting`: it comes from outside, so a crash does not take it away."""
        self._sequence += 1
        heapq.heappush(self._agenda, (max(due, self.now), self._sequence, lasting, action))

    def create(self, prefix: str, stored: StoredDefinition, created: ev.RunCreated) -> StagedRun:
        run = self.runs[created.run_id] = StagedRun(prefix, stored, created)
        self._load(run)
        self.at(self.now, partial(self._begin, run))
        return run

    def deliver(self, run: StagedRun, event: ev.AnyEvent, again: Action | None = None) -> None:
        """Hand an event in, as of now. `again`: how to hand it in again when a crash came before its commit."""
        event = msgspec.structs.replace(event, at=self.now)
        self._commit(run, run.active.take([event], self.now), again)

    def performed(self, run: StagedRun, path: str, attempt: int) -> tuple[float, Answer] | None:
        """When and how an attempt that was performed ended, or will end."""
        return self._performed.get((run.id, path, attempt))

    def once_performed(self, run: StagedRun, path: str, attempt: int, answer: Callable[[], Answer]) -> tuple[float, Answer]:
        """The same, beginning the attempt if need be. Executed again after a crash, it ends when it would have ended."""
        key = (run.id, path, attempt)
        if key not in self._performed:
            made = answer()
            self._performed[key] = (self.now + made.takes, made)
        return self._performed[key]

    # --- the journal -----------------------------------------------------------------------------------------------

    def _load(self, run: StagedRun) -> None:
        run.load(self.mocks.secret_names(run.stored), partial(self._answer_at_once, run))

    def _begin(self, run: StagedRun) -> None:
        """A run that was created begins; one that a crash left continues."""
        self._commit(run, run.active.begin(self.now, dict(self.memory.get(run.state.name, {}))))

    def _take_answers(self, run: StagedRun) -> None:
        self._commit(run, run.active.take([], self.now))

    def _commit(self, run: StagedRun, step: Activation, again: Action | None = None) -> None:
        number = len(self.commits) + 1
        if step.events:
            if self._crash == (number, "before"):
                self._die()
                if again is not None:
                    self.at(self.now, again, lasting=True)
                return
            self._journal(run, step)
            if self._crash == (number, "after"):
                self._die()
                return
        for command in step.commands:
            self._perform(run, command)
        if run.active.has_answers:
            self.at(self.now, partial(self._take_answers, run))

    def _journal(self, run: StagedRun, step: Activation) -> None:
        """What becomes durable in one piece."""
        run.journal += step.events
        self.commits.append(f"{type(step.events[-1]).__name__} {_place(run, step.events[-1])}".strip())
        for event in step.events:
            if isinstance(event, ev.StepStarted):
                path = run.prefix + event.path
                self.began[path] = self.began.get(path, 0) + 1
                if event.attempt == 1:
                    self.inputs[path] = event.input
            found = run.state.steps.get(event.path) if isinstance(event, ev.StepEvent) else None
            if found is not None and found.status in ENDED:
                run.ended.add(found.path)
        effects = step.effects
        for emitted in effects.emitted:
            self._outside.receive({"event": emitted.name, "data": emitted.data}, emitted.id)
        for order in effects.keys:
            if isinstance(order, cmd.StoreResult | cmd.InvalidateResult):
                self._results.commit(run, order)
        if effects.remember:
            self.memory.setdefault(run.state.name, {}).update(effects.remember)

    def _die(self) -> None:
        """The process is gone, and another one starts."""
        self._crash = None
        self.crashed = True
        self._agenda = [entry for entry in self._agenda if entry[2]]
        heapq.heapify(self._agenda)
        self._outside.forget_all()
        for number, run in enumerate(self.runs.values()):
            self._load(run)
            under_way = (step.node.step for step in run.state.executing.values())
            if any(step.effect == "once" and step.on_unknown != "ask" for step in under_way):
                self.is_comparable = False
            begin: Action = partial(self._begin, run)
            heapq.heappush(self._agenda, (self.now, number - MOST, False, begin))  # before all else

    # --- what the interpreter asks for -----------------------------------------------------------------------------

    def _perform(self, run: StagedRun, command: cmd.Command) -> None:
        match command:
            case cmd.Execute():
                self._execute(run, command)
            case cmd.Stop(path, attempt):
                error = ev.Error("cancelled", "the attempt was stopped", path, attempt)
                soon(self, run, ev.AttemptFailed(at=self.now, path=path, attempt=attempt, error=error))
            case cmd.SetTimer(path, timer, due):
                soon(self, run, ev.TimerFired(at=due, path=path, timer=timer), due)
            case cmd.StartChild():
                self._children.start(run, command)
            case cmd.AwaitRun(path, run_id):
                self._children.await_run(run, path, run_id)
            case cmd.CancelChild(path, run_id):
                self._children.cancel(run, path, run_id)
            case cmd.AwaitEvent():
                self._outside.await_event(run, command)
            case cmd.AwaitPerson():
                self._outside.await_person(run, command)
            case cmd.LookupResult():
                self._results.find(run, command)
            case cmd.CancelWait(path):
                self._outside.forget(run, path)
            case cmd.ReleaseClaim():
                self._results.give_back(run, command)
            case cmd.Finish():
                self._children.finish(run)
            case _:
                pass  # done with the commit

    def _execute(self, run: StagedRun, command: cmd.Execute) -> None:
        path = run.prefix + command.path
        if command.path in run.ended:
            self.broken_promises.append(f"step {path} has ended and executes again")
        number = command.attempt
        is_new = self.performed(run, command.path, number) is None
        node = run.state.steps[command.path].node
        tries = self._tries.setdefault((run.id, without_rounds(command.path)), []) if node.is_once else []
        if node.is_once:
            number = len(tries) + 1
            if any(answer.error is None for answer in tries) and node.probe is None:  # a probe may say what it likes
                self.broken_promises.append(f"step {path} has `effect: once`, was done, and executes again")
        due, answer = self.once_performed(
            run, command.path, command.attempt, lambda: self.mocks.answer(path, number, command, run.state)
        )
        if is_new:
            tries.append(answer)
        self.at(due, partial(self._answer, run, command, answer))

    def _answer_at_once(self, run: StagedRun, command: cmd.Execute) -> ev.AnyEvent | None:
        """For `set` and its like, unless they are mocked."""
        answer = self.mocks.instant(run.prefix + command.path, command, run.state)
        return None if answer is None else _event(command, answer, self.now)

    def _answer(self, run: StagedRun, command: cmd.Execute, answer: Answer) -> None:
        self.deliver(run, _event(command, answer, self.now))


def _event(command: cmd.Execute, answer: Answer, at: float) -> ev.AnyEvent:
    path, attempt, error = command.path, command.attempt, answer.error
    if error is None:
        return ev.StepSucceeded(at=at, path=path, attempt=attempt, output=answer.output, usage=answer.usage)
    return ev.AttemptFailed(
        at=at,
        path=path,
        attempt=attempt,
        error=msgspec.structs.replace(error, step=path, attempts=attempt),
        retry_after=answer.retry_after,
        usage=answer.usage,
    )


def _place(run: StagedRun, event: ev.AnyEvent) -> str:
    if isinstance(event, ev.StepEvent):
        return run.prefix + event.path
    return f"of {run.prefix.removesuffix('/')}" if run.prefix else ""
