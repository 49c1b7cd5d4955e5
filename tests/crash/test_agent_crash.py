"""An agent of twelve turns with three tools is killed at every commit it makes, and resumed: the outcome is that of a calm run.

The process is killed by SIGKILL at commit point k, for every k, and a new one takes the run on. What a call did in the world is a
line in a file, with its idempotency key; what was asked of the model is what its server has recorded.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agent_kills import begin, killed_at
from agent_project import import_litellm
from model_server import Body, ModelServer, Reply, calls, say

from agentctl import wiring
from agentctl.core import events as ev
from agentctl.language.project.project import Project, find
from agentctl.ports import RunRow

# The models are asked in this process, too: at its first answer litellm makes pydantic warn.
pytestmark = pytest.mark.filterwarnings("ignore")

PARTS = 4
TURNS = 12
DONE = "done.log"
AGENT = """
loop: clerk
steps:
  - id: find
    agent:
      goal: Settle the claims.
      system: You are a clerk.
      tools:
        - name: look
          args: {n: {type: integer}}
          shell: [echo, "claim ${{ args.n }}"]
        - name: refund
          effect: once
          args: {n: {type: integer}}
          env: {N: "${{ args.n }}"}
          shell: 'echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log; echo "refunded $N"'
        - name: tell
          args: {n: {type: integer}}
          emit: {event: claim.settled, data: "${{ args }}"}
"""


def script(body: Body, number: int) -> Reply:
    """What the model says depends on what it has read alone, as with temperature 0."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    if turn == TURNS - 1:
        return say("settled")
    wanted: list[tuple[str, Any]] = [("look", {"n": turn})]
    if turn % 2:
        wanted.append(("refund", {"n": turn}))
    if turn % 3 == 0:
        wanted.append(("tell", {"n": turn}))
    return calls(wanted, text=f"turn {turn}")


def project_in(root: Path, model: ModelServer) -> Project:
    (root / "loops").mkdir(parents=True)
    (root / "loops/clerk.yaml").write_text(AGENT)
    entry = {"model": "openai/scripted", "api_base": model.url, "api_key": "none"}
    (root / "agentctl.yaml").write_text(json.dumps({"models": {"default": entry}}))
    return find(root / "loops", environment={})


def taken_on(project: Project, run_id: str) -> RunRow:
    """Drive the run to its end; a refund in doubt is looked up in the file."""

    async def drive() -> RunRow:
        store = wiring.open_store(project.store_path)
        try:
            engine = wiring.build_engine(project, store)
            row = await engine.drive(run_id)
            while row.status == "blocked":
                [waiting] = store.waits(run_id)
                done = any(waiting.path in line for line in lines(project))
                turn = waiting.path.partition("[")[2].partition("]")[0]
                await engine.resolve(run_id, waiting.path, "done" if done else "retry", output=f"refunded {turn}")
                row = await engine.drive(run_id)
            return row
        finally:
            store.close()

    return asyncio.run(asyncio.wait_for(drive(), 60))


def lines(project: Project) -> list[str]:
    log = project.root / DONE
    return log.read_text().split() if log.exists() else []


def without_run(request: Body, project: Project) -> Body:
    """The request without the run's id, which is part of the keys of its calls."""
    run_id = (project.root / "id").read_text()
    changed: Body = json.loads(json.dumps(request).replace(run_id, "RUN"))
    return changed


def finished_turns(project: Project, run_id: str) -> set[int]:
    store = wiring.open_store(project.store_path)
    try:
        ended = [event.path for event in store.journal(run_id) if isinstance(event, ev.StepSucceeded)]
    finally:
        store.close()
    return {int(path[10:-1]) for path in ended if path.startswith("find.turn[") and path.endswith("]") and "call" not in path}


@pytest.fixture(scope="module")
def _litellm() -> None:
    """Imported once, before the forks, which take seconds less each."""
    import_litellm()


@pytest.mark.usefixtures("_litellm")
@pytest.mark.parametrize("part", range(PARTS))
def test_an_agent_killed_at_any_commit_continues_where_it_was(part, tmp_path, make_model):
    model = make_model(script)
    calm = project_in(tmp_path / "calm", model)
    killed_at(10_000, calm, lambda engine: begin(engine, calm))
    assert (calm.root / "undisturbed").exists()
    transcript, effects = without_run(model.requests[-1], calm), Counter(key.partition("/")[2] for key in lines(calm))
    assert (len(model.requests), len(effects), set(effects.values())) == (TURNS, 5, {1})
    for point in range(1 + part, 1000, PARTS):
        model.requests.clear()
        project = project_in(tmp_path / str(point), model)
        killed_at(point, project, lambda engine, project=project: begin(engine, project))
        if not (project.root / "id").exists():
            continue  # the run was not made yet
        run_id = (project.root / "id").read_text()
        finished, before = finished_turns(project, run_id), len(model.requests)
        row = taken_on(project, run_id)
        assert (row.status, row.output) == ("succeeded", "settled"), point
        assert finished.isdisjoint(model.turns[before:]), point
        assert set(Counter(model.turns).values()) <= {1, 2}, point
        assert len(model.requests) <= TURNS + 1, point
        assert without_run(model.requests[-1], project) == transcript, point
        assert Counter(key.partition("/")[2] for key in lines(project)) == effects, point
        if (project.root / "undisturbed").exists():
            assert point > 4 * TURNS
            return
    pytest.fail("no run came through undisturbed")
