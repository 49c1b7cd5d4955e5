"""What the parts of the simulator share: the simulated runs, and the stage on which they are driven."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from agentctl.core import events as ev
from agentctl.core.activation import ActiveRun, Instant
from agentctl.core.graph import Plan
from agentctl.core.interpreter import fold
from agentctl.core.state import RunState
from agentctl.language.cases import Case
from agentctl.ports import StoredDefinition
from agentctl.testing.mocks import Answer, Mocks

Action = Callable[[], None]


class StagedRun:
    """One run. `prefix`: what stands before the paths of its steps, `triage/`.  `ended`: paths whose end is in the journal."""

    active: ActiveRun

    def __init__(self, prefix: str, stored: StoredDefinition, created: ev.RunCreated) -> None:
        self.id = created.run_id
        self.prefix = prefix
        self.stored = stored
        self.plan = Plan(stored.definition)
        self.created = created
        self.journal: list[ev.AnyEvent] = [created]
        self.ended: set[str] = set()

    @property
    def state(self) -> RunState:
        return self.active.state

    def load(self, secret_names: frozenset[str], instant: Instant) -> None:
        """Fold the journal, as a new process does."""
        state = fold(self.journal, lambda version: self.plan, secret_names)
        self.active = ActiveRun(state, len(self.journal), instant)


class Stage(Protocol):
    """`case`: what is played.  `start`, `now`: virtual time.  `crashed`: the process died once.

    `is_comparable`: False when a crash lost an outcome for good, so that the run may end otherwise than without it.
    """

    case: Case
    start: float
    now: float
    mocks: Mocks
    runs: dict[str, StagedRun]
    root: StagedRun
    crashed: bool
    is_comparable: bool

    def at(self, due: float, action: Action, *, lasting: bool = False) -> None:
        """Do something at a virtual time. `lasting`: it comes from outside, so a crash does not cancel it."""

    def create(self, prefix: str, stored: StoredDefinition, created: ev.RunCreated) -> StagedRun:
        """Create a run, which begins now."""

    def deliver(self, run: StagedRun, event: ev.AnyEvent, again: Action | None = None) -> None:
        """Hand an event in, as of now. `again`: how to hand it in again when a crash came before its commit."""

    def performed(self, run: StagedRun, path: str, attempt: int) -> tuple[float, Answer] | None:
        """When and how an attempt that was performed ended, or will end."""

    def once_performed(self, run: StagedRun, path: str, attempt: int, answer: Callable[[], Answer]) -> tuple[float, Answer]:
        """The same, beginning the attempt if need be. Executed again after a crash, it ends when it would have ended."""


def soon(stage: Stage, run: StagedRun, event: ev.AnyEvent, due: float | None = None) -> None:
    """Deliver at `due` (now), unless a crash comes first."""
    stage.at(stage.now if due is None else due, partial(stage.deliver, run, event))
