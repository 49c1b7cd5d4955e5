"""Calls of an agent's tools: steps like any other, with what is theirs alone.

The tool and the arguments distinguish a call from another (`Call.hash`), not the turn that asked for it: after a resume the
model may ask for the same thing in another turn.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core import tool_walls, transcript
from agentctl.core.conversation import Call, Conversation, OnceCall, TurnState
from agentctl.core.graph import Block
from agentctl.core.json_schema import problems_of, with_defaults
from agentctl.core.state import Frame, RunState, StepState
from agentctl.expressions.template import Template
from agentctl.model import Agent, Fail, Step, Tool
from agentctl.paths import idempotency_key, without_rounds

_NO_SUCH_TOOL = Step("call", Fail(Template(["lit", {}])), "call", continue_on_error=True)


def frame_of(key: str, owner: StepState, turn: TurnState, calls: dict[int, dict[str, Any]]) -> Frame:
    """The list of the calls of one turn. Those of a `serial` tool wait for each other."""
    agent, talk = owner.node.step.action, owner.agent
    assert isinstance(agent, Agent)
    assert talk is not None
    tools = {tool.name: tool for tool in agent.tools}
    steps: list[Step] = []
    last_serial: dict[str, str] = {}
    for k, call in calls.items():
        tool, id = tools.get(call["tool"]), f"call[{k}]"
        needs = (last_serial[tool.name],) if tool is not None and tool.name in last_serial else ()
        if tool is not None and tool.serial:
            last_serial[tool.name] = id
        steps.append(structs.replace(tool.step if tool is not None else _NO_SUCH_TOOL, id=id, needs=needs))
    frame = Frame(key, Block(tuple(steps)), "calls", owner=owner, outer=owner.frame, prefix=f"{turn.step.path}.")
    frame.limit = agent.max_parallel
    for step, call in zip(frame.steps, calls.values(), strict=True):
        tool, arguments = tools.get(call["tool"]), call["arguments"]
        step.call = Call(call["tool"], arguments, transcript.call_hash(call["tool"], arguments), owner, tool)
        if tool is not None and isinstance(arguments, dict):
            step.call.given = with_defaults(arguments, parameters(talk, tool))
            step.names = {"args": step.call.given}
    return frame


def parameters(talk: Conversation, tool: Tool) -> JSON:
    """The JSON Schema of a tool's arguments."""
    return tool.parameters if tool.parameters is not None else ((talk.described or {}).get(tool.name) or {}).get("parameters")


def offered(agent: Agent, talk: Conversation) -> list[dict[str, JSON]]:
    """The tools as the model is given them, in the order written."""
    found: list[dict[str, JSON]] = []
    for tool in agent.tools:
        described = (talk.described or {}).get(tool.name) or {}
        description = tool.description or described.get("description") or ""
        found.append({"name": tool.name, "description": description, "parameters": parameters(talk, tool)})
    return found


def observation(step: StepState, agent: Agent) -> str:
    """What a call that has ended came to, as the model reads it."""
    if step.status == "failed" and step.error is not None:
        return transcript.failure(step.error, agent.observation)
    output = step.output
    if step.call is not None and step.call.tool is not None and step.call.tool.kind == "ask":
        output = output["data"].get("answer")
    text = transcript.observation(output, agent.observation)
    edited = step.call.edited if step.call is not None else None
    if edited is None:
        return text
    return f"{edited['by']} signed this call with other values: {transcript.compact(edited['values'])}\n{text}"


def problem(state: RunState, step: StepState) -> ev.Error | None:
    """Why a call is not made at all: there is no such tool, its arguments do not fit, or it was called often enough."""
    call = step.call
    assert call is not None
    agent, talk = call.owner.node.step.action, call.owner.agent
    assert isinstance(agent, Agent)
    assert talk is not None
    if call.tool is None:
        names = ", ".join(tool.name for tool in agent.tools) or "none"
        return ev.Error("tool.unknown", f"there is no tool '{call.name}'; the tools are: {names}")
    if not isinstance(call.arguments, dict):
        return ev.Error("tool.invalid_arguments", "the arguments are no JSON object")
    problems = problems_of(step.names["args"], parameters(talk, call.tool))
    if problems:
        return ev.Error("tool.invalid_arguments", "; ".join(problems))
    most = call.tool.max_calls
    if most is not None and _calls_before(talk, step) >= most:
        return ev.Error("tool.max_calls", f"'{call.name}' can be called {most} times, and has been")
    return tool_walls.problem(state, step)


def _calls_before(talk: Conversation, step: StepState) -> int:
    """How many calls of the same tool came before this one and were made."""
    assert step.call is not None
    count = 0
    for turn in talk.turns:
        for other in turn.calls.values():
            if other is step:
                return count
            refused = other.error is not None and other.error.type.startswith("tool.")
            if other.call is not None and other.call.name == step.call.name and not refused:
                count += 1
    return count


# --- the same call in a later round ------------------------------------------------------------------------------------


def identity(step: StepState) -> str:
    """What the effect of a step is known by in every round: its path without rounds; of a call, its agent and its hash."""
    if step.call is None:
        return without_rounds(step.path)
    return f"{without_rounds(step.call.owner.path)}#{step.call.hash}"


def key_of(state: RunState, step: StepState) -> str:
    """The idempotency key of a step: `RUN/PATH`; of a call `RUN/PATH#HASH`."""
    key = idempotency_key(state.run_id, step.path)
    return key if step.call is None else f"{key}#{step.call.hash}"


def begin_round(state: RunState, agent: StepState) -> None:
    """The agent begins from its first turn: the results of all its finished `effect: once` calls are free."""
    prefix = f"{without_rounds(agent.path)}#"
    for key, entries in state.once_calls.items():
        if key.startswith(prefix):
            for entry in entries:
                drop(state, entry.holder)
    for step in state.doubts.values():
        if step.call is not None and step.call.owner is not agent and identity(step).startswith(prefix):
            step.dropped = True


def drop(state: RunState, step: StepState | None) -> None:
    """A call is no part of the conversation any more: what it did is there for the same call of a later turn."""
    if step is None:
        return
    step.dropped = True
    for entry in state.once_calls.get(identity(step), ()):
        if entry.holder is step:
            entry.holder = None


def keep(state: RunState, step: StepState, source: str | None) -> bool:
    """A call of an `effect: once` tool has succeeded. `source`: of the result that it was handed, maybe by an earlier round.

    Return whether the effect is this call's: it was made now, or in an earlier round of its agent.
    """
    entries = state.once_calls.setdefault(identity(step), [])
    if source is None:
        entries.append(OnceCall(f"{state.run_id}/{without_rounds(step.path)}", step.output, step))
        return True
    free = next((entry for entry in entries if entry.holder is None and entry.source == source), None)
    if free is not None:
        free.holder = step
    return free is not None


def forget(state: RunState, step: StepState) -> None:
    """The effect of a call is undone: its result is handed to nobody."""
    entries = state.once_calls.get(identity(step), [])
    entries[:] = [entry for entry in entries if entry.holder is not step]


def earlier(state: RunState, step: StepState) -> OnceCall | None:
    """The result that an earlier round left for this call."""
    return next((entry for entry in state.once_calls.get(identity(step), ()) if entry.holder is None), None)
