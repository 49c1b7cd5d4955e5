"""What a turn says of waits and events, in the shape in which the store takes it: part of the turn's own commit."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.core.commands import AwaitEvent, AwaitPerson, CancelWait, Command
from agentctl.core.events import AnyEvent, StepSucceeded
from agentctl.core.state import RunState
from agentctl.ports import NewEvent, OpenWait


def waits_of(state: RunState, commands: Iterable[Command]) -> tuple[list[OpenWait], list[str]]:
    """What waits from now on, and the paths that wait no more. A wait that began and ended within the turn is only forgotten."""
    opened: dict[str, OpenWait] = {}
    forgotten: list[str] = []
    for command in commands:
        if isinstance(command, CancelWait):
            opened.pop(command.path, None)
            forgotten.append(command.path)
        elif isinstance(command, AwaitEvent | AwaitPerson):
            opened[command.path] = _open(state, command)
    return list(opened.values()), forgotten


def _open(state: RunState, command: AwaitEvent | AwaitPerson) -> OpenWait:
    due = state.timers.get((command.path, "wait"))
    if isinstance(command, AwaitEvent):
        return OpenWait(
            path=command.path,
            kind="event",
            at=state.at,
            due=due,
            name=command.name,
            kept_since=command.since,
            taken=frozenset(state.consumed_event_ids),
        )
    return OpenWait(
        path=command.path,
        kind="approval" if command.what == "approval" else "unknown",
        at=state.at,
        due=due,
        digest=command.digest,
        subject=command.subject,
    )


def emission(state: RunState, event: AnyEvent) -> NewEvent | None:
    """The event that an `emit` step puts out by succeeding; to be asked before the success is folded in."""
    if not isinstance(event, StepSucceeded):
        return None
    step = state.steps.get(event.path)
    if step is None or step.uses != "emit" or event.status != "succeeded":
        return None
    return NewEvent(event.output["name"], event.output["data"], event.output["id"], event.at)
