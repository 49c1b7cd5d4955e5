"""What one commit of a run brings: events, and all that becomes durable with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core.budget import Refusal, Reservation, Settlement
from agentctl.core.effects import KeyOrder, OpenWait
from agentctl.core.emission import NewEvent
from agentctl.core.events import AnyEvent
from agentctl.ports.runs import Lease, NewRun, Progress, Reply
from agentctl.ports.starts import Triggered


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenWait as the store has it. `answered`: when a person answered, as long as the run has not taken the answer."""

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


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One run's share of a commit. All of it becomes durable together, or none.

    The journal must hold exactly `head` events and the run's epoch must be the lease's, else LeaseLost and nothing is
    written.  `spawn`: runs to create (a run that exists already is left as it is: a repeated spawn is no error; one
    that is `awaited` and has finished answers at once, unless `replies` holds RunResumed for it: then its next end counts).
    `replies`: mail for other runs.  `consumed`: ids of this run's mail that these events answer; deleted with the commit.
    `release`: give the lease back with this commit (the run ended, or only waits), unless the commit offers it an event.
    `emitted`: events that happen with this commit, as by `send`, each with what it starts.  `forgotten`: paths that wait no
    more.  `waits`: steps that from this commit on wait (one that is known is left as it is). The first event kept for each is
    offered by mail in this commit; more follow, a few at a time, when an offer is `consumed` and the wait is still open.
    `remember`: values to set in the state of the run's definition's name.  `settle`, then `reserve`: llm calls that ended and
    that begin (see `core.budget`); one that is refused has no reservation, and is not to be made.
    `keys`: what to do about recorded results, in this order, at the time `at` (the driver's clock).
    `snapshot`: the state that the journal, with these events, adds up to; it replaces an earlier one (see `Journals.snapshot`).
    `alone`: nothing else wants the event loop meanwhile, so the store may hold it up for as long as the commit takes.
    When `progress.status` is a finished one, each run that awaits this one (its parent, or a `wait: {run}` known by
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
    snapshot: bytes | None = None


class Appended(msgspec.Struct, frozen=True):
    """What became of an Append.

    `refused`: of its `reserve`.
    `released`: the lease was given back.
    `offered`: the commit put down mail for the run: events that are offered to its waits.
    """

    refused: Sequence[Refusal] = ()
    released: bool = False
    offered: bool = False
