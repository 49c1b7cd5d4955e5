"""Checked data -> `model.Definition`: short forms spelled out, durations in seconds, sizes in bytes, needs complete."""

from __future__ import annotations

from typing import Any

from agentctl import model
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.template import Template
from agentctl.language.check.flow import flow, trigger
from agentctl.language.check.walk import Walk
from agentctl.language.inputs import has_default
from agentctl.language.params import http_params, shell_params
from agentctl.language.sizes import parse_size
from agentctl.language.tools import tools
from agentctl.language.vocabulary import actions_of
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path
from agentctl.spec import action
from agentctl.spec.schemas import spelled_out

# Steps that hold others, that only wait or that end things: `defaults` are meant for what is executed.
_NO_DEFAULTS = frozenset({"agent", "steps", "foreach", "repeat", "wait", "approve", "fail", "return"})
_PARAMS_OF_AGENTS = frozenset({"goal", "system", "model", "fallback_models", "max_tokens", "temperature", "schema"})


def build(source: Source, walk: Walk) -> model.Definition:
    """The definition of a file that has passed every check."""
    return Builder(source, walk).definition()


class Builder:
    def __init__(self, source: Source, walk: Walk) -> None:
        self.source, self.walk = source, walk
        self.defaults: dict[str, Any] = source.data.get("defaults") or {}

    def definition(self) -> model.Definition:
        data = self.source.data
        kind = "loop" if "loop" in data else "skill"
        handlers = {name if name != "finally" else "finally_": self.steps((name,), data.get(name)) for name in model.HANDLERS}
        return model.Definition(
            kind=kind,  # type: ignore[arg-type]  # one of the two, by the line above
            name=data[kind],
            steps=self.steps(("steps",), data["steps"]),
            description=data.get("description", ""),
            input={name: _input(schema) for name, schema in data.get("input", {}).items()},
            timeout=_seconds(data.get("timeout")),
            output=_value(data, "output"),
            budget=model.Budget(**data["budget"]) if "budget" in data else None,
            triggers=tuple(trigger(entry) for entry in data.get("triggers", ())),
            flow=flow(data),
            permissions=data.get("permissions"),
            skills=tuple(dict.fromkeys(name for name, _ in self.walk.skills)),
            **handlers,
        )

    def steps(self, path: Path, steps: list[Any] | None) -> tuple[model.Step, ...]:
        return tuple(self.step((*path, index), step) for index, step in enumerate(steps or ()))

    def step(self, path: Path, step: dict[str, Any]) -> model.Step:
        uses = actions_of(step)[0]
        merged = step if uses in _NO_DEFAULTS else {**self.defaults, **step}
        unknown = step.get("on_unknown", "ask")
        probe = isinstance(unknown, dict)
        cache = step.get("cache")
        return model.Step(
            id=self.walk.ids[path],
            action=self.action(path, step, uses),
            uses=uses,
            line=self.source.at(path)[0],
            name=step.get("name"),
            condition=parse_expression(step["if"]) if "if" in step else None,
            needs=self.walk.needs[path],
            timeout=_seconds(merged.get("timeout")),
            retry=_retry(None if uses == "agent" else merged.get("retry")),
            fallback=self.steps((*path, "fallback"), step.get("fallback")),
            continue_on_error=step.get("continue_on_error", False),
            effect=step.get("effect", "repeatable"),
            on_unknown="probe" if probe else unknown,
            probe=self.steps((*path, "on_unknown", "probe"), unknown["probe"]) if probe else (),
            idempotency_key=self.key((*path, "idempotency_key"), step["idempotency_key"]) if "idempotency_key" in step else None,
            cache=model.Cache(self.key((*path, "cache", "key"), cache["key"]), parse_duration(cache["ttl"])) if cache else None,
            undo=self.step((*path, "undo"), step["undo"]) if "undo" in step else None,
        )

    def key(self, path: Path, key: Any) -> Template:
        return parse_expression(key) if path in self.walk.bare_keys else parse_value(key)

    def action(self, path: Path, step: dict[str, Any], uses: str) -> model.Action:
        body = step[uses]
        if uses == "skill":
            return model.Skill(body, parse_value(step.get("with", {})), step.get("detach", False))
        if uses == "steps":
            return model.Group(self.steps((*path, "steps"), body), _value(step, "output"))
        if uses == "foreach":
            return model.Foreach(
                parse_value(body),
                self.steps((*path, "steps"), step["steps"]),
                item_name=step.get("as", "item"),
                max_parallel=step.get("max_parallel", 1),
                output=_value(step, "output"),
            )
        if uses == "repeat":
            return self.repeat(path, step, body)
        if uses == "wait":
            return _wait(body)
        if uses == "approve":
            return _approve(body)
        if uses == "agent":
            return self.agent(path, step, body)
        if uses == "fail":
            return model.Fail(parse_value({"message": body} if isinstance(body, str) else body))
        if uses == "return":
            return model.Return(parse_value(body))
        return model.Task(uses, parse_value(_params(self.written(path, step, uses), uses)))

    def written(self, path: Path, step: dict[str, Any], uses: str) -> dict[str, Any]:
        """The step with the text of its numbers as they are written, where the action takes texts."""
        found = action(uses)
        assert found is not None  # the schema lets no other through
        changed = {key: self.text((*path, key), step[key], depth) for key, depth in found.texts.items() if key in step}
        if isinstance(step[uses], dict):
            inner = {key: self.text((*path, uses, key), value, found.texts.get(key, -1)) for key, value in step[uses].items()}
            changed[uses] = inner
        return {**step, **changed}

    def text(self, path: Path, value: Any, depth: int) -> Any:
        """A plain number or boolean as it is written; of a list or a mapping, what is in it, `depth` levels down."""
        if depth >= 0 and isinstance(value, bool | int | float):
            return self.source.written(path) or value
        if depth > 0 and isinstance(value, list):
            return [self.text((*path, index), item, depth - 1) for index, item in enumerate(value)]
        if depth > 0 and isinstance(value, dict):
            return {key: self.text((*path, key), item, depth - 1) for key, item in value.items()}
        return value

    def agent(self, path: Path, step: dict[str, Any], body: dict[str, Any]) -> model.Agent:
        """`retry` of the step, and the defaults, are for its turns."""
        offered = tools(self, (*path, "agent", "tools"), body.get("tools", []))
        params = {key: value for key, value in _with_schema(body).items() if key in _PARAMS_OF_AGENTS}
        retry, turn_timeout = step.get("retry", self.defaults.get("retry")), _seconds(self.defaults.get("timeout"))
        chosen: dict[str, Any] = {key: body[key] for key in ("max_turns", "on_limit", "stall", "max_parallel") if key in body}
        if "observation" in body:
            chosen["observation"] = parse_size(body["observation"])
        compact = body.get("compact", {})
        if "at" in compact:
            chosen["compact_at"] = int(compact["at"].removesuffix("%")) / 100
        if "keep" in compact:
            chosen["compact_keep"] = compact["keep"]
        if retry is not None:
            chosen["retry"] = self.retry(retry)
        return model.Agent(parse_value(params), offered, turn_timeout=turn_timeout, **chosen)

    @staticmethod
    def retry(retry: Any) -> model.Retry:
        return _retry(retry)

    def repeat(self, path: Path, step: dict[str, Any], body: dict[str, Any]) -> model.Repeat:
        return model.Repeat(
            self.steps((*path, "steps"), step["steps"]),
            until=_expression(body, "until"),
            condition=_expression(body, "while"),
            max=body.get("max", 10),
            every=_seconds(body.get("every")) or 0.0,
            on_max=body.get("on_max", "fail"),
            output=_value(step, "output"),
        )


