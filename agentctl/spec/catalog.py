"""Every action and every kind of trigger there is: those of this package, and those of installed ones.

A package offers actions under the entry point group `agentctl.actions` and trigger kinds under `agentctl.triggers`: each entry
point names an `ActionSpec` or a `TriggerSpec`. They are looked for once a process, when something is asked for that this package
does not have, or when all are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from agentctl.errors import UsageError
from agentctl.spec.agent import AGENT, PUBLISH
from agentctl.spec.control import APPROVE, FOREACH, REPEAT, SKILL, STEPS, WAIT
from agentctl.spec.errors import COMMON
from agentctl.spec.http import HTTP
from agentctl.spec.llm import LLM
from agentctl.spec.processes import PYTHON, SHELL
from agentctl.spec.triggers import CRON, EVENT, EVERY, FILE, WEBHOOK
from agentctl.spec.types import ActionSpec, ErrorType, TriggerSpec
from agentctl.spec.values import EMIT, FAIL, HISTORY, REMEMBER, RETURN, SET

ACTIONS_GROUP = "agentctl.actions"
TRIGGERS_GROUP = "agentctl.triggers"

# In the order in which messages and docs list them.
BUILT_IN: dict[str, ActionSpec] = {
    spec.name: spec
    for spec in (
        SHELL, PYTHON, HTTP, LLM, AGENT, SKILL, WAIT, APPROVE, FOREACH, REPEAT, STEPS,
        SET, REMEMBER, EMIT, FAIL, RETURN, HISTORY, PUBLISH,
    )
}  # fmt: skip
BUILT_IN_TRIGGERS: dict[str, TriggerSpec] = {spec.name: spec for spec in (CRON, EVERY, EVENT, WEBHOOK, FILE)}


def actions() -> dict[str, ActionSpec]:
    """Every action by name, installed packages included. Raises UsageError for a package whose action cannot be used."""
    return {**BUILT_IN, **_installed_actions()}


def action(name: str) -> ActionSpec | None:
    """One action. Looks among installed packages only for a name that this package does not have."""
    return BUILT_IN.get(name) or _installed_actions().get(name)


def takes_references(name: str) -> bool:
    """Whether parameters of the action can hold large values as references to their files."""
    found = BUILT_IN.get(name)
    return found is not None and (found.is_pure or bool(found.streams))


def triggers() -> dict[str, TriggerSpec]:
    """Every kind of trigger by name. Raises UsageError for a package whose kind cannot be used."""
    return {**BUILT_IN_TRIGGERS, **_installed_triggers()}


def trigger(name: str) -> TriggerSpec | None:
    return BUILT_IN_TRIGGERS.get(name) or _installed_triggers().get(name)


def error_type(name: str) -> ErrorType | None:
    """What is known of a type of error: the entry with the most specific name that fits. None: a type of the user's own.

    Installed actions count from when they were first asked for, so this never reads a disk.
    """
    return _errors.get(name) or next((error for error in _patterns if fnmatchcase(name, error.name)), None)


def error_types() -> dict[str, ErrorType]:
    """Every type of error by name, those of installed actions included."""
    _installed_actions()
    return dict(_errors)


_errors: dict[str, ErrorType] = {}
_patterns: list[ErrorType] = []


def _learn(errors: Iterable[ErrorType]) -> None:
    """Take types of errors into the tables. A type that is known stays as it is."""
    for error in errors:
        _errors.setdefault(error.name, error)
    _patterns[:] = sorted((error for error in _errors.values() if "*" in error.name), key=lambda error: -len(error.name))


_learn([*COMMON, *(error for spec in BUILT_IN.values() for error in spec.errors)])


@cache
def _installed_actions() -> dict[str, ActionSpec]:
    found = _installed(ACTIONS_GROUP, ActionSpec, BUILT_IN)
    _learn(error for spec in found.values() for error in spec.errors)
    return found


@cache
def _installed_triggers() -> dict[str, TriggerSpec]:
    return _installed(TRIGGERS_GROUP, TriggerSpec, BUILT_IN_TRIGGERS)


def _installed(group: str, kind: type[Any], built_in: Mapping[str, Any]) -> dict[str, Any]:
    """name -> what the entry points of a group name. Raises UsageError for one that is of no use."""
    from importlib.metadata import entry_points

    found: dict[str, Any] = {}
    for point in entry_points(group=group):
        package = point.dist.name if point.dist is not None else point.value
        try:
            spec = point.load()
        except Exception as error:  # whatever the package raises while it is imported
            raise UsageError(f"the package {package} cannot be used: {point.value}: {type(error).__name__}: {error}") from error
        if not isinstance(spec, kind):
            raise UsageError(f"the package {package} cannot be used: {point.value} is no {kind.__name__}")
        if spec.name in built_in or spec.name in found:
            raise UsageError(f"the package {package} offers '{spec.name}' under {group}, and that name is taken")
        found[spec.name] = spec
    return found
