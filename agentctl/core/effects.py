"""What an activation of a run changes in the things that runs share: events, waits, recorded results, memory, budgets.

A driver makes it durable in the commit that journals the activation's events, or applies it afterwards under the activation's
number, so that a repetition changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core.budget import Reservation, Settlement, accounts_of, reservations, settlements
from agentctl.core.emission import NewEvent
from agentctl.core.events import AnyEvent
from agentctl.core.state import RunState

# Commands that change something shared.
_SHARED = (
    cmd.CancelWait, cmd.AwaitEvent, cmd.AwaitPerson, cmd.LookupResult, cmd.StoreResult, cmd.ReleaseClaim, cmd.InvalidateResult,
    cmd.Remember,
)  # fmt: skip

# What is asked about results that are recorded under a key. The answer to LookupResult comes as mail.
KeyOrder = cmd.LookupResult | cmd.StoreResult | cmd.ReleaseClaim | cmd.InvalidateResult


class OpenWait(msgspec.Struct, frozen=True, kw_only=True):
    """A step that waits from now on for an event, or for a person (`approval`, or `unknown`: an outcome to look up).

    `at`: since when.  `due`: until when, if a timer ends it.
    Of an event: `name` (`*` matches one dotted part), and `kept_since`: events that came from then on are for it too, unless
    another wait of the run took them.
    Of a person: `digest` and `subject`, what is shown.
    """

    path: str
    kind: Literal["event", "approval", "unknown"]
    at: float
    due: float | None = None
    name: str = ""
    kept_since: float = 0.0
    digest: str = ""
    subject: JSON = None


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """`emitted`: events of `emit` steps, in order.
    `run_event`: the event that says that the run has ended or is blocked.
    `waits`: waits that open.
    `closed`: paths of waits that close.
    `keys`: orders about recorded results, in order.
    `remember`: values to set in the state of the definition's name.
    `settle`, then `reserve`: model calls that ended and that begin.
    """

    emitted: Sequence[NewEvent] = ()
    run_event: NewEvent | None = None
    waits: Sequence[OpenWait] = ()
    closed: Sequence[str] = ()
    keys: Sequence[KeyOrder] = ()
    remember: dict[str, JSON] = {}
    settle: Sequence[Settlement] = ()
    reserve: Sequence[Reservation] = ()

    @property
    def brings_mail(self) -> bool:
        """Applying it may put down mail for this run or for others."""
        return bool(self.waits or self.keys or self.emitted)


NO_EFFECTS = Effects()


def effects_of(
    state: RunState,
    events: Sequence[AnyEvent],
    commands: Sequence[cmd.Command],
    *,
    emitted: Sequence[NewEvent],
    run_event: NewEvent | None,
    at: float,
) -> Effects:
    """What an activation that led to `state` changes. `at`: epoch seconds, for the budgets of a day."""
    changes = any(isinstance(command, _SHARED) for command in commands)
    if not (changes or emitted or run_event or accounts_of(state)):
        return NO_EFFECTS
    waits, closed = _waits(state, commands)
    return Effects(
        emitted=emitted,
        run_event=run_event,
        waits=waits,
        closed=closed,
        keys=_key_orders(state, commands),
        remember=_remembered(commands),
        settle=settlements(state, events),
        reserve=reservations(state, commands, at),
    )


def _waits(state: RunState, commands: Iterable[cmd.Command]) -> tuple[list[OpenWait], list[str]]:
    """The waits that open and the paths of those that close. A wait that opened and closed meanwhile only closes."""
    opened: dict[str, OpenWait] = {}
    closed: list[str] = []
    for command in commands:
        if isinstance(command, cmd.CancelWait):
            opened.pop(command.path, None)
            closed.append(command.path)
        elif isinstance(command, cmd.AwaitEvent | cmd.AwaitPerson):
            opened[command.path] = _open(state, command)
    return list(opened.values()), closed


def _open(state: RunState, command: cmd.AwaitEvent | cmd.AwaitPerson) -> OpenWait:
    due = state.timers.get((command.path, "wait"))
    if isinstance(command, cmd.AwaitEvent):
        return OpenWait(
            path=command.path,
            kind="event",
            at=state.at,
            due=due,
            name=command.name,
            kept_since=command.since,
        )
    return OpenWait(
        path=command.path,
        kind="approval" if command.what == "approval" else "unknown",
        at=state.at,
        due=due,
        digest=command.digest,
        subject=command.subject,
    )


def _key_orders(state: RunState, commands: Iterable[cmd.Command]) -> list[KeyOrder]:
    """A lookup that was answered within the activation is left out: it would be answered twice."""
    return [
        command
        for command in commands
        if isinstance(command, KeyOrder)
        and not (isinstance(command, cmd.LookupResult) and state.lookups.get(command.path) != command.key)
    ]


def _remembered(commands: Iterable[cmd.Command]) -> dict[str, JSON]:
    """Values by key. If two steps set one key, the later counts."""
    values: dict[str, JSON] = {}
    for command in commands:
        if isinstance(command, cmd.Remember):
            values.update(command.values)
    return values
