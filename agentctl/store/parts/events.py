"""The methods of `ports.Mailboxes` and `Events`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from agentctl.core.events import CancelRequested
from agentctl.ports import NOTHING, Admission, Awaiter, Gathered, Mail, NewEvent, NewRun, Reply, SendResult, Triggered, Waiting
from agentctl.store.parts.connected import Connected
from agentctl.store.runs import due


class EventMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def post(self, replies: Sequence[Reply]) -> Awaitable[None]:
        from agentctl.store.runs.changes import Post

        mail = [(reply.run_id, self._payloads.event(reply.event)) for reply in replies]
        return self._submit(Post(mail, any(isinstance(reply.event, CancelRequested) for reply in replies)))

    def await_run(self, awaiter: Awaiter) -> Awaitable[None]:
        from agentctl.store.runs.changes import AwaitRun

        return self._submit(AwaitRun(awaiter))

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        with self._reading():
            return due.mail(self._reader, self._payloads, run_ids)

    def mailed(self, after: int) -> list[tuple[int, str]]:
        with self._reading():
            return due.mailed(self._reader, after)

    def send(self, event: NewEvent, starts: Triggered = NOTHING) -> Awaitable[SendResult]:
        from agentctl.store.events.events import Send, prepare_event

        return self._submit(Send(prepare_event(event, starts, self._payloads)))

    def waits(self, run_id: str) -> list[Waiting]:
        from agentctl.store.events.waits import of_run

        with self._reading():
            return of_run(self._reader, self._payloads, run_id)

    def gathered(self, now: float) -> list[Gathered]:
        from agentctl.store.events.batching import due

        with self._at_one_moment():
            return due(self._reader, self._payloads, now)

    def gathered_due(self) -> float | None:
        from agentctl.store.events.batching import next_due

        with self._reading():
            return next_due(self._reader)

    def release_gathered(self, gathered: Gathered, run: NewRun | None) -> Awaitable[Admission | None]:
        from agentctl.store.events.batching import ReleaseGathered
        from agentctl.store.runs.create import prepare_run

        return self._submit(ReleaseGathered(gathered, None if run is None else prepare_run(run, self._payloads)))
