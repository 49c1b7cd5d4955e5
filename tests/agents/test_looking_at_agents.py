"""What people see of an agent: its transcript, its statistics."""

from __future__ import annotations

import pytest
from model_server import call, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

WORK = """
loop: work
steps:
  - id: find
    agent:
      goal: Find it.
      system: You look.
      observation: 16
      tools: [{name: look, args: {n: {type: integer}}, shell: [echo, "node ${{ args.n }} is where it was before"]}]
"""


@pytest.fixture
def done(agent, agentctl):
    project = agent([call("look", {"n": 1}, text="I look."), say("There.")])
    project.write("loops/work.yaml", WORK)
    project.start("work")
    agentctl.cwd = project.root
    return project


def test_the_transcript_of_an_agent_is_what_its_model_reads(done, agentctl):
    assert agentctl("show", "last", "--transcript", "find", "--json").json == [
        {"turn": None, "role": "system", "text": "You look.", "calls": [], "call_id": None, "tool": None, "left_out": 0},
        {"turn": None, "role": "user", "text": "Find it.", "calls": [], "call_id": None, "tool": None, "left_out": 0},
        {
            "turn": 0,
            "role": "assistant",
            "text": "I look.",
            "calls": [{"id": "id-0-0", "tool": "look", "arguments": {"n": 1}}],
            "call_id": None,
            "tool": None,
            "left_out": 0,
        },
        {
            "turn": 0,
            "role": "tool",
            "text": "node 1 i\n[... 13 bytes left out ...]\ns before",
            "calls": [],
            "call_id": "id-0-0",
            "tool": "look",
            "left_out": 13,
        },
        {"turn": 1, "role": "assistant", "text": "There.", "calls": [], "call_id": None, "tool": None, "left_out": 0},
    ]
    assert '-> look {"n":1}' in agentctl("show", "last", "--transcript", "find").out
    assert agentctl("show", "last", "--transcript", "fnd").code == 4


def test_the_statistics_count_turns_and_calls_by_model_and_by_tool(done, agentctl):
    [found] = agentctl("stats", "--json").json
    assert (found["turns"], found["calls"], found["refused"], found["tokens"]) == (2, 1, 0, 30)
    used = {"input_tokens": 20, "output_tokens": 10, "usd": None, "model": "openai/scripted", "cached_tokens": 0}
    assert found["by_model"] == {"openai/scripted": used}
    assert (found["by_tool"]["look"]["calls"], found["by_tool"]["look"]["failed"]) == (1, 0)
    assert found["usd_per_success"] is None
