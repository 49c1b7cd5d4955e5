"""The coroutines that wait for a run to end, or to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agentctl.ports import Until


class Waiters:
    def __init__(self) -> None:
        self._watching: dict[str, list[tuple[Until, asyncio.Future[None]]]] = {}
        self._for_rest = 0

    @property
    def wants_rest(self) -> bool:
        """Somebody leaves as soon as only waiting is left."""
        return self._for_rest > 0

    @contextmanager
    def watch(self, run_id: str, until: Until) -> Iterator[asyncio.Future[None]]:
        """A future that ends when the run has come that far, or fails with what kept it from there."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (until, future)
        self._watching.setdefault(run_id, []).append(entry)
        self._for_rest += until == "rest"
        try:
            yield future
        finally:
            self._for_rest -= until == "rest"
            entries = self._watching[run_id]
            entries.remove(entry)
            if not entries:
                del self._watching[run_id]

    def runs(self) -> list[str]:
        return list(self._watching)

    def end(self, run_id: str) -> None:
        """The run has ended."""
        for _, future in self._watching.get(run_id, ()):
            _resolve(future)

    def rest(self, run_id: str) -> None:
        """Only waiting is left of the run."""
        for until, future in self._watching.get(run_id, ()):
            if until == "rest":
                _resolve(future)

    def end_all(self) -> None:
        for run_id in self._watching:
            self.end(run_id)

    def fail(self, run_id: str, error: Exception) -> bool:
        """Pass the failure to those that wait for the run. False: nobody does."""
        entries = self._watching.get(run_id, [])
        for _, future in entries:
            if not future.done():
                future.set_exception(error)
        return bool(entries)

    def fail_all(self, error: Exception) -> None:
        for run_id in self._watching:
            self.fail(run_id, error)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
