"""A conversation that nears the model's context is shortened: observations become lines, and then the model summarizes."""

from __future__ import annotations

import pytest
from model_server import call, error, observations, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

WORK = """
loop: work
steps:
  - id: find
    agent:
      goal: Find it.
      compact: {at: 50%, keep: 2}
      tools: [{name: look, args: {n: {type: integer}}, shell: [sh, -c, 'printf "node $1 %0200d" 0', sh, "${{ args.n }}"]}]
"""


def project_of(agent, script, context: int):
    project = agent(script)
    entry = project.root / "agentctl.yaml"
    entry.write_text(entry.read_text().replace('"api_key"', f'"context": {context}, "api_key"'))
    from agentctl.language.project.project import find

    project.project = find(project.root, environment={})
    project.write("loops/work.yaml", WORK)
    return project


def size(body) -> int:
    return sum(len(message.get("content") or "") for message in body["messages"])


def test_older_observations_become_one_line_each(agent):
    def script(body, number):
        tokens = (600 if number == 4 else 100, 5)
        return call("look", {"n": number}, tokens=tokens) if number < 6 else say("ok", tokens=tokens)

    project = project_of(agent, script, 1000)
    assert project.start("work").output == "ok"
    before, after = observations(project.model.requests[4]), observations(project.model.requests[5])
    assert all(text.startswith("node") for text in before)
    assert after[:3] == [f'[look {{"n":{n}}}: 207 bytes]' for n in range(3)]
    assert [text[:6] for text in after[3:]] == ["node 3", "node 4"]
    assert observations(project.model.requests[6])[:5] == [*after[:3], *observations(project.model.requests[6])[3:5]]
    assert "find.compact[0]" not in project.steps()


def test_where_that_is_not_enough_the_model_is_asked_for_a_summary(agent):
    def script(body, number):
        if "tools" not in body:
            return say("I looked at nodes 0 to 2.", tokens=(50, 20))
        turn = sum(bool(message.get("tool_calls")) for message in body["messages"])
        tokens = (990 if number == 4 else 100, 5)
        return call("look", {"n": number}, tokens=tokens) if number < 7 else say(f"ok {turn}", tokens=tokens)

    project = project_of(agent, script, 1000)
    assert project.start("work").output == "ok 3"
    assert project.steps()["find.compact[0]"]["output"]["text"] == "I looked at nodes 0 to 2."
    after = project.model.requests[6]["messages"]
    assert after[1]["content"] == "Summary of your work so far:\nI looked at nodes 0 to 2."
    assert [text[:6] for text in observations(project.model.requests[6])] == ["node 3", "node 4"]
    assert project.steps()["find"]["usage"]["input_tokens"] == 990 + 50 + 6 * 100


def test_a_conversation_that_the_model_refuses_as_too_long_is_shortened_once(agent):
    too_long = error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")

    def script(body, number):
        if number < 4:
            return call("look", {"n": number})
        return say("ok") if size(body) < 700 else too_long

    project = project_of(agent, script, 10_000)
    assert project.start("work").output == "ok"
    assert [text[:5] for text in observations(project.model.requests[5])] == ["[look", "[look", "node ", "node "]
    project.model.requests.clear()
    project.model.script = lambda body, number: call("look", {"n": number}) if number < 4 else too_long
    row = project.start("work")
    assert (row.error.type, len(project.model.requests)) == ("llm.context", 6)


TOO_LONG = error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")


def test_a_conversation_of_long_texts_that_is_refused_as_too_long_is_summarized(agent):
    def script(body, number):
        if "tools" not in body:
            return say("I looked.") if number > 6 else error(400, "not now")
        return TOO_LONG if size(body) > 5000 else call("look", {"n": number}, text="w" * 1000) if number < 9 else say("ok")

    project = project_of(agent, script, 100_000)
    row = project.start("work")
    assert (row.error.type, row.error.step) == ("llm.bad_request", "find.compact[0]")
    assert project.resume().output == "ok"
    assert project.steps()["find.compact[0]"]["output"]["text"] == "I looked."
    after = project.model.requests[-1]["messages"]
    assert after[1]["content"] == "Summary of your work so far:\nI looked."
    assert len(observations(project.model.requests[-2])) == 2


def test_an_id_that_was_used_before_a_summary_is_not_used_again(agent):
    def script(body, number):
        if "tools" not in body:
            return say("I looked.")
        if number > 6:
            return say("ok")
        return call("look", {"n": number}, id=f"id-{number % 5}", tokens=(990 if number == 4 else 100, 5))

    project = project_of(agent, script, 1000)
    assert project.start("work").output == "ok"
    ids = [call["id"] for step in project.steps().values() if step["action"] == "turn" for call in step["output"]["calls"]]
    assert len(set(ids)) == len(ids) == 6
