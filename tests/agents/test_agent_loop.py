"""An agent asks, calls, reads and answers: what the model is told, what the journal keeps, what bounds it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from model_server import call, calls, error, observations, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

LOOK = """
loop: work
input: {service: {type: string, default: api}}
steps:
  - id: find
    %(step)s
    agent:
      goal: Find out why ${{ input.service }} is slow.
      system: You are on duty.
      %(agent)s
      tools:
        - name: look
          description: Looks at a node.
          args: {n: {type: integer}, depth: {type: integer, default: 7}}
          shell: [echo, "node ${{ args.n }} at ${{ args.depth }}"]
        - name: break
          args: {}
          shell: [sh, -c, "echo gone >&2; exit 3"]
"""


def definition(agent: str = "", step: str = "") -> str:
    return LOOK % {"agent": agent or "max_turns: 20", "step": step or "name: finds"}


def test_an_agent_of_three_turns_calls_its_tools_and_answers(agent):
    last = say("<think>x</think>It is node 2.")
    project = agent([call("look", {"n": 1}, text="hm"), calls([("look", {"n": 2}), ("break", {})]), last])
    project.write("loops/work.yaml", definition())
    row = project.start("work")
    assert (row.status, row.output) == ("succeeded", "It is node 2.")
    steps = project.steps()
    inner = ["turn[0]", "turn[0].call[0]", "turn[1]", "turn[1].call[0]", "turn[1].call[1]", "turn[2]"]
    assert list(steps) == ["find", *(f"find.{path}" for path in inner)]
    assert steps["find.turn[0]"]["output"] == {
        "text": "hm",
        "calls": [{"id": "id-0-0", "tool": "look", "arguments": {"n": 1}}],
        "finish": "tool_calls",
    }
    assert steps["find.turn[1]"]["input"]["messages"] == 4
    assert steps["find"]["usage"]["input_tokens"] == 30
    assert observations(project.model.requests[2]) == [
        "node 1 at 7",
        "node 2 at 7",
        'error shell.exit: Exit code 3: gone\n{"exit_code":3,"stderr":"gone\\n"}',
    ]


def test_a_request_begins_with_the_very_text_of_the_one_before_it(agent):
    project = agent([call("look", {"n": n}) for n in range(3)] + [say("done")])
    project.write("loops/work.yaml", definition())
    project.start("work")
    texts = [json.dumps(request["messages"])[:-1] for request in project.model.requests]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert len({json.dumps(request["tools"]) for request in project.model.requests}) == 1


def test_what_a_model_must_not_call_is_told_to_it_and_fails_no_agent(agent):
    script = [calls([("nope", {}), ("look", {"n": "x"}), ("look", "{bad"), ("look", "")]), say("ok")]
    project = agent(script)
    project.write("loops/work.yaml", definition())
    assert project.start("work").output == "ok"
    steps = project.steps()
    assert [steps[f"find.turn[0].call[{k}]"]["error"]["type"] for k in range(4)] == [
        "tool.unknown", "tool.invalid_arguments", "tool.invalid_arguments", "tool.invalid_arguments",
    ]  # fmt: skip
    heard = observations(project.model.requests[1])
    assert heard[0] == "error tool.unknown: there is no tool 'nope'; the tools are: look, break"
    assert "'x' is not of type 'integer'" in heard[1]
    assert steps["find.turn[0]"]["output"]["calls"][2]["arguments"] == "{bad"
    assert project.model.requests[1]["messages"][2]["tool_calls"][2]["function"]["arguments"] == "{}"


def test_ids_that_are_missing_doubled_or_too_long_are_replaced(agent):
    wanted = [("look", {"n": 1}, None), ("look", {"n": 2}, "same"), ("look", {"n": 3}, "same"), ("look", {"n": 4}, "x" * 65)]
    project = agent([calls(wanted), call("look", {"n": 5}, id="same"), say("ok")])
    project.write("loops/work.yaml", definition())
    project.start("work")
    messages = project.model.requests[2]["messages"]
    assert [made["id"] for made in messages[2]["tool_calls"]] == ["call_0_0", "same", "call_0_2", "call_0_3"]
    assert messages[7]["tool_calls"][0]["id"] == "call_1_0"
    heard = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert heard == ["call_0_0", "same", "call_0_2", "call_0_3", "call_1_0"]


def test_what_a_provider_adds_goes_back_to_the_model_that_added_it_and_to_no_other(agent, make_model):
    other = make_model([say("from the other")])
    script = [call("look", {"n": 1}, reasoning_content="because", signature="s1"), call("look", {"n": 2}), error(503, "down")]
    backup = {"model": "openai/backup", "api_base": other.url, "api_key": "none"}
    project = agent(script, backup=backup)
    project.write("loops/work.yaml", definition("fallback_models: [backup]", "retry: {attempts: 2, delay: 1ms}"))
    assert project.start("work").output == "from the other"
    message = project.model.requests[1]["messages"][2]
    assert (message["reasoning_content"], message["signature"]) == ("because", "s1")
    assert "reasoning_content" not in other.requests[0]["messages"][2]
    assert len(project.model.requests) == 4  # two turns, and two attempts at the third
    assert project.steps()["find.turn[2]"]["attempts"] == 3


def test_the_model_that_a_fallback_turned_to_is_kept(agent, make_model):
    other = make_model([call("look", {"n": 1}), say("ok")])
    project = agent([error(503, "down")], backup={"model": "openai/backup", "api_base": other.url, "api_key": "none"})
    project.write("loops/work.yaml", definition("fallback_models: [backup]", "retry: 1"))
    assert project.start("work").output == "ok"
    assert (len(project.model.requests), len(other.requests)) == (1, 2)
    assert project.steps()["find.turn[1]"]["input"]["model"] == "backup"


@pytest.mark.parametrize(
    ("reply", "type", "asked"),
    [
        (error(429, "slow down", Retry_After="0"), "llm.rate_limit", 2),
        (error(500, "broken"), "llm.unavailable", 2),
        (say(None), "llm.invalid_output", 2),
        (say("too lo", finish="length"), "llm.cut", 2),
        (say(None, refusal="I will not"), "llm.refused", 1),
        (say("x", finish="content_filter"), "llm.refused", 1),
        (error(401, "no key"), "llm.auth", 1),
    ],
)
def test_a_turn_that_fails_is_asked_again_as_retry_says_and_then_the_step_fails_with_it(agent, reply, type, asked):
    project = agent([call("look", {"n": 1}, text="looking"), reply])
    project.write("loops/work.yaml", definition(step="retry: {attempts: 2, delay: 1ms}"))
    row = project.start("work")
    assert row.error is not None
    assert (row.error.type, row.error.step, row.error.data) == (type, "find.turn[1]", {"turns": 1, "calls": 1, "last": "looking"})
    assert len(project.model.requests) == 1 + asked
    project.model.script = [say("fine")]
    assert (project.resume().output, project.model.turns[-1]) == ("fine", 1)


def test_calls_that_were_cut_are_not_made_and_each_is_told_so(agent):
    project = agent([calls([("look", {"n": 1}), ("look", {"n": 2})], finish="length"), say("ok")])
    project.write("loops/work.yaml", definition())
    assert project.start("work").output == "ok"
    assert [heard.partition(":")[0] for heard in observations(project.model.requests[1])] == ["error llm.cut"] * 2
    assert "find.turn[0].call[0]" not in project.steps()


def test_an_answer_with_a_schema_is_a_call_of_the_tool_answer(agent):
    script = [
        calls([("answer", {"cause": 7})]),
        calls([("break", {}), ("answer", {"cause": "disk"})]),
        calls([("look", {"n": 1}), ("answer", {"cause": "disk"})]),
    ]
    project = agent(script)
    project.write("loops/work.yaml", definition("schema: {cause: {type: string}}"))
    assert project.start("work").output == {"cause": "disk"}
    assert [tool["function"]["name"] for tool in project.model.requests[0]["tools"]] == ["look", "break", "answer"]
    assert "7 is not of type 'string'" in observations(project.model.requests[1])[0]
    assert observations(project.model.requests[2])[2] == "not taken: another call of this turn failed"
    assert "find.turn[1].call[1]" not in project.steps()
    assert all("response_format" not in request for request in project.model.requests)


@pytest.mark.parametrize(
    ("schema", "reply", "output"),
    [
        ("{cause: {type: string}}", say('```json\n{"cause": "disk"}\n```'), {"cause": "disk"}),
        ("{type: array, items: {type: integer}}", call("answer", {"value": [1, 2]}), [1, 2]),
        ("{type: integer}", say("42"), 42),
    ],
)
def test_an_answer_may_be_json_as_text_or_wrapped_as_a_value(agent, schema, reply, output):
    project = agent([reply])
    project.write("loops/work.yaml", definition(f"schema: {schema}"))
    assert project.start("work").output == output


def test_the_third_answer_in_a_row_that_does_not_fit_fails_the_agent(agent):
    project = agent([say("no JSON"), call("answer", {"cause": 1}), call("answer", {"cause": 2})])
    project.write("loops/work.yaml", definition("schema: {cause: {type: string}}"))
    row = project.start("work")
    assert row.error is not None
    assert (row.error.type, row.error.data["turns"]) == ("llm.invalid_output", 3)
    assert project.model.requests[1]["messages"][-1]["content"].startswith("This answer does not fit:")


def test_max_turns_bounds_the_turns_and_resume_gives_as_many_more(agent):
    project = agent(lambda body, number: call("look", {"n": number}, text=f"turn {number}"))
    project.write("loops/work.yaml", definition("max_turns: 3"))
    row = project.start("work")
    assert row.error is not None
    assert (row.error.type, row.error.data) == ("agent.max_turns", {"turns": 3, "calls": 3, "last": "turn 2"})
    assert project.resume().error.data["turns"] == 6
    assert project.model.turns == [0, 1, 2, 3, 4, 5]


def test_on_limit_answer_asks_the_last_turn_without_tools(agent):
    project = agent(lambda body, number: call("look", {"n": number}) if "tools" in body else say("as far as I know"))
    project.write("loops/work.yaml", definition("{max_turns: 3, on_limit: answer}".strip("{}").replace(", ", "\n      ")))
    assert project.start("work").output == "as far as I know"
    assert ["tools" in request for request in project.model.requests] == [True, True, False]
    assert project.model.requests[2]["messages"][-1]["content"].startswith("This is your last turn")


def test_an_agent_that_repeats_itself_is_told_so_and_then_fails(agent):
    project = agent([call("look", {"n": 1})])
    project.write("loops/work.yaml", definition())
    row = project.start("work")
    assert row.error is not None
    assert (row.error.type, len(project.model.requests)) == ("agent.stalled", 3)
    assert project.model.requests[2]["messages"][-1]["content"].startswith("Nothing has changed")
    assert project.model.requests[1]["messages"][-1]["role"] == "tool"
    assert len(project.model.requests) + 3 == len([project.resume(), *project.model.requests]) - 1


def test_an_agent_that_goes_in_a_circle_of_two_is_stalled(agent):
    project = agent(lambda body, number: call("look", {"n": number % 2}))
    project.write("loops/work.yaml", definition("stall: 3"))
    row = project.start("work")
    assert (row.error.type, len(project.model.requests)) == ("agent.stalled", 6)


def test_a_long_result_is_cut_in_the_middle_with_a_line_that_says_so(agent):
    project = agent([call("many", {}), say("ok")])
    project.write(
        "loops/work.yaml",
        """
        loop: work
        steps:
          - agent:
              goal: x
              observation: 1KiB
              tools: [{name: many, args: {}, shell: [sh, -c, "printf 'a%.0s' $(seq 2000); printf 'z%.0s' $(seq 2000)"]}]
        """,
    )
    project.start("work")
    [heard] = observations(project.model.requests[1])
    head, line, tail = heard.split("\n")
    assert (head, line, tail) == ("a" * 512, "[... 2976 bytes left out ...]", "z" * 512)


def test_calls_run_side_by_side_and_those_of_a_serial_tool_one_at_a_time(agent):
    project = agent([calls([("slow", {"n": 1}), ("slow", {"n": 2}), ("one", {"n": 1}), ("one", {"n": 2})]), say("ok")])
    project.write(
        "loops/work.yaml",
        """
        loop: work
        steps:
          - id: find
            agent:
              goal: x
              tools:
                - name: slow
                  args: {n: {type: integer}}
                  env: {N: "${{ args.n }}"}
                  shell: 'echo begin $AGENTCTL_STEP >> log; sleep 0.3; echo end $AGENTCTL_STEP >> log'
                - name: one
                  serial: true
                  args: {n: {type: integer}}
                  shell: 'echo begin $AGENTCTL_STEP >> log; sleep 0.3; echo end $AGENTCTL_STEP >> log'
        """,
    )
    project.start("work")
    log = project.lines("log")
    first, second, third, fourth = (f"find.turn[0].call[{k}]" for k in range(4))
    assert log.index(f"begin {second}") < log.index(f"end {first}")
    assert log.index(f"begin {fourth}") > log.index(f"end {third}")


def test_no_more_calls_run_at_once_than_max_parallel_says(agent):
    wanted = [("look", {"n": n}) for n in range(4)]
    project = agent([calls(wanted), say("ok")])
    slow = '[sh, -c, "echo x >> log; sleep 0.1; echo y >> log", '
    project.write("loops/work.yaml", definition("max_parallel: 1").replace("[echo, ", slow))
    project.start("work")
    assert project.lines("log") == ["x", "y"] * 4


def test_the_journal_grows_with_the_conversation_and_not_with_its_square(agent):
    project = agent(lambda body, number: call("many", {"n": number}) if number < 199 else say("ok"))
    project.write(
        "loops/work.yaml",
        """
        loop: work
        steps:
          - agent:
              goal: x
              max_turns: 200
              tools: [{name: many, args: {n: {type: integer}}, shell: [printf, "%4096d", "${{ args.n }}"]}]
        """,
    )
    assert project.start("work").output == "ok"
    assert len(project.model.requests) == 200
    assert project.journal_bytes() < 3 << 20
