"""The tools of an agent: their names, their expressions, the steps that belong to them."""

from __future__ import annotations

from typing import Any, Protocol

from agentctl.language.check.keywords import check_keywords
from agentctl.language.check.references import Names
from agentctl.language.check.scopes import Frame, Scope
from agentctl.language.check.shell import check_shell
from agentctl.language.tools import TAKEN, name_of
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path
from agentctl.spec.schemas import schema_error

_PLAIN_KEYS = frozenset(
    {
        "name", "description", "skill", "skills", "ask", "python", "detach", "parse", "effect", "max_calls", "timeout", "retry",
        "serial", "args",
    }
)  # fmt: skip
# Key -> the forms that it stands beside.
_BESIDE: dict[str, tuple[str, ...]] = {
    "parse": ("shell",),
    "env": ("shell",),
    "stdin": ("shell",),
    "cwd": ("shell",),
    "detach": ("skill",),
    "with": ("python", "skill"),
}
_KEEPS_SECRETS = frozenset({"shell", "http", "with", "env", "stdin", "cwd"})


class Walk(Protocol):
    """The walk over the definition; see `check.walk`."""

    source: Source
    names: Names
    ids: dict[Path, str]
    needs: dict[Path, tuple[str, ...]]

    def steps(self, path: Path, steps: Any, scope: Scope) -> Frame: ...

    def step(self, path: Path, step: Any, scope: Scope) -> None: ...

    def shell(self, path: Path, shell: Any, scope: Scope) -> None: ...

    def expression(self, path: Path, value: Any, scope: Scope) -> None: ...

    def value(self, path: Path, value: Any, scope: Scope) -> None: ...

    def key(self, path: Path, value: Any, scope: Scope) -> None: ...

    def fixed(self, path: Path, value: Any, key: str) -> None: ...


def check_tools(walk: Walk, path: Path, tools: Any, scope: Scope) -> None:
    """Report what is wrong with the tools at `path`. Each of their expressions sees `args` as well."""
    if not isinstance(tools, list):
        return
    _names(walk.source, path, tools)
    for index, tool in enumerate(tools):
        if isinstance(tool, dict):
            _tool(walk, (*path, index), tool, scope.knowing("args"))


def _names(source: Source, path: Path, tools: list[Any]) -> None:
    lines: dict[str, int] = {}
    libraries = [index for index, tool in enumerate(tools) if isinstance(tool, dict) and "skills" in tool]
    for index in libraries[1:]:
        source.report(source.at((*path, index, "skills")), "name-taken", "an agent has one library of skills")
    for index, tool in enumerate(tools):
        name = name_of(tool) if isinstance(tool, dict) else None
        if name is None or index in libraries:
            continue
        place = source.at((*path, index, "name") if isinstance(tool.get("name"), str) else (*path, index))
        if name in TAKEN:
            source.report(place, "name-taken", f"a tool cannot be called '{name}': agents have a tool of that name already")
        elif name in lines:
            message = f"the name '{name}' is taken by the tool in line {lines[name]}; give one of them another `name`"
            source.report(place, "name-taken", message)
        else:
            lines[name] = source.at((*path, index))[0]


def _tool(walk: Walk, path: Path, tool: dict[str, Any], scope: Scope) -> None:
    source, declared = walk.source, tool.get("args")
    for name, schema in declared.items() if isinstance(declared, dict) else ():
        check_keywords(source, (*path, "args", name), schema)
    walk.names.arguments = set(declared) if isinstance(declared, dict) else None
    for key, value in tool.items():
        at = (*path, key)
        if key in _PLAIN_KEYS:
            walk.fixed(at, value, key)
        elif key == "approve":
            _approve(walk, at, value, scope.without_secrets("'approve'"))
        elif key == "idempotency_key":
            walk.key(at, value, scope.without_secrets(f"'{key}'"))
        elif key == "on_unknown":
            _on_unknown(walk, at, tool, scope)
        elif key == "undo":
            _undo(walk, at, value, scope.knowing("output"))
        elif key == "shell":
            if declared is not None:
                check_shell(source, path, tool)
            walk.shell(at, value, scope)
        elif key == "remember" and declared is None:
            _memory(walk, at, value)
        elif key in _KEEPS_SECRETS:
            walk.value(at, value, scope)
        else:
            walk.value(at, value, scope.without_secrets(f"'{key}'"))
    walk.names.arguments = None
    _forms(source, path, tool)
    _misplaced(source, path, tool)


