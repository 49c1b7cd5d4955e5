"""What this process counts for GET /metrics. Counters begin at 0 with the process, as Prometheus expects."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram

from agentctl.core.events import (
    AnyEvent,
    AttemptFailed,
    RunFinished,
    RunStarted,
    StepCancelled,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from agentctl.core.graph import action_names
from agentctl.errors import AgentctlError, StoreError
from agentctl.paths import declared_path
from agentctl.ports import Journals, Progress, RunRow, Runs

_STEPS: dict[type, str] = {
    StepSucceeded: "succeeded",
    StepFailed: "failed",
    StepSkipped: "skipped",
    StepCancelled: "cancelled",
}
_KEPT = 2_000  # runs of which the steps under way are known
_COMMIT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)  # seconds
_STEP = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
_QUEUE = (0.01, 0.1, 1, 10, 60, 300, 900, 3600, 14400, 86400)

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside each counter that says when it began: it begins with the process


class Counted(Runs, Journals, Protocol):
    """What is read of a store to name what is counted."""


class _Run:
    """A run that is driven here. `actions`: path pattern -> action.  `began`: steps under way, and since when."""

    __slots__ = ("actions", "began", "name")

    def __init__(self, name: str, actions: Mapping[str, str]) -> None:
        self.name = name
        self.actions = actions
        self.began: dict[str, float] = {}


class Counters:
    """An Observer of the engine, too."""

    def __init__(self, store: Counted) -> None:
        self._store = store
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self.registry = registry = CollectorRegistry()
        self.began_at = time.time()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"agentctl_{name}", help, labels, registry=registry)

        def histogram(name: str, help: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"agentctl_{name}", help, labels, buckets=buckets, registry=registry)

        self._finished = counter("runs_finished", "Runs that finished here, by how.", "loop", "status")
        self._steps = counter("steps", "Steps that ended here, by how.", "status")
        self._attempts = counter("attempts", "Attempts of steps here, started and failed.", "event")
        self._events = counter("events_received", "Events that came by HTTP.", "via", "outcome")
        self._requests = counter("http_requests", "Requests answered, by status code.", "code")
        self._event_commits = counter("event_commits", "Commits of events that came by HTTP.")
        self._event_seconds = counter("event_commit_seconds", "Seconds from handing in such an event to the end of its commit.")
        self._commit_seconds = histogram("commit_seconds", "Seconds that a commit of the store took.", _COMMIT)
        self._step_seconds = histogram("step_seconds", "Seconds from the start of a step to its end.", _STEP, "action")
        self._queue_seconds = histogram("queue_wait_seconds", "Seconds from the creation of a run to its start.", _QUEUE)

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        for event in events:
            kind = type(event)
            if isinstance(event, StepStarted):
                self._attempts.labels("started").inc()
                self._begin(run_id, event.path, event.at)
            elif isinstance(event, AttemptFailed):
                self._attempts.labels("failed").inc()
            elif isinstance(event, StepSucceeded | StepFailed | StepSkipped | StepCancelled):
                self._steps.labels(_STEPS[kind]).inc()
                self._end(run_id, event.path, event.at)
            elif isinstance(event, RunStarted):
                self._start(run_id, event.at)
            elif isinstance(event, RunFinished):
                run = self._runs.pop(run_id, None)
                name = self._name(run_id) if run is None else run.name
                self._finished.labels(name, event.status).inc()

    def _start(self, run_id: str, at: float) -> None:
        row = self._row(run_id)
        if row is not None:
            self._queue_seconds.observe(max(0.0, at - row.created_at))

    def _begin(self, run_id: str, path: str, at: float) -> None:
        run = self._runs.get(run_id) or self._read(run_id)
        if run is not None:
            run.began.setdefault(path, at)

    def _end(self, run_id: str, path: str, at: float) -> None:
        run = self._runs.get(run_id)
        began = None if run is None else run.began.pop(path, None)
        if run is not None and began is not None:
            self._step_seconds.labels(run.actions.get(declared_path(path), "step")).observe(max(0.0, at - began))

    def _read(self, run_id: str) -> _Run | None:
        row = self._row(run_id)
        if row is None:
            return None
        try:
            stored = self._store.definition(row.version)
        except AgentctlError:
            stored = None
        run = self._runs[run_id] = _Run(row.name, {} if stored is None else action_names(stored.definition))
        if len(self._runs) > _KEPT:
            self._runs.popitem(last=False)
        return run

    def _row(self, run_id: str) -> RunRow | None:
        try:
            return self._store.run(run_id)
        except StoreError:
            return None

    def _name(self, run_id: str) -> str:
        row = self._row(run_id)
        return "" if row is None else row.name

    def received(self, via: str, seconds: float, *, duplicate: bool) -> None:
        """An event was recorded, or was known. `via`: `http`, `webhook`.  `seconds`: from handing it in to its commit."""
        self._events.labels(via, "duplicate" if duplicate else "accepted").inc()
        self._event_commits.inc()
        self._event_seconds.inc(seconds)

    def answered(self, code: int) -> None:
        """A request was answered."""
        self._requests.labels(code).inc()

    def committed(self, seconds: float) -> None:
        """A commit of the store took that long. May be called from another thread."""
        self._commit_seconds.observe(seconds)
