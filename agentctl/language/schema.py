"""The JSON Schema of a definition: what `agentctl schema` prints and editors complete by.

schema.json beside this file has what belongs to no action and no kind of trigger; these come from their specs.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from agentctl import spec
from agentctl.errors import UsageError

Schema = dict[str, Any]


@cache
def schema() -> Schema:
    """JSON Schema draft 2020-12, installed actions and triggers included. Callers must not change it.

    Keys that begin with `x-` are for our messages: `x-expected` says what the value should be, `x-code` the problem's code,
    `x-one` what exactly one of is needed, `x-key` a key that stands beside others. Formats that begin with `agentctl-` are
    checked by `formats`.
    """
    text = (files("agentctl.language") / "schema.json").read_text(encoding="utf-8")
    loaded: Schema = json.loads(text)
    definitions = loaded["$defs"]
    for action in spec.actions().values():
        definitions.update(action.definitions)
        if _has_keys(action.schema):
            definitions[action.name] = action.schema
    _add_actions(definitions["step"], list(spec.actions().values()))
    _add_triggers(definitions["trigger"], list(spec.triggers().values()))
    return loaded


def _add_actions(step: Schema, actions: list[spec.ActionSpec]) -> None:
    for action in actions:
        _put(step["properties"], action.name, {"$ref": f"#/$defs/{action.name}"} if _has_keys(action.schema) else action.schema)
        for key, node in action.beside.items():
            _put(step["properties"], key, node)
    step["oneOf"] = [_choice(action.name, actions) for action in actions]
    needed = {action.name: list(action.needs) for action in actions if action.needs}
    step["allOf"] = []
    for key in dict.fromkeys(key for action in actions for key in action.beside):
        holders = _holders(key, actions)
        if len(holders) == 1:
            needed[key] = holders
        elif holders:
            anyone = [{"required": [name]} for name in holders]
            step["allOf"].append({"if": {"required": [key]}, "then": {"x-key": key, "anyOf": anyone}})
    step["dependentRequired"] = {**needed, **step["dependentRequired"]}


def _holders(key: str, actions: list[spec.ActionSpec]) -> list[str]:
    """The actions one of which a key stands beside; none for a key that is an action by itself.

    An action that needs another of them is left out: `foreach` needs `steps`, so `output` beside it stands beside `steps`.
    """
    if any(action.name == key for action in actions):
        return []
    names = [action.name for action in actions if key in action.beside]
    return [action.name for action in actions if action.name in names and not set(action.needs) & set(names)]


def _choice(name: str, actions: list[spec.ActionSpec]) -> Schema:
    """The action of that name, where it is one: `steps` is none beside `foreach` and `repeat`, which need it."""
    holders = [action.name for action in actions if name in action.needs]
    return {"required": [name], **({"properties": dict.fromkeys(holders, False)} if holders else {})}


def _add_triggers(trigger: Schema, kinds: list[spec.TriggerSpec]) -> None:
    common = list(trigger["properties"])
    own: Schema = {}
    for kind in kinds:
        _put(own, kind.name, kind.schema)
        for key, node in kind.keys.items():
            _put(own, key, node)
    trigger["properties"] = {**own, **trigger["properties"]}
    trigger["oneOf"] = [{"required": [kind.name]} for kind in kinds]
    trigger["allOf"] = [_only_its_keys(kind, common if kind.has_event else []) for kind in kinds]


def _only_its_keys(kind: spec.TriggerSpec, more: list[str]) -> Schema:
    title = f"{'an' if kind.name[0] in 'aeiou' else 'a'} {kind.name} trigger"
    names = {"title": title, "enum": [kind.name, *kind.keys, *more]}
    return {"if": {"required": [kind.name]}, "then": {"propertyNames": names}}


def _put(properties: Schema, key: str, node: Schema) -> None:
    """Raises UsageError when an installed package gives a key that is there another meaning."""
    if properties.setdefault(key, node) != node:
        raise UsageError(f"an installed package gives the key '{key}' another schema than agentctl does")


def _has_keys(node: Any) -> bool:
    """Whether a schema has a mapping with keys of its own: then it has a name under `$defs`, and a section in the docs."""
    if isinstance(node, dict):
        return "properties" in node or any(map(_has_keys, node.values()))
    return isinstance(node, list) and any(map(_has_keys, node))
