"""What an engine is given to work with, and what a held run has of it: the host around it, the parts that all runs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agentctl.engine.definitions import Definitions
from agentctl.engine.store_retry import StoreRetry
from agentctl.performing.attempts import Attempts
from agentctl.ports import Action, Clock, Observer, Store, StoredDefinition, Surroundings, Triggers

WORKERS = 16  # attempts at once


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine works with. `load_skill`: name -> the definition as it is now; raises NotFound, DefinitionInvalid.

    `workers`: attempts at once.
    """

    store: Store
    actions: Mapping[str, Action]
    surroundings: Surroundings
    clock: Clock
    load_skill: Callable[[str], StoredDefinition]
    triggers: Triggers
    observers: Sequence[Observer] = ()
    workers: int = WORKERS


class Host(Protocol):
    """What a held run needs of the engine around it."""

    @property
    def wait_in_memory(self) -> float:
        """Seconds; a timer nearer than this is waited for in memory."""

    @property
    def is_alone(self) -> bool:
        """Nothing but this run wants the event loop now. Asked before every commit."""

    def schedule(self, run_id: str, due: float) -> None:
        """Have the timers of the run looked at (`Inbox.ring`) at `due`, epoch seconds."""

    def take_up(self, run_id: str, *, parent: str, detached: bool = False) -> None:
        """Drive that run too, now or soon. `parent` stays in memory as long as it is held, unless it is `detached`."""

    def expect(self, waiting: str, target: str) -> None:
        """Look for mail of run `waiting` as soon as run `target` ends in this process."""

    def collect(self) -> None:
        """Look for new mail of all runs that are driven here."""

    def collect_soon(self) -> None:
        """The same in a later turn of the event loop, once for all that ask for it meanwhile."""

    def triggered(self) -> None:
        """An event of ours has started runs, or is being gathered for one."""

    def is_followed(self, run_id: str) -> bool:
        """True while a child of this run is being driven here: its end will want this run at once."""


class Shared(msgspec.Struct, frozen=True):
    """What all runs of an engine share."""

    store: Store
    clock: Clock
    attempts: Attempts
    definitions: Definitions
    triggers: Triggers
    patience: StoreRetry
    observers: Sequence[Observer]
    secret_names: frozenset[str]
