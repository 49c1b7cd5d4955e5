"""The methods of `ports.Deployments` and `Schedules`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from agentctl.ports import Admission, Deployment, SeenFile, Slot, SlotRow, Subscription
from agentctl.store.parts.connected import Connected


class ScheduleMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def deploy(self, deployments: Sequence[Deployment], events: Mapping[str, Sequence[str]]) -> Awaitable[None]:
        from agentctl.store.schedules.deployments import Deploy

        return self._submit(Deploy(deployments, events))

    def deployments(self) -> list[Deployment]:
        from agentctl.store.schedules.deployments import read

        with self._reading():
            return read(self._reader)

    def subscriptions(self, event: str) -> list[Subscription]:
        from agentctl.store.schedules.deployments import subscriptions

        with self._reading():
            return subscriptions(self._reader, event)

    def pause(self, name: str, at: float) -> Awaitable[None]:
        from agentctl.store.schedules.pauses import Pause

        return self._submit(Pause(name, at))

    def unpause(self, name: str, at: float) -> Awaitable[None]:
        from agentctl.store.schedules.pauses import Unpause

        return self._submit(Unpause(name, at))

    def pauses(self, name: str, after: float) -> list[tuple[float, float]]:
        from agentctl.store.schedules.pauses import read

        with self._reading():
            return read(self._reader, name, after)

    def seen_files(self, name: str) -> dict[str, SeenFile]:
        from agentctl.store.schedules.deployments import seen_files

        with self._reading():
            return seen_files(self._reader, name)

    def mark_files_seen(self, name: str, seen: Sequence[SeenFile], gone: Sequence[str] = ()) -> Awaitable[None]:
        from agentctl.store.schedules.deployments import MarkFilesSeen

        return self._submit(MarkFilesSeen(name, seen, gone))

    def sync_schedules(self, schedules: Sequence[tuple[str, str]], at: float) -> Awaitable[list[float]]:
        from agentctl.store.schedules.slots import Keep

        return self._submit(Keep(schedules, at))

    def fire(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        from agentctl.store.schedules.slots import Fire, prepare_slots

        return self._submit(Fire(prepare_slots(slots, self._payloads), at, settles=True))

    def backfill(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        from agentctl.store.schedules.slots import Fire, prepare_slots

        return self._submit(Fire(prepare_slots(slots, self._payloads), at, settles=False))

    def slots(self, name: str | None = None, schedule: str | None = None, *, limit: int = 20) -> list[SlotRow]:
        from agentctl.store.schedules.slots import last

        with self._reading():
            return last(self._reader, name, schedule, limit)

    def slots_between(self, name: str, schedule: str, begin: float, end: float) -> list[SlotRow]:
        from agentctl.store.schedules.slots import between

        with self._reading():
            return between(self._reader, name, schedule, begin, end)
