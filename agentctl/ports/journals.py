"""The journals of runs: leases, appends, and the definitions that runs are pinned to."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from agentctl.core.events import AnyEvent, Error
from agentctl.model import StoredDefinition
from agentctl.ports.append import Append, Appended
from agentctl.ports.runs import Lease, RunStatus


class Journals(Protocol):
    """The journal of each run, appended to by one executor at a time."""

    def acquire(self, run_ids: Sequence[str], at: float | None = None) -> Awaitable[list[Lease]]:
        """Lease the runs that no living process holds; the others are missing from the answer.

        A lease may be taken when it has no owner, when the owner's process is dead on this machine, or when this process reserved
        the run. A queued run whose limits have no room for it yet is missing, too (see `DueRuns.queue_position`). A run that gets
        its lease has its slot from this commit on, until it has finished. A run that must wait is reserved for this process.
        `at`: the driver's clock, by which throttles are measured; None: the system's.
        """

    def append(self, entry: Append) -> Awaitable[Appended]:
        """Add events to a run's journal with all that belongs to them. Raises LeaseLost."""

    def release(
        self, leases: Sequence[Lease], *, status: RunStatus | None = None, error: Error | None = None
    ) -> Awaitable[None]:
        """Give leases back without an event; `status` (interrupted, blocked) is shown from then on. A lost lease is ignored.

        `error`: why these runs cannot be driven, shown until one is: from then on no timer makes them due.
        """

    def executor_lock_fd(self) -> int | None:
        """Return the descriptor whose lock proves that this process lives; None while it has leased nothing.

        A child process that gets the descriptor by `pass_fds` shares the lock: the leases of this process can be taken over
        only when both are gone. Give it to the process that ends the trees of this one's attempts, and to no other.
        """

    def journal(self, run_id: str, after: int = 0, *, lenient: bool = False) -> Iterable[AnyEvent]:
        """The events of a run in order, from number `after` (0: all).

        `lenient`: to be shown. A note `{unreadable}` replaces an output that cannot be read; else it raises PayloadUnreadable.
        """

    def snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        """The latest snapshot of a run, and how many events of its journal it stands for; None: there is none.

        It is a cache, which may be missing at any time. A finished run has none.
        """

    def last_event_times(self, run_ids: Sequence[str]) -> dict[str, float]:
        """The time of the last event in each of these runs' journals, by id; a run is missing if it cannot be read."""

    def register(self, stored: StoredDefinition) -> Awaitable[None]:
        """Keep a definition under its content hash. A known one is left as it is."""

    def definition(self, version: str) -> StoredDefinition | None:
        """Return exactly the definition that a run is pinned to; compiled again from the source when its format differs."""
