"""The store: a durable ledger of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from mmap import mmap
from pathlib import Path
from typing import Protocol

from agentctl import JSON
from agentctl.core.events import AnyEvent, ApprovalGiven
from agentctl.ports.append import Append, Refusal, Waiting
from agentctl.ports.reports import Feedback, Pruned, Statistics, Verdict
from agentctl.ports.runs import Admission, Awaiter, HistoryFilter, Lease, Mail, NewRun, QueuePosition, Reply, RunRow, RunStatus
from agentctl.ports.starts import (
    NOTHING,
    Deployment,
    Gathered,
    NewEvent,
    SeenFile,
    SendResult,
    Slot,
    SlotRow,
    StoredDefinition,
    Subscription,
    Triggered,
)


class Store(Protocol):
    """A durable ledger of runs, shared by any number of processes of one machine.

    Writes are awaited and are durable (power cut included) when the await returns; writes handed in at the same time share
    one commit. Reads are plain calls and see every write that was acknowledged before them.
    Raises StoreError and its kinds; a write that failed left nothing behind and may be tried again.
    """

    # --- runs: what their drivers write ------------------------------------------------------------------------------

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

    def append(self, entry: Append) -> Awaitable[list[Refusal]]:
        """Add events to a run's journal with all that goes with them; returns what was refused of `reserve`. Raises LeaseLost."""

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

    # --- runs: what is known of them ---------------------------------------------------------------------------------

    def run(self, run_id: str) -> RunRow | None:
        """None: there is no such run."""

    def find(self, prefix: str) -> RunRow:
        """By a unique prefix of the id, or `last` (the newest run that no run started). Raises NotFound, AmbiguousPrefix."""

    def history(self, query: HistoryFilter) -> list[RunRow]:
        """Newest first. Reads no journal; cost is of the rows returned, not of the store."""

    def walk(self, query: HistoryFilter) -> Iterator[RunRow]:
        """Every run that fits, oldest first, whatever `limit` says; one row at a time is in memory. Runs that are created
        meanwhile may be among them."""

    def definition(self, version: str) -> StoredDefinition | None:
        """Exactly the definition a run is pinned to; compiled anew from the source when another agentctl compiled it."""

    def journal(self, run_id: str, after: int = 0) -> Iterable[AnyEvent]:
        """The events of a run in order, from number `after` (0: all)."""

    def last_event_times(self, run_ids: Sequence[str]) -> dict[str, float]:
        """The time of the last event in each of these runs' journals, by id."""

    def unfinished(self) -> dict[tuple[str, str], int]:
        """How many runs have not finished, by (definition, status as stored). Cost is of those runs, not of the store."""

    def statistics(self, since: float = 0.0, name: str | None = None) -> list[Statistics]:
        """Counters over the runs created at or after `since`, one entry for each definition.

        Cost is of those runs, not of the store.
        """

    def memory(self, name: str) -> dict[str, JSON]:
        """The state of a definition's name, keys in order."""

    def feedback(self, run_ids: Sequence[str]) -> dict[str, Feedback]:
        """What was said of these runs, by id; a run of which nothing was said is missing."""

    # --- runs: what is to be done for them ---------------------------------------------------------------------------

    def due(self, now: float, limit: int = 1000) -> list[str]:
        """Ids of unowned or orphaned runs that could be driven on, oldest first.

        Queued, interrupted, with mail, or waiting with wake_at <= now; and every unfinished run of a dead owner, which may
        have died between a commit and what the commit asks for. Of those that stand in line only the ones whose turn it is.
        """

    def next_due(self, now: float) -> float | None:
        """When the next of the runs that nobody holds wants to be driven on because of the time; None: none does. May be past,
        but not for one that stands in line (see `QueuePosition.until`)."""

    def standing(self, run_id: str, at: float | None = None) -> QueuePosition | None:
        """What a run waits for before it may start; None: it does not stand in line. `at`: as for `acquire`."""

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        """Unconsumed mail of these runs, oldest first."""

    def mailed(self, after: int) -> list[tuple[int, str]]:
        """(number, run id) of all mail that was put down after number `after` (0: all), oldest first."""

    def awaited_results(self, run_id: str) -> dict[str, str]:
        """The steps of a run that stand in line for a key: path -> `RUN/path` of the step that holds the claim on it."""

    def wait_for_graph(self, now: float) -> dict[str, list[frozenset[str]]]:
        """The runs that only the ends of others can move, by id: for each thing one waits for, the runs any of which has to end.

        It waits for a run, or for the result that another works on, or it is waited for and stands in line for a place.
        """

    # --- events, and who waits for them ------------------------------------------------------------------------------

    def send(self, event: NewEvent, starts: Triggered = NOTHING) -> Awaitable[SendResult]:
        """Keep an event and offer it, by mail in the same commit, to every wait that is open for its name; create what it starts.

        An event whose id is known is dropped, and starts nothing. `received_at` is the time of the commit (or `at`, if that is
        later).
        """

    def gathered(self, now: float) -> list[Gathered]:
        """What is due by `now` to become a run, oldest first."""

    def gathered_due(self) -> float | None:
        """When the next is due; None: nothing is being gathered."""

    def release_gathered(self, gathered: Gathered, run: NewRun | None) -> Awaitable[Admission | None]:
        """In one commit: these events are gathered no more, and the run is made, if there is to be one. None, and nothing is
        written, when the `revision` is another by now."""

    def waits(self, run_id: str) -> list[Waiting]:
        """What the steps of a run wait for (events and people), oldest first."""

    def inbox(self) -> list[Waiting]:
        """Everything that waits for a person and is not answered, in all runs, oldest first."""

    def answer(self, run_id: str, event: ApprovalGiven) -> Awaitable[bool]:
        """Mail a person's answer to the approval that waits at its path and shows what its digest says.

        False, and nothing is written, when none does, or when it has been answered.
        """

    # --- what is deployed, and its schedules and files ---------------------------------------------------------------

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

    def pauses(self, name: str, after: float) -> list[tuple[float, float]]:
        """From when until when the definition was paused, oldest first, as far as it was later than `after`. The end of a pause
        that goes on is infinite."""

    def sync_schedules(self, schedules: Sequence[tuple[str, str]], at: float) -> Awaitable[list[float]]:
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

    def seen_files(self, name: str) -> dict[str, SeenFile]:
        """The files that the triggers of a definition have dealt with, by path."""

    def mark_files_seen(self, name: str, seen: Sequence[SeenFile], gone: Sequence[str] = ()) -> Awaitable[None]:
        """The triggers of a definition have dealt with these; the paths in `gone` are forgotten."""

    # --- what people change ------------------------------------------------------------------------------------------

    def remember(self, name: str, values: Mapping[str, JSON], unset: Sequence[str] = ()) -> Awaitable[None]:
        """A person's change of the state of a definition's name."""

    def give_feedback(self, run_id: str, verdict: Verdict, note: str | None = None) -> Awaitable[None]:
        """Keep what a person says of a run; an earlier word on it is replaced. There must be such a run."""

    def prunable(self, now: float, keep: float) -> Pruned:
        """What `prune` would remove, as far as it can be told before the runs are gone. Reads much: not for an event loop."""

    def prune(self, now: float, keep: float, pause: Callable[[], Awaitable[None]]) -> Awaitable[Pruned]:
        """Remove runs that ended more than `keep` seconds before `now`, and all else that is not needed any more (store.prune).

        In pieces, so that no other write waits for long; `pause` is awaited between two. Safe to be cancelled.
        """

    # --- files beside it ---------------------------------------------------------------------------------------------

    def log_path(self, run_id: str) -> Path:
        """The file that holds the run's log: JSON lines `{at, path, attempt, stream, text}`."""

    def payload(self, data: bytes | mmap) -> dict[str, JSON]:
        """Keep a large output as a file beside the store; returns `{file, bytes, sha256}`. Idempotent."""

    # --- processes ---------------------------------------------------------------------------------------------------

    def beat(self) -> Awaitable[None]:
        """Write and flush something that changes nothing: proves that the store can be written."""

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

    def close(self) -> None:
        """Flush, give back every lease of this process, close. No write is lost."""
