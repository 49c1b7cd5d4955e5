"""Figures over the runs of a time, by definition: from the rows of those runs, and the journals of those that asked a model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from agentctl.core.events import Usage, add_usage
from agentctl.errors import PayloadUnreadable
from agentctl.ports import Statistics
from agentctl.store.runs.model_figures import ModelEvent, Models
from agentctl.store.runs.payloads import Payloads

_usage = msgspec.json.Decoder(Usage)
# Both are ranges of an index: of the time, or of the time in each status of one name.
_COLUMNS = "SELECT key, name, kind, status, finished_at - started_at, usage, epoch FROM runs"
_OF_ALL = f"{_COLUMNS} INDEXED BY runs_by_time WHERE created_at >= :since"
_OF_ONE = f"""{_COLUMNS} INDEXED BY runs_by_name WHERE name = :name AND created_at >= :since AND status IN
    ('queued', 'running', 'waiting', 'blocked', 'succeeded', 'failed', 'cancelled', 'interrupted')"""


_event = msgspec.json.Decoder(ModelEvent)


def read(connection: sqlite3.Connection, payloads: Payloads, since: float, name: str | None) -> list[Statistics]:
    """One entry for each definition that has runs created at or after `since` (epoch seconds), by name."""
    found: dict[tuple[str, str], _Figures] = {}
    rows = connection.execute(_OF_ALL if name is None else _OF_ONE, {"since": since, "name": name}).fetchall()
    for key, of, kind, status, duration, usage, epoch in rows:
        figures = found.setdefault((of, kind), _Figures())
        figures.add(status, duration, None if usage is None else _usage.decode(usage))
        if usage is not None:
            journal = connection.execute("SELECT event FROM journal WHERE run = ? ORDER BY seq", (key,)).fetchall()
            with suppress(PayloadUnreadable):  # what it did and was spared is not known
                figures.took([_event.decode(payloads.read(text)) for (text,) in journal], again=epoch > 1)
    return [figures.statistics(of, kind) for (of, kind), figures in sorted(found.items())]


def spared(events: Iterable[ModelEvent]) -> Iterator[Usage]:
    """What checkpointing saved a run: its events in order -> the usage of each purchase that it was spared.

    Without a journal, a run that was cut off (RunRecovered), or that is resumed after it failed (RunResumed), would begin again
    and buy everything again. So each time it continues, it is spared the price of every recorded llm step, and of every skill
    that has ended, which it then does not start again before the next time it continues.
    """
    recorded: dict[str, Usage] = {}
    kept: dict[str, Usage] = {}
    for event in events:
        path = event.path or ""
        if event.type in ("RunRecovered", "RunResumed"):
            yield from kept.values()
            kept = dict(recorded)
        elif event.type == "StepStarted":
            recorded.pop(path, None)
            kept.pop(path, None)
        elif event.type in ("StepSucceeded", "ChildFinished") and event.usage is not None:
            recorded[path] = event.usage
    yield from kept.values()


class _Figures:
    """The runs of one definition, counted."""

    def __init__(self) -> None:
        self.statuses: dict[str, int] = {}
        self.durations: list[float] = []
        self.usage: Usage | None = None
        self.saved: Usage | None = None
        self.models = Models()

    def took(self, events: Sequence[ModelEvent], *, again: bool) -> None:
        """The events of a run that asked a model. `again`: it was taken on again, so it may have been interrupted."""
        self.models.take(events)
        for saved in spared(events) if again else ():
            self.saved = add_usage(self.saved, saved)

    def add(self, status: str, duration: float | None, usage: Usage | None) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if duration is not None:
            self.durations.append(duration)
        if usage is not None:
            self.usage = add_usage(self.usage, usage)

    def statistics(self, name: str, kind: str) -> Statistics:
        self.durations.sort()
        return Statistics(
            name=name,
            kind=kind,
            runs=sum(self.statuses.values()),
            succeeded=self.statuses.get("succeeded", 0),
            failed=self.statuses.get("failed", 0),
            cancelled=self.statuses.get("cancelled", 0),
            p50=percentile(self.durations, 0.50),
            p95=percentile(self.durations, 0.95),
            usage=self.usage,
            saved=self.saved,
            models=self.models.figures(),
        )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the values that at least this share of them does not exceed (nearest rank); None of nothing."""
    if not ordered:
        return None
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


# The names by seeks in the index `runs_by_name`, then the entries of that index for each: the millions of runs that have finished
# are not touched.
UNFINISHED = """
WITH RECURSIVE names (name) AS (
    SELECT min(name) FROM runs
    UNION ALL SELECT (SELECT min(r.name) FROM runs r WHERE r.name > names.name) FROM names WHERE names.name IS NOT NULL
)
SELECT n.name, r.status, count(*) FROM names n CROSS JOIN runs r INDEXED BY runs_by_name
    ON r.name = n.name AND r.status IN ('queued', 'running', 'waiting', 'blocked', 'interrupted')
    GROUP BY n.name, r.status
"""


def unfinished(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """(name, status as stored) -> number of runs."""
    return {(name, status): number for name, status, number in connection.execute(UNFINISHED)}
