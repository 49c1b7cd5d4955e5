"""A planted secret goes through every action and comes back in every form: it is nowhere on disk and nowhere on the screen."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

SECRET = 'planted "s3cret" /+ value&ünïcode'

LEAKY = """
loop: leaky
steps:
  - id: prints
    env: {TOKEN: "${{ secrets.TOKEN }}"}
    shell: |
      echo "out $TOKEN"; echo "err $TOKEN" >&2
      printf '%s' "$TOKEN" | base64 -w0; echo
      printf '%s' "$TOKEN"; sleep 0.05; printf '%s\\n' "$TOKEN"
  - id: fails
    continue_on_error: true
    env: {TOKEN: "${{ secrets.TOKEN }}"}
    shell: 'echo "no: $TOKEN" >&2; exit 3'
  - id: argv
    shell: [printf, "%s", "Bearer ${{ secrets.TOKEN }}"]
  - id: stdin
    stdin: "${{ secrets.TOKEN }}"
    shell: cat
  - id: raises
    continue_on_error: true
    python: leaky:raises
    with: {token: "${{ secrets.TOKEN }}"}
  - id: returns
    python: leaky:returns
    with: {token: "${{ secrets.TOKEN }}"}
  - id: echoes
    http:
      url: "${{ vars.url }}"
      method: POST
      headers: {X-Token: "${{ 'x' }}"}
      json: {token: "${{ secrets.TOKEN }}"}
  - id: refused
    continue_on_error: true
    http: {url: "${{ vars.url }}/refuse", method: POST, body: "${{ secrets.TOKEN }}"}
  - id: large
    env: {TOKEN: "${{ secrets.TOKEN }}"}
    shell: 'i=0; while [ $i -lt 30000 ]; do echo "$TOKEN and some more text to fill it up"; i=$((i+1)); done'
"""

FUNCTIONS = """
import base64, json, urllib.parse

def raises(token):
    print("about to fail with", token)
    raise ValueError("bad token " + token)

def returns(token):
    forms = [token, base64.b64encode(token.encode()).decode(), urllib.parse.quote(token), urllib.parse.quote_plus(token)]
    return {"forms": forms, "json": json.dumps(token), token: "as a key"}
"""


@pytest.fixture
def echo(server: Any) -> str:
    """The address of a server that says what it is told, as an error under `refuse`."""

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if request["path"].endswith("refuse"):
            return 400, {"Content-Type": "text/plain"}, request["body"]
        return 200, {"Content-Type": "application/json"}, request["body"]

    server.answer = answer
    return server.url


def forms() -> dict[str, bytes]:
    encoded = SECRET.encode()
    return {
        "as it is": encoded,
        "base64": base64.b64encode(encoded),
        "url": urllib.parse.quote(SECRET).encode(),
        "form": urllib.parse.quote_plus(SECRET).encode(),
        "json": json.dumps(SECRET)[1:-1].encode(),
        "json, not only ascii": json.dumps(SECRET, ensure_ascii=False)[1:-1].encode(),
        "json in json": json.dumps(json.dumps(SECRET, ensure_ascii=False), ensure_ascii=False)[1:-1].encode(),
    }


def found_in(text: bytes) -> list[str]:
    return [name for name, form in forms().items() if form in text]


def test_no_form_of_a_planted_secret_reaches_the_store_the_logs_or_the_screen(project: Any, agentctl: Any, echo: str) -> None:
    project.write(".env", f"TOKEN='{SECRET}'\n")
    project.write("agentctl.yaml", f"vars: {{url: '{echo}'}}\n")
    project.write("leaky.py", FUNCTIONS)
    project.write("loops/leaky.yaml", LEAKY)

    commands = [
        ["run", "loops/leaky.yaml"],
        ["run", "loops/leaky.yaml", "--json"],
        ["show", "last"],
        ["show", "last", "--json"],
        ["logs", "last"],
        ["history", "--json"],
    ]
    screens = {" ".join(command): agentctl(*command) for command in commands}

    assert screens["run loops/leaky.yaml"].code == 0, screens["run loops/leaky.yaml"].err
    assert "***" in screens["show last --json"].out
    for command, screen in screens.items():
        assert found_in((screen.out + screen.err).encode()) == [], command
    files = [path for path in (project.root / ".agentctl").rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert {str(path): found_in(Path(path).read_bytes()) for path in files if found_in(path.read_bytes())} == {}


EARLY = """
loop: early
steps:
  - shell: 'echo "early $TOKEN"'
  - id: group
    steps:
      - env: {TOKEN: "${{ secrets.TOKEN }}"}
        if: ${{ false }}
        shell: 'true'
"""


def test_a_secret_is_masked_before_the_step_that_names_it_has_begun(project: Any, agentctl: Any) -> None:
    project.write("loops/early.yaml", EARLY)
    done = agentctl("run", "early", env={"TOKEN": "s3cr3t-of-the-environment"})
    assert done.code == 0, done.err
    shown = agentctl("show", "last", "--json").out + agentctl("logs", "last").out + done.out + done.err
    assert "early ***" in shown
    assert "s3cr3t" not in shown


def test_a_key_in_the_project_file_is_masked(project: Any, agentctl: Any) -> None:
    project.write(
        "agentctl.yaml",
        "models: {default: {model: openai/x, api_key: sk-in-the-file}, b: {model: y/z, api_key: '${{ secrets.B }}'}}\n",
    )
    project.write("loops/prints.yaml", "loop: prints\nsteps: [{shell: 'cat agentctl.yaml; echo \"$B\"'}]\n")
    agentctl("run", "prints", env={"B": "of-the-environment"})
    shown = agentctl("show", "last", "--json").out + agentctl("logs", "last").out
    assert "api_key: ***" in shown
    assert "of-the-environment" not in shown


def test_a_pipe_without_a_writer_in_place_of_env_does_not_hang(project: Any, agentctl: Any) -> None:
    os.mkfifo(project.root / ".env")
    project.write("loops/s.yaml", "loop: s\nsteps: [{shell: 'true'}]\n")
    done = agentctl("run", "s", timeout=30)
    assert done.code == 2
    assert "is a pipe, and no program writes to it" in done.err
    assert agentctl("history", "--json").json == []
    assert "secrets.env" in agentctl("doctor", timeout=30).out


def test_the_token_that_serve_made_is_masked(project: Any, agentctl: Any) -> None:
    project.write("loops/s.yaml", "loop: s\nsteps: [{shell: 'cat .agentctl/*.token'}]\n")
    project.write(".agentctl/agentctl.db.token", "made-by-serve-0123456789\n")
    done = agentctl("run", "s")
    assert done.code == 0, done.err
    assert "made-by-serve" not in done.out + agentctl("show", "last", "--json").out + agentctl("logs", "last").out
