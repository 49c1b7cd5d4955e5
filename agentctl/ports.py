"""The seams of agentctl: what the engine needs of a store, of an action, of a clock. Each Protocol states its contract.

`engine` and `engines` know these and `core`, never a concrete store or action; `wiring` picks the parts.
One suite in tests/contract runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from mmap import mmap
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import msgspec

from agentctl.core.commands import FindResult, GiveBack, KeepResult, Withdraw
from agentctl.core.events import Account, AnyEvent, ApprovalGiven, Error, Parent, RunCreated, Usage
from agentctl.core.flow import Limits
from agentctl.core.instant import rfc3339
from agentctl.model import Definition

JSON = Any

RunStatus = Literal["queued", "running", "waiting", "blocked", "succeeded", "failed", "cancelled", "interrupted"]
FINISHED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "waiting", "blocked", "interrupted")


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

    def to_json(self) -> dict[str, JSON]:
        """One run as in `history --json`. `parent` is `{run_id, path}` of the step that started it; times in RFC 3339."""
        took = None if self.started_at is None or self.finished_at is None else self.finished_at - self.started_at
        return {
            "run_id": self.id,
            "loop": self.name,
            "kind": self.kind,
            "version": self.version,
            "status": self.status,
            "trigger": self.trigger,
            "parent": None if self.parent is None else {"run_id": self.parent.run_id, "path": self.parent.path},
            "created_at": rfc3339(self.created_at),
            "started_at": None if self.started_at is None else rfc3339(self.started_at),
            "finished_at": None if self.finished_at is None else rfc3339(self.finished_at),
            "duration_ms": None if took is None else max(0, round(took * 1000)),
            "steps_done": self.steps_done,
            "steps_total": self.steps_total,
            "usage": None if self.usage is None else usage_document(self.usage),
            "error": None if self.error is None else self.error.to_json(),
        }


def usage_document(usage: Usage) -> dict[str, JSON]:
    """What a run or a step cost, as in every JSON document."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "model": usage.model,
    }


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
    """The right to append to a run. `epoch` rises by one with every acquisition: a zombie's writes carry an old one.

    As of when it was given: `head`, events in its journal; `has_mail`, whether there was mail for it; and for a run that has not
    started `memory`, the durable values of its name (so that a run takes up its work without a query of its own).
    """

    run_id: str
    epoch: int
    head: int = 1
    has_mail: bool = False
    memory: dict[str, JSON] = {}


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
    limits: Limits = Limits()


class Admission(msgspec.Struct, frozen=True):
    """What became of a NewRun. `run_id`: the run's; of a duplicate, the first run's; None when there is none.

    `created`: it is queued.  `duplicate`: there was one with its id, or one with its key within the time of `dedupe`.
    `skipped`: a limit let no run be made (rate_limit, `on_limit: skip`).  `overlapped`: the `overlap` of its schedule did.
    `reason`: a sentence for people; empty when it is created.
    """

    run_id: str | None
    outcome: Literal["created", "duplicate", "skipped", "overlapped"]
    reason: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run that stands in line may not start yet. `reason`: names the limit and who is ahead; empty when nothing is in its
    way any more.  `until`: when it may, where that is known (throttle); None: as soon as a place is free.  `ours`: it is this
    process that starts it when its turn comes.  `holders`: the runs that have the places it waits for."""

    reason: str
    until: float | None = None
    ours: bool = False
    holders: tuple[str, ...] = ()


class Gather(msgspec.Struct, frozen=True, kw_only=True):
    """The event it comes with is to be gathered with others, by `debounce` or `batch`, into a run of definition `name`.

    `trigger`: the number of the trigger among the definition's.  `group`: events with the same are gathered together.
    `seconds`: how long it has to be quiet, or to be collected.  `size`: of a batch; None: debounce, the newest event counts.
    """

    name: str
    trigger: int
    group: str
    seconds: float
    size: int | None = None


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Events that are gathered and due to become a run. `events`: {name, data, id, received_at}, oldest first; of a debounce,
    one.

    `revision` changes with every event that makes these no longer due: any further one of a debounce; of a batch none, for later
    ones wait for the next run, but it changes when these became a run.
    """

    name: str
    trigger: int
    group: str
    events: list[JSON]
    revision: int


