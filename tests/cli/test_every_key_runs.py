"""Keys of the language that no other test runs, each with what it does: real processes, a loopback server, a model behind one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

KEYS_OF_SHELL = """
loop: keys-of-shell
description: What a process is given, and what is read from it.
steps:
  - id: inside
    name: All of it inside
    shell:
      run: |
        import json, os, sys
        print(json.dumps({"folder": os.path.basename(os.getcwd()), "word": os.environ["WORD"], "read": sys.stdin.read()}))
        sys.exit(3)
      interpreter: python3
      cwd: loops
      env: {WORD: "${{ 'a' ~ 'b' }}"}
      stdin: {a: 1}
      parse: json
      ok_codes: [0, 3]
      max_output: 1MiB
  - {id: beside, shell: 'basename "$PWD"', cwd: skills}
  - {id: seven, shell: {run: [sh, -c, exit 7], ok_codes: [7]}}
  - {id: much, continue_on_error: true, shell: {run: "head -c 5000 /dev/zero", max_output: 2KiB}}
  - {id: more, continue_on_error: true, python: "base64:b64encode", with: {s: x}, max_output: 2KiB}
output:
  inside: ${{ steps.inside.output }}
  beside: ${{ steps.beside.output }}
  seven: ${{ steps.seven.status }}
  much: ${{ steps.much.error.type }}
  more: ${{ steps.more.status }}
"""
KEYS_OF_HTTP = """
loop: keys-of-http
input: {url: {type: string}}
steps:
  - id: teapot
    http:
      {url: "${{ input.url }}/echo", method: POST, query: {q: a b, n: 1}, headers: {X-Word: w}, body: raw, ok: [418], parse: text}
  - id: large
    continue_on_error: true
    http: {url: "${{ input.url }}/echo", ok: [4xx], max_bytes: 8}
output:
  teapot: ${{ steps.teapot.output.status }}
  echo: ${{ steps.teapot.output.body | fromjson }}
  large: ${{ steps.large.error.type }}
"""
KEYS_OF_LLM = """
loop: keys-of-llm
budget: {tokens: 100000, usd: 5, per: day}
steps:
  - id: sort
    llm:
      prompt: hello
      system: You sort.
      model: gone
      fallback_models: [here]
      schema: {kind: {type: string}}
      temperature: 0.5
      max_tokens: 77
  - id: again
    llm: {messages: [{role: user, content: hello}], model: here}
output: {kind: "${{ steps.sort.output.kind }}", model: "${{ steps.sort.usage.model }}"}
"""
KEYS_OF_RETRY = """
loop: keys-of-retry
timeout: 1m
defaults:
  retry: {attempts: 4, delay: 10ms, backoff: 3, max_delay: 20ms, jitter: 0, on: [shell.exit], never: [shell.signal]}
  timeout: 300ms
steps:
  - {id: exits, continue_on_error: true, shell: exit 1}
  - {id: slow, continue_on_error: true, shell: sleep 30}
  - {id: stubborn, continue_on_error: true, retry: {attempts: 3, delay: 1ms, never: [shell.*]}, shell: exit 1}
output:
  - ${{ steps.exits.attempts }}
  - ${{ steps.slow.error.type }}
  - ${{ steps.stubborn.attempts }}
"""
KEYS_OF_FLOW = """
loop: keys-of-flow
steps:
  - id: countdown
    repeat: {while: last is none or last > 0, max: 2, every: 1ms, on_max: continue}
    steps: [{id: left, set: {n: "${{ 5 if last is none else last - 1 }}"}}]
    output: ${{ steps.left.output.n }}
  - id: asked
    continue_on_error: true
    approve: {message: "Go on?", timeout: 10ms, on_timeout: approve}
  - id: each
    foreach: [x, y]
    as: letter
    steps: [{emit: {event: letter.seen, data: "${{ letter }}", id: "letter-${{ letter }}-${{ index }}"}}]
    output: ${{ steps.emit_1.output.id }}
  - id: group
    steps:
      - {id: kept, cache: {key: always, ttl: 1h}, shell: date +%N}
  - if: steps.countdown.output == 4
    return: {asked: "${{ steps.asked.output.approved }}", each: "${{ steps.each.output }}", kept: "${{ steps.group.output }}"}
  - fail: never reached
on_success: [{id: told, set: {well: true}}]
finally: [{id: swept, set: {swept: true}}]
"""
KEYS_OF_FAILURE = """
loop: keys-of-failure
steps:
  - id: doubtful
    effect: once
    on_unknown: {probe: [{id: look, set: {done: true, output: seen}}]}
    shell: kill -9 $$
  - fail: {type: own.kind, message: "It was ${{ steps.doubtful.output }}", data: {n: [1, 2]}}
