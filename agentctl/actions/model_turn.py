"""`turn`: one request of an agent to its model, through litellm in chat-completions format.

Params: {system, goal, messages, tools, model, max_tokens, temperature, turn, estimate}; `messages`: what was said after the goal.
`used_ids`: of calls that a summary stands for.
Output: {text, calls: [{id, tool, arguments}], finish}; `fields` that the provider added, where there are any; `context` {tokens,
read} when what the model read reached `compact_at` of its context. Errors: as of
`llm`. A text cut at `max_tokens` is llm.cut; calls that were cut are for the agent to handle.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec

from agentctl import JSON
from agentctl.actions.litellm_library import library
from agentctl.actions.llm import MARGIN, SHOWN, TIMEOUT, LlmAction, joined, refusal_of
from agentctl.actions.model_answer import spoken
from agentctl.actions.model_errors import translate
from agentctl.actions.model_usage import usage_of
from agentctl.actions.models import Model, resolve
from agentctl.actions.text import as_text
from agentctl.core.events import Usage
from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

CONTEXT = 128_000  # tokens, of a model of which nothing is known
LONGEST_ID = 64  # characters
# An id that the client library made up, because the server sent none.
_MADE_UP = re.compile(r"(call_)?[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_KNOWN = frozenset({"role", "content", "tool_calls", "function_call", "provider_specific_fields", "refusal"})
_KNOWN_OF_CALLS = frozenset({"id", "type", "function", "index"})


class TurnAction(LlmAction):
    """The configuration of models is that of `llm`."""

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        model = resolve(None if call.params["model"] == "default" else call.params["model"], self.models, self.read_key)
        litellm = await library()
        arguments = _arguments(litellm, model, call)
        started = time.monotonic()
        try:
            response = await litellm.acompletion(**arguments)
            if model.stream:
                response = await joined(litellm, response, arguments)
        except Exception as error:
            raise translate(error, model.name, around.scrub) from error
        latency = int(1000 * (time.monotonic() - started))
        usage, is_counted = usage_of(litellm, response, model, call.params, latency)
        if not is_counted:
            total = usage.input_tokens + usage.output_tokens
            around.log(call, "note", f"{model.name} did not report all tokens: the turn counts as {total:,}, as reserved.")
        output = _read(response, call.params, usage)
        context = model.context or _known_context(litellm, model.name)
        if usage.input_tokens >= call.params["compact_at"] * context:
            output["context"] = {"tokens": context, "read": usage.input_tokens}
        return Outcome(output, usage)


def make(context: ActionContext) -> TurnAction:
    return TurnAction(context.models, context.read_key)


def _known_context(litellm: Any, name: str) -> int:
    """Tokens that fit into a request, by litellm's table."""
    known = litellm.model_cost.get(name) or litellm.model_cost.get(name.partition("/")[2]) or {}
    found = known.get("max_input_tokens") or known.get("max_tokens")
    return found if isinstance(found, int) and found > 0 else CONTEXT


# --- the request -------------------------------------------------------------------------------------------------------


def _arguments(litellm: Any, model: Model, call: Call) -> dict[str, Any]:
    params = call.params
    arguments: dict[str, Any] = {
        "timeout": TIMEOUT if call.timeout is None else call.timeout + MARGIN,
        **model.options,
        "model": model.name,
        "messages": _messages(litellm, model, params),
        "max_retries": 0,
        "num_retries": 0,
    }
    arguments |= {name: params[name] for name in ("temperature", "max_tokens") if params.get(name) is not None}
    if params["tools"]:
        arguments |= {"tools": [_tool(tool) for tool in params["tools"]], "tool_choice": "auto"}
    if model.stream:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    return arguments


def _tool(tool: dict[str, JSON]) -> dict[str, JSON]:
    """As the provider reads it, with the keys of the schema in one order whatever they were written in."""
    function = {"name": tool["name"], "description": tool["description"], "parameters": _sorted(tool["parameters"])}
    return {"type": "function", "function": {key: value for key, value in function.items() if value != ""}}


