"""The Observer that turns the commits of runs into spans, and hands those that have ended to a sender."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from agentctl.core.events import AnyEvent
from agentctl.core.graph import action_names
from agentctl.ports import FINISHED, Journals, Progress, RunRow, Runs
from agentctl.telemetry.spans import RunSpans, Span, Value, trace_id

_KEPT = 2_000  # runs whose open spans are in memory; those of another are read from its journal
_PARENTS_KEPT = 64  # runs that are not driven here, but children of theirs are


class RunsAndJournals(Runs, Journals, Protocol):
    """What is needed of the store here."""


class Sender(Protocol):
    def send(self, trace: int, span: Span) -> None:
        """Must return at once."""

    def close(self) -> None:
        """Send what waits to be sent; give up after a few seconds."""


class _Traced(NamedTuple):
    trace: int
    spans: RunSpans


class Telemetry:
    """Observes every commit of a run."""

    def __init__(self, store: RunsAndJournals, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._runs: OrderedDict[str, _Traced] = OrderedDict()
        self._parents: OrderedDict[str, _Traced] = OrderedDict()

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        run = self._runs.get(run_id) or self._read(run_id, without=len(events))
        if run is None:
            return
        for span in run.spans.feed(events):
            self._sender.send(run.trace, span)
        if progress.status in FINISHED:
            self._runs.pop(run_id, None)
        else:
            _keep(self._runs, run_id, run, _KEPT)

    def close(self) -> None:
        """Send what waits to be sent; gives up after a few seconds."""
        self._sender.close()

    def _read(self, run_id: str, *, without: int) -> _Traced | None:
        """A run as its journal has it, but for the last events."""
        row = self._store.run(run_id)
        if row is None:
            return None
        parent = None if row.parent is None else self._parent(row.parent.run_id, run_id)
        stored = self._store.definition(row.version)
        spans = RunSpans(
            run_id,
            row.name,
            _facts(row),
            {} if stored is None else action_names(stored.definition),
            None if parent is None else parent.spans.children.get(run_id),
        )
        before = row.head - without
        if before > 1:  # the first event alone begins no span
            for _ in spans.feed(islice(self._store.journal(run_id), before)):
                pass  # sent by the process that wrote them
        return _Traced(trace_id(run_id) if parent is None else parent.trace, spans)

    def _parent(self, parent_id: str, child_id: str) -> _Traced | None:
        """The run above, read once for all its children if it is not driven here. None: it is gone."""
        for known in (self._runs.get(parent_id), self._parents.get(parent_id)):
            if known is not None and child_id in known.spans.children:
                return known
        parent = self._read(parent_id, without=0)
        if parent is not None:
            _keep(self._parents, parent_id, parent, _PARENTS_KEPT)
        return parent


def _keep(runs: OrderedDict[str, _Traced], run_id: str, run: _Traced, most: int) -> None:
    runs[run_id] = run
    runs.move_to_end(run_id)
    if len(runs) > most:
        runs.popitem(last=False)


def _facts(row: RunRow) -> dict[str, Value]:
    return {
        "agentctl.run.id": row.id,
        "agentctl.definition": row.name,
        "agentctl.definition.kind": row.kind,
        "agentctl.definition.version": row.version,
        "agentctl.run.trigger": row.trigger,
    }
