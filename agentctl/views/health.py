"""What needs attention: runs that make no progress, and definitions that always fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentctl.core.stall import Vitals, stalled_since
from agentctl.ports import Deployment, RunRow

LATELY = 3  # finished runs that decide whether a definition always fails


def stalls(vitals: Mapping[str, Vitals], now: float) -> dict[str, float]:
    """Return the runs that make no progress, by id, with since when."""
    found = {run_id: stalled_since(one, now) for run_id, one in vitals.items()}
    return {run_id: since for run_id, since in found.items() if since is not None}


def failing(deployments: Iterable[Deployment], ended: Mapping[str, Sequence[RunRow]]) -> dict[str, RunRow]:
    """Return the definitions whose last runs all failed, by name, with the last of these runs.

    `ended`: name -> the last LATELY runs that succeeded or failed, newest first. A definition that was edited since its last
    failure is not among them.
    """
    return {
        one.name: ended[one.name][0]
        for one in deployments
        if not one.gone and _has_failed_lately(ended.get(one.name, ())) and ended[one.name][0].version == one.version
    }


def _has_failed_lately(ended: Sequence[RunRow]) -> bool:
    return len(ended) == LATELY and all(row.status == "failed" for row in ended)