def _params(step: dict[str, Any], uses: str) -> Any:
    """The parameters of a task in the shape that `model.Task` gives: of an action of a package its mapping (or its value
    under the action's name) and what stands beside it."""
    body = step[uses]
    found = action(uses)
    assert found is not None  # the schema lets no other through
    beside = {key: step[key] for key in found.beside if key in step}
    if uses == "shell":
        return shell_params(step)
    if uses == "python":
        return {"function": body, "with": {}, **beside}
    if uses == "http":
        return http_params(body)
    if uses == "llm":
        return _with_schema(body)
    return {**(body if isinstance(body, dict) else {uses: body}), **beside}


def _with_schema(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "schema": spelled_out(body["schema"])} if "schema" in body else body


def _wait(body: Any) -> model.Wait:
    if not isinstance(body, dict):
        return model.Wait(duration=parse_value(body))
    return model.Wait(
        until=_value(body, "until"),
        event=_value(body, "event"),
        run=_value(body, "run"),
        condition=_expression(body, "if"),
        timeout=_seconds(body.get("timeout")),
        on_timeout=body.get("on_timeout", "fail"),
    )


def _approve(body: Any) -> model.Approve:
    if not isinstance(body, dict):
        return model.Approve(message=parse_value(body))
    return model.Approve(
        message=parse_value(body["message"]),
        show=_value(body, "show"),
        form=_form(body.get("form", {})),
        timeout=_seconds(body.get("timeout")),
        on_timeout=body.get("on_timeout", "fail"),
    )


def _form(form: dict[str, Any]) -> Template:
    """Only the defaults of fields may hold expressions."""
    fields = {}
    for name, schema in form.items():
        fixed = {key: ["lit", value] for key, value in schema.items()} if isinstance(schema, dict) else {}
        default = parse_value(schema["default"]) if has_default(schema) else Template(["lit", None])
        fields[name] = ["lit", schema] if default.is_literal else ["map", {**fixed, "default": default.tree}]
    if all(tree[0] == "lit" for tree in fields.values()):
        return Template(["lit", form])
    return Template(["map", fields])


def _retry(retry: Any) -> model.Retry:
    if retry is None:
        return model.Retry()
    if isinstance(retry, int):
        return model.Retry(attempts=retry)
    given = dict(retry)
    for key in ("delay", "max_delay"):
        if key in given:
            given[key] = parse_duration(given[key])
    for key in ("on", "never"):
        if key in given:
            given[key] = tuple(given[key])
    return model.Retry(**given)


def _input(schema: Any) -> model.Input:
    given = has_default(schema)
    return model.Input(schema=schema, has_default=given, default=schema["default"] if given else None)


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _value(holder: dict[str, Any], key: str) -> Template | None:
    return parse_value(holder[key]) if key in holder else None


def _expression(holder: dict[str, Any], key: str) -> Template | None:
    return parse_expression(holder[key]) if key in holder else None
