"""What the runs of a store share, by capability: each caller asks for the Protocols that it uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from agentctl import JSON
from agentctl.core.emission import NewEvent
from agentctl.core.events import ApprovalGiven
from agentctl.ports.append import Waiting
from agentctl.ports.reports import Feedback, Pruned, Statistics, Verdict
from agentctl.ports.runs import Admission, Awaiter, HistoryFilter, Mail, NewRun, QueuePosition, Reply, RunRow
from agentctl.ports.starts import (
    NOTHING,
    Deployment,
    Gathered,
    SeenFile,
    SendResult,
    Slot,
    SlotRow,
    Subscription,
    Triggered,
)


class Runs(Protocol):
    """One row for each run: what `history` prints."""

    def create(self, runs: Sequence[NewRun], *, reserve: bool = False) -> Awaitable[list[Admission]]:
        """Create queued runs, all in one commit, in order; returns what became of each. An id that exists is left as it is.

        Their limits decide whether a run is made, and what it waits for; `on_limit: cancel_running` mails CancelRequested in the
        same commit.  `reserve`: until this process ends only it may lease them.
        """

    def run(self, run_id: str) -> RunRow | None:
        """Return the row of a run; None: there is no such run."""

    def find(self, prefix: str) -> RunRow:
        """Find a run by a unique prefix of its id, or by `last` (the newest run that no run started).

        Raises NotFound, AmbiguousPrefix.
        """

    def history(self, query: HistoryFilter) -> list[RunRow]:
        """Newest first. Reads no journal; the cost is of the rows returned, not of the store.

        What cannot be read of a run is left out, and is the `error` of a run that has no other (`run`, `find` and `iter_runs`
        too).
        """

    def iter_runs(self, query: HistoryFilter) -> Iterator[RunRow]:
        """Every run that fits, oldest first, whatever `limit` says; one row at a time is in memory.

        Runs that are created meanwhile may be among them.
        """

    def unfinished(self) -> dict[tuple[str, str], int]:
        """Count the runs that have not finished, by (definition, status as stored). The cost is of those runs only."""

    def statistics(self, since: float = 0.0, name: str | None = None) -> list[Statistics]:
        """Counters over the runs created at or after `since`, one entry for each definition.

        The cost is of those runs, not of the store.
        """


class Mailboxes(Protocol):
    """Mail between runs."""

    def post(self, replies: Sequence[Reply]) -> Awaitable[None]:
        """Put mail down for runs that other processes may hold."""

    def await_run(self, awaiter: Awaiter) -> Awaitable[None]:
        """Have ChildFinished mailed to `awaiter` when its target finishes; at once if it has.

        No such target: at once, with status `not_found`.
        Idempotent: asked again before the end, it is one mail all the same.
        """

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        """Unconsumed mail of these runs, oldest first.

        Mail of one run that cannot be read raises PayloadUnreadable; mail of several runs leaves it out.
        """

    def mailed(self, after: int) -> list[tuple[int, str]]:
        """(number, run id) of all mail that was put down after number `after` (0: all), oldest first."""


class Events(Protocol):
    """Events, and what waits for them."""

    def send(self, event: NewEvent, starts: Triggered = NOTHING) -> Awaitable[SendResult]:
        """Keep an event and offer it, by mail in the same commit, to every wait that is open for its name; create what it starts.

        An event whose id is known is dropped, and starts nothing. `received_at` is the time of the commit (or `at`, if that is
        later).
        """

    def waits(self, run_id: str) -> list[Waiting]:
        """What the steps of a run wait for (events and people), oldest first."""

    def gathered(self, now: float) -> list[Gathered]:
        """What is due by `now` to become a run, oldest first."""

    def gathered_due(self) -> float | None:
        """When the next is due; None: nothing is being gathered."""

    def release_gathered(self, gathered: Gathered, run: NewRun | None) -> Awaitable[Admission | None]:
        """In one commit: these events are gathered no more, and the run is made, if there is to be one.

        None, and nothing is written, when the `revision` has changed.
        """


class Results(Protocol):
    """Results that are recorded under a key (the writes are part of `Append`)."""

    def awaited_results(self, run_id: str) -> dict[str, str]:
        """The steps of a run that wait for a key: path -> `RUN/path` of the step that holds the claim on it."""


class DueRuns(Protocol):
    """Which runs can be driven now, and what the others wait for."""

    def due(self, now: float, limit: int = 1000) -> list[str]:
        """Ids of unowned or orphaned runs that could be driven on, oldest first.

        Queued, interrupted, with mail, or waiting with wake_at <= now; and every unfinished run of a dead owner, which may
        have died between a commit and what the commit asks for. Of those in a queue only the ones whose turn it is.
        """

    def next_due(self, now: float) -> float | None:
        """When the next run without an owner is to be driven on because of the time; None: none is.

        May be past, but not for a run in a queue (see `QueuePosition.until`).
        """

    def queue_position(self, run_id: str, at: float | None = None) -> QueuePosition | None:
        """What a run waits for before it may start; None: it is in no queue. `at`: as for `acquire`."""

    def wait_for_graph(self, now: float) -> dict[str, list[frozenset[str]]]:
        """The runs that only the ends of others can move, by id: for each thing one waits for, the runs any of which has to end.

        It waits for a run, or for the result that another works on, or it is waited for and waits in a queue for a slot.
        """


class Deployments(Protocol):
    """Which definitions are deployed, with their triggers, and what their file triggers have seen."""

    def deploy(self, deployments: Sequence[Deployment], events: Mapping[str, Sequence[str]]) -> Awaitable[None]:
        """Set what is deployed from now on, by name (`paused_at` is left as it is), and the event triggers of these names.

        `events[name][n]` is the pattern of trigger n, "" for a trigger of another kind.
        """

    def deployments(self) -> list[Deployment]:
        """Everything that is or was deployed, by name."""

    def subscriptions(self, event: str) -> list[Subscription]:
        """The event triggers that match the name of an event, of definitions that are neither gone nor paused."""

    def pause(self, name: str, at: float) -> Awaitable[None]:
        """Nothing triggers the definition from `at` on; paused again, it stays paused since the first time.

        Raises NotFound when it was never deployed.
        """

    def unpause(self, name: str, at: float) -> Awaitable[None]:
        """It is triggered again from `at` on; nothing happens to one that is not paused. Raises NotFound as `pause` does."""

    def pauses(self, name: str, after: float) -> list[tuple[float, float]]:
        """From when until when the definition was paused, oldest first, as far as it was later than `after`.

        The end of a pause that has not ended is infinite.
        """

    def seen_files(self, name: str) -> dict[str, SeenFile]:
        """The files that the triggers of a definition have dealt with, by path."""

    def mark_files_seen(self, name: str, seen: Sequence[SeenFile], gone: Sequence[str] = ()) -> Awaitable[None]:
        """The triggers of a definition have dealt with these; the paths in `gone` are forgotten."""


class Schedules(Protocol):
    """The slots of schedules, and what became of each."""

    def sync_schedules(self, schedules: Sequence[tuple[str, str]], at: float) -> Awaitable[list[float]]:
        """From `at` on these schedules, (name, Schedule.key), are followed, and no others; returns up to when each is settled.

        One that was followed before continues where it was, but not later than `at`; a new one begins at `at`.
        """

    def fire(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        """Settle slots, in the order of time: the row, the run and its place in the queue in one commit, at the time `at`.

        Returns what became of each run; None for a slot that starts none.
        A slot whose run is refused by its limits is recorded as skipped or overlapped. What a slot came to before stays, but
        one that has not started a run may still do so, when a clock that was put back comes to it again.
        Each schedule is settled up to its last slot of these from now on.
        """

    def backfill(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        """The same for slots of the past, whatever became of them; up to when a schedule is settled does not change."""

    def slots(self, name: str | None = None, schedule: str | None = None, *, limit: int = 20) -> list[SlotRow]:
        """The last slots that were settled, newest first; of all definitions, of one, or of one of its schedules."""

    def slots_between(self, name: str, schedule: str, begin: float, end: float) -> list[SlotRow]:
        """What became of the slots in [begin, end), in order."""


class People(Protocol):
    """What people answer, change and say."""

    def inbox(self) -> list[Waiting]:
        """Everything that waits for a person and is not answered, in all runs, oldest first."""

    def answer(self, run_id: str, event: ApprovalGiven) -> Awaitable[bool]:
        """Mail a person's answer to the approval that waits at its path and shows what its digest says.

        False, and nothing is written, when none does, or when it has been answered.
        """

    def memory(self, name: str) -> dict[str, JSON]:
        """The state of a definition's name, keys in order."""

    def remember(self, name: str, values: Mapping[str, JSON], unset: Sequence[str] = ()) -> Awaitable[None]:
        """A person's change of the state of a definition's name."""

    def feedback(self, run_ids: Sequence[str]) -> dict[str, list[Feedback]]:
        """The feedback on these runs, by id: oldest first, people last; a run without feedback is missing."""

    def give_feedback(
        self, run_id: str, verdict: Verdict, note: str | None = None, *, by: str, person: bool = True
    ) -> Awaitable[None]:
        """Keep feedback on a run; earlier feedback by the same author is replaced. There must be such a run.

        `by`: a person's login name, or a loop's name (`person` is False).
        """


