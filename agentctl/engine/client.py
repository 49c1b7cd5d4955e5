"""The client of a store: it writes what is asked of runs, and needs no engine. Whoever drives a run carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from agentctl import JSON
from agentctl.core.events import ApprovalGiven, CancelRequested, RunResumed, StepResolved, encode
from agentctl.engine.definitions import Registry
from agentctl.errors import NotFound, NothingToResume, RunRejected, UsageError
from agentctl.ports import (
    FINISHED,
    Admission,
    Clock,
    Deployments,
    Events,
    Journals,
    Mailboxes,
    NewEvent,
    People,
    Reply,
    RunRow,
    Runs,
    SendResult,
    StoredDefinition,
    Triggered,
    Triggers,
)
from agentctl.triggers.ids import new_run_id
from agentctl.triggers.starts import new_run

MAX_CREATED = 10_000  # runs whose first event is kept in memory until they are driven


class ClientStore(Runs, Mailboxes, Events, People, Deployments, Journals, Protocol):
    """What is needed of the store here."""


class Listener(Protocol):
    """An engine in the same process. It learns of every write at once, instead of finding it in the store."""

    def created(self, first_events: dict[str, bytes]) -> None:
        """These runs exist now: id -> first line of the journal."""

    def mailed(self, run_ids: Iterable[str]) -> None:
        """There is mail for these runs."""

    def collect(self) -> None:
        """There may be mail for any run."""

    def triggered(self) -> None:
        """An event has started runs, or is being gathered for one."""


class Client:
    """Implements `ports.engine.Client`. `listener`: the engine around it, if there is one."""

    def __init__(
        self,
        store: ClientStore,
        clock: Clock,
        triggers: Triggers,
        registry: Registry | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._triggers = triggers
        self._registry = registry or Registry(store)
        self._listener = listener

    # --- new runs --------------------------------------------------------------------------------------------------

    async def create(self, stored: StoredDefinition, input: dict[str, JSON], **more: Any) -> str:
        run_id, _ = await self.start(stored, input, **more)
        return run_id

    async def start(
        self, stored: StoredDefinition, input: dict[str, JSON], *, reserve: bool = False, **more: Any
    ) -> tuple[str, Admission]:
        [admission] = await self._start_many(stored, [input], reserve=reserve, **more)
        if admission.run_id is None:
            raise RunRejected(f"{stored.definition.kind} {stored.definition.name} was not started: {admission.reason}")
        return admission.run_id, admission

    async def create_many(self, stored: StoredDefinition, inputs: Iterable[dict[str, JSON]], **more: Any) -> list[str]:
        return [done.run_id for done in await self._start_many(stored, inputs, **more) if done.run_id is not None]

    async def _start_many(
        self, stored: StoredDefinition, inputs: Iterable[dict[str, JSON]], *, reserve: bool = False, **more: Any
    ) -> list[Admission]:
        now = self._clock.now()
        runs = [new_run(stored, given, at=now, **more) for given in inputs]
        await self._registry.register(stored)
        admissions = await self._store.create(runs, reserve=reserve)
        if self._listener is not None:
            created = [run.created for run, done in zip(runs, admissions, strict=True) if done.outcome == "created"]
            self._listener.created({one.run_id: encode(one) for one in created[:MAX_CREATED]})
            self._listener.collect()  # `cancel_running` may have mailed other runs
        return admissions

    # --- existing runs ---------------------------------------------------------------------------------------------

    async def resume(
        self,
        run_id: str,
        redo: Sequence[str] = (),
        stored: StoredDefinition | None = None,
        vars: dict[str, JSON] | None = None,
    ) -> None:
        row = self._row(run_id)
        if row.status not in FINISHED:
            if redo or stored is not None:
                raise UsageError(f"run {run_id} has not ended ({row.status}): it continues as it is")
            return
        if row.status == "succeeded" and not redo:
            raise NothingToResume(f"run {run_id} has succeeded: there is nothing to resume")
        if stored is not None:
            await self._registry.register(stored)
        version = stored.version if stored is not None else None
        memory = self._store.memory(row.name) if row.started_at is None else None  # it was cancelled in the queue
        await self._mail(run_id, RunResumed(at=self._clock.now(), redo=list(redo), version=version, vars=vars, state=memory))

    async def resolve(
        self,
        run_id: str,
        path: str,
        verdict: str,
        *,
        output: JSON = None,
        by: str | None = None,
    ) -> None:
        self._row(run_id)
        await self._mail(run_id, StepResolved(at=self._clock.now(), path=path, verdict=verdict, output=output, by=by))

    async def cancel(self, run_id: str, reason: str | None = None) -> None:
        if self._row(run_id).status not in FINISHED:
            await self._mail(run_id, CancelRequested(at=self._clock.now(), reason=reason))

    async def _mail(self, run_id: str, *events: RunResumed | CancelRequested | StepResolved) -> None:
        await self._store.post([Reply(run_id, event) for event in events])
        if self._listener is not None:
            self._listener.mailed([run_id])

    def _row(self, run_id: str) -> RunRow:
        row = self._store.run(run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id}")
        return row

    # --- events, answers, pauses -----------------------------------------------------------------------------------

    async def send(self, name: str, data: JSON, event_id: str | None = None) -> tuple[str, SendResult]:
        event = NewEvent(name, data, event_id or f"evt-{new_run_id()}", self._clock.now())
        return event.id, await self.record(event, self._triggers.starts(event))

    async def record(self, event: NewEvent, starts: Triggered) -> SendResult:
        sent = await self._store.send(event, starts)
        if self._listener is not None:
            self._listener.collect()
            if sent.started or sent.gathered:
                self._listener.triggered()
        return sent

    async def approve(self, run_id: str, answer: ApprovalGiven) -> bool:
        taken = await self._store.answer(run_id, answer)
        if self._listener is not None:
            self._listener.collect()
        return taken

    async def pause(self, name: str) -> None:
        await self._store.pause(name, self._clock.now())

    async def unpause(self, name: str) -> None:
        await self._store.unpause(name, self._clock.now())
