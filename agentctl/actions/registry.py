"""The actions by name. Each is imported when it is first asked for: a run of `set` steps imports no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from agentctl import spec
from agentctl.actions.models import named_secrets, written_keys
from agentctl.ports import Action, ActionContext, DescribeSkill, Store

if TYPE_CHECKING:
    from agentctl.actions.secrets import Secrets


# What an agent performs while it runs; no step of a definition is one of these.
INTERNAL = {"turn": "agentctl.actions.model_turn:make", "tools": "agentctl.actions.tool_list:make"}


class Actions(Mapping[str, Action]):
    """name -> Action, each made at its first use and then kept."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self._made: dict[str, Action] = {}

    def __getitem__(self, name: str) -> Action:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name, found in spec.actions().items() if is_performed(found))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _make(self, name: str) -> Action:
        implementation = INTERNAL.get(name)
        if implementation is None:
            found = spec.action(name)
            if found is None or not is_performed(found):
                raise KeyError(name)
            implementation = found.implementation
        module, _, function = implementation.partition(":")
        return cast(Action, getattr(import_module(module), function)(self._context))


def is_performed(found: spec.ActionSpec) -> bool:
    """Whether an engine performs it: the interpreter carries out the others, or this version supports them not at all."""
    return found.performer == "engine" and found.is_supported


def build(
    models: Mapping[str, Any] | None = None,
    secrets: Secrets | None = None,
    store: Store | None = None,
    policy: Mapping[str, Any] | None = None,
    describe_skill: DescribeSkill | None = None,
    skill_names: Callable[[], list[str]] = list,
) -> Actions:
    """All actions of a project. `models`, `policy`: of its file; `secrets`: where API keys are, if not in the environment alone.

    `store`: that of the project, for `history`.  `describe_skill`, `skill_names`: see `ActionContext`.
    """
    read_key = os.environ.get if secrets is None else secrets.get
    if secrets is not None and models:
        secrets.mask(written_keys(models))
        secrets.expect(named_secrets(models))
    return Actions(
        ActionContext(
            models=models or {},
            read_key=read_key,
            store=store,
            policy=policy or {},
            describe_skill=describe_skill,
            skill_names=skill_names,
        )
    )


def action(name: str) -> Action:
    """One action by name, for a project without models. Raises KeyError when there is none of that name."""
    return build()[name]
