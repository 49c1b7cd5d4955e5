"""`turn`: one request of an agent to its model.

The journal keeps of its input `{model, messages: N, estimate}`; the request itself is the fold of what came before. When the
attempts at one model are used up, the next of `fallback_models` is asked.
"""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import budget, retry, tool_calls, transcript
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.conversation import Conversation
from agentctl.core.json_schema import is_object
from agentctl.core.kinds.agent import ANSWER, agent_of, answer_schema, conversation
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt
from agentctl.core.state import RunState, StepState
from agentctl.core.transition import Transition
from agentctl.paths import idempotency_key

DEFAULT = "default"
# With these another model would fare no better, or is not to be asked.
_NO_FALLBACK = ("budget.exceeded", "cancelled", "internal", "input.invalid", "expression", "llm.bad_request")
_SUMMARY = "Summary of your work so far:"
_SUMMARIZE = (
    "Summarize the work so far for yourself, in a few hundred words: what you did, what you found out with its exact names, "
    "numbers and ids, and what is left to do. Call no tool."
)
_ANSWER_SAYS = "Give the final answer. Call this once you have it; it ends your work."


class TurnKind(Kind):
    is_leaf = True

    def begin(self, run: Transition, step: StepState) -> None:
        owner = _owner(step)
        models, kept = _models(owner), conversation(owner).model
        _ask(run, step, kept if kept in models else models[0])

    def begin_again(self, run: Transition, step: StepState) -> None:
        following = _following_model(step)
        if following is not None and _is_used_up(step):
            _ask(run, step, following)
            return
        refused = budget.refusal(run.state, step.path, step.input)
        if refused is not None:
            fail_start(run, step, refused)
        else:
            start_attempt(run, step)

    def next_due(self, run: Transition, step: StepState, error: ev.Error) -> float | None:
        due = retry.next_due(
            step.node.step.retry,
            error,
            attempt=step.attempt - (step.last["before"] if step.last is not None else 0),
            at=run.at,
            seed=f"{run.state.run_id}/{step.path}#{step.attempt}",
            retry_after=step.retry_after,
        )
        if due is None and step.begun and _following_model(step) is not None:
            return run.at
        return due

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        model = step.input["model"]
        if step.last is None or step.last["model"] != model:
            step.last = {"model": model, "before": event.attempt - 1}
        state.executing[step.path] = step
        state.reserved[step.path] = step.input["estimate"]

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        owner, definition = _owner(step), step.node.step
        params = {**_request(owner, step), "model": step.input["model"], "estimate": step.input["estimate"]}
        secrets = [place for place in owner.secrets if place[0][0] in params]
        key = idempotency_key(state.run_id, step.path)
        return [cmd.Execute(step.path, step.attempt, "turn", params, secrets, definition.timeout, key, step.error)]


def _owner(step: StepState) -> StepState:
    owner = step.frame.owner
    assert owner is not None
    return owner


def _models(owner: StepState) -> list[str]:
    params = owner.input
    return list(dict.fromkeys([params.get("model") or DEFAULT, *(params.get("fallback_models") or [])]))


def _following_model(step: StepState) -> str | None:
    """The model to ask when the one that was asked last is of no use; None: there is none, or no other would help."""
    error, last = step.error, step.last
    if error is None or last is None:
        return None
    status = error.data.get("status") if isinstance(error.data, dict) else None
    if error.type in _NO_FALLBACK and status not in (402, 404):
        return None
    models = _models(_owner(step))
    place = models.index(last["model"]) + 1 if last["model"] in models else 0
    return models[place] if place < len(models) else None


def _is_used_up(step: StepState) -> bool:
    """Whether the attempts at the model that was asked last are over."""
    error, definition = step.error, step.node.step
    assert error is not None
    return step.attempt - step.last["before"] >= definition.retry.attempts or not retry.is_retryable(error.type, definition.retry)


def _ask(run: Transition, step: StepState, model: str) -> None:
    owner = _owner(step)
    talk = conversation(owner)
    count = 1 + bool(owner.input.get("system")) + len(_messages(owner, talk, model, is_summary=step.uses == "compact"))
    input = {"model": model, "messages": count, "estimate": _estimate(owner, talk)}
    refused = budget.refusal(run.state, step.path, input)
    if refused is not None:
        fail_start(run, step, refused)
    else:
        start_attempt(run, step, input=input)


def _estimate(owner: StepState, talk: Conversation) -> int:
    """Tokens to reserve: those of the turn before, what was heard since (of the first turn all it reads), and the answer's."""
    if talk.said:
        usage = talk.turns[len(talk.said) - 1].step.usage
        before = usage.input_tokens + usage.output_tokens if usage is not None else 0
        characters = transcript.characters_since(talk.said)
    else:
        before = 0
        texts = [owner.input.get("system") or "", owner.input["goal"], talk.preface or "", transcript.compact(_tools(owner))]
        characters = sum(map(len, texts))
    return before + -(-characters // budget.CHARACTERS_A_TOKEN) + _answer_tokens(owner)


def _answer_tokens(owner: StepState) -> int:
    wanted = owner.input.get("max_tokens")
    return wanted if isinstance(wanted, int) and wanted > 0 else budget.ANSWER_TOKENS


def _tools(owner: StepState) -> list[dict[str, JSON]]:
    """What the model is offered, the tool by which it answers last."""
    found = tool_calls.offered(agent_of(owner), conversation(owner))
    schema = answer_schema(owner)
    if schema is not None:
        found.append({"name": ANSWER, "description": _ANSWER_SAYS, "parameters": _answer_parameters(schema)})
    return found


def _answer_parameters(schema: JSON) -> JSON:
    if is_object(schema):
        return schema
    return {"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": False}


def _messages(owner: StepState, talk: Conversation, model: str, *, is_summary: bool) -> list[JSON]:
    """What follows the goal. For a summary: the turns that it is of, and the question."""
    preface = [{"role": "user", "content": talk.preface}] if talk.preface else []
    if talk.summary is not None:
        preface.append({"role": "user", "content": f"{_SUMMARY}\n{talk.summary}"})
    if is_summary:
        assert talk.pending is not None
        older = talk.pending["shortened"]
        turns = talk.said[talk.summarized : older]
        return [*preface, *transcript.messages(turns, model, len(turns)), {"role": "user", "content": _SUMMARIZE}]
    turns = talk.said[talk.summarized :]
    return [*preface, *transcript.messages(turns, model, talk.shortened - talk.summarized)]


def _request(owner: StepState, step: StepState) -> dict[str, JSON]:
    talk, params = conversation(owner), owner.input
    number = len(talk.said)
    is_summary = step.uses == "compact"
    request = {
        "goal": params["goal"],
        "messages": _messages(owner, talk, step.input["model"], is_summary=is_summary),
        "tools": [] if is_summary or talk.turns[number].last else _tools(owner),
        "turn": number,
        "used_ids": [call["id"] for turn in talk.said[: talk.summarized] for call in turn.output["calls"]],
        "compact_at": agent_of(owner).compact_at,
    }
    return request | {
        name: params[name] for name in ("system", "max_tokens", "temperature") if params.get(name) is not None
    }
