"""Four agents under one budget, killed three times: the server is paid no more above it than the turns in flight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agent_kills import begin, killed_at
from agent_project import import_litellm
from model_server import Body, Reply, call

from agentctl import wiring
from agentctl.language.project.project import find
from agentctl.ports import RunRow

# The models are asked in this process, too: at its first answer litellm makes pydantic warn.
pytestmark = pytest.mark.filterwarnings("ignore")

BUDGET = 9000
TURN = 150  # tokens
LOOP = f"""
loop: clerk
budget: {{tokens: {BUDGET}}}
steps:
  - id: each
    foreach: "${{{{ [1, 2, 3, 4] }}}}"
    max_parallel: 4
    steps:
      - id: find
        agent:
          goal: "Settle the claims of ${{{{ item }}}}."
          max_tokens: 100
          max_turns: 50
          tools: [{{name: look, args: {{n: {{type: integer}}}}, shell: [echo, "claim ${{{{ args.n }}}}"]}}]
"""


def script(body: Body, number: int) -> Reply:
    return call("look", {"n": number}, tokens=(100, 50))


@pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other
@pytest.mark.parametrize("points", [(12, 20, 15), (19, 9, 14)])
def test_four_agents_over_three_kills_overspend_no_more_than_the_turns_in_flight(points, tmp_path: Path, make_model):
    import_litellm()
    model = make_model(script)
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops/clerk.yaml").write_text(LOOP)
    entry = {"model": "openai/scripted", "api_base": model.url, "api_key": "none"}
    (tmp_path / "agentctl.yaml").write_text(json.dumps({"models": {"default": entry}}))
    project = find(tmp_path / "loops", environment={})
    killed_at(points[0], project, lambda engine: begin(engine, project))
    run_id = (tmp_path / "id").read_text()
    for point in points[1:]:
        killed_at(point, project, lambda engine: engine.drive(run_id))
        assert row_of(project, run_id).status not in ("failed", "succeeded"), point
    killed_at(10_000, project, lambda engine: engine.drive(run_id))
    row = row_of(project, run_id)
    assert (row.status, row.error and row.error.type) == ("failed", "budget.exceeded")
    assert row.usage is not None
    assert row.usage.input_tokens + row.usage.output_tokens <= BUDGET
    in_flight = 4 * len(points)
    assert len(model.requests) * TURN <= BUDGET + in_flight * TURN
    assert len(model.requests) * TURN > BUDGET - 4 * (TURN + 200) - in_flight * (TURN + 200)


def row_of(project, run_id: str) -> RunRow:
    store = wiring.open_store(project.store_path)
    try:
        return store.run(run_id)
    finally:
        store.close()
