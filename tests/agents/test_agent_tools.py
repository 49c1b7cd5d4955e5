"""Every form of tool, called by a model: what it is offered, what it does, where its walls are."""

from __future__ import annotations

import pytest
from model_server import calls, observations

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other


def test_every_form_of_tool_does_what_it_says(agent, server):
    server.answer = lambda request: server.json({"path": request["path"], "body": request["body"].decode()})
    host = server.url.removeprefix("http://")
    wanted = [
        ("pay", {"amount": 5}),
        ("write", {"a": "x"}),
        ("fetch", {"a": "x"}),
        ("sum", {"a": 2}),
        ("tell", {"a": "x"}),
        ("emit", {"event": "ticket.opened", "data": {"n": 1}}),
        ("emit", {"event": "other.opened"}),
        ("http", {"method": "POST", "url": f"{server.url}/v1/x", "query": {"q": 1}, "body": {"b": 2}}),
        ("http", {"method": "GET", "url": f"{server.url}/admin"}),
        ("http", {"method": "GET", "url": "http://127.0.0.1:1/v1/x"}),
        ("echo", {"args": ["a", "b c"]}),
        ("echo", {"args": ["--help"]}),
        ("date", {}),
        ("child", {"who": "Ada"}),
    ]
    project = agent([calls(wanted), calls([("answer", {"done": True})])])
    project.write("pkg.py", "def add(n): return n + 1\n")
    project.write("skills/greet.yaml", "skill: greet\ninput: {who: {type: string}}\nsteps: [{set: {a: 1}}]\n")
    project.write("where.txt", host)
    definition = """
        loop: work
        budget: {tokens: 100000}
        permissions:
          shell: [sh, date, [echo, "*"]]
          python: ["pkg:*"]
          http: ["HOST"]
          skills: ["greet*"]
          secrets: []
          emit: [told, "*.opened"]
          models: [default]
          budget: {tokens: 200000}
        steps:
          - id: find
            agent:
              goal: x
              system: y
              model: default
              fallback_models: [default]
              schema: {done: {type: boolean}}
              max_turns: 5
              stall: 2
              on_limit: answer
              max_tokens: 500
              temperature: 0
              max_parallel: 2
              observation: 1KiB
              compact: {at: 70%, keep: 6}
              tools:
                - name: pay
                  description: Pays.
                  args: {amount: {type: integer}}
                  shell: [sh, -c, "cat; echo $A"]
                  env: {A: "${{ args.amount }}"}
                  stdin: "paid "
                  parse: text
                  effect: once
                  on_unknown: {probe: [{set: {done: false}}]}
                  idempotency_key: args.amount
                  undo: {shell: [echo, "${{ args.amount }}", "${{ output }}"]}
                  approve: {if: args.amount > 10, timeout: 1h, on_timeout: approve, edit: [amount]}
                  max_calls: 1
                  timeout: 1m
                  retry: 2
                  serial: true
                - {name: write, args: {a: {type: string}}, remember: {fact: "${{ args.a }}"}}
                - {name: fetch, args: {a: {type: string}}, http: {url: "http://HOST/v2/${{ args.a }}"}}
                - {name: sum, args: {a: {type: integer}}, python: "pkg:add", with: {n: "${{ args.a }}"}}
                - name: tell
                  args: {a: {type: string}}
                  emit: {event: told, data: {a: "${{ args.a }}"}, id: "told-${{ args.a }}"}
                - emit: [ticket.*]
                - http: {method: [GET, POST], hosts: [HOST], paths: ["/v1/*"], headers: {X-Own: "1"}, local: true}
                - {shell: [echo, "*"], cwd: .}
                - {shell: [date, "+%Y"], name: date}
                - {skill: greet, detach: true, name: child}
                - {ask: {timeout: 1h, max: 1}}
                - {skills: "greet*"}
        """
    project.write("loops/work.yaml", definition.replace("HOST", host))
    row = project.start("work")
    assert (row.status, row.output) == ("succeeded", {"done": True}), row.error
    heard = observations(project.model.requests[1])
    assert heard[0] == "paid 5"
    assert heard[1] == '{"fact":"x"}'
    assert '"path":"/v2/x"' in heard[2]
    assert heard[3] == "3"
    assert '"name":"told"' in heard[4]
    assert '"name":"ticket.opened"' in heard[5]
    assert heard[6].startswith("error permission.denied: the event 'other.opened'")
    assert '"path":"/v1/x?q=1"' in heard[7]
    assert '{\\"b\\":2}' in heard[7]
    assert heard[8].startswith("error permission.denied: the path /admin")
    assert heard[9].startswith("error permission.denied: the host 127.0.0.1:1")
    assert heard[10] == "a b c"
    assert heard[11].startswith("error permission.denied: the argument '--help' begins with '-'")
    assert heard[12].startswith("20")
    assert heard[13].startswith('{"run_id":"')
    assert {request["headers"].get("x-own") for request in server.requests} == {None, "1"}  # in either order


@pytest.mark.parametrize(
    ("tool", "code", "message"),
    [
        ("{mcp: {command: [x]}}", "not-supported", "no 'mcp' in a tool"),
        ("{shell: [a], defer: true}", "not-supported", "no 'defer' in a tool"),
        ("{shell: [a], name: answer}", "name-taken", "agents have a tool of that name"),
        ("{shell: [a, b]}, {shell: [a, b, '*']}", "name-taken", "the name 'a_b' is taken"),
        ("{shell: 'ls'}", "missing-key", "without `args`"),
        ("{args: {a: {type: string}}, shell: [echo, '${{ args.b }}']}", "unknown-name", "the tool has no argument 'b'"),
        ("{args: {a: {type: string}}, shell: 'echo ${{ args.a }}'}", "script-template", "a script takes no"),
        ("{args: {a: {type: strin}}, shell: [echo]}", "bad-schema", ""),
        ("{shell: [a], on_unknown: fail}", "misplaced-key", "beside 'effect: once'"),
        ("{shell: [a], with: {b: 1}}", "misplaced-key", "stands beside"),
        ("{skill: nope}", "unknown-skill", ""),
        ("{shell: [a], max_calls: 0}", "wrong-value", ""),
    ],
)
def test_a_tool_that_cannot_be_used_is_an_error_at_load(agentctl, project, tool, code, message):
    project.write("loops/work.yaml", f"loop: work\nsteps:\n  - agent: {{goal: x, tools: [{tool}]}}\n")
    result = agentctl("validate", "loops/work.yaml", "--json")
    assert result.code == 2
    assert any(problem["code"] == code and message in problem["message"] for problem in result.json), result.json
