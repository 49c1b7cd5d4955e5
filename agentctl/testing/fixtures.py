"""A project's store on disk, with any number of engines on it and actions that do what a test says."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from agentctl import JSON
from agentctl.actions.emit import EmitAction
from agentctl.actions.remember import RememberAction
from agentctl.actions.set import SetAction
from agentctl.core.events import AnyEvent
from agentctl.engine.clock import SystemClock
from agentctl.engine.engine import Engine
from agentctl.engine.host import EngineConfig
from agentctl.engine.residency.dispatcher import MOST_HELD
from agentctl.engine.residency.serving import Serving
from agentctl.errors import NotFound
from agentctl.ports import (
    Action,
    Call,
    Clock,
    Deployment,
    HistoryFilter,
    LargeOutput,
    Outcome,
    Progress,
    RunRow,
    Scrubber,
    StoredDefinition,
    Surroundings,
)
from agentctl.store.ledger import Ledger, open_store
from agentctl.triggers.events import EventTriggers, patterns


class ScriptedAction:
    """Does what `behave[path]` says, else returns `did PATH`. `calls`: every attempt, in order."""

    def __init__(self) -> None:
        self.behave: dict[str, Callable[[Call], Awaitable[JSON]]] = {}
        self.calls: list[Call] = []

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        self.calls.append(call)
        output = await self.behave[call.path](call) if call.path in self.behave else f"did {call.path}"
        return output if isinstance(output, Outcome) else Outcome(output)


class PlainSurroundings:
    """`secrets` is itself: a mapping of names to values."""

    def __init__(self, root: Path, values: dict[str, str]) -> None:
        self.root = root
        self.store = root
        self.values = values

    @property
    def secrets(self) -> PlainSurroundings:
        return self

    def names(self) -> list[str]:
        return list(self.values)

    def read(self, name: str) -> str:
        return self.values[name]

    def expect(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.values]

    def scrub(self, value: JSON) -> JSON:
        text = repr(value)
        if not any(secret in text for secret in self.values.values()):
            return value
        data = msgspec.json.encode(value)
        for secret in self.values.values():
            data = data.replace(secret.encode(), b"***")
        return msgspec.json.decode(data)

    def log(self, call: Call, stream: str, text: str) -> None:
        pass

    def scrubber(self) -> Scrubber:
        raise NotImplementedError("scripted actions write no streams")

    @property
    def executor_lock(self) -> None:
        return None

    def end_left_behind(self, run_id: str, paths: Collection[str]) -> None:
        pass

    def keep(self, output: LargeOutput) -> dict[str, JSON]:
        raise NotImplementedError("scripted actions keep no files")

    def open(self, reference: dict[str, JSON]) -> IO[bytes]:
        raise NotImplementedError("scripted actions keep no files")


class World:
    """`shell`, `llm`: the scripted actions behind every step that uses them.  `heard`: (run id, event), as observers got them."""

    def __init__(self, root: Path) -> None:
        self.shell = ScriptedAction()
        self.llm = ScriptedAction()
        self.skills: dict[str, StoredDefinition] = {}
        self.secrets = {"TOKEN": "hunter2"}
        self.heard: list[tuple[str, AnyEvent]] = []
        self.root = root
        self._stores: list[Ledger] = []

    def engine(self, clock: Clock | None = None, workers: int = 16) -> Engine:
        """A further engine on the store, as another process would have: with a connection and a lock of its own."""
        return Engine(self._engine_config(clock, workers))

    def serving(self, clock: Clock | None = None, workers: int = 16, most_held: int = MOST_HELD) -> Engine:
        """The same, as `agentctl serve` has it."""
        return Engine(self._engine_config(clock, workers), partial(Serving, most_held=most_held))

    def _engine_config(self, clock: Clock | None, workers: int) -> EngineConfig:
        store = open_store(self.root / ".agentctl" / "agentctl.db")
        self._stores.append(store)
        instant: dict[str, Action] = {"set": SetAction(), "emit": EmitAction(), "remember": RememberAction()}
        return EngineConfig(
            store=store,
            actions={**instant, "shell": self.shell, "llm": self.llm},
            surroundings=PlainSurroundings(self.root, self.secrets),
            clock=clock or SystemClock(),
            load_skill=self.load_skill,
            observers=[self._observe],
            workers=workers,
            triggers=EventTriggers(store, {}),
        )

    async def deploy(self, engine: Engine, *definitions: StoredDefinition) -> None:
        """From now on events trigger these."""
        for stored in definitions:
            await engine.store.register(stored)
            made = stored.definition
            deployment = Deployment(name=made.name, kind=made.kind, file=stored.file, version=stored.version, deployed_at=1.0)
            await engine.store.deploy([deployment], {made.name: patterns(made)})

    def load_skill(self, name: str) -> StoredDefinition:
        if name not in self.skills:
            raise NotFound(f"there is no definition named {name}")
        return self.skills[name]

    def _observe(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None:
        self.heard += [(run_id, event) for event in events]

    def killed(self, scenario: Callable[[Engine], Awaitable[object]]) -> None:
        """Run `scenario` with an engine in a process of its own that dies by SIGKILL: when the scenario ends, or by its own hand.

        To be called while no store is open here: threads do not survive a fork.
        """
        assert not self._stores
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(self._in_child(scenario))
            except BaseException:  # nothing of the parent's may run in the child
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the scenario failed; see its traceback"

    async def _in_child(self, scenario: Callable[[Engine], Awaitable[object]]) -> None:
        await scenario(self.engine())
        os.kill(os.getpid(), signal.SIGKILL)

    def journal(self, run_id: str) -> list[str]:
        """The types of a run's events, in order."""
        return [type(event).__name__ for event in self._stores[-1].journal(run_id)]

    def children(self, run_id: str) -> list[RunRow]:
        """The runs that a run started, newest first."""
        return self._stores[-1].history(HistoryFilter(parent=run_id, whole=True))

    def close(self) -> None:
        for store in self._stores:
            store.close()
