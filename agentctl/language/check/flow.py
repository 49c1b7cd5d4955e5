"""Triggers and flow control: what they can see, what a schema cannot say of them, and how they are built."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from agentctl import model
from agentctl.errors import ExpressionError
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.references import references
from agentctl.expressions.suggestions import did_you_mean
from agentctl.expressions.template import Template
from agentctl.language.check.scopes import Scope, is_bare_expression
from agentctl.language.check.walk import Walk
from agentctl.language.cron import cron_doubt, cron_flaw
from agentctl.language.event_names import event_matches, trigger_pattern_flaw
from agentctl.language.inputs import priority_flaw
from agentctl.language.vocabulary import EVENT_FIELDS, FLOW
from agentctl.language.yaml.reader import Source
from agentctl.spec import triggers

_OF_TRIGGERS = Scope(only=frozenset({"event", "vars", "now"}), no_secrets="a trigger")
_OF_FLOW = Scope(only=frozenset({"input", "event", "run", "vars", "now"}), no_secrets="flow control")
_SHORTEST = 0.1  # seconds between two slots of a schedule
_OF_EVENT = re.compile(rf"event\.(?:{'|'.join(EVENT_FIELDS)})(?:\.\w+|\[[^\[\]]*\])*(?:\s*\|.+)?")


def check_triggers(source: Source, walk: Walk) -> None:
    written = source.data.get("triggers")
    for index, trigger in enumerate(written if isinstance(written, list) else ()):
        if isinstance(trigger, dict):
            _trigger(source, walk, index, trigger)


def check_own_events(source: Source, walk: Walk) -> None:
    """Warn of a step that sends the event that starts its own definition, with no `if` on either side."""
    triggers = source.data.get("triggers")
    patterns = [
        trigger["event"]
        for trigger in (triggers if isinstance(triggers, list) else ())
        if isinstance(trigger, dict) and isinstance(trigger.get("event"), str) and "if" not in trigger
    ]
    for name, path in walk.emitted:
        if isinstance(name, str) and any(event_matches(pattern, name) for pattern in patterns):
            message = f"'{name}' starts this definition again, and that run sends it again: the chain ends with event.too_deep"
            source.report(source.at(path), "own-event", message, "warning")


def _trigger(source: Source, walk: Walk, index: int, trigger: dict[str, Any]) -> None:
    path = ("triggers", index)
    if "if" in trigger:
        walk.expression((*path, "if"), trigger["if"], _OF_TRIGGERS)
    for key in (*triggers(), "timezone"):
        if key in trigger:
            walk.fixed((*path, key), trigger[key], key)
    walk.event_name((*path, "event"), trigger.get("event"), trigger_pattern_flaw)
    mapped = trigger.get("input")
    for name, value in mapped.items() if isinstance(mapped, dict) else ():
        if name not in walk.names.inputs:
            hint = did_you_mean(name, walk.names.inputs) if walk.names.inputs else "; the definition declares no input"
            source.report(source.at((*path, "input", name)), "unknown-input", f"there is no input '{name}'{hint}")
        look = walk.expression if _is_of_event(value) else walk.value
        look((*path, "input", name), value, _OF_TRIGGERS)
    if "webhook" in trigger and "secret" not in trigger and trigger.get("scheme") != "none":
        message = "a webhook needs 'secret: ${{ secrets.NAME }}', or 'scheme: none' to let anybody start it"
        source.report(source.at((*path, "webhook")), "missing-key", message)
    if "webhook" in trigger and "secret" in trigger and trigger.get("scheme") == "none":
        message = "'scheme: none' lets anybody start it, whatever the secret: leave one of the two out"
        source.report(source.at((*path, "secret")), "misplaced-key", message)
    _route(source, (*path, "webhook"), trigger.get("webhook"))
    if "max" in trigger and trigger.get("catch_up") != "all" and ("cron" in trigger or "every" in trigger):
        source.report(source.at((*path, "max")), "misplaced-key", "'max' has a meaning only beside 'catch_up: all'")
    _period(source, (*path, "every"), trigger.get("every"))
    _cron(source, (*path, "cron"), trigger.get("cron"))
    _files(source, (*path, "file"), trigger.get("file"))
    kind = "cron" if "cron" in trigger else "every" if "every" in trigger else None
    needed = [name for name, schema in walk.names.inputs.items() if isinstance(schema, dict) and "default" not in schema]
    if kind and needed:
        message = f"the input '{needed[0]}' has no default, so this trigger cannot start a run"
        source.report(source.at((*path, kind)), "input-default-missing", message, "warning")


def _route(source: Source, path: tuple[str | int, ...], route: object) -> None:
    """What no request can have in its path, or would not have when it has come through a proxy."""
    if not isinstance(route, str) or "${{" in route:
        return
    if any(char in "?#%\\" or char.isspace() or not char.isprintable() for char in route) or {".", ".."} & {*route.split("/")}:
        message = f"the path of a webhook has no blanks, no ?, #, % or \\, and no parts . or ..; not {route!r}"
        source.report(source.at(path), "wrong-value", message)


def _period(source: Source, path: tuple[str | int, ...], every: Any) -> None:
    try:
        if parse_duration(every) >= _SHORTEST:
            return
    except ValueError:
        return  # absent, or reported by the schema
    source.report(source.at(path), "wrong-value", f"'every: {every}' is too short; the shortest interval is 100ms")


def _cron(source: Source, path: tuple[str | int, ...], cron: Any) -> None:
    if isinstance(cron, str) and "${{" not in cron and cron_flaw(cron) is None and (doubt := cron_doubt(cron)):
        source.report(source.at(path), "cron-step", doubt, "warning")


def _files(source: Source, path: tuple[str | int, ...], pattern: Any) -> None:
    if not isinstance(pattern, str) or not pattern:
        return  # absent, or reported by the schema
    parts = PurePosixPath(pattern).parts
    if pattern.startswith("/") or ".." in parts:
        message = f"'{pattern}' leads out of the project; a pattern is relative to the project's root, such as inbox/*.json"
        source.report(source.at(path), "wrong-value", message)
    elif not parts or pattern.endswith("/"):
        message = f"'{pattern}' names a folder; a pattern names the files in it, such as inbox/*.json"
        source.report(source.at(path), "wrong-value", message)


def check_flow(source: Source, walk: Walk) -> None:
    for key in FLOW:
        value = source.data.get(key)
        if key == "priority":
            walk.expression((key,), value, _OF_FLOW)
            _constant_priority(source, value)
        elif isinstance(value, dict):
            for name, item in value.items():
                look = walk.key if name == "key" else walk.value
                look((key, name), item, _OF_FLOW)


def _constant_priority(source: Source, value: Any) -> None:
    """A priority that depends on nothing is known before anything starts."""
    try:
        template = parse_expression(value)
        if value is None or references(template):
            return
        flaw = priority_flaw(template.evaluate({}))
    except ExpressionError as error:
        flaw = f"priority cannot be evaluated: {error.message}"
    if flaw and not any(problem.line == source.at(("priority",))[0] for problem in source.problems):
        source.report(source.at(("priority",)), "wrong-value", flaw)


def trigger(data: dict[str, Any]) -> model.Trigger:
    """A trigger that has passed every check."""
    kind = next(kind for kind in triggers() if kind in data)
    mapped = data.get("input")
    return model.Trigger(
        kind=kind,
        what=data[kind],
        settings={key: value for key, value in data.items() if key not in (kind, "if", "input")},
        condition=_condition(data["if"]) if "if" in data else None,
        input=None if mapped is None else {name: _given(value) for name, value in mapped.items()},
    )


def _given(value: Any) -> Template:
    return parse_expression(value) if _is_of_event(value) else parse_value(value)


def _is_of_event(value: object) -> bool:
    """Whether an input is as a whole a part of the event, without `${{ }}`: `event.data.order`, as in the `if` beside it."""
    return isinstance(value, str) and _OF_EVENT.fullmatch(value) is not None


def flow(data: dict[str, Any]) -> model.Flow:
    """What a definition that has passed every check says of flow control."""
    return model.Flow(**{key: _FLOW[key](data[key]) for key in FLOW if key in data})


def _condition(value: str | bool) -> Template:
    return parse_value(value) if isinstance(value, bool) else parse_expression(value)


def _concurrency(data: int | dict[str, Any]) -> model.Concurrency:
    written: dict[str, Any] = {"limit": data} if isinstance(data, int) else data
    return model.Concurrency(written["limit"], _key(written), written.get("on_limit", "queue"))


def _rate(data: dict[str, Any]) -> model.Rate:
    return model.Rate(data["limit"], parse_duration(data["per"]), _key(data))


def _debounce(data: dict[str, Any]) -> model.Debounce:
    return model.Debounce(parse_duration(data["for"]), _key(data))


def _batch(data: dict[str, Any]) -> model.Batch:
    return model.Batch(data["size"], parse_duration(data["for"]), _key(data))


def _dedupe(data: dict[str, Any]) -> model.Dedupe:
    return model.Dedupe(_by(data["key"]), parse_duration(data.get("for", "24h")))


def _priority(data: int | str) -> Template:
    return parse_expression(data) if isinstance(data, str) else parse_value(data)


def _key(data: dict[str, Any]) -> Template | None:
    return _by(data["key"]) if "key" in data else None


def _by(key: str) -> Template:
    return parse_expression(key) if is_bare_expression(key, _OF_FLOW) else parse_value(key)


_FLOW: dict[str, Callable[[Any], Any]] = {
    "concurrency": _concurrency,
    "throttle": _rate,
    "rate_limit": _rate,
    "debounce": _debounce,
    "batch": _batch,
    "priority": _priority,
    "dedupe": _dedupe,
}
