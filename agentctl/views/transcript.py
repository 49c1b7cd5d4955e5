"""The conversation of an agent, as its model reads it: what `show --transcript` prints."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core.conversation import Conversation
from agentctl.core.kinds.agent import as_read
from agentctl.core.state import RunState, StepState
from agentctl.core.transcript import Turn, one_line
from agentctl.errors import NotFound, UsageError
from agentctl.expressions.suggestions import did_you_mean


def agent_step(state: RunState, wanted: str) -> StepState:
    """The agent of a run that STEP names, by path or by id. Raises NotFound, UsageError."""
    agents = {path: step for path, step in state.steps.items() if step.agent is not None}
    if wanted in agents:
        return agents[wanted]
    found = [step for step in agents.values() if step.node.step.id == wanted]
    if len(found) > 1:
        paths = ", ".join(step.path for step in found)
        raise UsageError(f"several agents are called {wanted!r}; give one by its path: {paths}")
    if not found:
        hint = did_you_mean(wanted, agents) or (f"; there are {', '.join(agents)}" if agents else "")
        raise NotFound(f"the run has no agent {wanted!r} that has begun{hint}")
    return found[0]


def transcript_document(step: StepState) -> list[dict[str, JSON]]:
    """The messages in order, with the turn that each belongs to. `left_out`: bytes that the model does not read."""
    talk = step.agent
    assert talk is not None
    rows = [_row(None, "system", step.input["system"])] if step.input.get("system") else []
    rows.append(_row(None, "user", step.input["goal"]))
    if talk.preface is not None:
        rows.append(_row(None, "user", talk.preface))
    if talk.summary is not None:
        rows.append(_row(None, "user", talk.summary))
    for number, turn in enumerate(_turns(step, talk)):
        if number >= talk.summarized:
            rows += _turn_rows(number, turn, shortened=number < talk.shortened)
    return rows


def _turns(step: StepState, talk: Conversation) -> list[Turn]:
    """All that answered; the last one is not yet part of a request."""
    return [*talk.said, *(as_read(step, turn) for turn in talk.turns[len(talk.said) :] if turn.step.output is not None)]


def _turn_rows(number: int, turn: Turn, *, shortened: bool) -> list[dict[str, JSON]]:
    calls = [{"id": call["id"], "tool": call["tool"], "arguments": call["arguments"]} for call in turn.output["calls"]]
    rows = [_row(number, "assistant", turn.output["text"], calls=calls)]
    tools = {call["id"]: call["tool"] for call in calls}
    for heard in turn.heard:
        text = one_line(turn, heard) if shortened else heard.text
        left_out = len(heard.text.encode()) if text != heard.text else heard.left_out
        more = {"call_id": heard.call_id, "tool": tools.get(heard.call_id), "left_out": left_out}
        rows.append(_row(number, "tool", text, **more))
    if turn.message is not None:
        rows.append(_row(number, "user", turn.message))
    return rows


def _row(turn: int | None, role: str, text: str | None, **more: JSON) -> dict[str, JSON]:
    return {"turn": turn, "role": role, "text": text, "calls": [], "call_id": None, "tool": None, "left_out": 0, **more}
