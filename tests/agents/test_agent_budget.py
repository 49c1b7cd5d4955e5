"""The budget of a run bounds its agents: each turn is reserved before it is asked, in tokens and in dollars."""

from __future__ import annotations

import pytest
from model_server import call, calls, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

WORK = """
loop: work
budget: {%(budget)s}
steps:
  - id: find
    agent:
      goal: %(goal)s
      max_tokens: 100
      %(more)s
      tools: [{name: look, args: {n: {type: integer}}, shell: [echo, "${{ args.n }}"]}, {skill: deep}]
"""
DEEP = """
skill: deep
input: {n: {type: integer, default: 1}}
steps: [{agent: {goal: Dig., max_tokens: 100}}]
"""


def definition(budget: str, more: str = "max_turns: 20", goal: str = "Find it.") -> str:
    return WORK % {"budget": budget, "more": more, "goal": goal}


def test_a_turn_that_does_not_fit_is_not_asked(agent):
    project = agent(lambda body, number: call("look", {"n": number}, tokens=(100, 50)))
    project.write("skills/deep.yaml", DEEP)
    project.write("loops/work.yaml", definition("tokens: 1000"))
    row = project.start("work")
    assert (row.error.type, row.error.step) == ("budget.exceeded", f"find.turn[{len(project.model.requests)}]")
    assert 700 < row.usage.input_tokens + row.usage.output_tokens <= 1000
    turns = [step for step in project.steps().values() if step["action"] == "turn"]
    estimates = [step["input"]["estimate"] for step in turns if step["input"]]
    assert estimates[1] == 150 + 1 + 100  # the turn before, a quarter of the characters heard since, max_tokens


def test_dollars_are_reserved_at_the_dearest_price_that_was_paid(agent):
    price = {"input": 1000.0, "output": 1000.0}
    project = agent(
        lambda body, number: call("look", {"n": number}, tokens=(90, 10)),
        paid={"model": "openai/scripted", "api_base": "", "api_key": "none", "price": price},
    )
    entry = (project.root / "agentctl.yaml").read_text().replace('"api_base": ""', f'"api_base": "{project.model.url}"')
    (project.root / "agentctl.yaml").write_text(entry)
    from agentctl.language.project.project import find

    project.project = find(project.root, environment={})
    project.write("skills/deep.yaml", DEEP)
    project.write("loops/work.yaml", definition("usd: 0.55", "model: paid"))
    row = project.start("work")
    assert (row.error.type, len(project.model.requests)) == ("budget.exceeded", 4)
    assert row.usage.usd == pytest.approx(0.4)


def test_on_limit_answer_takes_the_last_turn_that_fits(agent):
    def script(body, number):
        return call("look", {"n": number}, tokens=(100, 50)) if "tools" in body else say("so far", tokens=(100, 50))

    project = agent(script)
    project.write("skills/deep.yaml", DEEP)
    project.write("loops/work.yaml", definition("tokens: 1000", "on_limit: answer"))
    assert project.start("work").output == "so far"
    assert "tools" not in project.model.requests[-1]


def test_an_agent_and_the_agents_of_its_skills_have_one_purse(agent):
    def script(body, number):
        if body["messages"][0]["content"] == "Dig.":
            return say("dug", tokens=(200, 100))
        return calls([("deep", {"n": number})], tokens=(100, 50))

    project = agent(script)
    project.write("skills/deep.yaml", DEEP)
    project.write("loops/work.yaml", definition("tokens: 2000"))
    row = project.start("work")
    assert row.error.type == "budget.exceeded"
    assert 1200 < row.usage.input_tokens + row.usage.output_tokens <= 2000
