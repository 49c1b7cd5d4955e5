"""What a run leaves for a person to look at: effects of which nobody knows whether they happened, and undo steps that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from agentctl.core.events import AnyEvent, BlockFinished, BlockStarted, Error, RunResumed
from agentctl.ports import FINISHED, HistoryFilter, RunRow, Store, Waiting
from agentctl.render.text import error_line, symbol, visible

if TYPE_CHECKING:
    from agentctl.core.state import RunState

_MOST_CHILDREN = 1000


def unsettled_lines(store: Store, row: RunRow, where: str) -> list[str]:
    """For the screen, the most pressing last: of a run and of the children that it still waits for. Nothing: []."""
    from agentctl.cli.context import folded
    from agentctl.render.waits import waiting_lines

    undone: list[str] = []
    doubtful: list[str] = []
    for run in _with_children(store, row):
        if run.status == "succeeded":
            continue
        events = list(store.journal(run.id))
        undone += undo_lines(failed_undos(events))
        for waiting in doubts(run, folded(store, events)):
            doubtful += waiting_lines(waiting, where)
    return undone + doubtful


def _with_children(store: Store, row: RunRow) -> Iterator[RunRow]:
    yield row
    if row.status not in FINISHED:
        for child in store.history(HistoryFilter(parent=row.id, status=("waiting", "blocked"), limit=_MOST_CHILDREN)):
            yield from _with_children(store, child)


def doubts(row: RunRow, state: RunState) -> list[Waiting]:
    """The steps of a run whose outcome a person has to look up, in the shape in which the inbox lists them.

    A run that was cancelled leaves its doubts behind: they are among these, and block it again when it is resumed.
    """
    unknown = [step for step in state.steps.values() if step.status == "unknown" and not step.frames]
    return [
        Waiting(
            run_id=row.id,
            run_name=row.name,
            path=step.path,
            kind="unknown",
            since=step.finished_at or state.at,
            due=None,
            name="",
            digest="",
            subject={"error": step.error.to_json() if step.error else {"type": "step.unknown_outcome", "message": ""}},
            answered=None,
        )
        for step in unknown
    ]


def failed_undos(events: Iterable[AnyEvent]) -> dict[str, Error]:
    """Paths of the steps that were to be undone, and why that failed; of the run as it ended last."""
    owners: dict[str, str] = {}
    failed: dict[str, Error] = {}
    for event in events:
        match event:
            case BlockStarted(role="undo"):
                owners[event.path] = event.owner or ""
            case BlockFinished() if event.path in owners and event.error is not None:
                failed[owners[event.path]] = event.error
            case RunResumed():
                failed.clear()
    return failed


def undo_lines(failed: dict[str, Error]) -> list[str]:
    return [
        f"{symbol('failed')} NOT UNDONE: {visible(path)}: its undo failed, so what it did still stands: {error_line(error)}"
        for path, error in failed.items()
    ]
