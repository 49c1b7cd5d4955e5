"""The residency of `run` and `resume`: the engine drives the runs it is given, their children, and nothing else.

A run that only timers or mail can move is *parked*: the lease goes back, its memory is freed, and an entry in the heap of timers
is all that is left of it. A run that has no place yet waits in the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentctl.engine.residency.poller import Poller
from agentctl.engine.residency.queue import AdmissionQueue
from agentctl.engine.residency.residency import Holder
from agentctl.engine.run import HeldRun
from agentctl.errors import AgentctlError, StoreBusy
from agentctl.ports import FINISHED, Lease, Progress, QueuePosition

RETRY_LEASE = 1.0  # seconds until a run that another process holds is tried again


class Foreground:
    """Implements `Residency`. `parked`, `queue`: the runs that continue here later."""

    shares_loop = False

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.parked: set[str] = set()
        self._stuck: set[str] = set()  # those of them that only an answer to a doubt can move
        self._expected: dict[str, set[str]] = {}  # run -> those that wait for its end
        self.queue = AdmissionQueue(
            holder.store,
            holder.clock,
            holder.patience,
            self._turn_has_come,
            holder.waiters.rest,
            holder.timers.set,
            holder.waiters.fail_all,
        )
        self._poller = Poller(holder.store, self._has_runs, self.look)

    async def begin(self) -> None:
        pass  # it takes up nothing by itself

    async def run(self) -> None:
        await asyncio.Event().wait()

    def look(self) -> None:
        """Find what other processes wrote or left: mail for our runs, the end of a parked run, a place that is free."""
        holder = self._holder
        try:
            self.queue.look_if_free()  # though nothing was written: who has the place may have died
            if holder.store.changed():
                holder.collect()
                for run_id in holder.waiters.runs():
                    if run_id in self.parked and self._has_ended(run_id):
                        self.parked.discard(run_id)
                        self.finished(run_id)
        except AgentctlError as error:
            holder.waiters.fail_all(error)

    def _has_runs(self) -> bool:
        return bool(self._holder.held or self.parked or self.queue)

    def _has_ended(self, run_id: str) -> bool:
        row = self._holder.store.run(run_id)
        return row is not None and row.status in FINISHED

    # --- before a run is held ---

    def wants_child(self, run_id: str, *, detached: bool) -> bool:
        return run_id not in self.queue

    def is_kept(self, run_id: str) -> bool:
        return run_id in self.parked

    def is_queued(self, run_id: str) -> bool:
        return run_id in self.queue

    def ask_for_turn(self, run_id: str) -> bool:
        if run_id not in self.queue:
            return False
        self.queue.look()
        return True

    def taken(self, run_id: str) -> None:
        self.parked.discard(run_id)
        self.queue.discard(run_id)
        self._stuck.discard(run_id)
        self._poller.start()

    def _turn_has_come(self, lease: Lease) -> None:
        run = self._holder.hold(lease.run_id, patient=True, lease=lease)
        if self._holder.is_closing:
            run.stop()

    # --- after it was held ---

    def finished(self, run_id: str) -> None:
        self.queue.look()
        self._holder.waiters.end(run_id)
        self._holder.deliver(self._expected.pop(run_id, ()))

    def rested(self, run: HeldRun) -> None:
        holder, run_id = self._holder, run.run_id
        self.parked.add(run_id)
        if run.inbox and not holder.is_closing:  # it came while the lease was being given back
            holder.hold(run_id)
            return
        if run.next_due is not None:
            holder.timers.set(run_id, run.next_due)
        holder.waiters.rest(run_id)
        if run.is_stuck(self._stuck):
            self._stuck.add(run_id)
            holder.waiters.end(run_id)

    def busy(self, run: HeldRun) -> None:
        holder, run_id = self._holder, run.run_id
        position = holder.store.queue_position(run_id, holder.clock.now())
        if position is not None and position.ours:
            self._wait_in_queue(run, position)
            return
        row = holder.store.run(run_id)
        if row is not None and row.status in FINISHED and row.owner is None:  # else another process is resuming it
            self.finished(run_id)
        elif row is not None and run.patient:
            self.parked.add(run_id)
            holder.timers.set(run_id, holder.clock.now() + RETRY_LEASE)
            holder.waiters.rest(run_id)
        else:
            process = None if row is None or row.owner is None else holder.store.owner_process(row.owner)
            by = f"process {process}" if process else "another process"
            holder.waiters.fail(run_id, StoreBusy(f"run {run_id} is being driven by {by}"))

    def _wait_in_queue(self, run: HeldRun, position: QueuePosition) -> None:
        self.queue.add(run.run_id, position.until)
        if not position.reason:  # a place has become free just now
            self.queue.look()
            return
        for observer in self._holder.observers:
            observer(run.run_id, [], Progress(status="queued", started_at=None, finished_at=None, steps_done=0, steps_total=0))
        self._holder.waiters.rest(run.run_id)
        if run.inbox.mail:  # it is to be cancelled
            self.queue.look()

    def unreadable(self, run_id: str) -> None:
        self._stuck.add(run_id)

    def survives(self, run_id: str, error: Exception) -> bool:
        return False

    # --- news ---

    def expect(self, waiting: str, target: str) -> None:
        self._expected.setdefault(target, set()).add(waiting)

    def runs_to_wake(self, run_ids: Sequence[str]) -> Sequence[str]:
        if any(run_id in self.queue for run_id in run_ids):
            self.queue.look()
        return [run_id for run_id in run_ids if run_id in self.parked]

    def due(self, run_id: str) -> None:
        if run_id in self.queue:
            self.queue.look()
        elif run_id in self.parked and not self._holder.is_closing:
            self._holder.hold(run_id)

    def collected(self) -> None:
        pass

    def triggered(self) -> None:
        pass

    # --- the end ---

    @property
    def is_quiet(self) -> bool:
        return self.queue.is_quiet

    def close(self) -> None:
        self._poller.close()

    async def leave(self) -> None:
        await self.queue.leave()
        self.parked.clear()
