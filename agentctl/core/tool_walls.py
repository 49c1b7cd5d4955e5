"""The tools that an agent's own machine carries out, and the walls that need its state: memory, library, join, questions."""

from __future__ import annotations

import json
from typing import Any

from agentctl import JSON
from agentctl.core.conversation import Call, Conversation
from agentctl.core.events import Error
from agentctl.core.json_schema import problems_of
from agentctl.core.lifecycle import WELL
from agentctl.core.state import RunState, StepState
from agentctl.model import Skill

LARGEST_MEMORY = 64 << 10  # bytes of one value
FOUND = 10  # skills that a search gives


def problem(state: RunState, step: StepState) -> Error | None:
    """Why a call whose arguments fit is outside the walls of its tool; None: it is not."""
    call, talk = _call(step)
    args = step.names["args"]
    kind = call.tool.kind if call.tool is not None else ""
    if kind == "join" and args["run_id"] not in _started_runs(talk):
        return Error("permission.denied", f"{args['run_id']!r} is no run that this agent has started")
    if kind == "use_skill":
        return _skill_problem(talk, args)
    if kind == "remember":
        return _memory_problem(state, step, args)
    return None


def computed(state: RunState, step: StepState) -> dict[str, JSON]:
    """What the template of the tool sees beside `args`."""
    if step.call is None or step.call.tool is None:
        return {}
    call, talk = _call(step)
    assert call.tool is not None
    if call.tool.kind == "remember":
        return {"memory": {step.names["args"]["key"]: _new_value(state, step.names["args"])}}
    if call.tool.kind == "find_skill":
        return {"found": _search(_library(talk), step.names["args"]["query"])}
    return {}


def asked_before(step: StepState) -> tuple[JSON, str] | None:
    """The output of an earlier call of `ask` with the same question, and its path."""
    call, talk = _call(step)
    if call.tool is None or call.tool.kind != "ask":
        return None
    for turn in talk.turns:
        for other in turn.calls.values():
            if other is not step and other.call is not None and other.call.hash == call.hash and other.status in WELL:
                return other.output, other.path
    return None


def skill_name(step: StepState) -> str:
    """The skill that a step calls; that of `use_skill` is an argument."""
    action = step.node.step.action
    assert isinstance(action, Skill)
    return action.name or str(step.names["args"]["name"])


def _call(step: StepState) -> tuple[Call, Conversation]:
    assert step.call is not None
    talk = step.call.owner.agent
    assert talk is not None
    return step.call, talk


def _started_runs(talk: Conversation) -> set[str]:
    """The runs of detached skills that the agent knows of."""
    return {
        call.output["run_id"]
        for turn in talk.turns
        for call in turn.calls.values()
        if call.status in WELL and getattr(call.node.step.action, "detach", False)
    }


# --- a library of skills -----------------------------------------------------------------------------------------------


def _library(talk: Conversation) -> dict[str, Any]:
    described = (talk.described or {}).get("find_skill") or {}
    skills: dict[str, Any] = described.get("skills") or {}
    return skills


def _skill_problem(talk: Conversation, args: dict[str, JSON]) -> Error | None:
    skill = _library(talk).get(args["name"])
    if skill is None:
        return Error("permission.denied", f"{args['name']!r} is no skill of this library; find_skill finds those that are")
    problems = problems_of(args["input"], skill["parameters"])
    return Error("tool.invalid_arguments", "; ".join(problems)) if problems else None


def _search(library: dict[str, Any], query: str) -> list[JSON]:
    """The skills whose names and descriptions hold most of the words, with what they take. Without a word, the first ones."""
    words = {word for word in "".join(c if c.isalnum() else " " for c in query.lower()).split() if len(word) > 1}
    ranked = sorted(
        ((-_hits(words, name, skill), name, skill) for name, skill in library.items()), key=lambda entry: entry[:2]
    )
    return [
        {"name": name, "description": skill["description"], "input": skill["parameters"]}
        for hits, name, skill in ranked[:FOUND]
        if hits or not words
    ]


def _hits(words: set[str], name: str, skill: dict[str, Any]) -> int:
    text = f"{name} {skill['description']}".lower()
    return sum(word in text for word in words)


# --- memory ------------------------------------------------------------------------------------------------------------


def _memory_problem(state: RunState, step: StepState, args: dict[str, JSON]) -> Error | None:
    assert step.call is not None
    assert step.call.tool is not None
    keys = step.call.tool.memory or {}
    key = args["key"]
    if key not in keys:
        return Error("permission.denied", f"{key!r} is not among the keys that the tool may set: {', '.join(keys)}")
    value = _new_value(state, args)
    problems = problems_of(value, keys[key])
    if problems:
        return Error("tool.invalid_arguments", f"{key} would not fit: {'; '.join(problems)}")
    if len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) > LARGEST_MEMORY:
        return Error("permission.denied", f"{key} would be larger than {LARGEST_MEMORY >> 10} KiB")
    return None


def _new_value(state: RunState, args: dict[str, JSON]) -> JSON:
    """What the key is to hold: the values as of now, this run's own changes included."""
    held = state.remembered.get(args["key"], state.memory.get(args["key"]))
    given = args["value"]
    if args["op"] == "set":
        return given
    items = held if isinstance(held, list) else [] if held is None else [held]
    return [*items, given] if args["op"] == "append" else [item for item in items if item != given]
