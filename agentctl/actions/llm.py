"""`llm`: one call of a model, through litellm.

Params: {prompt | messages, system, model, schema, temperature, max_tokens, fallback_models}. Output: the answer's text, or with
`schema` the validated value. Errors: llm.auth, llm.rate_limit, llm.unavailable, llm.bad_request, llm.context, llm.refused,
llm.cut, llm.invalid_output {output, problems}. The retries are the step's: litellm makes none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from agentctl import JSON
from agentctl.actions.litellm_library import library, warm_up
from agentctl.actions.model_answer import chosen, correction, instruction, read_answers, response_format, spoken
from agentctl.actions.model_errors import translate
from agentctl.actions.model_usage import usage_of
from agentctl.actions.models import Model, ReadKey, is_any_usable, resolve
from agentctl.actions.text import as_text
from agentctl.core.events import Usage
from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

TIMEOUT = 600.0  # seconds for one answer, of a step that has no `timeout`
MARGIN = 60.0  # seconds that litellm has beyond a step's own `timeout`, which the engine sees to
SHOWN = 8192  # characters of an invalid answer that its error keeps
_ANOTHER_MAY_HELP = ("llm.rate_limit", "llm.unavailable", "llm.auth", "llm.context")
_PASSING = ("llm.rate_limit", "llm.unavailable")


class LlmAction:
    def __init__(self, models: Mapping[str, JSON], read_key: ReadKey = os.environ.get) -> None:
        """`models`: the `models:` of the project file, alias -> name or {model, api_base, api_key, supports_schema, ...}.

        `read_key`: the value of an API key by the name of its variable, None when there is none.
        """
        self.models = models
        self.read_key = read_key

    def expect(self) -> None:
        """Begin the import of litellm, which takes seconds, unless there is no model that could be called."""
        if is_any_usable(self.models, self.read_key):
            warm_up()

    async def ready(self, call: Call) -> None:
        """Wait for the import of litellm, unless there is no model that could be called."""
        if is_any_usable(self.models, self.read_key):
            await library()

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        failures: list[ActionError] = []
        for wanted in [call.params.get("model"), *(call.params.get("fallback_models") or [])]:
            try:
                return await self._ask(resolve(wanted, self.models, self.read_key), call, around)
            except ActionError as failure:
                if not _another_may_help(failure):
                    raise
                failures.append(failure)
        # One that passes by itself, if there is one: so the step's retry gets its chance.
        shown = next((failure for failure in failures if failure.type in _PASSING), failures[0])
        if any(failure.outcome == "unknown" for failure in failures):
            shown.outcome = "unknown"
        raise shown

    async def _ask(self, model: Model, call: Call, around: Surroundings) -> Outcome:
        litellm = await library()
        schema = call.params.get("schema") or None
        arguments = _arguments(litellm, model, call, schema)
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
            around.log(call, "note", f"{model.name} did not report all tokens: the call counts as {total:,}, as reserved.")
        failed = _Failed(usage, around)
        text = _text_of(response, failed)
        return Outcome(text if schema is None else _validated(text, schema, failed), usage)


def _another_may_help(failure: ActionError) -> bool:
    """Whether a fallback model is asked: not when the request itself is at fault."""
    status = failure.data.get("status") if failure.data else None
    return failure.type in _ANOTHER_MAY_HELP or status in (402, 404)


async def joined(litellm: Any, pieces: Any, arguments: dict[str, JSON]) -> Any:
    """The answer of a streamed call, put together."""
    chunks = [piece async for piece in pieces]
    return litellm.stream_chunk_builder(chunks, messages=arguments["messages"])


class _Failed:
    """Makes the errors of an answered call. What they show of the answer is masked before it is cut."""

    def __init__(self, usage: Usage, around: Surroundings) -> None:
        self._usage = msgspec.to_builtins(usage)
        self._scrub = around.scrub

    def invalid(self, message: str, text: str, problems: list[str]) -> ActionError:
        return ActionError("llm.invalid_output", message, {"output": self.shown(text), "problems": problems}, usage=self._usage)

    def because(self, kind: str, message: str, text: str) -> ActionError:
        return ActionError(kind, message, {"output": self.shown(text)}, usage=self._usage)

    def shown(self, text: str) -> str:
        return str(self._scrub(text))[:SHOWN]

    def masked(self, values: list[JSON]) -> list[JSON]:
        """The same values as they may be quoted."""
        return [self._scrub(value) for value in values]


def _text_of(response: Any, failed: _Failed) -> str:
    """The text that a model answered. Raises ActionError when there is none, or only a part: each reason has its own words."""
    choices = getattr(response, "choices", None)  # a server that is none answers 200 with anything
    if not choices:
        raise failed.invalid("The model answered nothing.", "", ["the answer is empty"])
    message, reason = choices[0].message, choices[0].finish_reason
    whole = message.content or ""
    text = spoken(whole)
    if reason == "content_filter":
        raise failed.because("llm.refused", "The provider's content filter stopped the answer.", whole)
    refusal = refusal_of(message)
    if refusal and not text.strip():
        raise failed.because("llm.refused", f"The model refused: {failed.shown(refusal)}", whole)
    if reason == "length":
        what = "answer" if text.strip() else "reasoning"
        raise failed.because("llm.cut", f"The {what} was cut at the limit of tokens: raise `max_tokens`.", whole)
    if text.strip():
        return text
    if getattr(message, "tool_calls", None):
        raise failed.invalid("The model asked for a tool instead of an answer; `llm` offers none.", "", ["it is a tool call"])
    if whole.strip() or getattr(message, "reasoning_content", None):
        raise failed.invalid("The model reasoned and gave no answer.", "", ["the answer after the reasoning is empty"])
    raise failed.invalid("The model answered nothing.", "", ["the answer is empty"])


def refusal_of(message: Any) -> str:
    """The text by which a model declines, wherever litellm has put it."""
    fields = getattr(message, "provider_specific_fields", None) or {}
    refusal = getattr(message, "refusal", None) or fields.get("refusal")
    return refusal if isinstance(refusal, str) else ""


def make(context: ActionContext) -> LlmAction:
    return LlmAction(context.models, context.read_key)


def _arguments(litellm: Any, model: Model, call: Call, schema: dict[str, JSON] | None) -> dict[str, JSON]:
    params = call.params
    supported = schema is not None and (
        litellm.supports_response_schema(model=model.name) if model.supports_schema is None else model.supports_schema
    )
    arguments = {
        "timeout": TIMEOUT if call.timeout is None else call.timeout + MARGIN,
        **model.options,
        "model": model.name,
        "messages": _messages(call, None if supported else schema),
        "max_retries": 0,
        "num_retries": 0,
    }
    arguments |= {name: params[name] for name in ("temperature", "max_tokens") if params.get(name) is not None}
    if schema is not None and supported:
        arguments["response_format"] = response_format(schema)
    if model.stream:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    return arguments


def _messages(call: Call, schema: dict[str, JSON] | None) -> list[JSON]:
    """What the model reads. `schema`: to be asked for in words; after an invalid answer, what was wrong with it comes last."""
    params = call.params
    system = [as_text(params["system"])] if params.get("system") else []
    if schema is not None:
        system.append(instruction(schema))
    messages: list[JSON] = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    messages += params.get("messages") or [{"role": "user", "content": as_text(params.get("prompt"))}]
    if call.previous is not None and call.previous.type == "llm.invalid_output" and isinstance(call.previous.data, dict):
        answer, problems = call.previous.data.get("output"), call.previous.data.get("problems")
        if answer:
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": correction(problems or [call.previous.message])})
    return messages


def _validated(text: str, schema: dict[str, JSON], failed: _Failed) -> JSON:
    try:
        values = read_answers(text)
    except ValueError as error:
        raise failed.invalid(f"The answer is not JSON: {error}.", text, [f"it is not JSON: {error}"]) from None
    value, problems = chosen(failed.masked(values), schema)
    if problems:
        raise failed.invalid(f"The answer does not fit the schema: {problems[0]}", text, problems)
    return value
