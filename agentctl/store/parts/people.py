"""The methods of `ports.People`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from agentctl import JSON
from agentctl.core.events import ApprovalGiven
from agentctl.ports import Feedback, Verdict, Waiting
from agentctl.store.parts.connected import Connected


class PeopleMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def inbox(self) -> list[Waiting]:
        from agentctl.store.events.waits import for_people

        with self._reading():
            return for_people(self._reader, self._payloads)

    def answer(self, run_id: str, event: ApprovalGiven) -> Awaitable[bool]:
        from agentctl.store.events.waits import Answer

        return self._submit(Answer(run_id, event, self._payloads.event(event)))

    def memory(self, name: str) -> dict[str, JSON]:
        from agentctl.store.runs.memory import read

        with self._reading():
            return read(self._reader, self._payloads, name)

    def remember(self, name: str, values: Mapping[str, JSON], unset: Sequence[str] = ()) -> Awaitable[None]:
        from agentctl.store.runs.memory import Edit, prepare_values

        return self._submit(Edit(name, prepare_values(values, self._payloads), unset))

    def feedback(self, run_ids: Sequence[str]) -> dict[str, list[Feedback]]:
        from agentctl.store.runs.feedback import read

        with self._reading():
            return read(self._reader, run_ids)

    def give_feedback(
        self, run_id: str, verdict: Verdict, note: str | None = None, *, by: str, person: bool = True
    ) -> Awaitable[None]:
        from agentctl.store.runs.feedback import Give

        return self._submit(Give(run_id, verdict, note, by, person))
