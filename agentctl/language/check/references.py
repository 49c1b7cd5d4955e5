"""One reference of an expression: is there such a name here, and what does it make a step wait for?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.check.scopes import Frame, Scope
from agentctl.language.problems import Severity
from agentctl.language.vocabulary import (
    ALWAYS,
    ELSEWHERE,
    ERROR_FIELDS,
    EVENT_FIELDS,
    RUN_FIELDS,
    STEP_FIELDS,
    actions_of,
    step_ids,
)
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Place
from agentctl.model import HANDLERS

Name = tuple[str | int, ...]
_FIELDS = {"run": RUN_FIELDS, "event": EVENT_FIELDS, "error": ERROR_FIELDS}


class Names:
    """The names of one definition.

    `variables`: those of the project file; None when there is none to ask.
    `secrets`: those that are set; None when nobody asks.
    """

    def __init__(
        self, source: Source, variables: Iterable[str] | None = None, secrets: Collection[str] | None = None
    ) -> None:
        self.source = source
        declared = source.data.get("input")
        self.inputs: dict[str, Any] = declared if isinstance(declared, dict) else {}
        self.variables = None if variables is None else set(variables)
        self.arguments: set[str] | None = None  # those of the tool that the walk is in, where the file declares them
        self.secrets = secrets
        self.unset_secrets: list[tuple[str | int, Callable[[], Place]]] = []
        self.tested_secrets: set[str | int] = set()
        self.tested: set[str | int] = set()  # variables that the file asks after: they may be unset
        self.unset: list[tuple[str | int, Callable[[], Place]]] = []
        self.homes = dict(_homes(source.data))
        main = source.data.get("steps")
        self.top = set(step_ids(main)) if isinstance(main, list) else set()

    def check(self, name: Name, where: Callable[[], Place], scope: Scope, *, optional: bool = False) -> None:
        """Report what is wrong with the reference; note the need it makes. `optional`: it may be undefined where it stands."""
        top = str(name[0])
        if top == "vars" and optional:
            self.tested.update(name[1:2])
            return
        if top not in scope.known:
            self.unknown(top, where, scope, "warning" if optional else "error")
        elif top == "steps":
            self.step(name, where, scope.frames)
        elif top == "secrets":
            self.secret(name, where, scope, optional=optional)
        elif len(name) > 1:
            self.field(top, name[1], where)

    def unknown(self, top: str, where: Callable[[], Place], scope: Scope, severity: Severity) -> None:
        known = scope.known
        if top == "item" and scope.item in known:
            code, message = "out-of-scope", f"the item is called '{scope.item}' here; write '{scope.item}'"
        elif top in ELSEWHERE:
            code, message = "out-of-scope", f"'{top}' has a value only {ELSEWHERE[top]}"
        elif top in ALWAYS:
            code, message = "out-of-scope", f"'{top}' has no value here; this can use {', '.join(sorted(known))}"
        elif top in self.inputs:
            code, message = "unknown-name", f"there is no name '{top}'; did you mean 'input.{top}'?"
        elif top in self.homes or top in self.top:
            code, message = "unknown-name", f"there is no name '{top}'; did you mean 'steps.{top}'?"
        else:
            code, message = "unknown-name", f"there is no name '{top}'{did_you_mean(top, known)}"
        self.source.report(where(), code, message, severity)

    def step(self, name: Name, where: Callable[[], Place], frames: tuple[Frame, ...]) -> None:
        if len(name) < 2 or not isinstance(name[1], str):
            message = "write steps.ID: which step is meant has to be readable from the file"
            self.source.report(where(), "unknown-step", message)
            return
        wanted = name[1]
        for frame in reversed(frames):
            if wanted in frame.ids:
                self.use(wanted, frame, where)
                break
        else:
            self.missing(wanted, where, frames)
            return
        if len(name) > 2 and name[2] not in STEP_FIELDS:
            hint = did_you_mean(str(name[2]), STEP_FIELDS) or f"; did you mean 'steps.{wanted}.output.{name[2]}'?"
            self.source.report(where(), "unknown-name", f"a step has no '{name[2]}'{hint}")
        elif len(name) > 3 and name[2] == "error" and name[3] not in ERROR_FIELDS:
            hint = did_you_mean(str(name[3]), ERROR_FIELDS)
            self.source.report(where(), "unknown-name", f"an error has no '{name[3]}'{hint}")

    def use(self, wanted: str, frame: Frame, where: Callable[[], Place]) -> None:
        if frame.current is None or wanted == frame.own:
            return
        if frame.ids[wanted] == frame.current:
            self.source.report(where(), "cycle", f"step '{wanted}' cannot use its own result")
            return
        refs = frame.refs.setdefault(frame.current, {})
        if wanted not in refs:
            refs[wanted] = where()

    def missing(self, wanted: str, where: Callable[[], Place], frames: tuple[Frame, ...]) -> None:
        home = self.homes.get(wanted)
        if home:
            self.source.report(where(), "out-of-scope", f"steps.{wanted} is inside {home} and not visible here")
            return
        visible = [name for frame in frames for name in frame.ids]
        self.source.report(where(), "unknown-step", f"there is no step '{wanted}'{did_you_mean(wanted, visible)}")

    def secret(self, name: Name, where: Callable[[], Place], scope: Scope, *, optional: bool) -> None:
        if scope.no_secrets is not None:
            message = f"a secret can only be used in the step that needs it, not in {scope.no_secrets}"
            self.source.report(where(), "secret-here", message)
        elif len(name) < 2:
            message = "write secrets.NAME: which secret is meant has to be readable from the file"
            self.source.report(where(), "expression", message)
        elif optional:
            self.tested_secrets.add(name[1])
        elif self.secrets is not None and name[1] not in self.secrets:
            self.unset_secrets.append((name[1], where))

    def field(self, top: str, part: str | int, where: Callable[[], Place]) -> None:
        if top == "input" and part not in self.inputs:
            hint = did_you_mean(str(part), self.inputs) if self.inputs else "; the definition declares no input"
            self.source.report(where(), "unknown-input", f"there is no input '{part}'{hint}")
        elif top == "args" and self.arguments is not None and part not in self.arguments:
            hint = did_you_mean(str(part), self.arguments) if self.arguments else "; it declares none"
            self.source.report(where(), "unknown-name", f"the tool has no argument '{part}'{hint}")
        elif top == "vars" and self.variables is not None and part not in self.variables:
            self.unset.append((part, where))
        elif top in _FIELDS and part not in _FIELDS[top]:
            kind = "an" if top[0] == "e" else "a"
            hint = did_you_mean(str(part), _FIELDS[top])
            self.source.report(where(), "unknown-name", f"{kind} {top} has no '{part}'{hint}")

    def report_unset_variables(self) -> None:
        """Warn of variables that the project file does not set, but for those the file itself tests (`is defined`, `default`)."""
        for part, where in self.unset:
            if part not in self.tested:
                message = f"the project file sets no variable '{part}'{did_you_mean(str(part), self.variables or ())}"
                self.source.report(where(), "unknown-var", message, "warning")

    def report_unset_secrets(self) -> None:
        """Warn of secrets that are not set here, except those that the file itself tests (`is defined`, `default`)."""
        for part, where in self.unset_secrets:
            if part not in self.tested_secrets:
                message = f"the secret '{part}' is not set: put it into the environment or the project's .env"
                self.source.report(where(), "unset-secret", message, "warning")


def _homes(value: Any, home: str = "") -> Iterable[tuple[str, str]]:
    """Every step id that is inside something, with what it is inside of."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, list) and key in ("steps", "fallback", "probe", *HANDLERS):
                yield from _list(key, item, home)
            elif key in ("undo", "on_unknown"):
                yield from _homes(item, home)


def _list(key: str, steps: list[Any], home: str) -> Iterable[tuple[str, str]]:
    inner = home
    if key != "steps":
        inner = f"the {key} of {home}" if home else f"'{key}'"
    for name, step in zip(step_ids(steps), steps, strict=True):
        if inner:
            yield name, inner
        if isinstance(step, dict):
            actions = actions_of(step)
            kind = "group" if actions[:1] == ["steps"] else actions[0] if actions else "step"
            yield from _homes(step, f"{kind} '{name}'")
