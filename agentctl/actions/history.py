"""`history`: the runs of a definition, newest first, for loops that review other loops.

Params: {of, since, status, limit}. Output: a list of runs as in `history --json` (but for `stalled_since`), each with its
`output` and `feedback` ([{verdict, note, by, at}], people last). Errors: input.invalid.
"""

from __future__ import annotations

import time
from typing import Protocol, get_args

from agentctl import JSON
from agentctl.core.timestamps import parse_instant
from agentctl.errors import ActionError
from agentctl.expressions.duration import parse_duration
from agentctl.ports import ActionContext, Call, HistoryFilter, Outcome, People, Runs, RunStatus, Surroundings

LIMIT = 500  # runs, where the step does not say


class RunsAndFeedback(Runs, People, Protocol):
    """What is needed of the store here."""


class HistoryAction:
    def __init__(self, store: RunsAndFeedback | None) -> None:
        """`store`: None outside of any project, where there is no history."""
        self.store = store

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        if self.store is None:
            return Outcome([])
        rows = self.store.history(query(call.params, time.time()))
        feedback = self.store.feedback([row.id for row in rows])
        return Outcome(
            [
                {**row.to_json(), "output": row.output, "feedback": [given.to_json() for given in feedback.get(row.id, ())]}
                for row in rows
            ]
        )


def make(context: ActionContext) -> HistoryAction:
    return HistoryAction(context.store)


def query(params: dict[str, JSON], now: float) -> HistoryFilter:
    """What the step asks for. `now`: epoch seconds, for a `since` that is a duration. Raises ActionError input.invalid."""
    status = params.get("status") or []
    known = get_args(RunStatus)
    if not isinstance(status, list) or any(word not in known for word in status):
        raise _invalid(f"`status` of history has to be a list of {', '.join(known)}; got {status!r}")
    of, limit = params.get("of"), params.get("limit", LIMIT)
    if not isinstance(of, str) or not of:
        raise _invalid(f"`of` of history has to be the name of a loop or a skill; got {of!r}")
    since = params.get("since")
    created = None if since is None else _since(since, now)
    return HistoryFilter(name=of, since=created, status=tuple(status), limit=limit, whole=True)


def _since(value: JSON, now: float) -> float:
    try:
        return now - parse_duration(value)
    except (ValueError, TypeError, AttributeError):
        pass
    try:
        return parse_instant(value)
    except ValueError:
        raise _invalid(f"`since` of history has to be a duration (7d) or a time (2026-11-23T09:30:00Z); got {value!r}") from None


def _invalid(message: str) -> ActionError:
    return ActionError("input.invalid", message)
