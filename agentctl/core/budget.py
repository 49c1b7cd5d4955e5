"""Budgets of llm calls: what a call may cost at most before it is made, and what is left for it.

The rule. A call of a model is counted before it is made: `estimate` tokens of the budget are reserved by the event that starts
the attempt. Its answer settles that: the reservation goes, what the provider counted stays. A call that is cut off (timeout,
cancel, the process died) never says what it cost, so its reservation stays as if it had cost that; so does the part of it that
the provider did not count in an answer (`actions.model_usage`). A call begins only if
what was spent, what is reserved and its own estimate fit the budget; else the attempt fails with `budget.exceeded` and nothing is
sent. So a budget is overspent at most by what the calls in flight cost beyond their estimates.
US dollars are known only afterwards, and only where the price of the model is: a call begins while the dollars known to be
spent are below the budget. Unknown prices count as nothing.

Two guards keep the rule. `refusal`, here, is of one run's own calls and of its finished children, wherever the run is driven.
What several runs draw on at once (a budget `per: day`; the budget of a run whose skills call models as well) is an `Account`,
which the store keeps: it is checked in the transaction that journals the start, and a call that does not fit is answered with
`exceeded`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from agentctl import JSON
from agentctl.core.commands import Command, Execute
from agentctl.core.events import (
    Account,
    AnyEvent,
    AttemptFailed,
    AttemptLost,
    AttemptWithdrawn,
    Error,
    RunRecovered,
    StepSucceeded,
    Usage,
)
from agentctl.core.state import RunState
from agentctl.core.timestamps import rfc3339

ANSWER_TOKENS = 500  # reserved for the answer of a call that sets no `max_tokens`
CHARACTERS_A_TOKEN = 4  # of what the model reads: the usual rule of thumb
CALLS = frozenset({"llm", "turn"})  # what calls a model
_READ = ("prompt", "messages", "system", "schema")


def estimate(params: JSON) -> int:
    """Tokens to reserve for an llm call: what it reads, by length, and `max_tokens` (or ANSWER_TOKENS) for the answer."""
    if "estimate" in params:  # of an agent's turn, which counts what was said before
        return int(params["estimate"])
    wanted = params.get("max_tokens")
    answer = wanted if isinstance(wanted, int) and wanted > 0 else ANSWER_TOKENS
    return estimated_input(params) + answer


def estimated_input(params: JSON) -> int:
    """The part of the estimate for what the model reads."""
    if "estimate" in params:
        return max(0, int(params["estimate"]) - int(params.get("max_tokens") or ANSWER_TOKENS))
    read = [params[name] for name in _READ if params.get(name) is not None]
    characters = sum(len(part) if isinstance(part, str) else len(json.dumps(part)) for part in read)
    return -(-characters // CHARACTERS_A_TOKEN)


def refusal(state: RunState, path: str, params: JSON) -> Error | None:
    """Why step `path` must not begin an llm call with these parameters: the run's own budget is used up. None: it may."""
    budget = state.plan.definition.budget
    if budget is None or budget.per != "run":
        return None
    usage = state.usage
    spent = state.lost_tokens + (usage.input_tokens + usage.output_tokens if usage is not None else 0)
    usd = usage.usd or 0.0 if usage is not None else 0.0
    account = Account(f"run/{state.run_id}", budget.tokens, budget.usd)
    wanted, reserved = estimate(params), sum(state.reserved.values()) - state.reserved.get(path, 0)
    dollars = _dollars(state, path, params)
    if account.usd is not None and dollars and usd + dollars > account.usd:
        return _no_dollars(account, spent=spent, usd=usd, dollars=dollars, wanted=wanted)
    if fits(account, spent=spent, usd=usd, reserved=reserved, wanted=wanted):
        return None
    return exceeded(account, spent=spent, usd=usd, reserved=reserved, wanted=wanted)


def _dollars(state: RunState, path: str, params: JSON) -> float:
    """What a turn of an agent and those under way may cost, at the dearest price per token that the run has paid."""
    if "estimate" not in params:
        return 0.0
    wanted = estimate(params) * state.dearest.get(model_of(params), 0.0)
    others = ((state.steps[other].input, tokens) for other, tokens in state.reserved.items() if other != path)
    return wanted + sum(tokens * state.dearest.get(model_of(input), 0.0) for input, tokens in others)


def model_of(params: JSON) -> str:
    """The alias or the name of the model that a call asks."""
    return str((params or {}).get("model") or "default")


def _no_dollars(account: Account, *, spent: int, usd: float, dollars: float, wanted: int) -> Error:
    spending = f"${usd:.4f} of ${account.usd:g} are spent; it may take ${dollars:.4f}"
    message = f"the budget of the run has no room for the turn: {spending}"
    data = {
        "budget": account.key,
        "tokens": account.tokens,
        "usd": account.usd,
        "spent_tokens": spent,
        "spent_usd": usd,
        "estimate_usd": dollars,
        "estimate_tokens": wanted,
    }
    return Error("budget.exceeded", message, data=data)


def fits(account: Account, *, spent: int, usd: float, reserved: int, wanted: int) -> bool:
    """True when a call of `wanted` tokens may begin. `spent`, `reserved`: tokens; `usd`: dollars known to be spent."""
    if account.tokens is not None and spent + reserved + wanted > account.tokens:
        return False
    return account.usd is None or usd < account.usd


def exceeded(account: Account, *, spent: int, usd: float, reserved: int, wanted: int) -> Error:
    """The error of a call that did not fit; arguments as those of `fits`."""
    of = {"run": "of the run", "day": "of the day"}[account.key.partition("/")[0]]
    if account.usd is not None and usd >= account.usd:
        message = f"the budget {of} is used up: ${usd:.4f} of ${account.usd:g} are spent"
    else:
        under_way = f", {reserved:,} are reserved for calls under way" if reserved else ""
        limit = account.tokens or 0
        hint = " (a lower `max_tokens` makes it less)" if wanted > limit else ""
        left = f"of {limit:,} tokens {spent:,} are spent{under_way}"
        message = f"the budget {of} has no room for the call: {left}; it may take {wanted:,}{hint}"
    data = {
        "budget": account.key,
        "tokens": account.tokens,
        "usd": account.usd,
        "spent_tokens": spent,
        "spent_usd": usd,
        "reserved_tokens": reserved,
        "estimate_tokens": wanted,
    }
    return Error("budget.exceeded", message, data=data)


def accounts_of(state: RunState) -> list[Account]:
    """Every budget that the run's calls are counted in: its own and those of the runs above it."""
    budget = state.plan.definition.budget
    if budget is None:
        return state.accounts
    key = f"run/{state.run_id}" if budget.per == "run" else f"day/{state.name}"
    return [account for account in state.accounts if account.key != key] + [Account(key, budget.tokens, budget.usd)]


def dated(account: Account, at: float) -> Account:
    """The account that a call begun at `at` (epoch seconds) is counted in: that of the UTC day, for a budget of the day."""
    if not account.key.startswith("day/"):
        return account
    return Account(f"{account.key}/{rfc3339(at)[:10]}", account.tokens, account.usd)


# --- calls in the accounts that several runs share -----------------------------------------------------------------


class Reservation(msgspec.Struct, frozen=True):
    """Room for the model call that an attempt of step `path` is about to make: `tokens` of each of `accounts`."""

    path: str
    tokens: int
    accounts: Sequence[Account]


class Settlement(msgspec.Struct, frozen=True):
    """The model call of `path` (None: every call of the run) is over.

    `usage`: its cost; None: it is not known, so its estimate counts as spent.
    """

    path: str | None
    usage: Usage | None


class Refusal(msgspec.Struct, frozen=True):
    """A Reservation that did not fit `account`. `spent`, `reserved`, `wanted`: tokens."""

    path: str
    account: Account
    spent: int
    usd: float
    reserved: int
    wanted: int


_NOTHING = Usage()


def settlements(state: RunState, events: Iterable[AnyEvent]) -> list[Settlement]:
    """The model calls that ended with these events: by their answer, or because their process is gone.

    Other attempts have no reservation, so settling them changes nothing: which were calls need not be known here, where the
    step may be evicted already.
    """
    if not accounts_of(state):
        return []
    found = []
    for event in events:
        if isinstance(event, RunRecovered):
            found.append(Settlement(None, None))
        elif isinstance(event, StepSucceeded | AttemptFailed) and event.attempt:
            cost_nothing = isinstance(event, AttemptFailed) and not event.error.leaves_doubt
            found.append(Settlement(event.path, event.usage or (_NOTHING if cost_nothing else None)))
        elif isinstance(event, AttemptLost):
            found.append(Settlement(event.path, None))
        elif isinstance(event, AttemptWithdrawn):
            found.append(Settlement(event.path, _NOTHING))
    return found


def reservations(state: RunState, commands: Iterable[Command], at: float) -> list[Reservation]:
    """What the model calls that are about to begin may take. `at`: epoch seconds, for the budgets of a day."""
    calls = [command for command in commands if isinstance(command, Execute) and command.uses in CALLS]
    accounts = [dated(account, at) for account in accounts_of(state)] if calls else []
    return [Reservation(call.path, estimate(call.params), accounts) for call in calls] if accounts else []


def over_budget(refused: Refusal, attempt: int, at: float) -> AttemptFailed:
    """The answer to a call that is not made because its reservation was refused."""
    error = exceeded(refused.account, spent=refused.spent, usd=refused.usd, reserved=refused.reserved, wanted=refused.wanted)
    error = msgspec.structs.replace(error, step=refused.path, attempts=attempt)
    return AttemptFailed(at=at, path=refused.path, attempt=attempt, error=error)
