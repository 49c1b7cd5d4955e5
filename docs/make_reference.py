"""Writes docs/reference.md, the page of every key, from the JSON Schema of a definition.

    python docs/make_reference.py

A test fails when the page is not what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agentctl import spec
from agentctl.language.schema import schema

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Every key

Written by `docs/make_reference.py` from the JSON Schema that `agentctl schema` prints.
[The language](language.md) explains the keys, with examples.

Durations are texts such as `30s`, `5m` or `1h30m`. A key that takes an expression takes `${{ ... }}`.
"""
_DEFAULT = re.compile(r"\s*Default: (.+?)\.?$")
_WORDS = {  # definitions of the schema that have no keys of their own, in words
    "definitionName": "a name",
    "stepId": "an id",
    "duration": "a duration",
    "span": "a duration above zero",
    "durationOrExpression": "a duration, or an expression",
    "jsonSchema": "a JSON Schema",
    "outputSchema": "a JSON Schema, or property -> schema",
    "strings": "a list of texts",
    "env": "a mapping",
}
_TYPES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "a mapping",
    "array": "a list",
}


class Shape(NamedTuple):
    """A mapping with keys of its own. `place`: where it stands in the schema, a JSON pointer; `node`: its schema."""

    place: str
    node: dict[str, Any]


def shapes(document: dict[str, Any]) -> Iterator[Shape]:
    """Every mapping with keys of its own in a schema, each once, the root first."""
    yield from _shapes({**document, "$defs": {}}, "#")
    for name, node in document["$defs"].items():
        yield from _shapes(node, f"#/$defs/{name}")


def _shapes(node: Any, place: str) -> Iterator[Shape]:
    if isinstance(node, dict):
        if "properties" in node:
            yield Shape(place, node)
        for key, inner in node.items():
            if key not in ("oneOf", "if"):  # these choose between keys, and bring none
                yield from _shapes(inner, f"{place}/{key}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _shapes(inner, f"{place}/{index}")


def heading(shape: Shape) -> str:
    """`A step`, `` `retry` ``, or `` `dst` of a trigger ``."""
    names = re.findall(r"(?:\$defs|properties)/(\w+)", shape.place)
    title: str = shape.node["title"]
    if len(names) > 1:
        inside = schema()["$defs"][names[0]].get("title", f"`{names[0]}`")
        return f"`{names[-1]}` of {inside if ' ' in inside else f'`{names[0]}`'}"
    return f"`{names[0]}`" if names == [title] or (names and " " not in title) else _upper(title)


def anchor(text: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^a-z0-9_ -]", "", text.lower()).replace(" ", "-")


def page() -> str:
    """The whole page."""
    every = list(shapes(schema()))
    links = {shape.place: f"[{heading(shape)}](#{anchor(heading(shape))})" for shape in every}
    return "\n".join([HEAD, *("\n".join(_section(shape, links)) for shape in every)])


def _section(shape: Shape, links: dict[str, str]) -> Iterator[str]:
    yield f"## {heading(shape)}\n"
    if "description" in shape.node:
        yield f"{_cell(shape.node['description'])}\n"
    yield from _choices(shape.node)
    yield "| key | takes | default | meaning |"
    yield "|---|---|---|---|"
    for key, node in shape.node["properties"].items():
        target = _target(node)
        said = node.get("description", target.get("description", ""))
        default = _DEFAULT.search(said)
        needed = "required" if key in shape.node.get("required", ()) else ""
        meaning = _DEFAULT.sub("", said)
        takes = _takes(node, links, f"{shape.place}/properties/{key}")
        if shape.place == "#/$defs/step" and (action := spec.action(key)) and not action.is_supported:
            meaning += " This version cannot run it."
        yield f"| `{key}` | {takes} | {_cell(default[1]) if default else needed} | {_cell(meaning)} |"
    yield ""


def _choices(node: dict[str, Any]) -> Iterator[str]:
    one_of = [choice["required"][0] for choice in node.get("oneOf", ())]
    if one_of:
        yield f"Exactly one of {_listed(one_of)}.\n"
    together = node.get("not", {}).get("required", ())
    if together:
        yield f"Not both of {_listed(together)}.\n"
    beside: dict[str, list[str]] = {}
    for key, needed in node.get("dependentRequired", {}).items():
        beside.setdefault(needed[0], []).append(key)
    for needed_key, keys in beside.items():
        yield f"Only beside `{needed_key}`: {_listed(keys)}.\n"


def _takes(node: dict[str, Any], links: dict[str, str], place: str) -> str:
    """The type of a value, in words, with a link to the section of its keys."""
    name = node.get("$ref", "").rsplit("/", 1)[-1]
    if name in _WORDS:
        return _WORDS[name]
    if name == "steps":
        return f"a list of {links['#/$defs/step'].replace('A step', 'steps')}"
    place, node = (node["$ref"], _target(node)) if name else (place, node)
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    types = node.get("type", [])
    words = [_TYPES[word] for word in ([types] if isinstance(types, str) else types)]
    mapping = re.compile(rf"{re.escape(place)}((/allOf/\d)?/then)?")
    link = next((links[inner] for inner in links if mapping.fullmatch(inner)), "")
    items = node.get("items", {})
    if "$ref" in items:
        words[words.index("a list")] = f"a list: {_takes(items, links, '')}"
    elif items.get("type") == "string" and "enum" not in items:
        words[words.index("a list")] = "a list of texts"
    elif "enum" in items:
        words[words.index("a list")] = f"a list of {_takes(items, links, '')}"
    elif f"{place}/items/then" in links:
        words[words.index("a list")] = f"a list: {links[f'{place}/items/then']}"
    if link:
        words[words.index("a mapping")] = link
    if "else" in node and "enum" in node["else"]:
        words[words.index("a text")] = ", ".join(f"`{choice}`" for choice in node["else"]["enum"])
    return " or ".join(words) or "any value"


def _target(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
    return found


def _listed(keys: list[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _cell(text: str) -> str:
    """Safe in a table: nothing of it is HTML, a new column or emphasis."""
    return re.sub(r"([<>|*])", r"\\\1", text)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
