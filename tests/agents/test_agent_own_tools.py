"""The tools that belong to the agent itself: questions to a person, a library of skills, runs that are joined, a memory."""

from __future__ import annotations

import pytest
from model_server import call, calls, observations, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other


def definition(*tools: str) -> str:
    listed = "".join(f"        - {tool}\n" for tool in tools)
    return f"loop: work\nsteps:\n  - id: find\n    agent:\n      goal: x\n      tools:\n{listed}"


def skill(name: str, description: str, steps: str = "[{set: {a: '${{ input.who }}'}}]") -> str:
    return (
        f"skill: {name}\ndescription: {description}\ninput: {{who: {{type: string, default: me}}}}\n"
        f"steps: {steps}\noutput: hello ${{{{ input.who }}}}\n"
    )


def test_a_question_waits_for_a_person_and_is_not_asked_twice(agent, agentctl):
    project = agent([call("ask", {"question": "Which one?"}), call("ask", {"question": "Which one?"}), say("ok")])
    project.write("loops/work.yaml", definition("ask: {timeout: 4h, max: 2}"))
    assert project.start("work").status == "waiting"
    agentctl.cwd = project.root
    [entry] = agentctl("inbox", "--json").json
    assert (entry["kind"], entry["step"], entry["subject"]["message"]) == ("ask", "find.turn[0].call[0]", "Which one?")
    assert agentctl("approve", "last", "--data", "answer=the blue one").code == 0
    assert project.drive().output == "ok"
    assert observations(project.model.requests[2]) == ["the blue one", "the blue one"]
    assert project.steps()["find.turn[1].call[0]"]["status"] == "reused"


def test_a_question_that_nobody_answers_is_told_to_the_model(agent):
    project = agent([call("ask", {"question": "Well?"}), say("ok")])
    project.write("loops/work.yaml", definition("ask: {timeout: 100ms}"))
    assert project.start("work", until="finished").output == "ok"
    assert observations(project.model.requests[1])[0].startswith("error approval.timeout")


def test_a_library_is_searched_and_its_skills_are_run(agent):
    project = agent(
        [
            call("find_skill", {"query": "disk space"}),
            calls([("use_skill", {"name": "infra-disk", "input": {"who": "db1"}}), ("use_skill", {"name": "secret"})]),
            call("use_skill", {"name": "infra-disk", "input": {"what": 1}}),
            say("ok"),
        ]
    )
    project.write("skills/disk.yaml", skill("infra-disk", "Looks at the space of a disk."))
    project.write("skills/net.yaml", skill("infra-net", "Looks at the network."))
    project.write("skills/secret.yaml", skill("secret", "Not of the library, disk."))
    project.write("loops/work.yaml", definition('skills: "infra-*"'))
    assert project.start("work").output == "ok"
    names = [tool["function"]["name"] for tool in project.model.requests[0]["tools"]]
    assert names == ["find_skill", "use_skill"]
    heard = observations(project.model.requests[3])
    assert '"name":"infra-disk"' in heard[0]
    assert "infra-net" not in heard[0]
    assert heard[1] == "hello db1"
    assert heard[2].startswith("error permission.denied: 'secret' is no skill of this library")
    assert heard[3].startswith("error tool.invalid_arguments")


def test_a_detached_run_is_joined_later_and_only_one_of_the_agents_own(agent):
    seen: list[str] = []

    def script(body, number):
        heard = observations(body)
        if not heard:
            return call("dig", {"who": "Ada"})
        seen.append(heard[0].split('"')[3])
        if len(heard) == 1:
            wanted = [{"run_id": seen[0]}, {"run_id": "other"}, {"run_id": seen[0], "timeout": "1s"}]
            return calls([("join", arguments) for arguments in wanted])
        return say("ok")

    project = agent(script)
    project.write("skills/dig.yaml", skill("dig", "Digs.", "[{wait: 100ms}]"))
    project.write("loops/work.yaml", definition("{skill: dig, detach: true}"))
    assert project.start("work", until="finished").output == "ok"
    heard = observations(project.model.requests[2])
    assert heard[1] == "hello Ada"
    assert heard[2].startswith("error permission.denied: 'other' is no run that this agent has started")
    assert heard[3] == "hello Ada"


def test_what_an_agent_remembers_is_checked_by_its_schema_and_read_by_later_runs(agent):
    wanted = [
        ("remember", {"key": "notes", "value": "a", "op": "append"}),
        ("remember", {"key": "other", "value": 1}),
        ("remember", {"key": "notes", "value": 7, "op": "append"}),
        ("remember", {"key": "notes", "value": "x" * 70_000}),
    ]
    second = [("remember", {"key": "notes", "value": "b", "op": "append"}), ("remember", {"key": "mood", "value": "good"})]
    project = agent([calls(wanted), calls(second), call("remember", {"key": "notes", "value": "a", "op": "remove"}), say("ok")])
    keys = "{notes: {type: [array, string], items: {type: string}, maxItems: 3}, mood: {enum: [good, bad]}}"
    output = "output: ${{ state.notes | default('none') }}\n"
    project.write("loops/work.yaml", definition(f"{{remember: {keys}, serial: true}}") + output)
    assert project.start("work").output == "none"
    heard = observations(project.model.requests[3])
    assert heard[0] == '{"notes":["a"]}'
    assert heard[1].startswith("error permission.denied: 'other' is not among the keys")
    assert heard[2].startswith("error tool.invalid_arguments: notes would not fit")
    assert heard[3].startswith("error permission.denied: notes would be larger than 64 KiB")
    assert heard[4:] == ['{"notes":["a","b"]}', '{"mood":"good"}', '{"notes":["b"]}']
    project.model.script = [say("again")]
    assert project.start("work").output == ["b"]
