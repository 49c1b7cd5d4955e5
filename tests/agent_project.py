"""A project with an agent and a scripted model, driven in the test's own process, so that litellm is imported once."""

from __future__ import annotations

import asyncio
import json
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_server import ModelServer

from agentctl import wiring
from agentctl.cli import queries
from agentctl.core.events import AnyEvent, ApprovalGiven
from agentctl.core.resume import dependents
from agentctl.engine.engine import Engine
from agentctl.language.catalog import Catalog
from agentctl.language.inputs import check_inputs
from agentctl.language.project.project import Project, find
from agentctl.ports import RunRow, Until, Waiting
from agentctl.views.run import run_view, show_document

PATIENCE = 120  # seconds until a run that hangs fails its test


def import_litellm() -> None:
    """Import it now: its warnings are its own, and no test's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from agentctl.actions.litellm_library import library

        asyncio.run(library())


async def close_clients() -> None:
    import litellm

    await litellm.close_litellm_async_clients()


class AgentProject:
    """`write` definitions, `start` a run of one, look at `steps`. Each call opens the store anew, as a command does."""

    def __init__(self, root: Path, model: ModelServer, **models: Any) -> None:
        self.root = root
        self.model = model
        for folder in ("loops", "skills"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        default = {"model": "openai/scripted", "api_base": model.url, "api_key": "none"}
        (root / "agentctl.yaml").write_text(json.dumps({"models": {"default": default, **models}}))
        self.project: Project = find(root, environment={})
        self.run_id = ""

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))

    def start(self, name: str, *, until: Until = "rest", **input: Any) -> RunRow:
        """Make a run and drive it until it ends, or only waiting is left."""

        async def work(engine: Engine) -> RunRow:
            catalog = Catalog(self.project)
            stored, _ = wiring.load_definition(engine.store, catalog, catalog.path(name))
            self.run_id = await engine.create(stored, check_inputs(stored.definition, input))
            return await engine.drive(self.run_id, until=until)

        return self.within(work)

    def drive(self, run_id: str = "") -> RunRow:
        return self.within(lambda engine: engine.drive(run_id or self.run_id, until="rest"))

    def resume(self, start: str | None = None) -> RunRow:
        """Resume the run, `start`: as of `--from`, and drive it."""

        async def work(engine: Engine) -> RunRow:
            redo = dependents(queries.folded(engine.store, engine.store.journal(self.run_id)), start) if start else []
            await engine.resume(self.run_id, redo)
            return await engine.drive(self.run_id, until="rest")

        return self.within(work)

    def within(self, work: Callable[[Engine], Any]) -> Any:
        """Do something with an engine of its own."""

        async def doing() -> Any:
            store = wiring.open_store(self.project.store_path)
            try:
                return await asyncio.wait_for(work(wiring.build_engine(self.project, store)), PATIENCE)
            finally:
                store.close()
                await close_clients()  # the next one has a loop of its own

        return asyncio.run(doing())

    def sign(self, *, approved: bool = True, data: dict[str, Any] | None = None, comment: str | None = None) -> RunRow:
        """Answer the one open approval, and drive the run."""
        [waiting] = self.waits()
        answer = ApprovalGiven(
            at=waiting.since,
            path=waiting.path,
            approved=approved,
            digest=waiting.digest,
            by="eve",
            comment=comment,
            data=data or {},
        )

        async def work(engine: Engine) -> RunRow:
            assert await engine.approve(self.run_id, answer)
            return await engine.drive(self.run_id, until="rest")

        return self.within(work)

    def resolve(self, path: str, verdict: str, output: Any = None) -> RunRow:
        async def work(engine: Engine) -> RunRow:
            await engine.resolve(self.run_id, path, verdict, output=output)
            return await engine.drive(self.run_id, until="rest")

        return self.within(work)

    def waits(self) -> list[Waiting]:
        return self._read(lambda store: store.waits(self.run_id))

    def journal(self) -> list[AnyEvent]:
        return self._read(lambda store: list(store.journal(self.run_id)))

    def journal_bytes(self) -> int:
        from agentctl.core.events import encode

        return sum(len(encode(event)) for event in self.journal())

    def steps(self) -> dict[str, dict[str, Any]]:
        """The steps of `show --json` by path."""

        def shown(store: Any) -> Any:
            events = list(store.journal(self.run_id))
            return show_document(run_view(store.run(self.run_id), events, queries.folded(store, events), awaited={}))

        return {step["path"]: step for step in self._read(shown)["steps"]}

    def _read(self, look: Callable[[Any], Any]) -> Any:
        store = wiring.open_store(self.project.store_path)
        try:
            return look(store)
        finally:
            store.close()

    def lines(self, name: str) -> list[str]:
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []
