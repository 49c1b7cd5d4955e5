"""Runs of agents in processes that die by SIGKILL at a chosen commit."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
import warnings
from collections.abc import Awaitable, Callable

from agentctl import wiring
from agentctl.engine.engine import Engine
from agentctl.language.catalog import Catalog
from agentctl.language.project.project import Project
from agentctl.store.db import failpoint


async def begin(engine: Engine, project: Project) -> None:
    catalog = Catalog(project)
    stored, _ = wiring.load_definition(engine.store, catalog, catalog.path("clerk"))
    run_id = await engine.create(stored, {})
    (project.root / "id").write_text(run_id)
    await engine.drive(run_id)
    (project.root / "undisturbed").touch()


def killed_at(point: int, project: Project, scenario: Callable[[Engine], Awaitable[object]]) -> None:
    """Run the scenario in a process of its own that dies at the point, or when the scenario ends."""
    child = os.fork()
    if child == 0:
        try:
            warnings.simplefilter("ignore")  # litellm's first answer makes pydantic warn, which pytest would turn into an error
            failpoint._points = failpoint.CrashPoints(point, None)

            async def doomed() -> None:
                await scenario(wiring.build_engine(project, wiring.open_store(project.store_path)))

            asyncio.run(doomed())
            os.kill(os.getpid(), signal.SIGKILL)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the scenario failed; see its traceback"
