"""What one commit of a run brings: events, and all that becomes durable with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core.commands import InvalidateResult, LookupResult, ReleaseClaim, StoreResult
from agentctl.core.events import Account, AnyEvent, Usage
from agentctl.ports.runs import Lease, NewRun, Progress, Reply
from agentctl.ports.starts import NewEvent, Triggered


class OpenWait(msgspec.Struct, frozen=True, kw_only=True):
    """A step that from now on waits for an event, or for a person (`approval`, or `unknown`: an outcome to look up).

    `at`: since when, and `due`: until when, if a timer ends it.  Of an event: `name` (`*` matches one dotted part), and
    `kept_since`: from when on events that came before the wait are for it, but for the ids in `taken`.  Of a person: `digest`
    and `subject`, what is shown.
    """

    path: str
    kind: Literal["event", "approval", "unknown"]
    at: float
    due: float | None = None
    name: str = ""
    kept_since: float = 0.0
    taken: frozenset[str] = frozenset()
    digest: str = ""
    subject: JSON = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenWait as the store has it. `answered`: when a person's answer was put down, if nobody has taken it on yet."""

    run_id: str
    run_name: str  # of the definition
    path: str
    kind: Literal["event", "approval", "unknown"]
    since: float
    due: float | None
    name: str
    digest: str
    subject: JSON
    answered: float | None


class Reservation(msgspec.Struct, frozen=True):
    """Room for the llm call that an attempt of step `path` is about to make: `tokens` of each of `accounts`."""

    path: str
    tokens: int
    accounts: Sequence[Account]


class Settlement(msgspec.Struct, frozen=True):
    """The llm call of `path` (None: every call of the run) is over.

    `usage`: its cost; None: it never said, so its estimate counts as spent.
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


# What a commit asks about results that are recorded under a key. The answer to FindResult is mail, put down in this commit or
# in the one in which the key becomes free or its result known.
KeyOrder = LookupResult | StoreResult | ReleaseClaim | InvalidateResult


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One run's share of a commit. All of it becomes durable together, or none.

    The journal must hold exactly `head` events and the run's epoch must be the lease's, else LeaseLost and nothing is
    written.  `spawn`: runs to create (a run that exists already is left as it is: a repeated spawn is no error; one
    that is `awaited` and has finished answers at once, unless `replies` holds RunResumed for it: then its next end counts).
    `replies`: mail for other runs.  `consumed`: ids of this run's mail that these events answer; deleted with the commit.
    `release`: give the lease back with this commit (the run ended, or only waits).
    `emitted`: events that happen with this commit, as by `send`, each with what it starts.  `forgotten`: paths that wait no
    more.  `waits`: steps that from this commit on wait (one that is known is left as it is); events kept for them are offered
    by mail in this commit. `remember`: values to set in the state of the run's definition's name.  `settle`, then `reserve`:
    llm calls that ended and that begin (see `core.budget`); one that is refused has no reservation, and is not to be made.
    `keys`: what to do about recorded results, in this order, at the time `at` (the driver's clock).
    `alone`: nothing else wants the event loop meanwhile, so the store may hold it up for as long as the commit takes.
    When `progress.status` is a finished one, everybody who awaits the run (its parent, or a `wait: {run}` told by
    `await_run`) gets ChildFinished as mail in this commit.
    """

    lease: Lease
    head: int
    events: Sequence[AnyEvent]
    progress: Progress
    spawn: Sequence[NewRun] = ()
    replies: Sequence[Reply] = ()
    consumed: Sequence[int] = ()
    emitted: Sequence[tuple[NewEvent, Triggered]] = ()
    forgotten: Sequence[str] = ()
    waits: Sequence[OpenWait] = ()
    remember: Mapping[str, JSON] = {}
    settle: Sequence[Settlement] = ()
    reserve: Sequence[Reservation] = ()
    keys: Sequence[KeyOrder] = ()
    at: float = 0.0
    release: bool = False
    alone: bool = False
