"""`agentctl test` plays agents: turns, calls and tools are mocked, and a crash at any commit changes nothing."""

from __future__ import annotations

import pytest
from model_server import calls, say

LOOP = """
loop: desk
input: {ticket: {type: string}}
steps:
  - id: find
    agent:
      goal: Settle ${{ input.ticket }}.
      schema: {answer: {type: string}}
      tools:
        - {name: look-up, args: {n: {type: integer}}, shell: [false]}
        - {name: pay, args: {n: {type: integer}}, shell: [false], effect: once, approve: args.n > 10}
        - {skill: greet}
        - {emit: [ticket.*], name: tell}
output: ${{ steps.find.output.answer }}
"""
SKILL = "skill: greet\\ninput: {who: {type: string}}\\nsteps: [{id: say, shell: [false]}]\\n".replace("\\n", "\n")
CASES = """
test: desk
cases:
  - case: an agent looks, pays with a signature and answers
    input: {ticket: T1}
    mocks:
      find.turn[0]:
        calls: [{tool: look-up, arguments: {n: 1}}, {tool: greet, arguments: {who: "${{ input.ticket }}"}}]
        text: hm
      find.turn[1]: {calls: [{tool: pay, arguments: {n: 50}}, {tool: look-up, arguments: {n: 2}}]}
      find.turn[2]: {calls: [{tool: tell, arguments: {event: ticket.closed}}, {tool: look-up, arguments: {n: oops}}]}
      find.turn[*]: {answer: {answer: "done with ${{ input.ticket }}"}}
      find.tool.look-up: [{error: shell.exit}]
      find.turn[1].call[1]: {output: twice}
      find.tool.pay: {output: paid}
      find.tool.greet: {output: hello}
    approvals:
      - {step: "find.turn[1].call[0]", by: eve}
    expect:
      output: done with T1
      steps:
        find: {status: succeeded, calls: [look-up, greet, pay, look-up, tell, look-up]}
        find.turn[0].call[0]: {status: failed, error: shell.exit}
        find.turn[1].call[0]: {output: paid}
        find.turn[2].call[1]: {error: tool.invalid_arguments}
"""


@pytest.fixture
def desk(project):
    project.write("loops/desk.yaml", LOOP)
    project.write("skills/greet.yaml", SKILL)
    return project


def test_turns_calls_and_tools_are_mocked_and_crashes_change_nothing(desk, agentctl):
    desk.write("tests/desk.test.yaml", CASES)
    result = agentctl("test", "--crash-everywhere", "--json", timeout=120)
    assert (result.code, result.json["problems"]) == (0, []), result.out
    assert all(case["outcome"] == "passed" for case in result.json["cases"]), result.out


def test_a_turn_without_a_mock_fails_the_case(desk, agentctl):
    desk.write("tests/desk.test.yaml", "test: desk\ncases: [{case: x, input: {ticket: T1}}]\n")
    result = agentctl("test", "--json")
    assert result.code == 1
    assert "has no mock, so a model would be asked" in result.out


def test_other_calls_than_expected_fail_the_case(desk, agentctl):
    desk.write("tests/desk.test.yaml", CASES.replace("calls: [look-up, greet, pay", "calls: [greet, pay"))
    result = agentctl("test", "--json")
    assert result.code == 1
    assert "calls" in result.out


@pytest.mark.filterwarnings("ignore")
def test_a_recorded_agent_plays_as_it_went(agent, agentctl):
    project = agent([calls([("look", {"n": 1}), ("look", {"n": 2})]), say("ok")])
    project.write(
        "loops/work.yaml",
        """
        loop: work
        steps:
          - id: find
            agent: {goal: x, tools: [{name: look, args: {n: {type: integer}}, shell: [echo, "${{ args.n }}"]}]}
        """,
    )
    project.start("work")
    agentctl.cwd = project.root
    asked = len(project.model.requests)
    recorded = agentctl("test", "--record", project.run_id, "--json")
    assert recorded.code == 0, recorded.err
    result = agentctl("test", "--json")
    assert (result.code, [case["outcome"] for case in result.json["cases"]]) == (0, ["passed"]), result.out
    assert len(project.model.requests) == asked
