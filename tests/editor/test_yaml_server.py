"""The schema in an editor: what the YAML language server makes of it, which most editors use (npm: yaml-language-server)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from agentctl.language.schema import schema

SERVER = "yaml-language-server"
DIAGNOSED = "textDocument/publishDiagnostics"
REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted(
    path
    for folder in ("loops", "skills", "examples")
    for path in (REPOSITORY / folder).rglob("*.yaml")
    if path.parent.name != "tests" and path.name != "agentctl.yaml"
    if "sqlite-action" not in path.parts  # it uses an action that its own package adds to the schema
)
PATIENCE = 60  # seconds until a server that does not answer is ended, which fails the test that waits for it

pytestmark = pytest.mark.skipif(shutil.which(SERVER) is None, reason=f"{SERVER} is not installed")


class Editor:
    """Speaks to the server as an editor does: JSON-RPC on its stdin and stdout (the Language Server Protocol, 3.17)."""

    def __init__(self, process: subprocess.Popen[bytes], schema_file: Path) -> None:
        self._process = process
        self._numbers = count(1)
        self._settings = {"yaml": {"schemas": {schema_file.as_uri(): "*.yaml"}, "schemaStore": {"enable": False}}}
        configuration = {"workspace": {"configuration": True}}
        self._ask("initialize", {"processId": None, "rootUri": schema_file.parent.as_uri(), "capabilities": configuration})
        self._send({"method": "initialized", "params": {}})
        self._await(lambda message: message.get("method") == "workspace/configuration")

    def problems(self, text: str) -> list[tuple[int, int, str]]:
        """Line and column, both from 1, and message of whatever the server underlines."""
        _, found = self._open(text)
        return [(at["line"] + 1, at["character"] + 1, message) for at, message in found]

    def completions(self, text: str) -> set[str]:
        """What it offers where the text has a `|`."""
        answer = self._at_cursor("textDocument/completion", text)
        return {item["label"] for item in answer["items"]}

    def hover(self, text: str) -> str:
        """What it shows for the word in which the text has a `|`."""
        shown: str = self._at_cursor("textDocument/hover", text)["contents"]["value"]
        return shown

    def _at_cursor(self, method: str, text: str) -> Any:
        before, after = text.split("|")
        uri, _ = self._open(before + after)
        lines = before.split("\n")
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        return self._ask(method, {"textDocument": {"uri": uri}, "position": position})

    def _open(self, text: str) -> tuple[str, list[tuple[dict[str, int], str]]]:
        uri = f"file:///definition-{next(self._numbers)}.yaml"
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        told = self._await(lambda message: message.get("method") == DIAGNOSED and message["params"]["uri"] == uri)
        return uri, [(found["range"]["start"], found["message"]) for found in told["params"]["diagnostics"]]

    def _ask(self, method: str, params: Any) -> Any:
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": params})
        return self._await(lambda message: message.get("id") == number and "method" not in message)["result"]

    def _await(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = Timer(PATIENCE, self._process.kill)
        end.start()
        try:
            while not wanted(message := self._read()):
                self._answer(message)
            self._answer(message)
        finally:
            end.cancel()
        return message

    def _answer(self, message: dict[str, Any]) -> None:
        """What the server asks the editor: its settings; all else gets an answer, too."""
        if message.get("method") == "workspace/configuration":
            answers = [self._settings.get(item.get("section")) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": answers})
        elif "id" in message and "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        length = 0
        while (line := stdout.readline()).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert line, "the server ended"
        message: dict[str, Any] = json.loads(stdout.read(length))
        return message


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    schema_file = tmp_path_factory.mktemp("project") / "agentctl.schema.json"
    schema_file.write_text(json.dumps(schema()))
    with subprocess.Popen([SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Editor(process, schema_file)
        finally:
            process.kill()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_is_underlined_in_a_definition_that_ships(editor: Editor, path: Path) -> None:
    assert editor.problems(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "offered", "not_offered"),
    [
        ("loop: a\n|", {"triggers", "steps", "on_failure", "concurrency"}, {"shell", "loop"}),
        ("loop: a\nsteps:\n  - |", {"shell", "llm", "foreach", "retry", "needs"}, {"triggers", "attempts"}),
        ("loop: a\nsteps:\n  - foreach: [1]\n    steps:\n      - |", {"shell", "skill", "if"}, {"triggers"}),
        ("loop: a\nsteps:\n  - shell: ls\n    retry:\n      |", {"attempts", "backoff", "never"}, {"timeout"}),
        ("loop: a\nsteps:\n  - shell: ls\n    parse: |", {"text", "json", "yaml", "lines"}, {"xml"}),
        ("loop: a\ntriggers:\n  - cron: '* * * * *'\n    |", {"timezone", "catch_up", "overlap"}, {"shell"}),
    ],
)
def test_keys_and_values_are_offered_where_they_may_stand(
    editor: Editor, text: str, offered: set[str], not_offered: set[str]
) -> None:
    found = editor.completions(text)
    assert offered <= found
    assert not not_offered & found


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("loop: a\nsteps:\n  - shel: ls\n", 3, "shel"),
        ("loop: a\nsteps:\n  - shell: ls\n    retry: {attemps: 3}\n", 4, "attemps"),
        ("loop: a\nsteps:\n  - shell: ls\n    timeout: 5\n", 4, "string"),
        ("loop: a\nsteps:\n  - shell: ls\n    parse: xml\n", 4, '"json"'),
        ("loop: a\nsteps:\n  - http: {method: GET}\n", 3, "url"),
        ("loop: A B\nsteps:\n  - shell: ls\n", 1, "pattern"),
    ],
)
def test_a_mistake_is_underlined_on_its_line(editor: Editor, text: str, line: int, word: str) -> None:
    assert [message for at, _, message in editor.problems(text) if at == line and word in message]


def test_a_key_is_explained_beneath_the_pointer(editor: Editor) -> None:
    assert "How often and when a failed attempt is tried again" in editor.hover("loop: a\nsteps:\n  - shell: ls\n    ret|ry: 3\n")
