"""`permissions` of a definition bind its steps, its agents' tools and, by their closure, the skills that it calls."""

from __future__ import annotations

import pytest

ALLOWED = """
permissions:
  shell: [echo, [git, log, "*"]]
  python: ["pkg.safe:*"]
  http: [api.example.com, "*.cdn.example"]
  skills: [greet]
  secrets: [TOKEN]
  emit: [ticket.*]
  models: [default]
  budget: {tokens: 1000}
budget: {tokens: 500}
"""


def loop(steps: str, permissions: str = ALLOWED) -> str:
    declared = "input: {host: {type: string, default: evil.example}, word: {type: string, default: ls}}"
    return f"loop: work\n{declared}{permissions}steps:\n{steps}"


@pytest.mark.parametrize(
    "step",
    [
        "shell: echo hi",
        "shell: [ls]",
        "shell: [git, push]",
        "shell: [git]",
        "python: pkg.other:fn",
        "http: {url: 'http://evil.example/'}",
        "http: {url: 'http://${{ input.host }}/'}",
        "http: {url: 'http://evil.example/${{ input.host }}'}",
        "http: {url: 'http://api.example.com${{ input.host }}/'}",
        "http: {url: 'http://api.example.com.evil.example/'}",
        "skill: other",
        "emit: {event: other.thing}",
        "llm: {prompt: x, model: big}",
        "shell: [echo, '${{ secrets.OTHER }}']",
        "agent: {goal: x, model: big}",
        "agent: {goal: x, tools: [{shell: [git, '*']}]}",
        "agent: {goal: x, tools: [{shell: [rm, '*']}]}",
        "agent: {goal: x, tools: [{http: {hosts: [evil.example]}}]}",
        "agent: {goal: x, tools: [{skills: '*'}]}",
        "agent: {goal: x, tools: [{name: x, args: {a: {type: string}}, shell: 'echo hi'}]}",
        "{foreach: [1], steps: [{shell: [ls]}]}",
        "{set: {a: 1}, undo: {shell: [ls]}}",
    ],
)
def test_a_step_that_may_not_do_what_it_does_is_an_error_at_load(agentctl, project, step):
    for name in ("greet", "other"):
        project.write(f"skills/{name}.yaml", f"skill: {name}\nsteps: [{{set: {{a: 1}}}}]\n")
    project.write("loops/work.yaml", loop(f"  - {step}\n"))
    result = agentctl("run", "work", "--json")
    assert result.code == 2, result.out
    assert "`permissions` does not allow it" in result.err


def test_a_budget_over_the_permitted_one_is_an_error_at_load(agentctl, project):
    project.write("loops/work.yaml", loop("  - set: {a: 1}\n", ALLOWED.replace("tokens: 500", "tokens: 5000")))
    result = agentctl("validate", "loops/work.yaml", "--json")
    assert [problem["code"] for problem in result.json] == ["permission.denied"]


@pytest.mark.parametrize(
    ("step", "denied"),
    [
        ("shell: [echo, hi]", False),
        ("shell: ['${{ input.word }}', x]", True),
        ("emit: {event: ticket.closed}", False),
        ("emit: {event: '${{ input.word }}.a'}", True),
        ("skill: greet", False),
    ],
)
def test_what_expressions_compute_is_checked_when_the_step_begins(agentctl, project, step, denied):
    project.write("skills/greet.yaml", "skill: greet\nsteps: [{shell: [echo, hello]}]\n")
    project.write("loops/work.yaml", loop(f"  - {step}\n"))
    result = agentctl("run", "work", "--json")
    assert (result.code, result.json["error"] and result.json["error"]["type"]) == (
        (1, "permission.denied") if denied else (0, None)
    )


def test_a_skill_may_do_no_more_than_the_definition_that_calls_it(agentctl, project):
    project.write("skills/greet.yaml", "skill: greet\nsteps: [{shell: [ls]}]\n")
    project.write("loops/work.yaml", loop("  - skill: greet\n"))
    error = agentctl("run", "work", "--json").json["error"]
    assert error["type"] == "skill.failed"
    assert "`permissions` does not allow it" in error["message"]
    assert agentctl("run", "greet", "--json").code == 0


def test_a_redirect_to_another_host_is_not_followed(agentctl, project, make_server):
    other, server = make_server(), make_server()
    server.answer = lambda request: (302, {"Location": other.url}, b"")
    host = server.url.removeprefix("http://")
    steps = f"steps: [{{http: {{url: '{server.url}/'}}}}]\n"
    project.write("loops/work.yaml", f"loop: work\npermissions: {{http: ['{host}']}}\n{steps}")
    error = agentctl("run", "work", "--json").json["error"]
    assert (error["type"], len(server.requests), other.requests) == ("permission.denied", 1, [])