def _sorted(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _messages(litellm: Any, model: Model, params: JSON) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if params.get("system"):
        found.append({"role": "system", "content": as_text(params["system"])})
    found.append({"role": "user", "content": as_text(params["goal"])})
    found += params["messages"]
    return _marked(found) if model.cache and _wants_marks(litellm, model) else found


def _wants_marks(litellm: Any, model: Model) -> bool:
    """Whether the provider caches only what is marked. Others cache the beginning of a request by themselves."""
    provider = model.name.partition("/")[0]
    if provider in ("openai", "azure", "deepseek") or "claude" not in model.name:
        return False
    return bool(litellm.utils.supports_prompt_caching(model=model.name))


def _marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With a mark on the system message and on the last message."""
    wanted = {0, len(messages) - 1} if messages[0]["role"] == "system" else {len(messages) - 1}
    return [_with_mark(message) if number in wanted else message for number, message in enumerate(messages)]


def _with_mark(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {**message, "cache_control": {"type": "ephemeral"}}
    block = {"type": "text", "text": message["content"] or "", "cache_control": {"type": "ephemeral"}}
    return {**message, "content": [block]}


# --- the answer --------------------------------------------------------------------------------------------------------


def _read(response: Any, params: JSON, usage: Usage) -> dict[str, JSON]:
    """What the model said. Raises ActionError for what is no turn: nothing at all, a refusal, a text that was cut."""
    choices = getattr(response, "choices", None)  # a server that is none answers 200 with anything
    if not choices:
        raise _problem("llm.invalid_output", "The model answered nothing.", "", usage)
    message, finish = choices[0].message, choices[0].finish_reason or "stop"
    text: str | None = message.content
    if finish == "content_filter":
        raise _problem("llm.refused", "The provider's content filter stopped the answer.", text, usage)
    calls = _calls(message, params)
    said = spoken(text or "").strip()
    refusal = refusal_of(message)
    if refusal and not said and not calls:
        raise _problem("llm.refused", f"The model refused: {refusal[:SHOWN]}", text, usage)
    if finish == "length" and not calls:
        raise _problem("llm.cut", "The text was cut at the limit of tokens: raise `max_tokens`.", text, usage)
    if not said and not calls:
        raise _problem("llm.invalid_output", "The model said nothing and called no tool.", text, usage)
    output: dict[str, JSON] = {"text": text, "calls": calls, "finish": finish}
    fields = _fields(message)
    return {**output, "fields": fields} if fields else output


def _problem(kind: str, message: str, text: str | None, usage: Usage) -> ActionError:
    data = {"output": (text or "")[:SHOWN], "problems": [message]}
    return ActionError(kind, message, data, usage=msgspec.to_builtins(usage))


def _calls(message: Any, params: JSON) -> list[dict[str, JSON]]:
    used = {call["id"] for said in params["messages"] for call in said.get("tool_calls") or ()}
    used.update(params["used_ids"])
    found: list[dict[str, JSON]] = []
    for number, entry in enumerate(getattr(message, "tool_calls", None) or ()):
        raw = entry.model_dump()
        id = _id(raw.get("id"), used, f"call_{params['turn']}_{number}")
        used.add(id)
        function = raw["function"]
        made = {"id": id, "tool": function.get("name") or "", "arguments": _arguments_of(function.get("arguments"))}
        fields = {key: value for key, value in raw.items() if key not in _KNOWN_OF_CALLS and value is not None}
        found.append({**made, "fields": fields} if fields else made)
    return found


def _id(given: Any, used: set[str], own: str) -> str:
    """The provider's id, unless it sent none, one that was used before, or one that is too long for other providers."""
    fits = isinstance(given, str) and 0 < len(given) <= LONGEST_ID and given not in used and not _MADE_UP.fullmatch(given)
    if fits:
        return str(given)
    while own in used:
        own += "_"
    return own


def _arguments_of(given: Any) -> JSON:
    """A JSON object, or the text as it came."""
    if isinstance(given, dict):
        return given
    text = given if isinstance(given, str) else ""
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(json.dumps(json.loads(text, parse_constant=_refuse, strict=False)))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return text
    return value if isinstance(value, dict) else text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _fields(message: Any) -> dict[str, JSON]:
    """What providers add to a message, such as its reasoning, to be sent back as it came."""
    raw = message.model_dump()
    own = {key: value for key, value in raw.items() if key not in _KNOWN and value is not None}
    added = raw.get("provider_specific_fields") or {}
    return own | {key: value for key, value in added.items() if value is not None and key not in ("refusal", *own)}
