"""What this process counts for GET /metrics. Counters begin at 0 with the process, as Prometheus expects."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from agentctl.core.events import (
    AnyEvent,
    AttemptFailed,
    RunFinished,
    StepCancelled,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from agentctl.errors import StoreError
from agentctl.ports import Progress, Runs

_STEPS: dict[type, str] = {
    StepSucceeded: "succeeded",
    StepFailed: "failed",
    StepSkipped: "skipped",
    StepCancelled: "cancelled",
}


class Counters:
    """An Observer of the engine, too."""

    def __init__(self, store: Runs) -> None:
        self._store = store
        self.began_at = time.time()
        self.runs: Counter[tuple[str, str]] = Counter()  # by definition and status: finished here
        self.steps: Counter[str] = Counter()  # by status
        self.attempts: Counter[str] = Counter()  # started, failed
        self.events: Counter[tuple[str, str]] = Counter()  # by how they came and what became of them
        self.requests: Counter[int] = Counter()  # by status code
        self.commits = 0
        self.commit_seconds = 0.0

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        for event in events:
            kind = type(event)
            if kind is StepStarted:
                self.attempts["started"] += 1
            elif kind is AttemptFailed:
                self.attempts["failed"] += 1
            elif kind in _STEPS:
                self.steps[_STEPS[kind]] += 1
            elif isinstance(event, RunFinished):
                self.runs[self._name(run_id), event.status] += 1

    def _name(self, run_id: str) -> str:
        try:
            row = self._store.run(run_id)
        except StoreError:
            return ""
        return "" if row is None else row.name

    def received(self, via: str, seconds: float, *, duplicate: bool) -> None:
        """An event was recorded, or was known. `via`: `http`, `webhook`.  `seconds`: from handing it in to its commit."""
        self.events[via, "duplicate" if duplicate else "accepted"] += 1
        self.commits += 1
        self.commit_seconds += seconds
