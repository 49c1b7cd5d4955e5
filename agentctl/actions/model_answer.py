"""What a model answered, as JSON that fits a schema; and the texts that ask it for that."""

from __future__ import annotations

import json
import re

from agentctl import JSON
from agentctl.errors import ActionError
from agentctl.expressions.json_text import read_json

PROBLEMS = 8  # shown to the model and kept in the error
EXAMINED = 20_000_000  # characters
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"


def response_format(schema: dict[str, JSON]) -> dict[str, JSON]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": is_closed(schema)}}


def is_closed(schema: JSON) -> bool:
    """Whether every object in it allows exactly its properties and requires all: what providers demand of a `strict` schema."""
    if isinstance(schema, list):
        return all(map(is_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(schema.get("properties", {})):
            return False
    return all(map(is_closed, schema.values()))


def instruction(schema: dict[str, JSON]) -> str:
    """For models that cannot be held to a schema by their provider."""
    text = json.dumps(schema, ensure_ascii=False)
    return f"Answer with one JSON value and nothing else. It must be valid against this JSON Schema:\n{text}"


def correction(problems: list[str]) -> str:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"That answer was not valid:\n{listed}\nAnswer again, with the corrected JSON alone."


def spoken(text: str) -> str:
    """The answer without the reasoning before it, which some servers leave in the text between `<think>` and `</think>`.

    Empty when there is nothing but reasoning.
    """
    text = text.removeprefix("\ufeff")
    while True:
        before, end, after = text.partition(_THOUGHT_ENDS)
        if text.lstrip().startswith(_THOUGHT_BEGINS) or (end and _THOUGHT_BEGINS not in before):
            text = after
        else:
            return text
        if not end:
            return ""


def read_answers(text: str) -> list[JSON]:
    """The JSON values in an answer: the whole of it, or those that stand in code fences or in prose, in their order.

    Raises ValueError when there is none.
    """
    text = text.strip()
    try:
        return [read_json(text.encode("utf-8", "replace"))]
    except ValueError:
        found = {**_in_prose(text), **_in_fences(text)}
    if not found:
        raise ValueError("there is no JSON in it")
    return [found[start] for start in sorted(found)]


def _in_fences(text: str) -> dict[int, JSON]:
    """By where each begins, the values that fill a code fence."""
    found: dict[int, JSON] = {}
    for fenced in _FENCE.finditer(text):
        try:
            found[fenced.start(1)] = read_json(fenced[1].encode("utf-8", "replace"))
        except ValueError:
            continue
    return found


def _in_prose(text: str) -> dict[int, JSON]:
    """By where each begins, the lists and mappings in a text. Reads at most EXAMINED characters of what turns out to be none."""
    decoder = json.JSONDecoder(strict=False)
    found: dict[int, JSON] = {}
    end, left = 0, EXAMINED
    for opening in _OPENING.finditer(text):
        start = opening.start()
        if start < end:
            continue
        try:
            _, end = decoder.raw_decode(text, start)
            found[start] = read_json(text[start:end].encode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            left -= 1 + (error.pos - start if isinstance(error, json.JSONDecodeError) else 1000)
            if left < 0:
                break
    return found


def chosen(values: list[JSON], schema: dict[str, JSON]) -> tuple[JSON, list[str]]:
    """The last value that fits the schema, and no problems; else the last value, and what is wrong with it."""
    problems: list[str] = []
    for value in reversed(values):
        flaws = problems_of(value, schema)
        if not flaws:
            return value, []
        problems = problems or flaws
    return values[-1], problems


def problems_of(value: JSON, schema: dict[str, JSON]) -> list[str]:
    """What is wrong with the value, one sentence each; empty when it is valid. Raises input.invalid for a schema that is none."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
        # An empty registry: a remote `$ref` must not fetch.
        errors = list(kind(schema, registry=Registry()).iter_errors(value))
    except SchemaError as error:
        raise ActionError("input.invalid", f"`schema` is no JSON Schema: {error.message}.") from None
    except Unresolvable as error:
        raise ActionError("input.invalid", f"`schema` refers to something that is not in it: {error}.") from None
    return [f"{error.json_path}: {error.message[:300]}" for error in errors[:PROBLEMS]]
