"""The conversation of an agent as its journal holds it, and the messages that a model reads. Pure, and evaluates nothing.

A turn's input in the journal is a reference, `{model, messages: N, estimate}`: what the model reads is the fold of what came
before. Messages are only ever added at the end, so that each request begins with the very text of the one before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from agentctl import JSON
from agentctl.core.events import Error
from agentctl.errors import ExpressionError
from agentctl.expressions.large import loaded
from agentctl.expressions.large import shown as shown_value

_CUT = "\n[... "  # begins the line in the middle of an observation that says how many bytes are left out
_encode = msgspec.json.Encoder().encode


@dataclass
class Heard:
    """What one call came to. `text`: the observation that the model reads.  `left_out`: bytes that it does not."""

    call_id: str
    text: str

    @property
    def left_out(self) -> int:
        _, mark, rest = self.text.partition(_CUT)
        number = rest.partition(" ")[0]
        return int(number) if mark and number.isdigit() else 0


@dataclass
class Turn:
    """One turn that answered. `model`: the alias that was asked.  `output`: as journaled.

    heard: an observation for each of its calls, in their order, once all of them have ended.
    message: what the model reads after them, or after a text that was no answer.
    """

    model: str
    output: dict[str, JSON]
    heard: list[Heard] = field(default_factory=list)
    message: str | None = None


def messages(turns: list[Turn], model: str, shortened: int = 0) -> list[JSON]:
    """What follows the goal, for a request to `model`. Fields that another model added to its messages are left out.

    `shortened`: so many of the turns were compacted, so that each of their observations is one line.
    """
    found: list[JSON] = []
    for number, turn in enumerate(turns):
        found.append(_assistant(turn.output, own=turn.model == model))
        for heard in turn.heard:
            text = one_line(turn, heard) if number < shortened else heard.text
            found.append({"role": "tool", "tool_call_id": heard.call_id, "content": text})
        if turn.message is not None:
            found.append({"role": "user", "content": turn.message})
    return found


def _assistant(output: dict[str, JSON], *, own: bool) -> dict[str, JSON]:
    message: dict[str, JSON] = {"role": "assistant", "content": output["text"]}
    if output["calls"]:
        message["tool_calls"] = [_tool_call(call, own=own) for call in output["calls"]]
    return {**message, **(output.get("fields") or {})} if own else message


def _tool_call(call: dict[str, JSON], *, own: bool) -> dict[str, JSON]:
    """Arguments that are no JSON object go back as `{}`: some providers refuse the whole conversation otherwise."""
    given = call["arguments"] if isinstance(call["arguments"], dict) else {}
    function = {"name": call["tool"], "arguments": compact(given)}
    made = {"id": call["id"], "type": "function", "function": function}
    return {**made, **(call.get("fields") or {})} if own else made


def one_line(turn: Turn, heard: Heard) -> str:
    """What is left of an observation by compaction: tool, arguments and how long it was."""
    call = next(call for call in turn.output["calls"] if call["id"] == heard.call_id)
    line = f"[{call['tool']} {cut_middle(compact(call['arguments']), 200)}: {len(heard.text.encode('utf-8', 'replace'))} bytes]"
    return line if len(line) < len(heard.text) else heard.text


def saved(turns: list[Turn]) -> int:
    """Characters that one line for each observation of these turns saves."""
    return sum(len(heard.text) - len(one_line(turn, heard)) for turn in turns for heard in turn.heard)


def characters_since(turns: list[Turn]) -> int:
    """Of what the model has not read yet: the observations of the last turn and the message after them."""
    if not turns:
        return 0
    last = turns[-1]
    return sum(len(heard.text) for heard in last.heard) + len(last.message or "")


def observation(output: JSON, limit: int) -> str:
    """A result as the model reads it: text as it is, anything else as compact JSON, the middle of a long one left out."""
    try:
        output = loaded(output)
    except ExpressionError:  # too large to be read, or gone: the model learns where it is
        output = shown_value(output)
    return cut_middle(output if isinstance(output, str) else compact(output), limit)


def failure(error: Error, limit: int) -> str:
    """A failed call as the model reads it: type and message, and `data` where there is room for it."""
    text = f"error {error.type}: {error.message}"
    return cut_middle(text if error.data is None else f"{text}\n{compact(error.data)}", limit)


def cut_middle(text: str, limit: int) -> str:
    """About `limit` bytes of UTF-8 at most: beginning and end, and between them a line that says how many are left out."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    half = limit // 2
    head, tail = data[:half].decode("utf-8", "ignore"), data[len(data) - half :].decode("utf-8", "ignore")
    left_out = len(data) - len(head.encode()) - len(tail.encode())
    return f"{head}{_CUT}{left_out} bytes left out ...]\n{tail}"


def compact(value: JSON) -> str:
    return _encode(value).decode()


def canonical(value: JSON) -> str:
    """Compact JSON with sorted keys: the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def call_hash(tool: str, arguments: JSON) -> str:
    """By which a call of an agent is distinguished from another: the first 8 hex digits of the SHA-256 of `[tool, arguments]`."""
    return sha256(canonical([tool, arguments]).encode("utf-8", "replace")).hexdigest()[:8]


def without_thoughts(text: str | None) -> str:
    """The text without what stands between `<think>` tags, which is no answer."""
    found = text or ""
    while (start := found.find("<think>")) >= 0:
        end = found.find("</think>", start)
        found = found[:start] + (found[end + 8 :] if end >= 0 else "")
    _, tag, rest = found.partition("</think>")  # some servers leave the first tag out
    return (rest if tag else found).strip()


def signature(turn: Turn) -> JSON:
    """What makes a turn the same as another: its calls and what they came to; of one without calls, its text."""
    if not turn.output["calls"]:
        return ["said", turn.output["text"]]
    calls = [[call["tool"], call["arguments"]] for call in turn.output["calls"]]
    return [canonical(calls), [heard.text for heard in turn.heard]]


def repeated(turns: list[Turn]) -> tuple[int, int]:
    """How many turns at the end are the same, and how often a cycle of two different turns has just come round."""
    marks = [signature(turn) for turn in turns]
    if not marks:
        return 0, 0
    row = 1
    while row < len(marks) and marks[-row - 1] == marks[-1]:
        row += 1
    pairs = 0
    if len(marks) > 1 and marks[-1] != marks[-2]:
        while len(marks) >= 2 * pairs + 2 and marks[len(marks) - 2 * pairs - 2 : len(marks) - 2 * pairs] == marks[-2:]:
            pairs += 1
    return row, pairs
