"""Which definitions fail whenever they run, and the Component of the service that warns of them (LANGUAGE section 6)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from agentctl.ports import Clock, Deployment, HistoryFilter, RunRow, Store
from agentctl.service.disk.watching import Wakeup

log = logging.getLogger(__name__)

LATELY = 3  # runs
_BETWEEN = 10.0  # seconds between two looks, however many runs end
_AT_LEAST = 60.0  # seconds


def failing(store: Store, deployments: Iterable[Deployment]) -> dict[str, RunRow]:
    """By name, the last run of what has failed every time of late, as it is deployed now.

    That is: its last three runs that succeeded or failed have failed, the last of them with the present version. What was mended
    is given the chance of a run.
    """
    found = {}
    for deployment in deployments:
        if deployment.gone:
            continue
        ended = store.history(HistoryFilter(name=deployment.name, status=("succeeded", "failed"), limit=LATELY))
        if _has_failed_lately(ended) and ended[0].version == deployment.version:
            found[deployment.name] = ended[0]
    return found


def _has_failed_lately(ended: Sequence[RunRow]) -> bool:
    return len(ended) == LATELY and all(row.status == "failed" for row in ended)


class FailureMonitor:
    """A Component of the service: a warning when a definition begins to fail every time, a word when it does so no more."""

    name = "supervision"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bell = Wakeup(clock)
        self._failing: dict[str, str] = {}  # the version that does, by name
        self._bell.ring()

    async def begin(self) -> None:
        """It looks once everything runs."""

    async def run(self) -> None:
        while True:
            await self._bell.heard(self._clock.now() + _AT_LEAST)
            self._look_through(self._store.deployments())
            await self._clock.sleep_until(self._clock.now() + _BETWEEN)

    def look(self) -> None:
        self._bell.ring()

    def _look_through(self, deployments: Sequence[Deployment]) -> None:
        found = failing(self._store, deployments)
        for name in sorted(found.keys() - self._failing):
            error = found[name].error
            why = f": {error.type}: {error.message}" if error else ""
            log.warning("the last %d runs of '%s' have all failed%s (agentctl show %s)", LATELY, name, why, found[name].id)
        present = {deployment.name: deployment.version for deployment in deployments if not deployment.gone}
        for name in sorted(self._failing.keys() - found.keys()):
            if name not in present:
                log.info("'%s', which failed every time, is gone", name)
            elif present[name] != self._failing[name]:
                log.info("'%s', which failed every time, has another version, which has not failed yet", name)
            else:
                log.info("'%s' does not fail every time any more", name)
        self._failing = {name: row.version for name, row in found.items()}
