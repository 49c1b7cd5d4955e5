"""Every key of the language stands in an example and in a test, and on the page of every key.

A key is a pair: the mapping of the schema that it belongs to, and its name; `key` of `cache` is not `key` of `dedupe`. Which keys
a definition uses is found by walking it beside the schema, so that a word in a comment, an output or a script does not count.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agentctl.language.project.file import _KEYS as PROJECT_KEYS
from agentctl.language.schema import schema
from agentctl.language.yaml.reader import read_text
from agentctl.spec.catalog import BUILT_IN as ACTIONS

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = [*REPOSITORY.glob("examples/**/*.yaml"), *REPOSITORY.glob("loops/**/*.yaml"), *REPOSITORY.glob("skills/**/*.yaml")]
PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*/README.md")])
TESTS = sorted(REPOSITORY.glob("tests/**/test_*.py"))
CHECKED_ONLY = "tests/unit/language"  # tests there load definitions, and run none
NOT_YET = {name for name, action in ACTIONS.items() if not action.is_supported}
Key = tuple[str, str]  # place of the mapping in the schema, name


def _page_maker() -> Any:
    """The script docs/make_reference.py as a module: docs is no package."""
    spec = importlib.util.spec_from_file_location("make_reference", REPOSITORY / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _page_maker()


def keys_of(document: dict[str, Any]) -> set[Key]:
    return {(shape.place, key) for shape in REFERENCE.shapes(document) for key in shape.node["properties"]}


def used(data: Any, document: dict[str, Any], place: str, node: Any) -> Iterator[Key]:
    """The keys of `document` that `data`, a value of the schema `node` at `place`, uses."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        place = node["$ref"]
        node = document["$defs"][place.rsplit("/", 1)[-1]]
    if isinstance(data, dict):
        known, others = node.get("properties", {}), node.get("additionalProperties")
        for key, value in data.items():
            if key in known:
                yield place, key
                yield from used(value, document, f"{place}/properties/{key}", known[key])
            else:
                yield from used(value, document, f"{place}/additionalProperties", others)
    elif isinstance(data, list):
        for item in data:
            yield from used(item, document, f"{place}/items", node.get("items"))
    for index, part in enumerate(node.get("allOf", ())):
        yield from used(data, document, f"{place}/allOf/{index}", part)
    if isinstance(data, dict) and node.get("if", {}).get("type") == "object":
        yield from used(data, document, f"{place}/then", node.get("then"))


def used_in(text: str) -> set[Key]:
    """The keys that a YAML text uses: a definition, the steps of one, or a single step; of anything else none."""
    if ":" not in text or len(text) > 100_000:
        return set()
    data = read_text(textwrap.dedent(text)).data
    step = schema()["$defs"]["step"]
    if isinstance(data, dict) and "steps" in data:
        return set(used(data, schema(), "#", schema()))
    steps = data if isinstance(data, list) else [data]
    if all(isinstance(item, dict) and set(ACTIONS) & set(item) and set(item) <= set(step["properties"]) for item in steps):
        return {key for item in steps for key in used(item, schema(), "#/$defs/step", step)}
    return set()


@cache
def used_by_examples() -> set[Key]:
    blocks = [block for page in PAGES for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)]
    texts = [*(file.read_text(encoding="utf-8") for file in SHIPPED), *blocks]
    return {key for text in texts for key in used_in(text)}


@cache
def used_by_tests(*, checked_only: bool) -> set[Key]:
    """By the YAML in the string literals of the tests, those too that only load it or not.

    Shipped definitions, which other tests run, do not count: a test is meant to say itself what it is about.
    """
    found: set[Key] = set()
    for file in TESTS:
        if checked_only or not file.is_relative_to(REPOSITORY / CHECKED_ONLY):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= used_in(node.value)
    return found


def performed() -> set[Key]:
    """The keys that mean something in this version: not those of actions that it refuses."""
    idle = "|".join(NOT_YET)
    where = re.compile(rf"#/\$defs/(step/properties/)?({idle})(/|$)")
    words = set(NOT_YET)
    return {(place, key) for place, key in keys_of(schema()) if not where.match(place) and key not in words}


def told(keys: set[Key]) -> list[str]:
    return sorted(f"{place}: {key}" for place, key in keys)


def test_every_key_stands_in_an_example_or_in_the_docs():
    assert told(performed() - used_by_examples()) == []


def test_every_key_stands_in_a_test_that_runs_definitions():
    assert told(performed() - used_by_tests(checked_only=False)) == []


def test_every_other_key_stands_in_a_definition_that_is_checked():
    assert told(keys_of(schema()) - used_by_tests(checked_only=True)) == []


def test_every_key_of_the_project_file_is_told_in_the_docs():
    page = (REPOSITORY / "docs" / "language.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```yaml\n# agentctl\.yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert set(PROJECT_KEYS) == set(read_text(block).data)


def test_the_page_of_every_key_is_what_the_schema_says():
    said = "run `python docs/make_reference.py`"
    assert REFERENCE.PAGE.read_text(encoding="utf-8") == REFERENCE.page(), said


def test_the_page_of_every_key_has_a_section_for_each_mapping_and_a_row_for_each_key():
    sections = REFERENCE.PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    rows = {section.split("\n")[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) for section in sections}
    shapes = list(REFERENCE.shapes(schema()))
    assert len(rows) == len(sections) == len(shapes)
    assert rows == {REFERENCE.heading(shape): list(shape.node["properties"]) for shape in shapes}
    anchors = {REFERENCE.anchor(title) for title in rows}
    assert set(re.findall(r"\]\(#([^)]+)\)", "".join(sections))) <= anchors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loop: x\nsteps: [{cache: {key: k, ttl: 1h}, shell: x}]", {("#/$defs/step/properties/cache", "ttl"), ("#", "loop")}),
        ("- {shell: {run: x, env: {timeout: 1}}}", {("#/$defs/shell/allOf/2/then", "env")}),
        ("{set: {retry: 1}}", {("#/$defs/step", "set")}),
    ],
)
def test_the_search_finds_a_key_where_it_is_one(text, expected):
    assert expected <= used_in(text)
    assert not {("#/$defs/step", "timeout"), ("#/$defs/step", "retry")} & used_in(text)
