"""The seams of agentctl: what the engine needs of a store, of an action, of a clock. Each Protocol states its contract.

`engine` and `engines` know these and `core`, never a concrete store or action; `wiring` picks the parts.
One suite in tests/contract runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from mmap import mmap
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import msgspec

from agentctl.core.events import AnyEvent, Error, Parent, RunCreated, Usage
from agentctl.model import Definition

JSON = Any

RunStatus = Literal["queued", "running", "waiting", "blocked", "succeeded", "failed", "cancelled", "interrupted"]
FINISHED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


# --- records -------------------------------------------------------------------------------------------------------


class RunRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The projection of one run: what `history` prints. Times are epoch seconds.

    `status` as stored, but for a run stored as `running` that nobody alive owns: `Store.run`, `find` and `history` show it
    as `interrupted`, and filter it so.
    """

    id: str
    name: str
    kind: str
    version: str
    status: RunStatus
    trigger: str = "manual"
    parent: Parent | None = None
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    usage: Usage | None = None
    output: JSON = None
    error: Error | None = None
    wake_at: float | None = None  # when a waiting run wants to be driven again
    input: dict[str, JSON] = {}
    event: JSON = None
    head: int = 0  # number of events in its journal
    epoch: int = 0  # how often it was leased
    owner: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run's projection that an append rewrites."""

    status: RunStatus
    started_at: float | None
    finished_at: float | None
    steps_done: int
    steps_total: int
    usage: Usage | None = None
    output: JSON = None
    error: Error | None = None
    wake_at: float | None = None
    version: str | None = None  # set when the run moves to another definition


class Lease(msgspec.Struct, frozen=True):
    """The right to append to a run. `epoch` rises by one with every acquisition: a zombie's writes carry an old one."""

    run_id: str
    epoch: int


class Mail(msgspec.Struct, frozen=True):
    """Something for a run, put down by whoever does not hold its lease: a cancel request, the end of a child."""

    id: int
    run_id: str
    event: AnyEvent


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to create, queued. `created` is the first event of its journal and says the rest.

    `awaited`: its parent, if it has one, gets ChildFinished as mail, in the very commit in which this run finishes (no
    explicit Reply is needed). False for a detached child.
    """

    created: RunCreated
    awaited: bool = True


class Reply(msgspec.Struct, frozen=True):
    """Mail to send in the same commit: `event` for `run_id`. Mail for a run that does not exist is dropped."""

    run_id: str
    event: AnyEvent


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One run's share of a commit. All of it becomes durable together, or none.

    The journal must hold exactly `head` events and the run's epoch must be the lease's, else LeaseLost and nothing is
    written.  `spawn`: runs to create (a run that exists already is left as it is: a repeated spawn is no error; one
    that is `awaited` and has finished answers at once, unless `replies` holds RunResumed for it: then its next end counts).
    `replies`: mail for other runs.  `consumed`: ids of this run's mail that these events answer; deleted with the commit.
    `release`: give the lease back with this commit (the run ended, or only waits).
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
    release: bool = False


class Awaiter(msgspec.Struct, frozen=True):
    """Run `run_id`, at step `path`, waits for the end of `target`."""

    run_id: str
    path: str
    target: str


class StoredDefinition(msgspec.Struct, frozen=True):
    """`source`: the YAML text, for `--latest`, `show` and error positions.  `file`: where it was read, relative to the root."""

    version: str
    definition: Definition
    source: str
    file: str


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | None = None
    status: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    parent: str | None = None
    trigger: str | None = None
    limit: int = 50


# --- the store -----------------------------------------------------------------------------------------------------


class Store(Protocol):
    """A durable ledger of runs, shared by any number of processes of one machine.

    Writes are awaited and are durable (power cut included) when the await returns; writes handed in at the same time share
    one commit. Reads are plain calls and see every write that was acknowledged before them.
    Raises StoreError and its kinds; a write that failed left nothing behind and may be tried again.
    """

    def append(self, entry: Append) -> Awaitable[None]:
        """Add events to a run's journal with all that goes with them. Raises LeaseLost."""

    def create(self, runs: Sequence[NewRun]) -> Awaitable[None]:
        """Create queued runs, all in one commit. An id that exists is left as it is."""

    def acquire(self, run_ids: Sequence[str]) -> Awaitable[list[Lease]]:
        """Lease those of the runs that nobody alive holds; the others are missing from the answer.

        A lease may be taken when it has no owner, or when the owner's process is dead on this machine.
        """

    def release(self, leases: Sequence[Lease], *, status: RunStatus | None = None) -> Awaitable[None]:
        """Give leases back without an event; `status` (interrupted) is shown from then on. A lost lease is ignored."""

    def post(self, replies: Sequence[Reply]) -> Awaitable[None]:
        """Put mail down for runs that other processes may hold."""

    def await_run(self, awaiter: Awaiter) -> Awaitable[None]:
        """Have ChildFinished mailed to `awaiter` when its target finishes; at once if it has.

        No such target: at once, with status `not_found`.
        Idempotent: asked again before the end, it is one mail all the same.
        """

    def register(self, stored: StoredDefinition) -> Awaitable[None]:
        """Keep a definition under its content hash. Known ones are left as they are."""

    def definition(self, version: str) -> StoredDefinition | None:
        """Exactly the definition a run is pinned to; compiled anew from the source when another agentctl compiled it."""

    def run(self, run_id: str) -> RunRow | None: ...

    def find(self, prefix: str) -> RunRow:
        """By a unique prefix of the id, or `last` (the newest run that no run started). Raises NotFound, AmbiguousPrefix."""

    def history(self, query: HistoryFilter) -> list[RunRow]:
        """Newest first. Reads no journal; cost is of the rows returned, not of the store."""

    def journal(self, run_id: str, after: int = 0) -> Iterable[AnyEvent]:
        """The events of a run in order, from number `after` (0: all)."""

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        """Unconsumed mail of these runs, oldest first."""

    def due(self, now: float, limit: int = 1000) -> list[str]:
        """Ids of unowned or orphaned runs that could be driven on, oldest first.

        Queued, interrupted, with mail, or waiting with wake_at <= now; and every unfinished run of a dead owner, which may
        have died between a commit and what the commit asks for.
        """

    def changed(self) -> bool:
        """True once after any other process wrote to the store. Cheap enough to ask ten times a second."""

    def log_path(self, run_id: str) -> Path:
        """The file that holds the run's log: JSON lines `{at, path, attempt, stream, text}`."""

    def payload(self, data: bytes | mmap) -> dict[str, JSON]:
        """Keep a large output as a file beside the store; returns `{file, bytes, sha256}`. Idempotent."""

    def close(self) -> None:
        """Flush, give back every lease of this process, close. No write is lost."""


