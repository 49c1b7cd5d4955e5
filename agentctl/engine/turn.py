"""One turn of a run, and the entry of the journal that it becomes: all that it decided, in one commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from agentctl.core.commands import Command, LookupResult, Remember
from agentctl.core.events import AnyEvent
from agentctl.core.state import RunState
from agentctl.engine.budgets import reservations, settlements
from agentctl.engine.children import ChildStart
from agentctl.engine.waits import waits_of
from agentctl.ports import Append, KeyOrder, Lease, NewEvent, NewRun, Progress, Refusal, Reply, RunStatus, Triggered


class Turn(msgspec.Struct):
    """What one look into the inbox came to."""

    events: list[AnyEvent] = []
    commands: list[Command] = []
    consumed: list[int] = []
    emitted: list[tuple[NewEvent, Triggered]] = []  # by its `emit` steps
    news: list[tuple[NewEvent, Triggered]] = []  # of the run itself, see `supervision`
    births: dict[str, ChildStart] = {}  # by the path of the step that starts the child
    refused: dict[str, Refusal] = {}  # by path: llm calls for which there was no room in a budget

    @property
    def is_empty(self) -> bool:
        """There is nothing to commit."""
        return not (self.events or self.consumed or (self.births and self.spawn))

    @property
    def spawn(self) -> list[NewRun]:
        return [birth.new for birth in self.births.values() if birth.new is not None]

    @property
    def replies(self) -> list[Reply]:
        return [birth.resumed for birth in self.births.values() if birth.resumed is not None]


def entry_of(
    turn: Turn, state: RunState, *, lease: Lease, head: int, version: str, at: float, release: bool, alone: bool
) -> Append:
    """`state`: after the turn.  `head`, `version`: of journal and definition before it.  The rest: see `ports.Append`."""
    waits, forgotten = waits_of(state, turn.commands)
    return Append(
        lease=lease,
        head=head,
        events=turn.events,
        progress=_progress_of(state, version),
        spawn=turn.spawn if turn.births else (),
        replies=turn.replies if turn.births else (),
        consumed=turn.consumed,
        emitted=[*turn.emitted, *turn.news],
        forgotten=forgotten,
        waits=waits,
        keys=_key_orders(state, turn.commands),
        at=at,
        remember=_remembered(turn.commands),
        settle=settlements(state, turn.events),
        reserve=reservations(state, turn.commands, at),
        release=release,
        alone=alone,
    )


def _progress_of(state: RunState, version: str) -> Progress:
    """The projection of the run's state that is written beside the events."""
    status = cast(RunStatus, state.status)
    return Progress(
        status=status,
        started_at=state.started_at,
        finished_at=state.finished_at,
        steps_done=state.steps_done,
        steps_total=state.steps_total,
        usage=state.usage,
        output=state.output,
        error=state.error,
        wake_at=state.next_due if status in ("waiting", "blocked") else None,
        version=state.version if state.version != version else None,
    )


def _key_orders(state: RunState, commands: Iterable[Command]) -> list[KeyOrder]:
    """A search whose answer was in the mail of this very turn is left out: it would be answered twice."""
    return [
        command
        for command in commands
        if isinstance(command, KeyOrder)
        and not (isinstance(command, LookupResult) and state.lookups.get(command.path) != command.key)
    ]


def _remembered(commands: Iterable[Command]) -> dict[str, Any]:
    """Values by key; of two steps that set one key, the later counts."""
    values: dict[str, Any] = {}
    for command in commands:
        if isinstance(command, Remember):
            values.update(command.values)
    return values
