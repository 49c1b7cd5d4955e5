"""The actions by name. Each file is imported when its action is first asked for: a run of `set` steps imports no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentctl.ports import Action, Store

if TYPE_CHECKING:
    from agentctl.actions.secrets import Secrets


class Actions(Mapping[str, Action]):
    """name -> Action, each made at its first use and then kept. `models`, `read_key`: see `llm.LlmAction`.

    `store`: what `history` reads.  `policy`: as agentctl.yaml has it.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        read_key: Callable[[str], str | None],
        store: Store | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        self.models = models
        self.read_key = read_key
        self.store = store
        self.policy = policy or {}
        self._made: dict[str, Action] = {}

    def __getitem__(self, name: str) -> Action:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = _MAKERS[name](self)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    def __len__(self) -> int:
        return len(_MAKERS)


def _set(project: Actions) -> Action:
    from agentctl.actions.set import SetAction

    return SetAction()


def _emit(project: Actions) -> Action:
    from agentctl.actions.emit import EmitAction

    return EmitAction()


def _remember(project: Actions) -> Action:
    from agentctl.actions.remember import RememberAction

    return RememberAction()


def _history(project: Actions) -> Action:
    from agentctl.actions.history import HistoryAction

    return HistoryAction(project.store)


def _shell(project: Actions) -> Action:
    from agentctl.actions.shell import ShellAction

    return ShellAction()


def _python(project: Actions) -> Action:
    from agentctl.actions.python import PythonAction

    return PythonAction()


def _http(project: Actions) -> Action:
    from agentctl.actions.http import HttpAction

    deny = (project.policy.get("http") or {}).get("deny") or []
    return HttpAction([deny] if isinstance(deny, str) else deny)


def _llm(project: Actions) -> Action:
    from agentctl.actions.llm import LlmAction

    return LlmAction(project.models, project.read_key)


_MAKERS: dict[str, Callable[[Actions], Action]] = {
    "set": _set,
    "emit": _emit,
    "remember": _remember,
    "history": _history,
    "shell": _shell,
    "python": _python,
    "http": _http,
    "llm": _llm,
}

ACTIONS: frozenset[str] = frozenset(_MAKERS)


def build(
    models: Mapping[str, Any] | None = None,
    secrets: Secrets | None = None,
    store: Store | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Actions:
    """All actions of a project. `models`: of its file; `secrets`: where API keys are, if not in the environment alone.

    `store`: that of the project, for `history`.  `policy`: of the project's file, for `http`.
    """
    return Actions(models or {}, os.environ.get if secrets is None else secrets.get, store, policy)


def action(name: str) -> Action:
    """One action by name, for a project without models. Raises KeyError when there is none of that name."""
    return build()[name]
