"""Which runs an engine keeps in memory, and what becomes of those that it releases.

The two sides ask each other: the residency knows the engine as a `Holder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from agentctl.engine.run import HeldRun
from agentctl.engine.store_retry import StoreRetry
from agentctl.engine.timers import Timers
from agentctl.engine.waiters import Waiters
from agentctl.ports import Clock, Lease, Observer, Store


class Holder(Protocol):
    """The engine, as far as a residency knows it."""

    store: Store
    clock: Clock
    patience: StoreRetry
    timers: Timers
    waiters: Waiters
    observers: Sequence[Observer]

    @property
    def is_closing(self) -> bool:
        """Nothing new is begun: the engine stops, or winds up."""

    @property
    def held(self) -> int:
        """Runs in memory."""

    def is_held(self, run_id: str) -> bool:
        """Whether the run is in memory."""

    def hold(self, run_id: str, *, patient: bool = False, lease: Lease | None = None) -> HeldRun:
        """Take a run into memory and drive it. `patient`: when another process holds it, look again later."""

    def deliver(self, run_ids: Iterable[str]) -> None:
        """Look for mail of these runs, as far as they are driven here."""

    def collect(self) -> None:
        """Look for new mail of all runs that are driven here."""

    def look(self) -> None:
        """Something was written to the store that may concern runs, or others in this process."""


class Residency(Protocol):
    """Every method returns at once. `shares_loop`: the event loop has other work than the runs."""

    shares_loop: bool

    async def begin(self) -> None:
        """Return when what another process left behind is taken over."""

    async def run(self) -> None:
        """Take up whatever can be driven, until cancelled. Raises what makes the store unusable for good."""

    def look(self) -> None:
        """Something was written to the store that may concern runs."""

    # --- before a run is held ---

    def wants_child(self, run_id: str, *, detached: bool) -> bool:
        """Whether a run that another one started, or waits for, is taken into memory now."""

    def is_kept(self, run_id: str) -> bool:
        """Whether the run continues here later, without being held now."""

    def is_queued(self, run_id: str) -> bool:
        """Whether the run waits in this process's queue."""

    def ask_for_turn(self, run_id: str) -> bool:
        """Ask whether the turn of a queued run has come. False: it is not queued here."""

    def taken(self, run_id: str) -> None:
        """The run is held from now on."""

    # --- after it was held ---

    def finished(self, run_id: str) -> None:
        """The run has ended."""

    def rested(self, run: HeldRun) -> None:
        """Only timers or mail can move the run on."""

    def busy(self, run: HeldRun) -> None:
        """Another process holds the run, or there is no place for it yet."""

    def unreadable(self, run_id: str) -> None:
        """The journal of the run cannot be read; it shows why."""

    def survives(self, run_id: str, error: Exception) -> bool:
        """Whether the engine continues although a run could not be driven. The run is tried again later then."""

    # --- news ---

    def expect(self, waiting: str, target: str) -> None:
        """Look for mail of run `waiting` as soon as run `target` ends in this process."""

    def runs_to_wake(self, run_ids: Sequence[str]) -> Sequence[str]:
        """Which of these runs, which are not held and may have mail, are taken into memory if they have."""

    def due(self, run_id: str) -> None:
        """A time has come for which this run, which is not held, asked."""

    def collected(self) -> None:
        """The engine has looked for mail."""

    def triggered(self) -> None:
        """An event of ours has started runs."""

    # --- the end ---

    @property
    def is_quiet(self) -> bool:
        """Nothing moves until a timer fires or mail comes."""

    def close(self) -> None:
        """Look for nothing any more."""

    async def leave(self) -> None:
        """Forget every run that is not held."""