def _memory(walk: Walk, path: Path, schemas: Any) -> None:
    """Keys of the state with the JSON Schema of each."""
    walk.fixed(path, schemas, "remember")
    for key, schema in schemas.items() if isinstance(schemas, dict) else ():
        problem = schema_error(schema) if isinstance(schema, dict | bool) else ((), "it is no mapping")
        if problem is not None:
            message = f"'{key}' is not a valid JSON Schema: {problem[1]}"
            walk.source.report(walk.source.at((*path, key, *problem[0])), "bad-schema", message)
        else:
            check_keywords(walk.source, (*path, key), schema)


def _approve(walk: Walk, path: Path, approve: Any, scope: Scope) -> None:
    if not isinstance(approve, dict):
        walk.expression(path, approve, scope)
        return
    for key, value in approve.items():
        if key == "if":
            walk.expression((*path, key), value, scope)
        else:
            walk.fixed((*path, key), value, key)
    known, edit = walk.names.arguments, approve.get("edit")
    for index, name in enumerate(edit if isinstance(edit, list) else ()):
        if known is not None and name not in known:
            walk.source.report(walk.source.at((*path, "edit", index)), "unknown-name", f"the tool has no argument '{name}'")


def _on_unknown(walk: Walk, path: Path, tool: dict[str, Any], scope: Scope) -> None:
    if tool.get("effect") != "once":
        message = "'on_unknown' has a meaning only beside 'effect: once'"
        walk.source.report(walk.source.at(path), "misplaced-key", message)
    if isinstance(unknown := tool["on_unknown"], dict):
        walk.steps((*path, "probe"), unknown.get("probe"), scope)


def _undo(walk: Walk, path: Path, undo: Any, scope: Scope) -> None:
    if not isinstance(undo, dict):
        return
    if "needs" in undo:
        message = "'needs' has no meaning in an undo step: it runs alone, in its turn"
        walk.source.report(walk.source.at((*path, "needs")), "misplaced-key", message)
    walk.ids[path] = undo["id"] if isinstance(undo.get("id"), str) else "undo"
    walk.needs[path] = ()
    walk.step(path, undo, scope.inside(Frame({walk.ids[path]: 0}, current=0)))


def _forms(source: Source, path: Path, tool: dict[str, Any]) -> None:
    """With `args` the entry is a step with holes; without them it is one of the short forms."""
    if "args" in tool and ("skills" in tool or "ask" in tool):
        kind = "skills" if "skills" in tool else "ask"
        source.report(source.at((*path, "args")), "misplaced-key", f"'{kind}' has no holes: the model gives what it takes")
    if "skills" in tool:
        for key in tool.keys() - {"skills", "timeout"}:
            source.report(source.at((*path, key)), "misplaced-key", f"'{key}' has no meaning beside 'skills'")
    shell, http, emit = (tool.get(kind) for kind in ("shell", "http", "emit"))
    short = {"shell": isinstance(shell, list), "http": isinstance(http, dict) and "hosts" in http, "emit": isinstance(emit, list)}
    for kind, is_short in short.items():
        if kind not in tool:
            continue
        if "args" not in tool and not is_short:
            wanted = {"shell": 'a list such as [git, log, "*"]', "http": "`hosts`", "emit": "a list of events"}[kind]
            message = f"without `args` the model fills no holes: '{kind}' has to be {wanted}"
            source.report(source.at((*path, kind)), "missing-key", message)
        elif "args" in tool and is_short and kind != "shell":
            message = f"with `args` this is a step: '{kind}' takes what it takes there"
            source.report(source.at((*path, kind)), "wrong-value", message)


def _misplaced(source: Source, path: Path, tool: dict[str, Any]) -> None:
    """Keys that belong to another form of tool."""
    for key, forms in _BESIDE.items():
        if key not in tool:
            continue
        if not any(form in tool for form in forms):
            where = " or ".join(f"'{form}'" for form in forms)
            source.report(source.at((*path, key)), "misplaced-key", f"'{key}' stands beside {where}, and this tool has none")
        elif key in ("with", "stdin") and "args" not in tool:
            message = f"'{key}' has a meaning only beside 'args': without them the model gives what is needed"
            source.report(source.at((*path, key)), "misplaced-key", message)
    if "skill" in tool and "effect" in tool and tool["effect"] == "once":
        message = "'effect: once' belongs to the steps of the skill: the run of a skill is never started twice"
        source.report(source.at((*path, "effect")), "misplaced-key", message)