SlotOutcome = Literal["fired", "skipped", "missed", "overlapped"]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of a schedule and what becomes of it. `schedule`: Schedule.key.  `run`: with `fired`, the run it starts.

    `reason`: a sentence for people; empty when it fired on time.
    """

    name: str
    schedule: str
    slot: float
    outcome: SlotOutcome
    reason: str = ""
    run: NewRun | None = None

    def became(self, admission: Admission) -> SlotOutcome:
        """Its outcome, once it is known what became of its run."""
        if admission.outcome == "created":
            return "fired"
        return "overlapped" if admission.outcome == "overlapped" else "skipped"


class SlotRow(msgspec.Struct, frozen=True, kw_only=True):
    """A slot as the ledger has it. `at`: when it was settled.  `run_id`: of the run it started."""

    name: str
    schedule: str
    slot: float
    outcome: SlotOutcome
    reason: str
    at: float
    run_id: str | None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as triggers see it. `version`: the last good one, "" when there never was one.  `file`: relative to the root.

    `problem`: why the file as it is now is not used, for people; None when it is.  `gone`: the file has disappeared: nothing
    triggers it any more.  `paused_at`: since when it is paused, None when it is not.  `deployed_at`: of this version.
    """

    name: str
    kind: str
    file: str
    version: str
    deployed_at: float
    problem: str | None = None
    gone: bool = False
    paused_at: float | None = None


