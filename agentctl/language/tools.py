"""The tools of an agent as definitions write them -> `model.Tool`: each entry becomes a step whose templates also see `args`."""

from __future__ import annotations

import re
from typing import Any, Protocol

from agentctl import model
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.template import Template
from agentctl.language.inputs import has_default
from agentctl.language.params import http_params, shell_params
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path

TAKEN = frozenset({"answer", "join", "find_skill", "use_skill", "open_skill", "read_skill_file"})
KINDS = ("skill", "python", "shell", "http", "skills", "ask", "emit", "remember")
QUESTIONS = 5
TIMEOUT = 300.0  # seconds of one attempt of a call
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_ANY = "*"


class Compiler(Protocol):
    """What builds the rest of the definition; see `language.build`."""

    source: Source
    defaults: dict[str, Any]

    def steps(self, path: Path, steps: list[Any] | None) -> tuple[model.Step, ...]: ...

    def step(self, path: Path, step: dict[str, Any]) -> model.Step: ...

    def key(self, path: Path, key: Any) -> Template: ...

    def retry(self, retry: Any) -> model.Retry: ...

    def written(self, path: Path, step: dict[str, Any], uses: str) -> dict[str, Any]: ...


def name_of(tool: dict[str, Any]) -> str | None:
    """What the model calls a tool; None for an entry that is none."""
    if isinstance(tool.get("name"), str):
        return str(tool["name"])
    kind = next((kind for kind in KINDS if kind in tool), None)
    if kind == "skill":
        return str(tool["skill"])
    if kind == "python":
        return _cleaned(str(tool["python"]).rpartition(":")[2].rpartition(".")[2])
    if kind == "shell":
        return _cleaned("_".join(_words(tool["shell"]))) or "shell"
    return kind


def _cleaned(text: str) -> str:
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:64]


def _words(shell: Any) -> list[str]:
    """The program and the literal words after it, up to an option, a hole or the `*`."""
    argv = shell.get("run") if isinstance(shell, dict) else shell
    words: list[str] = []
    for number, word in enumerate(argv if isinstance(argv, list) else []):
        if not isinstance(word, str) or word == _ANY or "${{" in word or word.startswith("-"):
            break
        words.append(word.rpartition("/")[2] if number == 0 else word)
    return words


def tools(builder: Compiler, path: Path, entries: list[dict[str, Any]]) -> tuple[model.Tool, ...]:
    """The tools that the entries of a list stand for, in their order; where a skill is detached, `join` comes last."""
    found: list[model.Tool] = []
    for index, entry in enumerate(entries):
        if "skills" in entry:
            found += _library(entry)
        else:
            found.append(_tool(builder, (*path, index), entry))
    if any(isinstance(made.step.action, model.Skill) and made.step.action.detach for made in found):
        found.append(_JOIN)
    return tuple(found)


def _tool(builder: Compiler, path: Path, entry: dict[str, Any]) -> model.Tool:
    """One entry, compiled."""
    kind = next(kind for kind in KINDS if kind in entry)
    declared = entry.get("args")
    written = entry if kind == "ask" else builder.written(path, entry, kind)
    step = _step(builder, path, entry, _STEPS[kind](written) if declared is not None else _SHORT[kind](written))
    return model.Tool(
        name=name_of(entry) or kind,
        kind=kind if declared is None else "step",
        step=step,
        description=entry.get("description") or _description(kind, entry),
        parameters=_object(declared) if declared is not None else _parameters(kind, entry),
        memory=entry["remember"] if kind == "remember" and declared is None else None,
        signature=_signature(entry.get("approve")),
        max_calls=entry.get("max_calls", entry["ask"].get("max", QUESTIONS) if kind == "ask" else None),
        serial=entry.get("serial", False),
    )


