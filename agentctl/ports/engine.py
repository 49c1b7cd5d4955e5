"""The two halves of an engine: a client writes what is asked of runs, an engine drives them.

Every engine is a client as well. A command that only writes (`send`, `approve`, `cancel`, `run --detach`) uses a client alone.
One suite in tests/contract holds every pair to the language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from agentctl import JSON
from agentctl.core.emission import NewEvent
from agentctl.core.events import ApprovalGiven
from agentctl.model import StoredDefinition
from agentctl.ports.runs import Admission, RunRow
from agentctl.ports.starts import SendResult, Triggered

# How far a run is driven: to its end, or until only waiting is left.
Until = Literal["finished", "rest"]


class Client(Protocol):
    """Writes requests. Whoever drives the run carries them out: this process or another, now or later."""

    async def create(self, stored: StoredDefinition, input: dict[str, JSON], **more: Any) -> str:
        """Create a queued run of a definition with a checked input; returns its id. `more`: see `start` and `create_many`.

        A duplicate (`dedupe`) returns the id of the first run. Raises RunRejected.
        """

    async def start(
        self, stored: StoredDefinition, input: dict[str, JSON], *, reserve: bool = False, **more: Any
    ) -> tuple[str, Admission]:
        """Create a queued run; returns its id and what became of it. `reserve`: only this process drives it, until it ends.

        Raises RunRejected when the definition's flow control does not admit the run now.
        """

    async def create_many(self, stored: StoredDefinition, inputs: Iterable[dict[str, JSON]], **more: Any) -> list[str]:
        """Create queued runs in one commit; returns the ids of those that flow control admits.

        `more`: trigger, event, vars, scheduled_at. Raises InputInvalid when flow control cannot be evaluated.
        """

    async def resume(
        self,
        run_id: str,
        redo: Sequence[str] = (),
        stored: StoredDefinition | None = None,
        vars: dict[str, JSON] | None = None,
    ) -> None:
        """Ask a failed or cancelled run to continue. A run that has not ended needs no asking.

        `redo`: paths whose results are dropped.  `stored`: an edited definition to continue with.  `vars`: the project's now.
        Raises NothingToResume for a succeeded run with nothing to redo, UsageError when `redo` or `stored` is given for a run
        that has not ended, NotFound.
        """

    async def resolve(
        self,
        run_id: str,
        path: str,
        verdict: str,
        *,
        output: JSON = None,
        by: str | None = None,
    ) -> None:
        """Record what became of a step in doubt: `done` (with `output`), `retry` or `failed`.

        A run that has ended with the doubt stays as it ended; undo steps that the answer makes due run. Raises NotFound.
        """

    async def cancel(self, run_id: str, reason: str | None = None) -> None:
        """Ask a run to stop. A run that has ended stays as it is. Raises NotFound."""

    async def send(self, name: str, data: JSON, event_id: str | None = None) -> tuple[str, SendResult]:
        """Keep an event, offer it to every open wait for it and create the runs that it starts; returns its id and the result.

        Without `event_id` an id is made up.
        """

    async def record(self, event: NewEvent, starts: Triggered) -> SendResult:
        """Do the same for an event whose starts are known."""

    async def approve(self, run_id: str, answer: ApprovalGiven) -> bool:
        """Hand in a person's answer to the text with `answer.digest`. False: nobody asks that any more, or it was answered."""

    async def pause(self, name: str) -> None:
        """Pause a definition: nothing triggers it until `unpause`. Raises NotFound when it was never deployed."""

    async def unpause(self, name: str) -> None:
        """Let triggers start a paused definition again. Raises NotFound when it was never deployed."""


class Engine(Client, Protocol):
    """Drives runs: takes up what a client wrote, performs steps, keeps time."""

    async def drive(self, run_id: str, *, until: Until = "finished") -> RunRow:
        """Drive a run and its children until it has ended, or (`rest`) until only waiting is left; returns its row.

        A run that is blocked, itself or by a child, is left when only an answer to the doubt can move it. After `stop` it
        returns at once. Raises NotFound, StoreBusy when another process holds the run, LeaseLost, StoreError when a commit
        failed.
        """

    async def stop(self, grace: float = 0.0) -> None:
        """Release every run. Running attempts get `grace` seconds to end; what is cut off executes again."""

    def holds(self, run_id: str) -> bool:
        """Whether this process drives the run now, so that its observers see every commit."""
