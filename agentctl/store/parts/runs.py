"""The methods of `ports.Runs`, `Results` and `DueRuns`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator, Sequence

from agentctl.errors import NotFound
from agentctl.ports import Admission, HistoryFilter, NewRun, QueuePosition, RunRow, Statistics
from agentctl.store.parts.connected import Connected
from agentctl.store.runs import due, reads


class RunMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def create(self, runs: Sequence[NewRun], *, reserve: bool = False) -> Awaitable[list[Admission]]:
        from agentctl.store.runs.changes import Create
        from agentctl.store.runs.create import prepare_run

        return self._submit(Create([prepare_run(run, self._payloads) for run in runs], reserve))

    def run(self, run_id: str) -> RunRow | None:
        with self._reading():
            return reads.run(self._reader, self._payloads, self._liveness(), run_id)

    def find(self, prefix: str) -> RunRow:
        with self._reading():
            run = self.run(reads.find(self._reader, prefix))
        if run is None:
            raise NotFound(f"no run begins with {prefix!r}")
        return run

    def history(self, query: HistoryFilter) -> list[RunRow]:
        with self._at_one_moment():
            return reads.history(self._reader, self._payloads, self._liveness(), query)

    def iter_runs(self, query: HistoryFilter) -> Iterator[RunRow]:
        with self._reading():
            yield from reads.iter_runs(self._reader, self._payloads, self._liveness, query)

    def unfinished(self) -> dict[tuple[str, str], int]:
        from agentctl.store.runs.statistics import unfinished

        with self._reading():
            return unfinished(self._reader)

    def statistics(self, since: float = 0.0, name: str | None = None) -> list[Statistics]:
        from agentctl.store.runs.statistics import read

        with self._reading():
            return read(self._reader, self._payloads, since, name)

    def awaited_results(self, run_id: str) -> dict[str, str]:
        from agentctl.store.runs.keys import awaited

        with self._reading():
            return awaited(self._reader, run_id)

    def due(self, now: float, limit: int = 1000) -> list[str]:
        with self._at_one_moment():
            return due.due(self._reader, self._liveness(), self._executor.id, now, limit)

    def next_due(self, now: float) -> float | None:
        with self._at_one_moment():
            return due.next_due(self._reader, now)

    def queue_position(self, run_id: str, at: float | None = None) -> QueuePosition | None:
        from agentctl.store.limits.queue import queue_position

        with self._at_one_moment():
            now = time.time() if at is None else at
            return queue_position(self._reader, self._liveness(), run_id, now, self._executor.id)

    def wait_for_graph(self, now: float) -> dict[str, list[frozenset[str]]]:
        from agentctl.store.runs.waitfor import wait_for_graph

        with self._at_one_moment():
            return wait_for_graph(self._reader, self._liveness(), now)