def _step(builder: Compiler, path: Path, entry: dict[str, Any], action: model.Action) -> model.Step:
    unknown = entry.get("on_unknown", "ask")
    probe = isinstance(unknown, dict)
    said = {**builder.defaults, **entry}
    return model.Step(
        id="call",
        action=action,
        uses=action.uses if isinstance(action, model.Task) else "approve" if isinstance(action, model.Approve) else "skill",
        line=builder.source.at(path)[0],
        timeout=parse_duration(said["timeout"]) if "timeout" in said else TIMEOUT,
        retry=builder.retry(said.get("retry")),
        continue_on_error=True,
        effect=entry.get("effect", "repeatable"),
        on_unknown="probe" if probe else unknown,
        probe=builder.steps((*path, "on_unknown", "probe"), unknown["probe"]) if probe else (),
        idempotency_key=(
            builder.key((*path, "idempotency_key"), entry["idempotency_key"]) if "idempotency_key" in entry else None
        ),
        undo=builder.step((*path, "undo"), entry["undo"]) if "undo" in entry else None,
    )


def _signature(approve: Any) -> model.Signature | None:
    if approve is None or approve is False:
        return None
    if approve is True:
        return model.Signature()
    if isinstance(approve, str):
        return model.Signature(parse_expression(approve))
    return model.Signature(
        condition=parse_expression(approve["if"]) if "if" in approve else None,
        timeout=parse_duration(approve["timeout"]) if "timeout" in approve else None,
        on_timeout=approve.get("on_timeout", "reject"),
        edit=tuple(approve.get("edit", ())),
    )


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """A schema of a mapping: all required but for those with a default."""
    needed = [name for name, schema in properties.items() if not has_default(schema)] if required is None else required
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


# --- steps with holes --------------------------------------------------------------------------------------------------


def _shell(entry: dict[str, Any]) -> model.Action:
    return model.Task("shell", parse_value(shell_params(entry)))


def _http(entry: dict[str, Any]) -> model.Action:
    return model.Task("http", parse_value(http_params(entry["http"])))


def _python(entry: dict[str, Any], arguments: Any) -> model.Action:
    return model.Task("python", parse_value({"function": entry["python"], "with": arguments}))


def _skill(entry: dict[str, Any], arguments: Any) -> model.Action:
    return model.Skill(entry["skill"], parse_value(arguments), entry.get("detach", False))


_STEPS: dict[str, Any] = {
    "shell": _shell,
    "http": _http,
    "python": lambda entry: _python(entry, entry.get("with", "${{ args }}")),
    "skill": lambda entry: _skill(entry, entry.get("with", "${{ args }}")),
    "emit": lambda entry: model.Task("emit", parse_value(entry["emit"])),
    "remember": lambda entry: model.Task("remember", parse_value(entry["remember"])),
}


# --- short forms -------------------------------------------------------------------------------------------------------


def _argv(entry: dict[str, Any]) -> model.Action:
    """The fixed words; the model's arguments go through the walls of `actions.walls` before they join them."""
    words = entry["shell"]
    params = {key: entry[key] for key in ("parse", "env", "cwd") if key in entry}
    if words[-1] == _ANY:
        return model.Task("shell", parse_value({**params, "argv": words[:-1], "arguments": "${{ args.args }}"}))
    return model.Task("shell", parse_value({**params, "argv": words}))


def _hosts(entry: dict[str, Any]) -> model.Action:
    walls = entry["http"]
    methods = _methods(walls)
    params = {
        "method": methods[0] if len(methods) == 1 else "${{ args.method }}",
        "url": "${{ args.url }}",
        "query": "${{ args.query }}",
        "headers": walls.get("headers", {}),
        "walls": {"hosts": walls["hosts"], "paths": walls.get("paths", [_ANY]), "local": walls.get("local", False)},
    }
    if any(method not in ("GET", "HEAD") for method in methods):
        params["json"] = "${{ args.body }}"
    return model.Task("http", parse_value(params))


def _methods(walls: dict[str, Any]) -> list[str]:
    methods = walls.get("method", "GET")
    return [methods] if isinstance(methods, str) else list(methods)


def _events(entry: dict[str, Any]) -> model.Action:
    params = {"event": "${{ args.event }}", "data": "${{ args.data }}", "walls": {"events": entry["emit"]}}
    return model.Task("emit", parse_value(params))


_SHORT: dict[str, Any] = {
    "shell": _argv,
    "http": _hosts,
    "python": lambda entry: _python(entry, "${{ args }}"),
    "skill": lambda entry: _skill(entry, "${{ args }}"),
    "emit": _events,
    "ask": lambda entry: _question(entry["ask"]),
    "remember": lambda entry: model.Task("remember", parse_value("${{ memory }}")),
}


