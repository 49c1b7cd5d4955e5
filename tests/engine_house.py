"""The engines that are held to the language, each behind the ports `Client` and `Engine`.

Another engine is tried by adding a factory to `ENGINES`. A case sees nothing of it but the two ports, the rows and journals of
the store, and what the steps were asked to do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from agentctl import JSON
from agentctl.actions.emit import EmitAction
from agentctl.actions.remember import RememberAction
from agentctl.actions.set import SetAction
from agentctl.core.events import AnyEvent, ApprovalGiven, StepStarted, StepSucceeded, Usage
from agentctl.engine.engine import Engine as EmbeddedEngine
from agentctl.engine.host import EngineConfig
from agentctl.engine.residency.serving import Serving
from agentctl.errors import ActionError
from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.ports import (
    Action,
    Call,
    Client,
    Deployment,
    Engine,
    HistoryFilter,
    Outcome,
    RunRow,
    Store,
    StoredDefinition,
    Waiting,
)
from agentctl.store.ledger import open_store
from agentctl.testing.clock import VirtualClock
from agentctl.testing.fixtures import PlainSurroundings, ScriptedAction
from agentctl.triggers.events import EventTriggers, patterns
from agentctl.wiring import load_definition

PATIENCE = 20.0  # seconds of real time until a case is stuck


class Driver(NamedTuple):
    """One process: an engine, the client beside it, and the store of both."""

    engine: Engine
    client: Client
    store: Store


# (the project's folder, its actions, skills by name) -> a driver, which ends with the context.
Factory = Callable[[Path, Mapping[str, Action], Callable[[str], StoredDefinition]], Any]


@asynccontextmanager
async def embedded(
    root: Path, actions: Mapping[str, Action], load_skill: Callable[[str], StoredDefinition], residency: Any = None
) -> AsyncIterator[Driver]:
    """The embedded engine, with time that jumps while nothing is under way."""
    store = open_store(root / ".agentctl" / "agentctl.db")
    clock = VirtualClock()
    config = EngineConfig(
        store=store,
        actions=actions,
        surroundings=PlainSurroundings(root, {}),
        clock=clock,
        load_skill=load_skill,
        triggers=EventTriggers(store, {}),
    )
    engine = EmbeddedEngine(config) if residency is None else EmbeddedEngine(config, residency)
    clock.idle = lambda: engine.is_idle
    try:
        yield Driver(engine, engine, store)
    finally:
        await engine.stop()
        store.close()


@asynccontextmanager
async def serving(
    root: Path, actions: Mapping[str, Action], load_skill: Callable[[str], StoredDefinition]
) -> AsyncIterator[Driver]:
    """The same as `agentctl serve` has it: it takes up every run by itself."""
    async with embedded(root, actions, load_skill, Serving) as driver:
        engine = driver.engine
        assert isinstance(engine, EmbeddedEngine)
        await engine.begin()
        running = asyncio.create_task(engine.run())
        try:
            yield driver
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


ENGINES: dict[str, Factory] = {"foreground": embedded, "serving": serving}


class House:
    """A project with one engine at a time. `shell`, `llm`: the scripted actions behind the steps that use them."""

    def __init__(self, root: Path, factory: Factory) -> None:
        self.root = root
        self.shell = ScriptedAction()
        self.llm = ScriptedAction()
        instant: dict[str, Action] = {"set": SetAction(), "emit": EmitAction(), "remember": RememberAction()}
        self._factory = partial(factory, root, {**instant, "shell": self.shell, "llm": self.llm}, self._skill)
        self._context: Any = None
        self._driver: Driver | None = None
        (root / "agentctl.yaml").write_text("vars: {}\n")

    # --- processes ---

    async def __aenter__(self) -> House:
        self._context = self._factory()
        self._driver = await self._context.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._context.__aexit__(None, None, None)

    async def restart(self) -> None:
        """Another process drives the runs from now on. Attempts under way are cut off."""
        await self.__aexit__()
        await self.__aenter__()

    @property
    def client(self) -> Client:
        assert self._driver is not None
        return self._driver.client

    @property
    def engine(self) -> Engine:
        assert self._driver is not None
        return self._driver.engine

    @property
    def store(self) -> Store:
        assert self._driver is not None
        return self._driver.store

    # --- definitions ---

    def define(self, text: str) -> StoredDefinition:
        """A definition, by the loader, as every command gets it."""
        kind, name = text.split(maxsplit=2)[:2]
        file = self.root / f"{kind.removesuffix(':')}s" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return load_definition(None, Catalog(find(self.root)), file)[0]

    def _skill(self, name: str) -> StoredDefinition:
        catalog = Catalog(find(self.root))
        return load_definition(None, catalog, catalog.path(name))[0]

    async def deploy(self, text: str) -> None:
        """From now on events start it."""
        stored = self.define(text)
        made = stored.definition
        await self.store.register(stored)
        deployment = Deployment(name=made.name, kind=made.kind, file=stored.file, version=stored.version, deployed_at=1.0)
        await self.store.deploy([deployment], {made.name: patterns(made)})

    # --- runs ---

    async def create(self, text: str, input: dict[str, JSON] | None = None) -> str:
        return await self.client.create(self.define(text), input or {})

    async def run(self, text: str, input: dict[str, JSON] | None = None) -> RunRow:
        """A run, driven to its end."""
        return await self.finish(await self.create(text, input))

    async def finish(self, run_id: str) -> RunRow:
        return await asyncio.wait_for(self.engine.drive(run_id), PATIENCE)

    async def rest(self, run_id: str) -> RunRow:
        """Drive it until only waiting is left."""
        return await asyncio.wait_for(self.engine.drive(run_id, until="rest"), PATIENCE)

    async def rests(self, text: str, input: dict[str, JSON] | None = None) -> str:
        run_id = await self.create(text, input)
        row = await self.rest(run_id)
        assert row.status in ("waiting", "blocked"), row
        return run_id

    async def under_way(self, text: str, path: str) -> tuple[str, asyncio.Task[RunRow]]:
        """A run whose step `path`, which never ends by itself, is being executed."""
        began = asyncio.Event()

        async def endless(call: Call) -> JSON:
            began.set()
            await asyncio.Event().wait()

        self.shell.behave[path] = endless
        run_id = await self.create(text)
        driving = asyncio.create_task(self.engine.drive(run_id))
        await asyncio.wait_for(began.wait(), PATIENCE)
        return run_id, driving

    def row(self, run_id: str) -> RunRow:
        row = self.store.run(run_id)
        assert row is not None
        return row

    def runs_of(self, name: str) -> list[RunRow]:
        return self.store.history(HistoryFilter(name=name))

    def journal(self, run_id: str) -> list[AnyEvent]:
        return list(self.store.journal(run_id))

    def events(self, run_id: str) -> list[str]:
        return [type(event).__name__ for event in self.journal(run_id)]

    def outputs(self, run_id: str) -> dict[str, JSON]:
        """Outputs of the steps that succeeded, by path."""
        return {event.path: event.output for event in self.journal(run_id) if isinstance(event, StepSucceeded)}

    def statuses(self, run_id: str) -> dict[str, str]:
        return {event.path: event.status for event in self.journal(run_id) if isinstance(event, StepSucceeded)}

    def attempts(self, run_id: str) -> Counter[str]:
        """How many attempts of each step were begun."""
        return Counter(event.path for event in self.journal(run_id) if isinstance(event, StepStarted))

    # --- what steps do ---

    @property
    def executed(self) -> list[str]:
        return self.shell.paths

    def outcomes(self, path: str, *outcomes: JSON | ActionError) -> None:
        """How the attempts of a step end, one after the other; the last outcome stays."""
        left = list(outcomes)

        async def behave(call: Call) -> JSON:
            outcome = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(outcome, ActionError):
                raise outcome
            return outcome

        self.shell.behave[path] = behave

    def spends(self, path: str, tokens: int) -> None:
        """A step calls a model whose answer costs that much."""

        async def answer(call: Call) -> Outcome:
            return Outcome("said", Usage(output_tokens=tokens, model="m"))

        self.llm.behave[path] = answer

    # --- people ---

    def asked(self, run_id: str) -> Waiting:
        [waiting] = [found for found in self.store.waits(run_id) if found.kind == "approval"]
        return waiting

    async def sign(self, run_id: str, *, approved: bool = True, **more: Any) -> bool:
        """Answer the approval that the run asks for."""
        asked = self.asked(run_id)
        answer = ApprovalGiven(at=asked.since, path=asked.path, approved=approved, digest=asked.digest, by="ada", **more)
        return await self.client.approve(run_id, answer)

