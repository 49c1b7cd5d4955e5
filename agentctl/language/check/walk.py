"""The walk over every step and every expression of a definition: names, references, needs.

Lists of steps are nested, so is the walk: each list under way is a `Frame`, and a reference `steps.x` belongs to the
innermost frame that has an x. There it becomes a need of the step that the walk is inside of at that level.
What it learns (ids, needs, skills called) is what `build` makes the definition from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.references import references
from agentctl.expressions.secrecy import misused_secrets
from agentctl.expressions.template import Template
from agentctl.expressions.values import SECRET_MISUSE
from agentctl.language.check.dependencies import order
from agentctl.language.check.keywords import check_keywords, check_output_keywords
from agentctl.language.check.references import Names
from agentctl.language.check.scopes import Frame, Scope, is_bare_expression
from agentctl.language.check.shell import check_shell
from agentctl.language.check.tools import check_tools
from agentctl.language.event_names import event_name_flaw, wait_pattern_flaw
from agentctl.language.inputs import has_default, wrong_default
from agentctl.language.vocabulary import TAKEN, actions_of, step_ids
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path, Place
from agentctl.model import HANDLERS
from agentctl.spec import action as spec_of
from agentctl.spec.control import APPROVE, WAIT
from agentctl.spec.processes import SHELL

# Keys of a step that hold other steps or expressions of an inner scope; everything else is looked at as it stands.
_NESTED = frozenset({"steps", "fallback", "undo", "on_unknown", "foreach", "repeat", "output", "shell", "wait", "approve"})
_FIXED = frozenset({"id", "name", "needs", "timeout", "retry", "continue_on_error", "effect"})  # of every step
_NOTHING: Mapping[str, str] = MappingProxyType({})
_BARE = re.compile(r"(steps|input)\.([a-z_][a-z0-9_]*)(?:\.[A-Za-z0-9_]+)*")


@dataclass
class Walk:
    """One walk. After `definition()`: `ids` by path of the step, `needs` likewise, `skills` called anywhere with their path."""

    source: Source
    names: Names
    ids: dict[Path, str] = field(default_factory=dict)
    needs: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    skills: list[tuple[str, Path]] = field(default_factory=list)
    emitted: list[tuple[Any, Path]] = field(default_factory=list)  # events that steps without an `if` send
    not_yet: list[Path] = field(default_factory=list)  # actions that this version cannot perform
    bare_keys: set[Path] = field(default_factory=set)  # keys that are expressions without `${{ }}`

    def definition(self) -> None:
        data = self.source.data
        beside = {handler: f"the definition's '{handler}'" for handler in HANDLERS if handler in data}
        main = self.steps(("steps",), data.get("steps"), Scope(), beside)
        after = Scope().inside(main)
        if "output" in data:
            self.value(("output",), data["output"], after.without_secrets("output"))
        for handler in HANDLERS:
            self.steps((handler,), data.get(handler), after.knowing("error"))
        for key in ("defaults", "budget", "permissions"):
            self.fixed((key,), data.get(key), key)

    def steps(self, path: Path, steps: Any, scope: Scope, beside: Mapping[str, str] = _NOTHING) -> Frame:
        """Walk a list of steps. Returns its frame, for what may look at the list once it is done.

        `beside`: ids that would give a step the path of other steps, with a word for these.
        """
        if not isinstance(steps, list):
            return Frame({})
        ids = step_ids(steps)
        frame = Frame({})
        for index, name in enumerate(ids):
            if name in frame.ids:
                line = self.source.at((*path, frame.ids[name]))[0]
                place = self.source.at((*path, index, "id"))
                self.source.report(place, "duplicate-id", f"the id '{name}' is taken by the step in line {line}")
            elif name in beside:
                place = self.source.at((*path, index, "id"))
                message = f"the id '{name}' is taken by {beside[name]}: their steps would have the same path"
                self.source.report(place, "duplicate-id", message)
            else:
                frame.ids[name] = index
            self.ids[(*path, index)] = name
        for index, step in enumerate(steps):
            frame.current = index
            self.step((*path, index), step, scope.inside(frame))
        frame.current = None
        order(self.source, path, steps, ids, frame.ids, frame.refs, self.needs)
        return frame

    def step(self, path: Path, step: Any, scope: Scope) -> None:
        if not isinstance(step, dict):
            return
        found = [spec for spec in map(spec_of, actions_of(step)) if spec is not None]
        self.not_yet += [(*path, spec.name) for spec in found if not spec.is_supported]
        fixed = _FIXED.union(*(spec.fixed & {spec.name, *spec.beside} for spec in found))
        secret = {"if"}.union(*(spec.secrets for spec in found))
        for key, value in step.items():
            if key == "if":
                self.expression((*path, key), value, scope)
            elif key == "idempotency_key":
                self.key((*path, key), value, scope.without_secrets(f"'{key}'"))
            elif key == "cache" and isinstance(value, dict):
                self.key((*path, key, "key"), value.get("key"), scope.without_secrets(f"'{key}'"))
            elif key in fixed:
                self.fixed((*path, key), value, key)
            elif key == "agent" and isinstance(value, dict):
                self.agent((*path, key), value, scope)
            elif key not in _NESTED:
                self.value((*path, key), value, scope if key in secret else scope.without_secrets(f"'{key}'"))
        if "shell" in step:
            check_shell(self.source, path, step)
            self.shell((*path, "shell"), step["shell"], scope)
        if "wait" in step:
            self.wait((*path, "wait"), step["wait"], scope.without_secrets("'wait'"))
        if isinstance(step.get("emit"), dict):
            self.event_name((*path, "emit", "event"), step["emit"].get("event"), event_name_flaw)
            if "if" not in step:
                self.emitted.append((step["emit"].get("event"), (*path, "emit", "event")))
        for action in ("llm", "agent"):
            if isinstance(step.get(action), dict):
                check_output_keywords(self.source, (*path, action, "schema"), step[action].get("schema"))
        if "approve" in step:
            self.approve((*path, "approve"), step["approve"], scope.without_secrets("'approve'"))
        self.called(path, step)
        self.nested(path, step, scope)
        self.beside(path, step, scope)

    def shell(self, path: Path, shell: Any, scope: Scope) -> None:
        if isinstance(shell, list):
            self.value(path, shell, scope)
            self.arguments(path, shell)
        elif isinstance(shell, dict):
            for key, value in shell.items():
                if key == "run" and not isinstance(value, list):
                    continue
                if key in SHELL.fixed:
                    self.fixed((*path, key), value, key)
                else:
                    self.value((*path, key), value, scope)
                if key == "run":
                    self.arguments((*path, key), value)

    def arguments(self, path: Path, argv: list[Any]) -> None:
        """Warn of secrets among the arguments of a process: every user of the host can list these."""
        for index, argument in enumerate(argv):
            try:
                found = references(parse_value(argument))
            except ExpressionError:
                continue  # which is reported already
            if any(reference.path[0] == "secrets" for reference in found):
                message = "every user of the host can see the arguments of a process: pass the secret by 'env' or 'stdin'"
                self.source.report(self.source.at((*path, index)), "secret-argument", message, "warning")

    def agent(self, path: Path, agent: dict[str, Any], scope: Scope) -> None:
        for key, value in agent.items():
            if key == "tools":
                check_tools(self, (*path, key), value, scope)
            elif key in ("max_turns", "on_limit", "stall", "max_parallel", "observation", "compact"):
                self.fixed((*path, key), value, key)
            else:
                self.value((*path, key), value, scope)

    def event_name(self, path: Path, name: Any, flaw: Callable[[str], str | None]) -> None:
        """What is known of it before its expressions, if there are any, are evaluated."""
        message = flaw(name) if isinstance(name, str) and name and "${{" not in name else None
        if message is not None:
            self.source.report(self.source.at(path), "bad-event-name", message)

    def wait(self, path: Path, wait: Any, scope: Scope) -> None:
        if not isinstance(wait, dict):
            self.value(path, wait, scope)
            return
        self.event_name((*path, "event"), wait.get("event"), wait_pattern_flaw)
        for key, value in wait.items():
            if key == "if":
                self.expression((*path, key), value, scope)
            elif key in WAIT.fixed:
                self.fixed((*path, key), value, key)
            else:
                self.value((*path, key), value, scope)

    def approve(self, path: Path, approve: Any, scope: Scope) -> None:
        if not isinstance(approve, dict):
            self.value(path, approve, scope)
            return
        for key, value in approve.items():
            if key == "form" and isinstance(value, dict):
                self.form((*path, key), value, scope, needs_defaults=approve.get("on_timeout") == "approve")
            elif key in APPROVE.fixed:
                self.fixed((*path, key), value, key)
            else:
                self.value((*path, key), value, scope)

    def form(self, path: Path, form: dict[str, Any], scope: Scope, *, needs_defaults: bool) -> None:
        """Of each field the default may hold expressions. An approval that its timeout gives has nobody who fills it in."""
        self.fixed(path, dict.fromkeys(form), "form")
        for name, schema in form.items():
            at = (*path, name)
            check_keywords(self.source, at, schema)
            for key, value in schema.items() if isinstance(schema, dict) else ():
                if key == "default":
                    self.value((*at, key), value, scope)
                else:
                    self.fixed((*at, key), value, key)
            if (message := wrong_default(schema)) is not None:
                self.source.report(self.source.at((*at, "default")), "bad-default", f"the default of '{name}' {message}")
            if needs_defaults and not has_default(schema):
                message = f"the field '{name}' needs a default: 'on_timeout: approve' approves with nobody there to fill it in"
                self.source.report(self.source.at(at), "missing-default", message)

    def nested(self, path: Path, step: dict[str, Any], scope: Scope) -> None:
        """The inner list of a group, foreach or repeat, and what looks at it."""
        inner = scope
        if "foreach" in step:
            self.value((*path, "foreach"), step["foreach"], scope.without_secrets("'foreach'"))
            name = step.get("as", "item")
            name = name if isinstance(name, str) else "item"
            if name in TAKEN:
                message = f"an item cannot be called '{name}': in expressions that is something else already"
                self.source.report(self.source.at((*path, "as")), "bad-id", message)
            inner = scope.each(name, one_by_one=step.get("max_parallel", 1) == 1)
        elif "repeat" in step:
            inner = scope.knowing("index", "last")
        frame = self.steps((*path, "steps"), step.get("steps"), inner, _beside_group(step))
        done = inner.inside(frame)
        if isinstance(repeat := step.get("repeat"), dict):
            for key, value in repeat.items():
                if key in ("until", "while"):
                    self.expression((*path, "repeat", key), value, done if key == "until" else inner)
                else:
                    self.fixed((*path, "repeat", key), value, key)
        if "output" in step:
            self.value((*path, "output"), step["output"], done.without_secrets("'output'"))

    def beside(self, path: Path, step: dict[str, Any], scope: Scope) -> None:
        """fallback, undo and probe: steps that belong to a step."""
        self.steps((*path, "fallback"), step.get("fallback"), scope.knowing("error"))
        unknown = step.get("on_unknown")
        if "agent" in step and step.get("effect") == "once":
            message = "'effect: once' belongs to the tools of an agent: its turns are never asked again, and its calls are steps"
            self.source.report(self.source.at((*path, "effect")), "misplaced-key", message)
        if unknown is not None and step.get("effect") == "repeatable":
            place = self.source.at((*path, "on_unknown"))
            self.source.report(place, "misplaced-key", "'on_unknown' has a meaning only beside 'effect: once'")
        if isinstance(unknown, dict):
            self.steps((*path, "on_unknown", "probe"), unknown.get("probe"), scope)
        undo = step.get("undo")
        if isinstance(undo, dict):
            own = scope.frames[-1]
            own.own = self.ids[path]
            at = (*path, "undo")
            if "needs" in undo:
                place = self.source.at((*at, "needs"))
                self.source.report(place, "misplaced-key", "'needs' has no meaning in an undo step: it runs alone, in its turn")
            self.ids[at] = undo["id"] if isinstance(undo.get("id"), str) else "undo"
            self.needs[at] = ()
            self.step(at, undo, scope.inside(Frame({self.ids[at]: 0}, current=0)))
            own.own = None

    def called(self, path: Path, step: dict[str, Any]) -> None:
        if isinstance(name := step.get("skill"), str):
            self.skills.append((name, (*path, "skill")))
        if not isinstance(agent := step.get("agent"), dict):
            return
        for index, tool in enumerate(agent["tools"] if isinstance(agent.get("tools"), list) else []):
            if isinstance(tool, dict) and isinstance(tool.get("skill"), str):
                self.skills.append((tool["skill"], (*path, "agent", "tools", index, "skill")))

    # --- one text at a time ---

    def expression(self, path: Path, value: Any, scope: Scope) -> None:
        """A bare expression, as in `if`."""
        if isinstance(value, str):
            self.text(path, lambda: parse_expression(value), scope, is_condition=True)

    def value(self, path: Path, value: Any, scope: Scope) -> None:
        """Any value with `${{ }}` inside."""
        if isinstance(value, str):
            if "${{" in value:
                self.text(path, lambda: parse_value(value), scope)
            elif match := _BARE.fullmatch(value):
                self.bare(path, value, match[1], match[2], scope)
        elif isinstance(value, dict | list):
            for key, item in _items(value):
                if isinstance(key, str) and "${{" in key:
                    self.name((*path, key), key, scope.without_secrets("the key of a mapping"))
                self.value((*path, key), item, scope)

    def name(self, path: Path, key: str, scope: Scope) -> None:
        """A key of a mapping with `${{ }}` inside."""
        self.text(path, lambda: parse_value(key), scope, in_key=True)

    def key(self, path: Path, value: Any, scope: Scope) -> None:
        """What makes runs or results count as the same."""
        if is_bare_expression(value, scope):
            self.bare_keys.add(path)
            self.expression(path, value, scope)
        else:
            self.value(path, value, scope)

    def bare(self, path: Path, text: str, top: str, name: str, scope: Scope) -> None:
        """Warn of a text that is the name of something there is, so most likely its value is meant."""
        if name in self.names.inputs if top == "input" else any(name in frame.ids for frame in scope.frames):
            message = f"this is the text '{text}'; write ${{{{ {text} }}}} for its value"
            self.source.report(self.source.at(path), "bare-expression", message, "warning")

    def fixed(self, path: Path, value: Any, key: str) -> None:
        """A value that is the same for every run, and keys inside it likewise."""
        if isinstance(value, str) and "${{" in value.replace("$${{", ""):
            place = self.source.inside(path, value.index("${{"))
            self.source.report(place, "expression-here", f"'{key}' is a fixed value and takes no expression")
        elif isinstance(value, dict | list):
            for inner, item in _items(value):
                if isinstance(inner, str) and "${{" in inner:
                    message = f"a key inside '{key}' is a fixed text and takes no expression"
                    self.source.report(self.source.at((*path, inner)), "expression-here", message)
                self.fixed((*path, inner), item, key)

    def text(
        self, path: Path, parse: Callable[[], Template], scope: Scope, *, is_condition: bool = False, in_key: bool = False
    ) -> None:
        def place(offset: int | None) -> Place:
            return self.source.at(path) if in_key else self.source.inside(path, offset)

        try:
            template = parse()
        except ExpressionError as error:
            message = error.message
            if error.suggestion and "did you mean" not in message:
                message += f"; did you mean '{error.suggestion}'?"
            self.source.report(place(error.offset), "expression", message)
            return
        for reference in references(template):
            where = partial(place, reference.offset)
            self.names.check(reference.path, where, scope, optional=reference.optional)
        if scope.no_secrets is None:  # else each of them is refused already
            for offset in misused_secrets(template, is_condition=is_condition):
                self.source.report(place(offset), "secret-here", SECRET_MISUSE)


def _beside_group(step: dict[str, Any]) -> Mapping[str, str]:
    """What has its steps at `group.fallback` and the like. The steps of a foreach or a repeat are `each[0].fallback`."""
    if "foreach" in step or "repeat" in step:
        return _NOTHING
    there = {"fallback": "fallback" in step, "undo": "undo" in step, "probe": isinstance(step.get("on_unknown"), dict)}
    return {word: f"'{word}' of the group" for word, is_there in there.items() if is_there}


def _items(value: dict[str, Any] | list[Any]) -> Iterable[tuple[str | int, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)
