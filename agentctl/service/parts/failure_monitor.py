"""Which definitions fail whenever they run, and the Component of the service that warns of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from agentctl.ports import Clock, Deployment, Deployments, HistoryFilter, RunRow, Runs
from agentctl.service.disk.watching import Wakeup
from agentctl.views import health
from agentctl.views.health import LATELY

log = logging.getLogger(__name__)

_BETWEEN = 10.0  # seconds between two looks, however many runs end
_AT_LEAST = 60.0  # seconds


class DeployedRuns(Deployments, Runs, Protocol):
    """What is needed of the store here."""


def failing(store: Runs, deployments: Iterable[Deployment]) -> dict[str, RunRow]:
    """Look up the definitions whose last runs all failed, by name, with the last of these runs."""
    deployed = [one for one in deployments if not one.gone]
    ended = {
        one.name: store.history(HistoryFilter(name=one.name, status=("succeeded", "failed"), limit=LATELY)) for one in deployed
    }
    return health.failing(deployed, ended)


class FailureMonitor:
    """A Component of the service: a warning when a definition begins to fail every time, a word when it does so no more."""

    name = "failure monitor"

    def __init__(self, store: DeployedRuns, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._wakeup = Wakeup(clock)
        self._failing: dict[str, str] = {}  # the version that does, by name
        self._wakeup.set()

    async def begin(self) -> None:
        """It looks once everything runs."""

    async def run(self) -> None:
        while True:
            await self._wakeup.wait(self._clock.now() + _AT_LEAST)
            self._look_through(self._store.deployments())
            await self._clock.sleep_until(self._clock.now() + _BETWEEN)

    def look(self) -> None:
        self._wakeup.set()

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
