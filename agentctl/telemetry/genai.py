"""The attributes of a call of a model, by OpenTelemetry's semantic conventions for generative AI, 1.37 and newer.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

from typing import Any

from agentctl.core.events import Usage

# litellm's word before the slash -> that of the conventions, where they differ
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_ASKED = {"temperature": "gen_ai.request.temperature", "max_tokens": "gen_ai.request.max_tokens"}


def call_attributes(asked: Any, usage: Usage | None) -> dict[str, str | int | float | bool]:
    """`asked`: the parameters of an llm step.  `usage`: of all its attempts; None: nobody has answered.

    The model is the one that answered, by litellm's name; without an answer the alias that was asked for.
    """
    params = asked if isinstance(asked, dict) else {}
    alias = params.get("model")
    model = (usage.model if usage is not None else None) or (alias if isinstance(alias, str) else "default")
    found: dict[str, str | int | float | bool] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
    provider, slash, _ = model.partition("/")
    if slash:
        found["gen_ai.provider.name"] = _PROVIDERS.get(provider, provider)
    found |= {name: params[key] for key, name in _ASKED.items() if isinstance(params.get(key), int | float)}
    if usage is not None:
        found["gen_ai.usage.input_tokens"] = usage.input_tokens
        found["gen_ai.usage.output_tokens"] = usage.output_tokens
        if usage.cached_tokens:
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
        if usage.usd is not None:
            found["agentctl.usage.usd"] = usage.usd
    return found
