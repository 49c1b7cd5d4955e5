"""What waits for a person: approvals, and steps whose outcome is unknown; and undo steps that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent, BlockFinished, BlockStarted, Error, RunResumed
from agentctl.ports import RunRow, Waiting
from agentctl.views.runs import timestamp

if TYPE_CHECKING:
    from agentctl.core.state import RunState


# What a person may answer about a step of unknown outcome.
VERDICTS = {
    "done": "it took effect: its output is that of --output",
    "retry": "it did not take effect: it executes again",
    "failed": "it did not take effect: the step has failed",
}


def inbox_document(waiting: Waiting, commands: Mapping[str, str]) -> dict[str, JSON]:
    """One entry of `inbox --json`.

    `subject`: what is shown and signed: `{message, show, form}` of an approval, `{error}` of an unknown outcome.
    `commands`: answer -> the command that gives it.
    """
    return {
        "run_id": waiting.run_id,
        "loop": waiting.run_name,
        "step": waiting.path,
        "kind": "ask" if waiting.subject.get("ask") else waiting.kind,
        "since": timestamp(waiting.since),
        "due": timestamp(waiting.due),
        "subject": waiting.subject,
        "digest": waiting.digest or None,
        "untrusted": bool(waiting.subject.get("untrusted")),
        "commands": dict(commands),
    }


class Unresolved(msgspec.Struct, frozen=True):
    """What a run leaves for a person to look at.

    `undos`: path of a step whose undo failed -> the error.
    `doubts`: steps whose outcome is unknown.
    """

    undos: Mapping[str, Error]
    doubts: Sequence[Waiting]


def unresolved(runs: Iterable[tuple[RunRow, Sequence[AnyEvent], RunState]]) -> Unresolved:
    """Collect what the given runs leave for a person: each with its journal, and the journal folded."""
    undos: dict[str, Error] = {}
    found: list[Waiting] = []
    for row, events, state in runs:
        undos |= failed_undos(events)
        found += doubts(row, state)
    return Unresolved(undos, found)


def doubts(row: RunRow, state: RunState) -> list[Waiting]:
    """Return the steps of a run whose outcome a person has to look up, in the shape of the inbox.

    A cancelled run keeps its doubts: they block it again when it is resumed.
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
    """Return the steps whose undo failed, by path, with the error; as of the last time the run ended."""
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
