"""Triggers and flow control: what they can see, and what a schema cannot say of them."""

from __future__ import annotations

from typing import Any

from agentctl.expressions.duration import parse_duration
from agentctl.expressions.nearest import did_you_mean
from agentctl.language.source import Source
from agentctl.language.vocabulary import FLOW
from agentctl.language.walk import Scope, Walk

_OF_TRIGGERS = Scope(only=frozenset({"event", "vars", "now"}), no_secrets="a trigger")
_OF_FLOW = Scope(only=frozenset({"input", "event", "run", "vars", "now"}), no_secrets="flow control")
_SHORTEST = 0.1  # seconds between two slots of a schedule


def check_triggers(source: Source, walk: Walk) -> None:
    triggers = source.data.get("triggers")
    for index, trigger in enumerate(triggers if isinstance(triggers, list) else ()):
        if isinstance(trigger, dict):
            _trigger(source, walk, index, trigger)


def _trigger(source: Source, walk: Walk, index: int, trigger: dict[str, Any]) -> None:
    path = ("triggers", index)
    if "if" in trigger:
        walk.expression((*path, "if"), trigger["if"], _OF_TRIGGERS)
    for key in ("event", "cron", "every", "webhook", "file", "timezone"):
        if key in trigger:
            walk.fixed((*path, key), trigger[key], key)
    mapped = trigger.get("input")
    for name, value in mapped.items() if isinstance(mapped, dict) else ():
        if name not in walk.names.inputs:
            hint = did_you_mean(name, walk.names.inputs) if walk.names.inputs else "; the definition declares no input"
            source.report(source.at((*path, "input", name)), "unknown-input", f"there is no input '{name}'{hint}")
        walk.value((*path, "input", name), value, _OF_TRIGGERS)
    if "webhook" in trigger and "secret" not in trigger and trigger.get("scheme") != "none":
        message = "a webhook needs 'secret: ${{ secrets.NAME }}', or 'scheme: none' to let anybody start it"
        source.report(source.at((*path, "webhook")), "missing-key", message)
    if "max" in trigger and trigger.get("catch_up") != "all" and ("cron" in trigger or "every" in trigger):
        source.report(source.at((*path, "max")), "misplaced-key", "'max' has a meaning only beside 'catch_up: all'")
    _period(source, (*path, "every"), trigger.get("every"))
    kind = "cron" if "cron" in trigger else "every" if "every" in trigger else None
    needed = [name for name, schema in walk.names.inputs.items() if isinstance(schema, dict) and "default" not in schema]
    if kind and needed:
        message = f"the input '{needed[0]}' has no default, so this trigger cannot start a run"
        source.report(source.at((*path, kind)), "input-default-missing", message, "warning")


def _period(source: Source, path: tuple[str | int, ...], every: Any) -> None:
    try:
        if parse_duration(every) >= _SHORTEST:
            return
    except ValueError:
        return  # absent, or told by the schema
    source.report(source.at(path), "wrong-value", f"'every: {every}' is too short; the shortest interval is 100ms")


def check_flow(source: Source, walk: Walk) -> None:
    for key in FLOW:
        value = source.data.get(key)
        if key == "priority" and isinstance(value, str):
            walk.expression((key,), value, _OF_FLOW)
        elif isinstance(value, dict):
            walk.value((key,), value, _OF_FLOW)
