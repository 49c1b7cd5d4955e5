"""Keeps to the schedules of what is deployed: their slots become runs, and every slot is settled in the ledger.

Up to when a schedule is settled stands in the store, so it does not matter how long nobody served, nor where a process was
killed: the next look continues from there. That a slot fires once is the ledger's promise, not ours.

The clock on the wall is all that a slot knows, and it can be set. A look that comes long after the one before it means that
nobody served in between, be it that the host slept, that its clock was put forward, or that the store could not be written:
`catch_up` decides about what passed. A clock that was put back comes to times that it has shown before: those of their slots
that have started a run are left alone, the others fire. So a schedule is silent until the clock is where it was, but not for
years because it was years ahead for a minute.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from agentctl import JSON
from agentctl.errors import StoreError
from agentctl.ports import Clock, Deployments, Schedules, Slot, StoredDefinition
from agentctl.service.component import Deployed
from agentctl.service.disk.watching import Wakeup
from agentctl.service.problems import Problems
from agentctl.triggers.policies import Verdict, settle, summed_up
from agentctl.triggers.schedule import Schedule, schedules
from agentctl.triggers.scheduled import slot_of
from agentctl.triggers.slots import due, horizon, next_slots, start

POLL_INTERVAL = 5.0  # seconds between two looks at the clock, though nothing is due
AWAY = 20.0  # seconds from one look to the next after which nobody has served meanwhile
MOST = 1_000_000  # slots of a schedule that are settled one by one, after years by a clock that was wrong
CHUNK = 500  # slots of a schedule that are settled in one go: some milliseconds of the writers' lock


class Slots(Schedules, Deployments, Protocol):
    """What is needed of the store here."""


class _Kept:
    """A schedule that is kept to. `settled`: up to when.  `next_start`: when its next slot is to start, if it ever is."""

    __slots__ = ("next_start", "schedule", "settled", "stored")

    def __init__(self, stored: StoredDefinition, schedule: Schedule, settled: float) -> None:
        self.stored = stored
        self.schedule = schedule
        self.settle(settled)

    @property
    def subject(self) -> str:
        """What it is called when it fails."""
        return f"the schedule of {self.stored.definition.name}"

    def settle(self, until: float) -> None:
        self.settled = until
        coming = next_slots(self.schedule, until, 1)
        self.next_start = start(self.schedule, coming[0]) if coming else math.inf


class Driver(Protocol):
    """Who drives the runs: the serving engine."""

    def collect(self) -> None:
        """Runs were created, and others may have to end: see to them soon."""


class Scheduler:
    """A Component of the service. `vars`, `timezone`: the project's.

    A schedule that cannot be settled is a problem of its own: the others fire, and it is tried again.
    """

    name = "scheduler"

    def __init__(
        self,
        store: Slots,
        engine: Driver,
        clock: Clock,
        deployed: Deployed,
        vars: Mapping[str, JSON],
        problems: Problems,
        timezone: str = "UTC",
    ) -> None:
        self._problems = problems
        self._store = store
        self._engine = engine
        self._clock = clock
        self._deployed = deployed
        self._vars = vars
        self._timezone = timezone
        self._wakeup = Wakeup(clock)
        self._kept: list[_Kept] = []
        self._is_stale = True  # what is kept to may not be what is deployed
        self._looked_at = -math.inf  # when what was due then has been settled
        self._serving_since = math.inf
        self.settled: Counter[str] = Counter()  # slots by what became of them, in this process
        deployed.on_change.append(self._deployment)

    async def begin(self) -> None:
        """From now on it is kept to the schedules that are deployed."""
        self._is_stale = True
        self._looked_at = await self._look_at_clock()

    async def run(self) -> None:
        while True:
            await self._wakeup.wait(await self.tick())

    def look(self) -> None:
        """Nothing that others write to the store makes a slot due, and pauses are looked up when one is."""

    def _deployment(self) -> None:
        self._is_stale = True
        self._wakeup.set()

    async def tick(self) -> float:
        """Settle what is due; returns when to do so again. When there is more than goes into one commit, that is at once."""
        now = await self._look_at_clock()
        batch: list[tuple[_Kept, Slot]] = []
        for kept in self._kept:
            if kept.next_start <= now:
                with self._problems.isolated(self.name, kept.subject):
                    batch += [(kept, slot) for slot in self._due(kept, now)]
            if len(batch) >= CHUNK:
                await self._fire(batch, now)
                batch = []
        await self._fire(batch, now)
        self._looked_at = now
        failing = {subject for part, subject in self._problems.present if part == self.name}
        return min([kept.next_start for kept in self._kept if kept.subject not in failing] + [now + POLL_INTERVAL])

    async def _look_at_clock(self) -> float:
        """The time. Sees to it that we know what is deployed, whether we were away, and whether the clock was put back."""
        now = self._clock.now()
        if now > self._looked_at + AWAY:
            self._serving_since = now
        if now < self._looked_at:
            self._serving_since = min(self._serving_since, now)
            for kept in self._kept:
                kept.settle(min(kept.settled, now))
        if self._is_stale:
            self._is_stale = False
            self._kept = await self._deployed_schedules(now)
        return now

    async def _deployed_schedules(self, now: float) -> list[_Kept]:
        """Those that were kept to before continue, new ones begin now; the others end."""
        served = {**self._deployed.definitions(), **self._deployed.paused()}
        found: list[tuple[StoredDefinition, Schedule]] = []
        for stored in served.values():
            with self._problems.isolated(self.name, f"the schedule of {stored.definition.name}"):
                found += [(stored, schedule) for schedule in schedules(stored.definition, self._timezone)]
        settled = await self._store.sync_schedules([(schedule.name, schedule.key) for _, schedule in found], now)
        kept: list[_Kept] = []
        for (stored, schedule), until in zip(found, settled, strict=True):
            with self._problems.isolated(self.name, f"the schedule of {stored.definition.name}"):
                kept.append(_Kept(stored, schedule, until))
        served_now = {f"the schedule of {name}" for name in served}
        for part, subject in self._problems.present:
            if part == self.name and subject not in served_now:
                self._problems.clear(part, subject)
        return kept

    def _due(self, kept: _Kept, now: float) -> Iterable[Slot]:
        for verdict in islice(self._verdicts(kept.schedule, kept.settled, now), CHUNK):
            yield slot_of(kept.stored, kept.schedule, verdict, at=now, vars=self._vars)

    def _verdicts(self, schedule: Schedule, settled: float, now: float) -> Iterator[Verdict]:
        pauses = self._store.pauses(schedule.name, settled)
        oldest = horizon(schedule, now, MOST)
        if settled < oldest and (first := next(due(schedule, oldest, now), None)) is not None:
            yield summed_up(schedule, settled, first, pauses)
            settled = first
        yield from settle(schedule, due(schedule, settled, now), self._serving_since, pauses)

    async def _fire(self, batch: Sequence[tuple[_Kept, Slot]], now: float) -> None:
        if not batch:
            return
        try:
            admissions = await self._store.fire([slot for _, slot in batch], now)
        except StoreError:
            raise
        except Exception as error:  # something that the store cannot keep, in one of them
            await self._fire_apart(batch, now, error)
            return
        for (_, slot), admission in zip(batch, admissions, strict=True):
            if admission is not None:
                self.settled[slot.became(admission)] += 1
            elif slot.run is None:
                self.settled[slot.outcome] += 1
        for kept, slot in {id(kept): (kept, slot) for kept, slot in batch}.values():
            kept.settle(slot.slot)
        if any(admissions):
            self._engine.collect()

    async def _fire_apart(self, batch: Sequence[tuple[_Kept, Slot]], now: float, error: Exception) -> None:
        """The slots of each schedule by themselves, so that only one that cannot be kept fails."""
        by_schedule: dict[int, list[tuple[_Kept, Slot]]] = {}
        for kept, slot in batch:
            by_schedule.setdefault(id(kept), []).append((kept, slot))
        if len(by_schedule) == 1:
            self._problems.report(self.name, batch[0][0].subject, error)
            return
        for slots in by_schedule.values():
            await self._fire(slots, now)