class Subscription(msgspec.Struct, frozen=True):
    """An event trigger of a deployed definition: `trigger` is its number among the triggers of that version."""

    name: str
    version: str
    trigger: int


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How much was removed, or would be. `files`: large outputs and logs that nothing referred to any more, of `bytes`."""

    runs: int = 0
    events: int = 0
    slots: int = 0
    results: int = 0
    definitions: int = 0
    files: int = 0
    bytes: int = 0


class SeenFile(msgspec.Struct, frozen=True):
    """A version of a file that a file trigger has dealt with. `path`: relative to the project's root.  `stamp`: changes whenever
    the file may have."""

    path: str
    stamp: str
    sha256: str


class Reply(msgspec.Struct, frozen=True):
    """Mail to send in the same commit: `event` for `run_id`. Mail for a run that does not exist is dropped."""

    run_id: str
    event: AnyEvent


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


class NewEvent(msgspec.Struct, frozen=True):
    """Something that happened, for whoever waits for it. `at`: not received before this (the sender's clock)."""

    name: str
    data: JSON
    id: str
    at: float

    def document(self, received_at: float) -> dict[str, JSON]:
        """The event as expressions see it (LANGUAGE section 3)."""
        return {"name": self.name, "data": self.data, "id": self.id, "received_at": rfc3339(received_at)}


class Sent(msgspec.Struct, frozen=True):
    """What became of an event. `duplicate`: one with its id is known, so it was dropped.  `delivered`: runs it was offered to.

    `started`: what became of the runs that it was to start, in their order.  `gathered`: the definitions for which it is kept
    together with others, until they become a run.
    """

    duplicate: bool
    delivered: list[str]
    started: list[Admission] = []
    gathered: list[str] = []


class Starts(msgspec.Struct, frozen=True):
    """What an event starts: `runs`, and what it is gathered for."""

    runs: Sequence[NewRun] = ()
    gather: Sequence[Gather] = ()


NOTHING = Starts()


class Triggers(Protocol):
    """Which runs an event starts, by the triggers of the definitions that are deployed."""

    def starts(self, event: NewEvent) -> Starts:
        """Reads the store; evaluates each trigger's `if` and `input`. Cheap when nothing is triggered by an event of that
        name."""


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
KeyOrder = FindResult | KeepResult | GiveBack | Withdraw


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
    emitted: Sequence[tuple[NewEvent, Starts]] = ()
    forgotten: Sequence[str] = ()
    waits: Sequence[OpenWait] = ()
    remember: Mapping[str, JSON] = {}
    settle: Sequence[Settlement] = ()
    reserve: Sequence[Reservation] = ()
    keys: Sequence[KeyOrder] = ()
    at: float = 0.0
    release: bool = False
    alone: bool = False


class Awaiter(msgspec.Struct, frozen=True):
    """Run `run_id`, at step `path`, waits for the end of `target`."""

    run_id: str
    path: str
    target: str


class Finding(msgspec.Struct, frozen=True):
    """One result of `agentctl doctor`. `check`: dotted name of what was looked at.  `mend`: what to do about it; "" when all is
    well."""

    check: str
    status: Literal["ok", "warning", "error"]
    message: str
    mend: str = ""


class StoredDefinition(msgspec.Struct, frozen=True):
    """`source`: the YAML text, for `--latest`, `show` and error positions.  `file`: where it was read, relative to the root."""

    version: str
    definition: Definition
    source: str
    file: str


Verdict = Literal["good", "bad", "false-positive"]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Verdict
    note: str | None
    at: float

    def to_json(self) -> dict[str, JSON]:
        return {"verdict": self.verdict, "note": self.note, "at": rfc3339(self.at)}


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over the runs of one definition. `p50`, `p95`: seconds from start to end, of the runs that ended.

    `usage`: what they cost, the skills that they waited for included.  `saved`: what they did not have to buy again when they
    went on after an interruption or a resume (defined in `store.statistics.spared`).
    """

    name: str
    kind: str
    runs: int
    succeeded: int
    failed: int
    cancelled: int
    p50: float | None
    p95: float | None
    usage: Usage | None
    saved: Usage | None

    @property
    def success_rate(self) -> float | None:
        """Of the runs that succeeded or failed; None while none has."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


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

    def append(self, entry: Append) -> Awaitable[list[Refusal]]:
        """Add events to a run's journal with all that goes with them; returns what was refused of `reserve`. Raises LeaseLost."""

    def create(self, runs: Sequence[NewRun], *, reserve: bool = False) -> Awaitable[list[Admission]]:
        """Create queued runs, all in one commit, in order; says what became of each. An id that exists is left as it is.

        Their limits decide whether a run is made, and what it waits for; `on_limit: cancel_running` mails CancelRequested in the
        same commit.  `reserve`: until this process ends only it may lease them.
        """

    def acquire(self, run_ids: Sequence[str], at: float | None = None) -> Awaitable[list[Lease]]:
        """Lease those of the runs that nobody alive holds; the others are missing from the answer.

        A lease may be taken when it has no owner, when the owner's process is dead on this machine, or when this process reserved
        the run. A queued run whose limits have no room for it yet is missing, too (see `standing`); one that gets its lease has
        its place from this commit on, until it has finished. One that must wait is reserved for this process. `at`: the driver's
        clock, by which throttles are measured; None: the system's.
        """

    def standing(self, run_id: str, at: float | None = None) -> Standing | None:
        """What a run waits for before it may start; None: it does not stand in line. `at`: as for `acquire`."""

    def release(self, leases: Sequence[Lease], *, status: RunStatus | None = None) -> Awaitable[None]:
        """Give leases back without an event; `status` (interrupted) is shown from then on. A lost lease is ignored."""

    def post(self, replies: Sequence[Reply]) -> Awaitable[None]:
        """Put mail down for runs that other processes may hold."""

    def await_run(self, awaiter: Awaiter) -> Awaitable[None]:
        """Have ChildFinished mailed to `awaiter` when its target finishes; at once if it has.

        No such target: at once, with status `not_found`.
        Idempotent: asked again before the end, it is one mail all the same.
        """

    def send(self, event: NewEvent, starts: Starts = NOTHING) -> Awaitable[Sent]:
        """Keep an event and offer it, by mail in the same commit, to every wait that is open for its name; create what it starts.

        An event whose id is known is dropped, and starts nothing. `received_at` is the time of the commit (or `at`, if that is
        later).
        """

    def answer(self, run_id: str, event: ApprovalGiven) -> Awaitable[bool]:
        """Mail a person's answer to the approval that waits at its path and shows what its digest says.

        False, and nothing is written, when none does, or when it has been answered.
        """

    def gathered(self, now: float) -> list[Gathered]:
        """What is due by `now` to become a run, oldest first."""

    def gathered_due(self) -> float | None:
        """When the next is due; None: nothing is being gathered."""

    def release_gathered(self, gathered: Gathered, run: NewRun | None) -> Awaitable[Admission | None]:
        """In one commit: these events are gathered no more, and the run is made, if there is to be one. None, and nothing is
        written, when the `revision` is another by now."""

    def keep_schedules(self, schedules: Sequence[tuple[str, str]], at: float) -> Awaitable[list[float]]:
        """From `at` on these schedules, (name, Schedule.key), are kept to, and no others; says of each up to when it is settled.

        One that was kept to before goes on where it stood, but not later than `at`; one that was not begins at `at`.
        """

    def fire(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        """Settle slots, in the order of time: the row, the run and its place in the queue in one commit, at the time `at`.
        Returns what became of each run; None for a slot that starts none.

        A slot whose run is refused by its limits is recorded as skipped or overlapped. What a slot came to before stays, but
        that one which has not started a run may still do so, when a clock that was put back comes to it again.
        Each schedule is settled up to its last slot of these from now on.
        """

    def backfill(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        """The same for slots of the past, whatever became of them; up to when a schedule is settled does not change."""

    def slots(self, name: str | None = None, schedule: str | None = None, *, limit: int = 20) -> list[SlotRow]:
        """The last slots that were settled, newest first; of all definitions, of one, or of one of its schedules."""

    def slots_between(self, name: str, schedule: str, begin: float, end: float) -> list[SlotRow]:
        """What became of the slots in [begin, end), in order."""

    def deploy(self, deployments: Sequence[Deployment], events: Mapping[str, Sequence[str]]) -> Awaitable[None]:
        """What is deployed from now on, by name (`paused_at` is left as it is), and the event triggers of each of these names:
        `events[name][n]` is the pattern of trigger n, "" for a trigger of another kind."""

    def deployments(self) -> list[Deployment]:
        """Everything that is or was deployed, by name."""

    def subscriptions(self, event: str) -> list[Subscription]:
        """The event triggers that match the name of an event, of definitions that are neither gone nor paused."""

    def pause(self, name: str, at: float) -> Awaitable[None]:
        """Nothing triggers the definition from `at` on; paused once more, it stays paused since the first time. Raises NotFound
        when it was never deployed."""

    def unpause(self, name: str, at: float) -> Awaitable[None]:
        """It is triggered again from `at` on; nothing happens to one that is not paused. Raises NotFound as `pause` does."""

    def seen_files(self, name: str) -> dict[str, SeenFile]:
        """The files that the triggers of a definition have dealt with, by path."""

    def note_files(self, name: str, seen: Sequence[SeenFile], gone: Sequence[str] = ()) -> Awaitable[None]:
        """The triggers of a definition have dealt with these; the paths in `gone` are forgotten."""

    def pauses(self, name: str, after: float) -> list[tuple[float, float]]:
        """From when until when the definition was paused, oldest first, as far as it was later than `after`. The end of a pause
        that goes on is infinite."""

    def register(self, stored: StoredDefinition) -> Awaitable[None]:
        """Keep a definition under its content hash. Known ones are left as they are."""

    def beat(self) -> Awaitable[None]:
        """Write and flush something that changes nothing: proves that the store can be written."""

    def remember(self, name: str, values: Mapping[str, JSON], unset: Sequence[str] = ()) -> Awaitable[None]:
        """A person's change of the state of a definition's name."""

    def memory(self, name: str) -> dict[str, JSON]:
        """The state of a definition's name, keys in order."""

    def give_feedback(self, run_id: str, verdict: Verdict, note: str | None = None) -> Awaitable[None]:
        """Keep what a person says of a run; an earlier word on it is replaced. There must be such a run."""

    def feedback(self, run_ids: Sequence[str]) -> dict[str, Feedback]:
        """What was said of these runs, by id; a run of which nothing was said is missing."""

    def statistics(self, since: float = 0.0, name: str | None = None) -> list[Statistics]:
        """Figures over the runs created at or after `since`, one entry for each definition.

        Cost is of those runs, not of the store.
        """

    def unfinished(self) -> dict[tuple[str, str], int]:
        """How many runs have not finished, by (definition, status as stored). Cost is of those runs, not of the store."""

    def definition(self, version: str) -> StoredDefinition | None:
        """Exactly the definition a run is pinned to; compiled anew from the source when another agentctl compiled it."""

    def run(self, run_id: str) -> RunRow | None: ...

    def find(self, prefix: str) -> RunRow:
        """By a unique prefix of the id, or `last` (the newest run that no run started). Raises NotFound, AmbiguousPrefix."""

    def history(self, query: HistoryFilter) -> list[RunRow]:
        """Newest first. Reads no journal; cost is of the rows returned, not of the store."""

    def walk(self, query: HistoryFilter) -> Iterator[RunRow]:
        """Every run that fits, oldest first, whatever `limit` says; one row at a time is in memory. Runs that are created
        meanwhile may be among them."""

    def prunable(self, now: float, keep: float) -> Pruned:
        """What `prune` would remove, as far as it can be told before the runs are gone. Reads much: not for an event loop."""

    def prune(self, now: float, keep: float, pause: Callable[[], Awaitable[None]]) -> Awaitable[Pruned]:
        """Remove runs that ended more than `keep` seconds before `now`, and all else that is not needed any more (store.prune).

        In pieces, so that no other write waits for long; `pause` is awaited between two. Safe to be cancelled.
        """

    def journal(self, run_id: str, after: int = 0) -> Iterable[AnyEvent]:
        """The events of a run in order, from number `after` (0: all)."""

    def last_words(self, run_ids: Sequence[str]) -> dict[str, float]:
        """The time of the last event in each of these runs' journals, by id."""

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        """Unconsumed mail of these runs, oldest first."""

    def awaited_results(self, run_id: str) -> dict[str, str]:
        """The steps of a run that stand in line for a key: path -> `RUN/path` of the step that holds the claim on it."""

    def mailed(self, after: int) -> list[tuple[int, str]]:
        """(number, run id) of all mail that was put down after number `after` (0: all), oldest first."""

    def waits(self, run_id: str) -> list[Waiting]:
        """What the steps of a run wait for (events and people), oldest first."""

    def inbox(self) -> list[Waiting]:
        """Everything that waits for a person and is not answered, in all runs, oldest first."""

    def due(self, now: float, limit: int = 1000) -> list[str]:
        """Ids of unowned or orphaned runs that could be driven on, oldest first.

        Queued, interrupted, with mail, or waiting with wake_at <= now; and every unfinished run of a dead owner, which may
        have died between a commit and what the commit asks for. Of those that stand in line only the ones whose turn it is.
        """

    def next_due(self, now: float) -> float | None:
        """When the next of the runs that nobody holds wants to be driven on because of the time; None: none does. May be past,
        but not for one that stands in line (see `Standing.until`)."""

    def changed(self) -> bool:
        """True once after any other process wrote to the store. Cheap enough to ask ten times a second.

        Raises StoreMissing when the store was removed.
        """

    def listen(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called, in the running event loop, soon after another process wrote what may concern others.

        That is: mail, a run, an event, a lease given back, a deployment. It may be called for nothing, and once in a while not at
        all: look at times all the same. False: it never will be, for want of the means; look often. Ends with `close`; who
        listens later takes the place of who did before.
        """

    def serve(self) -> None:
        """Be the process that serves this store, until `close`. Raises StoreBusy, naming it, while another one does."""

    def serving(self) -> int | None:
        """The process that serves this store; 0: one that cannot be named; None: none does."""

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


class SlowAction(Action, Protocol):
    """An action that takes long to get ready, and can do so in the background."""

    def expect(self) -> None:
        """A run that has steps of this kind is being driven. Returns at once; called again, it does nothing more."""


class InstantAction(Action, Protocol):
    def now(self, call: Call) -> Outcome:
        """The same as `perform`, at once, so that the engine can answer in the turn that started the attempt."""


class Clock(Protocol):
    def now(self) -> float:
        """Epoch seconds, the wall's."""

    async def sleep_until(self, due: float) -> None: ...


class Observer(Protocol):
    """Told of every commit of a run that this engine drives, after it is durable. Must return at once.

    Told without events, and with status `queued`, of a run that has to stand in line (see `Store.standing`)."""

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None: ...