class Upkeep(Protocol):
    """The store as a whole: other processes, health, pruning."""

    def check_writable(self) -> Awaitable[None]:
        """Write and flush something that changes nothing: proves that the store can be written."""

    def changed(self) -> bool:
        """True once after any other process wrote to the store. Cheap enough to ask ten times a second.

        Raises StoreMissing when the store was removed.
        """

    def listen(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called, in the running event loop, soon after another process wrote what may concern others.

        That is: mail, a run, an event, a released lease, a deployment. It may be called for nothing, and once in a while not at
        all: poll all the same. False: it never will be called, because the means are missing; poll often. Ends with `close`; a
        later listener replaces an earlier one.
        """

    def serve(self) -> None:
        """Be the process that serves this store, until `close`. Raises StoreBusy, which names it, while another one does."""

    def serving(self) -> int | None:
        """The process that serves this store; 0: one that cannot be named; None: none does."""

    def owner_process(self, owner: str) -> int | None:
        """Return the process that is this owner of runs (`RunRow.owner`); 0: one that cannot be named; None: it is gone."""

    def is_dead(self, owner: str) -> bool:
        """Whether this owner's process has ended. Its lease is free, or will be when its warden has ended what it started."""

    def prunable(self, now: float, keep: float) -> Pruned:
        """What `prune` would remove, as far as it can be known before the runs are gone. Reads much: not for an event loop."""

    def prune(self, now: float, keep: float, pause: Callable[[], Awaitable[None]]) -> Awaitable[Pruned]:
        """Remove runs that ended more than `keep` seconds before `now`, and all else that is not needed any more (store.upkeep).

        In pieces, so that no other write waits for long; `pause` is awaited between two. Safe to be cancelled.
        """

    def close(self) -> None:
        """Flush, give back every lease of this process, close. No write is lost."""


class Commons(Runs, Mailboxes, Events, Results, DueRuns, Deployments, Schedules, People, Upkeep, Protocol):
    """All that runs share."""
