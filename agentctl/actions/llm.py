"""`llm`: one call of a model, through litellm.

Params: {prompt | messages, system, model, schema, temperature, max_tokens, fallback_models}. Output: the answer's text, or with
`schema` the validated value. Errors: llm.auth, llm.rate_limit, llm.unavailable, llm.bad_request, llm.invalid_output {output,
problems}. The retries are the step's: litellm makes none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from agentctl import JSON
from agentctl.actions.litellm_library import library, warm_up
from agentctl.actions.model_answer import correction, instruction, problems_of, read_answer, response_format
from agentctl.actions.model_errors import translate
from agentctl.actions.models import Model, ReadKey, is_any_usable, resolve
from agentctl.actions.text import as_text
from agentctl.core.events import Usage
from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

TIMEOUT = 600.0  # seconds for one answer, of a step that has no `timeout`
MARGIN = 60.0  # seconds that litellm has beyond a step's own `timeout`, which the engine sees to
SHOWN = 8192  # characters of an invalid answer that its error keeps
_ANOTHER_MAY_HELP = ("llm.rate_limit", "llm.unavailable", "llm.auth")


class LlmAction:
    instant = False

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

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        failures: list[ActionError] = []
        for wanted in [call.params.get("model"), *(call.params.get("fallback_models") or [])]:
            try:
                return await self._ask(resolve(wanted, self.models, self.read_key), call)
            except ActionError as failure:
                if failure.type not in _ANOTHER_MAY_HELP:
                    raise
                failures.append(failure)
        # One that passes by itself, if there is one: so the step's retry gets its chance.
        raise next((failure for failure in failures if failure.type != "llm.auth"), failures[0])

    async def _ask(self, model: Model, call: Call) -> Outcome:
        litellm = await library()
        schema = call.params.get("schema") or None
        arguments = _arguments(litellm, model, call, schema)
        started = time.monotonic()
        try:
            response = await litellm.acompletion(**arguments)
        except Exception as error:
            raise translate(error, model.name) from error
        usage = _usage(response, model.name, int(1000 * (time.monotonic() - started)))
        choices = getattr(response, "choices", None)  # a server that is none answers 200 with anything
        text = choices[0].message.content if choices else None
        if not text:
            raise _invalid("The model answered nothing.", "", ["the answer is empty"], usage)
        return Outcome(text if schema is None else _validated(text, schema, response, usage), usage)


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


def _validated(text: str, schema: dict[str, JSON], response: Any, usage: Usage) -> JSON:
    try:
        value = read_answer(text)
    except ValueError as error:
        cut = " (the answer was cut at `max_tokens`)" if response.choices[0].finish_reason == "length" else ""
        raise _invalid(f"The answer is no JSON{cut}: {error}.", text, [f"it is no JSON: {error}{cut}"], usage) from None
    problems = problems_of(value, schema)
    if problems:
        raise _invalid(f"The answer does not fit the schema: {problems[0]}", text, problems, usage)
    return value


def _invalid(message: str, text: str, problems: list[str], usage: Usage) -> ActionError:
    data = {"output": text[:SHOWN], "problems": problems}
    return ActionError("llm.invalid_output", message, data, usage=msgspec.to_builtins(usage))


def _usage(response: Any, model: str, latency_ms: int) -> Usage:
    """Tokens as the provider counted them; usd None where litellm knows no price."""
    counted = getattr(response, "usage", None)
    details = getattr(counted, "prompt_tokens_details", None)
    return Usage(
        input_tokens=getattr(counted, "prompt_tokens", 0) or 0,
        output_tokens=getattr(counted, "completion_tokens", 0) or 0,
        usd=(getattr(response, "_hidden_params", None) or {}).get("response_cost"),
        model=model,
        cached_tokens=getattr(details, "cached_tokens", 0) or 0,
        latency_ms=latency_ms,
    )
