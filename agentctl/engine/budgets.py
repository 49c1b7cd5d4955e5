"""llm calls in the accounts of budgets: what an entry of the journal settles and reserves, the answer to one that did not fit."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agentctl.core import budget
from agentctl.core.commands import Command, Execute
from agentctl.core.events import AnyEvent, AttemptFailed, AttemptWithdrawn, RunRecovered, StepSucceeded, Usage
from agentctl.core.state import RunState
from agentctl.ports import Refusal, Reservation, Settlement

_NOTHING = Usage()


def settlements(state: RunState, events: Iterable[AnyEvent]) -> list[Settlement]:
    """The calls that have ended with these events: by their answer, or because whoever made them is gone.

    Of other attempts that ended nothing is reserved, so they settle nothing: which were calls need not be known here, where a
    step of a round that is over may be forgotten already.
    """
    if not budget.accounts_of(state):
        return []
    found = []
    for event in events:
        if isinstance(event, RunRecovered):
            found.append(Settlement(None, None))
        elif isinstance(event, StepSucceeded | AttemptFailed) and event.attempt:
            cut_off = isinstance(event, AttemptFailed) and event.error.leaves_doubt
            found.append(Settlement(event.path, event.usage or (None if cut_off else _NOTHING)))
        elif isinstance(event, AttemptWithdrawn):
            found.append(Settlement(event.path, _NOTHING))
    return found


def reservations(state: RunState, commands: Iterable[Command], at: float) -> list[Reservation]:
    """What the calls that are about to begin may take. `at`: epoch seconds, for the budgets of a day."""
    calls = [command for command in commands if isinstance(command, Execute) and command.uses == "llm"]
    accounts = [budget.dated(account, at) for account in budget.accounts_of(state)] if calls else []
    return [Reservation(call.path, budget.estimate(call.params), accounts) for call in calls] if accounts else []


def over_budget(refused: Refusal, attempt: int, at: float) -> AttemptFailed:
    """The answer to a call that is not made."""
    error = budget.exceeded(
        refused.account, spent=refused.spent, usd=refused.usd, reserved=refused.reserved, wanted=refused.wanted
    )
    error = msgspec.structs.replace(error, step=refused.path, attempts=attempt)
    return AttemptFailed(at=at, path=refused.path, attempt=attempt, error=error)
