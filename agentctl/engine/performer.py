"""Performs the commands of one run, once the commit that says so is durable: attempts, timers, other runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from agentctl.core.activation import ActiveRun
from agentctl.core.budget import over_budget
from agentctl.core.commands import AwaitRun, CancelChild, Command, Execute, SetTimer, StartChild, Stop
from agentctl.core.events import AttemptFailed, CancelRequested, ChildFinished
from agentctl.engine.children import Children, ChildStart
from agentctl.engine.host import Host, Shared
from agentctl.engine.inbox import Inbox
from agentctl.ports import FINISHED, Awaiter, Refusal, Reply

T = TypeVar("T")

_NO_START = ChildStart()


class Performer:
    def __init__(self, run: ActiveRun, inbox: Inbox, shared: Shared, host: Host) -> None:
        self._run = run
        self._run_id = run.state.run_id
        self._inbox = inbox
        self._shared = shared
        self._host = host
        self._children = Children(shared.store, shared.definitions, run.state.run_id, run.state.parent)

    async def prepare(self, commands: Iterable[Command]) -> dict[str, ChildStart]:
        """What the children to start come to, by path: part of the commit.

        A child whose end was in the mail of this very activation is not started.
        """
        starts = {}
        state = self._run.state
        for command in commands:
            if isinstance(command, StartChild) and (command.detach or state.children.get(command.path) == command.run_id):
                start = partial(self._children.start, command, self._shared.clock.now(), state)
                starts[command.path] = await self._retry(start)
        return starts

    async def perform(
        self, commands: Iterable[Command], starts: Mapping[str, ChildStart], refused: Mapping[str, Refusal]
    ) -> None:
        """Do what the commit says. Answers go to the inbox.

        `starts`: see `prepare`.  `refused`: model calls without room in a budget, by path.
        """
        attempts, inbox, name = self._shared.attempts, self._inbox, self._run.state.name
        distant: list[AwaitRun | CancelChild] = []
        for command in commands:
            if isinstance(command, Execute):
                if command.path in refused:
                    inbox.receive(over_budget(refused[command.path], command.attempt, self._shared.clock.now()))
                else:
                    attempts.start(self._run_id, name, command, inbox.receive)
            elif isinstance(command, SetTimer):
                inbox.set_timer(command.path, command.timer, command.due)
            elif isinstance(command, Stop):
                attempts.stop(self._run_id, command.path, command.attempt, inbox.receive)
            elif isinstance(command, StartChild):
                self._start_child(command, starts.get(command.path, _NO_START))
            elif isinstance(command, AwaitRun | CancelChild):
                distant.append(command)
        for one in distant:
            await (self._await_run(one) if isinstance(one, AwaitRun) else self._cancel_child(one))
        if distant or starts:
            self._read_mail()  # a run may have ended before its end was awaited

    def _read_mail(self) -> None:
        for mail in self._shared.store.mail([self._run_id]):
            self._inbox.receive(mail)

    # --- other runs ------------------------------------------------------------------------------------------------

    def _start_child(self, command: StartChild, start: ChildStart) -> None:
        now = self._shared.clock.now()
        if start.problem is not None:
            attempt = self._run.state.steps[command.path].attempt
            self._inbox.receive(AttemptFailed(at=now, path=command.path, attempt=attempt, error=start.problem))
        elif start.ended is not None:
            self._inbox.receive(start.ended)
        elif start.new is not None:
            if command.detach:
                self._inbox.receive(ChildFinished(at=now, path=command.path, run_id=command.run_id, status="started"))
            else:
                self._host.expect(self._run_id, command.run_id)
            self._host.take_up(command.run_id, parent=self._run_id, detached=command.detach)

    async def _await_run(self, command: AwaitRun) -> None:
        """The store answers by mail, at once when that run has ended or never was. Our own child is driven by us."""
        store, target = self._shared.store, command.run_id
        self._host.expect(self._run_id, target)
        await self._retry(lambda: store.await_run(Awaiter(run_id=self._run_id, path=command.path, target=target)))
        row = store.run(target)
        if row is not None and row.status not in FINISHED and row.parent is not None and row.parent.run_id == self._run_id:
            self._host.take_up(target, parent=self._run_id)

    async def _cancel_child(self, command: CancelChild) -> None:
        if self._shared.store.run(command.run_id) is None:
            return  # it could not be started, and that is its answer
        reason = f"run {self._run_id}, which called it, was cancelled"
        cancel = Reply(run_id=command.run_id, event=CancelRequested(at=self._shared.clock.now(), reason=reason))
        await self._retry(lambda: self._shared.store.post([cancel]))
        self._host.take_up(command.run_id, parent=self._run_id)
        self._host.collect()

    def _retry(self, write: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return self._shared.patience.call(write)
