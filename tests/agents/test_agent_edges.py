"""Turns and answers at the edges of what a model may say, and what an agent that has failed says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from model_server import call, observations, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

WORK = """
loop: work
steps:
  - id: find
    %(step)s
    agent:
      goal: Find it.
      %(agent)s
      tools: [{name: look, args: {n: {type: integer}}, shell: [echo, "node ${{ args.n }}"]}]
output: ${{ steps.find.output }}
"""


def definition(*agent: str, step: str = "name: finds") -> str:
    return WORK % {"agent": "\n      ".join(agent) or "max_turns: 20", "step": step}


def test_calls_of_the_last_turn_which_has_no_tools_are_not_made(agent):
    project = agent(lambda body, number: call("look", {"n": number}, text="hm"))
    project.write("loops/work.yaml", definition("max_turns: 2", "on_limit: answer"))
    row = project.start("work")
    assert (row.error.type, row.error.data) == ("agent.max_turns", {"turns": 2, "calls": 1, "last": "hm"})
    assert "find.turn[1].call[0]" not in project.steps()
    project.model.script = lambda body, number: call("look", {"n": number}) if "tools" in body else say("so far")
    assert project.resume().output == "so far"
    assert project.model.turns == [0, 1, 2, 3]
    assert ["tools" in request for request in project.model.requests] == [True, False, True, False]
    assert observations(project.model.requests[2])[1].startswith("error tool.unknown")


def test_the_last_turn_may_call_the_tool_by_which_the_agent_answers(agent):
    script = [call("look", {"n": 1}), call("answer", {"cause": "disk"})]
    project = agent(script)
    project.write("loops/work.yaml", definition("max_turns: 2", "on_limit: answer", "schema: {cause: {type: string}}"))
    assert project.start("work").output == {"cause": "disk"}


def test_an_agent_that_takes_too_long_says_how_far_it_came(agent):
    project = agent(lambda body, number: replace(call("look", {"n": number}, text="hm"), delay=0.4 if number else 0))
    project.write("loops/work.yaml", definition(step="timeout: 700ms"))
    error = project.start("work").error
    assert error.type == "timeout"
    assert (error.data["turns"], error.data["calls"], error.data["last"]) == (2, 2, "hm")


def test_an_agent_that_cannot_begin_came_nowhere(agent):
    project = agent([])
    project.write("loops/work.yaml", definition().replace("Find it.", "${{ 1 / 0 }}"))
    error = project.start("work").error
    assert (error.type, error.data) == ("expression", {"turns": 0, "calls": 0, "last": None})


@pytest.mark.parametrize(
    ("text", "output"),
    [('{"cause": "\\ud800"}', {"cause": "\ufffd"}), ('{"cause": 1e999}', None), ('{"cause": NaN}', None)],
)
def test_an_answer_in_json_that_cannot_be_journaled_as_it_is_fails_no_run(agent, text, output):
    project = agent([say(text), call("answer", {"cause": "disk"})])
    project.write("loops/work.yaml", definition("schema: {cause: {type: [string, number]}}"))
    assert project.start("work").output == (output or {"cause": "disk"})
    assert len(project.model.requests) == (2 if output is None else 1)


def test_the_usage_of_a_step_says_how_much_of_it_was_cached(agent):
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_tokens_details": {"cached_tokens": 64}}
    project = agent([replace(call("look", {"n": 1}), usage=usage), replace(say("ok"), usage=usage)])
    project.write("loops/work.yaml", definition())
    project.start("work")
    steps = project.steps()
    assert [steps[path]["usage"]["cached_tokens"] for path in ("find", "find.turn[0]")] == [128, 64]


def test_thinking_alone_is_no_answer_and_the_same_request_is_made_again(agent):
    project = agent([say("<think>hm</think>\n"), say("<think>hm"), say("a</think>ok")])
    project.write("loops/work.yaml", definition(step="retry: {attempts: 3, delay: 1ms}"))
    assert project.start("work", until="end").output == "ok"
    assert len({json.dumps(request) for request in project.model.requests}) == 1


@pytest.mark.parametrize("cache", [True, False])
def test_a_provider_that_wants_marks_gets_them_on_the_system_block_and_on_the_last_message(agent, server, cache):
    asked = []

    def answer(request):
        asked.append(json.loads(request["body"]))
        look = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"n": 1}}
        thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
        content = [thought, look] if len(asked) == 1 else [{"type": "text", "text": "ok"}]
        usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3}
        stop = "tool_use" if len(asked) == 1 else "end_turn"
        kind = {"id": "m", "type": "message", "role": "assistant", "model": "claude"}
        return server.json({**kind, "content": content, "stop_reason": stop, "usage": usage})

    server.answer = answer
    claude = {"model": "anthropic/claude-sonnet-4-5", "api_base": server.url, "api_key": "none", "cache": cache}
    project = agent([], claude=claude)
    project.write("loops/work.yaml", definition("model: claude", "system: You look."))
    assert project.start("work").output == "ok"
    mark = {"cache_control": {"type": "ephemeral"}} if cache else {}
    assert [request["system"] for request in asked] == [[{"type": "text", "text": "You look.", **mark}]] * 2
    goal, said, heard = asked[1]["messages"]
    assert goal["content"] == [{"type": "text", "text": "Find it."}]
    assert said["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert heard["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "node 1", **mark}]
    assert project.steps()["find"]["usage"]["cached_tokens"] == 6