"""


@pytest.fixture
def echo(server):
    """Answers 418 with what it was asked; as a model, with a greeting."""

    def answer(request):
        address = urlsplit(request["path"])
        if address.path.endswith("/chat/completions"):
            return server.completion('{"kind": "greeting"}', (9, 4))
        said = {"query": parse_qs(address.query), "word": request["headers"].get("x-word"), "body": request["body"].decode()}
        return server.json(said, 418)

    server.answer = answer
    return server


def output_of(agentctl, project, text: str, *arguments: str, **more: Any) -> Any:
    result = agentctl("run", project.write("loops/keys.yaml", text), *arguments, "--json", **more)
    assert result.code == 0, result.out + result.err
    return result.json["output"]


def test_a_process_is_given_its_folder_environment_and_stdin(agentctl, project):
    assert output_of(agentctl, project, KEYS_OF_SHELL) == {
        "inside": {"folder": "loops", "word": "ab", "read": '{"a":1}'},
        "beside": "skills",
        "seven": "succeeded",
        "much": "shell.too_large",
        "more": "failed",
    }


def test_a_request_has_its_query_headers_and_body_and_an_answer_its_bounds(agentctl, project, echo):
    said = output_of(agentctl, project, KEYS_OF_HTTP, "-i", f"url={echo.url}")
    assert said == {
        "teapot": 418,
        "echo": {"query": {"q": ["a b"], "n": ["1"]}, "word": "w", "body": "raw"},
        "large": "http.too_large",
    }


DENIED = """
loop: denied
input: {url: {type: string}}
steps:
  - {id: asked, continue_on_error: true, http: {url: "${{ input.url }}"}}
  - {id: model, llm: {prompt: hello, model: here}}
output: ${{ steps.asked.error }}
"""


def test_the_policy_of_the_project_file_holds_for_requests_and_not_for_models(agentctl, project, echo):
    here = f"{{here: {{model: openai/test, api_base: '{echo.url}/v1'}}}}"
    project.write("agentctl.yaml", f"models: {here}\npolicy: {{http: {{deny: [127.0.0.0/8]}}}}\n")
    error = output_of(agentctl, project, DENIED, "-i", f"url={echo.url}", env={"OPENAI_API_KEY": "sk-test"})
    assert error["type"] == "permission.denied"
    assert "127.0.0.0/8" in error["message"]
    assert [request["path"] for request in echo.requests] == ["/v1/chat/completions"]


def test_a_model_is_asked_as_the_step_says_and_another_takes_over(agentctl, project, echo):
    here = f"{{model: openai/test, api_base: '{echo.url}/v1'}}"
    gone = "{model: openai/gone, api_base: 'http://127.0.0.1:9/v1'}"
    project.write("agentctl.yaml", f"models: {{here: {here}, gone: {gone}}}\n")
    said = output_of(agentctl, project, KEYS_OF_LLM, env={"OPENAI_API_KEY": "sk-test"})
    assert said["kind"] == "greeting"
    assert "test" in said["model"]
    first, second = [json.loads(request["body"]) for request in echo.requests]
    assert (first["temperature"], first["max_tokens"]) == (0.5, 77)
    assert first["messages"][0]["role"] == "system"
    assert first["messages"][0]["content"].startswith("You sort.")
    assert second["messages"] == [{"role": "user", "content": "hello"}]


def test_defaults_say_what_is_tried_again_how_often_and_for_how_long(agentctl, project):
    assert output_of(agentctl, project, KEYS_OF_RETRY) == [4, "timeout", 1]
    journal = agentctl("show", "last", "--json").json["events"]
    retries = [event for event in journal if event["type"] == "RetryScheduled" and event["path"] == "exits"]
    assert len(retries) == 3


def test_what_repeats_asks_emits_returns_and_comes_last(agentctl, project):
    said = output_of(agentctl, project, KEYS_OF_FLOW)
    assert (said["asked"], said["each"]) == (True, ["letter-x-0", "letter-y-1"])
    statuses = {step["path"]: step["status"] for step in agentctl("show", "last", "--json").json["steps"]}
    assert (statuses["on_success.told"], statuses["finally.swept"]) == ("succeeded", "succeeded")
    # a second run is handed the cached result
    assert output_of(agentctl, project, KEYS_OF_FLOW)["kept"] == said["kept"]


def test_an_error_of_ones_own_ends_the_run_with_its_type_and_data(agentctl, project):
    result = agentctl("run", project.write("loops/keys.yaml", KEYS_OF_FAILURE), "--json")
    assert result.code == 1
    error = result.json["error"]
    assert (error["type"], error["message"], error["data"]) == ("own.kind", "It was seen", {"n": [1, 2]})