# --- actions -------------------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt for an action to perform. `params` are complete: secrets are put in.

    `timeout`: seconds, None for no limit; the engine enforces it by cancelling the coroutine, upon which an action must stop
    all it started (TERM, 10 s later KILL) before it lets the CancelledError pass.
    `previous`: the error of the attempt before, so that llm can tell the model what was wrong.
    """

    run_id: str
    name: str  # of the definition
    path: str
    attempt: int
    idempotency_key: str
    params: JSON
    previous: Error | None = None


class Outcome(msgspec.Struct, frozen=True):
    output: JSON
    usage: Usage | None = None


class SecretSource(Protocol):
    def names(self) -> Iterable[str]:
        """The secrets that are set now."""

    def read(self, name: str) -> str:
        """The value; `scrub` knows it from then on. Raises KeyError when there is no secret of that name."""


class Surroundings(Protocol):
    """What an action may use of the world around it."""

    root: Path  # the project's root
    store: Path  # the store's folder: a place for large outputs

    @property
    def secrets(self) -> SecretSource:
        """Where the engine finds what `${{ secrets.X }}` refers to."""

    def log(self, call: Call, stream: str, text: str) -> None:
        """Add to the run's log, already scrubbed of secrets by the implementation. stream: stdout, stderr, note."""

    def scrub(self, value: JSON) -> JSON:
        """The same value with every secret's text replaced by `***`."""

    def scrubber(self) -> Scrubber:
        """The same for a stream of bytes, whose chunks may end in the middle of a secret."""

    def keep(self, data: bytes | IO[bytes]) -> JSON:
        """Keep a large output as a file beside the store: `{file, bytes, sha256}`. Of an open file, all it holds."""


class Scrubber(Protocol):
    def feed(self, chunk: bytes) -> bytes:
        """What can be let go so far, secrets replaced by `***`; the rest, if it may begin a secret, is held back."""

    def finish(self) -> bytes:
        """What was held back. Call it once, at the end."""


class Action(Protocol):
    """What a step does to the world. Raises ActionError for a failed attempt; any other exception is a bug, shown as one."""

    instant: bool
    """True: it neither waits nor touches the world, and is an `InstantAction`, whose `now` the engine calls in its own turn."""

    async def perform(self, call: Call, around: Surroundings) -> Outcome: ...


class InstantAction(Action, Protocol):
    def now(self, call: Call) -> Outcome:
        """The same as `perform`, at once, so that the engine can answer in the turn that started the attempt."""


class Clock(Protocol):
    def now(self) -> float:
        """Epoch seconds, the wall's."""

    async def sleep_until(self, due: float) -> None: ...


class Observer(Protocol):
    """Told of every commit of a run that this engine drives, after it is durable. Must return at once."""

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None: ...
