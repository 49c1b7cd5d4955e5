"""What can be asked of runs. A request is written to the store, and done by whoever drives the run: this process or another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agentctl.core.events import ApprovalGiven, CancelRequested, RunResumed, StepResolved, encode
from agentctl.engine.definitions import Definitions
from agentctl.errors import NotFound, NothingToResume, RunRejected, UsageError
from agentctl.ports import (
    FINISHED,
    Admission,
    Clock,
    NewEvent,
    Reply,
    RunRow,
    SendResult,
    Store,
    StoredDefinition,
    Triggered,
    Triggers,
)
from agentctl.triggers.ids import new_run_id
from agentctl.triggers.starts import new_run

MOST_CREATED = 10_000  # runs whose beginning is kept in memory until they are driven


class Client(ABC):
    """The half of an engine that only writes. What is driven here hears of it at once: `collect`, `_deliver`."""

    def __init__(self, store: Store, clock: Clock, definitions: Definitions, triggers: Triggers) -> None:
        self.store = store
        self._clock = clock
        self._definitions = definitions
        self._triggers = triggers
        self._created: dict[str, bytes] = {}  # runs that nobody here has driven: the first line of their journals
        self.on_starts: list[Callable[[], None]] = []  # called when an event of ours starts runs, or is gathered for one

    @abstractmethod
    def collect(self) -> None:
        """Look for new mail of all runs that are driven here."""

    @abstractmethod
    def _deliver(self, run_ids: Iterable[str]) -> None:
        """Look for mail of these runs, as far as they are driven here."""

    def set_off(self) -> None:
        """An event of ours has started runs, or is being gathered for one."""
        for told in self.on_starts:
            told()

    # --- new runs --------------------------------------------------------------------------------------------------

    async def create(self, stored: StoredDefinition, input: dict[str, Any], **more: Any) -> str:
        """Create a queued run of a definition with an input that was checked; returns its id. `more`: see `create_many`.

        Of a duplicate (`dedupe`) that of the first run. Raises RunRejected.
        """
        run_id, _ = await self.start(stored, input, **more)
        return run_id

    async def start(
        self, stored: StoredDefinition, input: dict[str, Any], *, reserve: bool = False, **more: Any
    ) -> tuple[str, Admission]:
        """The same, with what became of it. `reserve`: until this process ends nobody else drives it.

        Raises RunRejected when the definition's flow control lets no run be made now.
        """
        [admission] = await self._start_many(stored, [input], reserve=reserve, **more)
        if admission.run_id is None:
            raise RunRejected(f"{stored.definition.kind} {stored.definition.name} was not started: {admission.reason}")
        return admission.run_id, admission

    async def create_many(self, stored: StoredDefinition, inputs: Iterable[dict[str, Any]], **more: Any) -> list[str]:
        """Create queued runs, all in one commit; returns their ids, without those that flow control did not let be made.

        `more`: what `triggers.starts.new_run` takes: trigger, event, vars, scheduled_at. Raises InputInvalid when flow control
        cannot be evaluated.
        """
        return [done.run_id for done in await self._start_many(stored, inputs, **more) if done.run_id is not None]

    async def _start_many(
        self, stored: StoredDefinition, inputs: Iterable[dict[str, Any]], *, reserve: bool = False, **more: Any
    ) -> list[Admission]:
        now = self._clock.now()
        runs = [new_run(stored, given, at=now, **more) for given in inputs]
        await self._definitions.register(stored)
        admissions = await self.store.create(runs, reserve=reserve)
        created = [run.created for run, done in zip(runs, admissions, strict=True) if done.outcome == "created"]
        for one in created[: MOST_CREATED - len(self._created)]:
            self._created[one.run_id] = encode(one)
        self.collect()  # the start of a run may have told others to end
        return admissions

    # --- runs that are there ----------------------------------------------------------------------------------------

    async def resume(
        self,
        run_id: str,
        redo: Sequence[str] = (),
        stored: StoredDefinition | None = None,
        vars: dict[str, Any] | None = None,
    ) -> None:
        """Ask a run that failed or was cancelled to go on; `drive` does it. One that has not ended needs no asking.

        `redo`: paths whose results are dropped.  `stored`: an edited definition to go on with.  `vars`: the project's, as of now.
        Raises NothingToResume for a run that ended well and has nothing to redo, UsageError when `redo` or `stored` is given for
        one that has not ended, NotFound.
        """
        row = self._row(run_id)
        if row.status not in FINISHED:
            if redo or stored is not None:
                raise UsageError(f"run {run_id} has not ended ({row.status}): it goes on as it is")
            return
        if row.status == "succeeded" and not redo:
            raise NothingToResume(f"run {run_id} has succeeded: there is nothing to resume")
        if stored is not None:
            await self._definitions.register(stored)
        version = stored.version if stored is not None else None
        memory = self.store.memory(row.name) if row.started_at is None else None  # it was cancelled in the queue
        resumed = RunResumed(at=self._clock.now(), redo=list(redo), version=version, vars=vars, state=memory)
        await self._send(run_id, resumed)

    async def resolve(
        self,
        run_id: str,
        path: str,
        verdict: str,
        *,
        output: Any = None,
        by: str | None = None,
        vars: dict[str, Any] | None = None,
    ) -> None:
        """Say what became of a step in doubt: `done` (with `output`), `retry` or `failed`; `drive` goes on with it.

        A run that has ended with the doubt is resumed; `vars`: the project's, as of now. Raises NotFound.
        """
        now = self._clock.now()
        ended = self._row(run_id).status in FINISHED
        replies = [Reply(run_id, RunResumed(at=now, vars=vars))] if ended else []
        replies.append(Reply(run_id, StepResolved(at=now, path=path, verdict=verdict, output=output, by=by)))
        await self.store.post(replies)
        self._deliver([run_id])

    async def cancel(self, run_id: str, reason: str | None = None) -> None:
        """Ask a run to stop; whoever drives it does so. Raises NotFound. A run that has ended is left as it is."""
        if self._row(run_id).status not in FINISHED:
            await self._send(run_id, CancelRequested(at=self._clock.now(), reason=reason))

    async def _send(self, run_id: str, event: RunResumed | CancelRequested) -> None:
        await self.store.post([Reply(run_id=run_id, event=event)])
        self._deliver([run_id])

    # --- events and answers ----------------------------------------------------------------------------------------

    async def send(self, name: str, data: Any, event_id: str | None = None) -> tuple[str, SendResult]:
        """Keep an event, offer it to every wait that is open for it, and make the runs that it starts, queued.

        Returns its id (made up, if none is given), and what became of it.
        """
        event = NewEvent(name, data, event_id or f"evt-{new_run_id()}", self._clock.now())
        return event.id, await self.record(event, self._triggers.starts(event))

    async def record(self, event: NewEvent, starts: Triggered) -> SendResult:
        """The same with an event whose starts are known."""
        sent = await self.store.send(event, starts)
        self.collect()
        if sent.started or sent.gathered:
            self.set_off()
        return sent

    async def answer(self, run_id: str, event: ApprovalGiven) -> bool:
        """Hand in a person's answer to what `event.digest` says was shown. False: that is not asked, or was answered."""
        taken = await self.store.answer(run_id, event)
        self.collect()
        return taken

    def _row(self, run_id: str) -> RunRow:
        row = self.store.run(run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id}")
        return row
