"""A scripted model: an OpenAI-compatible server on loopback that answers turn by turn, and can misbehave in every way known.

    model = ModelServer([call("look", {"n": 1}), say("done")])

`script` is a list of answers, taken in the order of the requests and the last one repeated, or a function from the request's body
(and its number, from 0) to an answer. Every request is recorded in `requests`, as the parsed body.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer. `raw`: sent instead of a completion.  `delay`: seconds before it.  `cut`: bytes after which the line is cut.
    `drop`: hang up without a word."""

    message: Body = field(default_factory=dict)
    finish: str = "stop"
    usage: Body | None = field(default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0
    cut: int | None = None
    drop: bool = False


Script = Iterable[Reply] | Callable[[Body, int], Reply]


def say(text: str | None, *, finish: str = "stop", tokens: tuple[int, int] = (10, 5), **fields: Any) -> Reply:
    """An answer in words."""
    return Reply({"role": "assistant", "content": text, **fields}, finish, _usage(tokens))


def call(tool: str, arguments: Any, *, id: str | None = "", text: str | None = None, **more: Any) -> Reply:
    """An answer that calls one tool. `id` "": made up by the server, as providers do; None: left out."""
    return calls([(tool, arguments, id)], text=text, **more)


def calls(
    wanted: Iterable[tuple[str, Any] | tuple[str, Any, str | None]],
    *,
    text: str | None = None,
    finish: str = "tool_calls",
    tokens: tuple[int, int] = (10, 5),
    **fields: Any,
) -> Reply:
    """An answer that calls several tools. Arguments that are a text are sent as they are."""
    made = []
    for tool, arguments, *rest in wanted:
        given = arguments if isinstance(arguments, str) else json.dumps(arguments)
        entry: Body = {"type": "function", "function": {"name": tool, "arguments": given}}
        if not rest or rest[0] is not None:
            entry["id"] = rest[0] if rest and rest[0] else ""
        made.append(entry)
    return Reply({"role": "assistant", "content": text, "tool_calls": made, **fields}, finish, _usage(tokens))


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI words it; headers with `_` for `-`."""
    document = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, raw=json.dumps(document).encode())


def _usage(tokens: tuple[int, int]) -> Body:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


class ModelServer:
    """`requests`: the bodies, in the order in which they came.  `url`: for `api_base`."""

    def __init__(self, script: Script = (), *, port: int = 0) -> None:
        self.requests: list[Body] = []
        self.script = script
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
                reply = outer._next(body)
                time.sleep(reply.delay)
                if reply.drop:
                    self.close_connection = True
                    return
                data = reply.raw if reply.raw is not None else json.dumps(outer._completion(reply, body)).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data if reply.cut is None else data[: reply.cut])
                except OSError:  # the client is gone, as a killed one is
                    self.close_connection = True
                if reply.cut is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps the test's output free of access logs."""

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _next(self, body: Body) -> Reply:
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
        if callable(self.script):
            return self.script(body, number)
        answers = list(self.script)
        return answers[min(number, len(answers) - 1)]

    def _completion(self, reply: Reply, body: Body) -> Body:
        message = json.loads(json.dumps(reply.message))
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        for index, entry in enumerate(message.get("tool_calls") or ()):
            if entry.get("id") == "":
                entry["id"] = f"id-{turn}-{index}"  # the same however often the turn is asked for
        choice = {"index": 0, "finish_reason": reply.finish, "message": message}
        document = {"id": "1", "object": "chat.completion", "created": 1, "model": body.get("model", ""), "choices": [choice]}
        return document if reply.usage is None else {**document, "usage": reply.usage}

    @property
    def turns(self) -> list[int]:
        """For each request, how many turns of the model it already holds: a finished turn stands here once."""
        return [sum(message["role"] == "assistant" for message in body["messages"]) for body in self.requests]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()


def observations(body: Body) -> list[str]:
    """What the tools said, as the model reads it in this request."""
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]
