"""The child that describes a function as a tool. Run as a file, under `python -P`; imports nothing of agentctl.

argv: ROOT MODULE:FUNCTION FD. Writes `{"description": ..., "parameters": JSON Schema}` or `{"failure": why}` to FD.
The schema follows the annotations; `Args:` of the docstring describes the parameters.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
import types
import typing
from typing import Any

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def main() -> None:
    root, target, descriptor = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, root)
    os.set_inheritable(descriptor, False)
    try:
        answer = described(_find(target))
    except BaseException as error:  # whatever the module raises as it is imported
        answer = {"failure": f"{type(error).__name__}: {error}"}
    with open(descriptor, "w", encoding="utf-8") as channel:
        channel.write(json.dumps(answer))


def _find(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def described(function: Any) -> dict[str, Any]:
    """Raises ValueError for a parameter that cannot be given by name, or whose type no JSON value is of."""
    text = inspect.getdoc(function) or ""
    told = _parameter_lines(text)
    properties: dict[str, Any] = {}
    required: list[str] = []
    further = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            further = True
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise ValueError(f"the parameter {name} cannot be given by name")
        schema = schema_of(_hints(function).get(name, Any))
        if name in told:
            schema["description"] = told[name]
        if parameter.default is parameter.empty:
            required.append(name)
        elif _is_json(parameter.default):
            schema["default"] = parameter.default
        properties[name] = schema
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": further}
    summary = re.split(r"\n\s*(?:Args|Arguments|Parameters|Returns|Raises)\b\s*:?", text)[0]
    return {"description": summary.strip(), "parameters": parameters}


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError:  # an annotation that is only there for type checkers
        return {}


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON Schema of an annotation; of one that says nothing of JSON, one that takes anything."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if hint in (list, tuple, set) or origin in (list, tuple, set, typing.get_origin(typing.Sequence[int])):
        return {"type": "array", "items": schema_of(arguments[0])} if arguments else {"type": "array"}
    if typing.is_typeddict(hint):
        properties = {name: schema_of(inner) for name, inner in typing.get_type_hints(hint).items()}
        return {"type": "object", "properties": properties, "required": sorted(hint.__required_keys__)}
    if hint is dict or origin in (dict, typing.get_origin(typing.Mapping[str, int])):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])} if len(arguments) == 2 else {"type": "object"}
    return {}


def _parameter_lines(text: str) -> dict[str, str]:
    """What `Args:` or `:param name:` of a docstring says of each parameter."""
    found = dict(re.findall(r":param (?:\w+ )?(\w+):\s*(.+)", text))
    section = re.search(r"(?:Args|Arguments|Parameters)\s*:\s*\n(.*?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    for name, said in re.findall(r"^\s*(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)$", section[1] if section else "", re.MULTILINE):
        found[name] = said.strip()
    return found


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