def _question(ask: dict[str, Any]) -> model.Action:
    timeout = parse_duration(ask["timeout"]) if "timeout" in ask else None
    return model.Approve(parse_value("${{ args.question }}"), form=parse_value({"answer": {"type": "string"}}), timeout=timeout)


def _library(entry: dict[str, Any]) -> list[model.Tool]:
    """`find_skill` and `use_skill`, which reach the same skills."""
    pattern = entry["skills"]
    found = model.Task("set", parse_value("${{ found }}"))
    searched = _object({"query": {"type": "string", "description": "Words of what is to be done."}})
    chosen = _object({"name": {"type": "string"}, "input": {"type": "object", "default": {}}})
    timeout = parse_duration(entry["timeout"]) if "timeout" in entry else TIMEOUT
    use = model.Step("call", model.Skill("", parse_value("${{ args.input }}")), "skill", continue_on_error=True, timeout=timeout)
    find = model.Step("call", found, "set", continue_on_error=True)
    return [
        model.Tool("find_skill", "find_skill", find, f"Searches the skills {pattern}.", searched, library=pattern),
        model.Tool("use_skill", "use_skill", use, "Runs a skill that find_skill has found.", chosen),
    ]


def _parameters(kind: str, entry: dict[str, Any]) -> dict[str, Any] | None:
    """None: they are those of the skill or function, which are looked up when the agent starts."""
    if kind == "shell":
        more = {"type": "array", "items": {"type": "string"}, "description": "The arguments.", "default": []}
        return _object({"args": more} if entry["shell"][-1] == _ANY else {})
    if kind == "http":
        return _http_parameters(entry["http"])
    if kind == "ask":
        return _object({"question": {"type": "string", "minLength": 1}})
    if kind == "remember":
        keys = ", ".join(entry["remember"])
        properties = {
            "key": {"type": "string", "description": f"One of {keys}."},
            "value": {},
            "op": {"enum": ["set", "append", "remove"], "default": "set"},
        }
        return _object(properties)
    if kind == "emit":
        return _object({"event": {"type": "string"}, "data": {"type": "object", "default": {}}})
    return None


def _http_parameters(walls: dict[str, Any]) -> dict[str, Any]:
    methods = _methods(walls)
    properties: dict[str, Any] = {} if len(methods) == 1 else {"method": {"enum": methods}}
    properties["url"] = {"type": "string", "description": f"Of one of these hosts: {', '.join(walls['hosts'])}."}
    properties["query"] = {"type": ["object", "null"], "default": None, "description": "Name -> value, added to the url."}
    if any(method not in ("GET", "HEAD") for method in methods):
        properties["body"] = {"default": None, "description": "A body, sent as JSON."}
    return _object(properties)


def _description(kind: str, entry: dict[str, Any]) -> str:
    if "args" in entry:
        return ""
    if kind == "shell":
        return f"Runs `{' '.join(word for word in entry['shell'] if word != _ANY)}`."
    if kind == "http":
        return f"Sends an HTTP request ({', '.join(_methods(entry['http']))})."
    if kind == "ask":
        return "Asks a person and waits for the answer."
    if kind == "remember":
        return f"Keeps a value for later runs: {', '.join(entry['remember'])}."
    return f"Sends one of these events: {', '.join(entry['emit'])}." if kind == "emit" else ""


def described_skill(definition: model.Definition) -> dict[str, Any]:
    """`{description, parameters}` of a skill as a tool: it takes its input."""
    properties = {
        name: {**declared.schema, "default": declared.default} if declared.has_default else declared.schema
        for name, declared in definition.input.items()
    }
    return {"description": definition.description, "parameters": _object(properties)}


_JOIN = model.Tool(
    "join",
    "join",
    model.Step("call", model.Wait(run=parse_value("${{ args.run_id }}")), "wait", continue_on_error=True),
    "Waits until a run that this agent started has ended, and gives its output.",
    _object(
        {
            "run_id": {"type": "string"},
            "timeout": {"type": ["string", "null"], "default": None, "description": "How long at most, such as 30m."},
        }
    ),
)
