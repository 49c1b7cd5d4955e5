"""`models:` of agentctl.yaml: names of models, and entries with settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.secrecy import secret_parts
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path as KeyPath

_PRICES = ("input", "output")


def check_model(source: Source, path: KeyPath, alias: str, model: Any) -> None:
    """Report what is wrong with one entry. Settings that are not ours are handed to litellm."""
    if isinstance(model, str) and model:
        _no_expression(source, path, model)
        return
    if not isinstance(model, dict):
        message = f"the model '{alias}' has to be a name such as openai/gpt-5-mini, or a mapping with 'model'"
        source.report(source.at(path), "wrong-type", message)
        return
    if not isinstance(model.get("model"), str):
        source.report(source.at(path), "missing-key", f"the model '{alias}' needs the key 'model', such as ollama/qwen3")
    for key, value in model.items():
        if key == "model":
            _no_expression(source, (*path, key), value)
        elif key == "price":
            _price(source, (*path, key), value)
        elif key in _SETTINGS:
            fits, what = _SETTINGS[key]
            if not fits(value):
                source.report(source.at((*path, key)), "wrong-value", f"'{key}' has to be {what}, not {value!r}")
        else:
            _secrets(source, (*path, key), value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "supports_schema": (_is_flag, "true or false"),
    "context": (_is_count, "a number of tokens above 0"),
    "cache": (_is_flag, "true or false"),
    "stream": (_is_flag, "true or false"),
    "tool_calls": (lambda value: value in ("native", "schema"), "native or schema"),
}


def _price(source: Source, path: KeyPath, value: Any) -> None:
    if value == "server":
        return
    if not isinstance(value, dict) or not set(_PRICES) <= set(value):
        message = "'price' has to be {input: DOLLARS, output: DOLLARS} per million tokens, or 'server' for what it reports"
        source.report(source.at(path), "wrong-value", message)
        return
    for key, number in value.items():
        if key not in _PRICES:
            source.report(source.at((*path, key)), "unknown-key", f"unknown key '{key}' in 'price'{did_you_mean(key, _PRICES)}")
        elif isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            message = f"'{key}' has to be US dollars per million tokens, not {number!r}"
            source.report(source.at((*path, key)), "wrong-value", message)


def _no_expression(source: Source, path: KeyPath, value: Any) -> None:
    if isinstance(value, str) and "${{" in value:
        source.report(source.at(path), "expression", "the name of a model cannot contain an expression")


def _secrets(source: Source, path: KeyPath, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _secrets(source, (*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _secrets(source, (*path, index), item)
    elif isinstance(value, str) and "${{" in value:
        try:
            secret_parts(value)
        except ExpressionError as error:
            source.report(source.inside(path, error.offset), "expression", error.message)
