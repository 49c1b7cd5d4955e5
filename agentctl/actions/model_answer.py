"""What a model answered, as JSON that fits a schema; and the words that ask it for that."""

from __future__ import annotations

import json
import re

from agentctl import JSON
from agentctl.actions.text import read_json
from agentctl.errors import ActionError

PROBLEMS = 8  # told to the model and kept in the error
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


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


def read_answer(text: str) -> JSON:
    """The JSON value in an answer: all of it, or what stands in a code fence, or the first object within prose.

    Raises ValueError when there is none.
    """
    text = _THOUGHT.sub("", text).strip()
    fenced = _FENCE.search(text)
    for candidate in (text, fenced[1] if fenced else ""):
        try:
            return read_json(candidate.encode("utf-8", "replace"))
        except ValueError:
            continue
    decoder = json.JSONDecoder(strict=False)
    for start in list(re.finditer(r"[{\[]", text))[:50]:
        try:
            value, end = decoder.raw_decode(text, start.start())
            return read_json(text[start.start() : end].encode("utf-8", "replace")) if value else value
        except (ValueError, RecursionError):
            continue
    raise ValueError("there is no JSON in it")


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
