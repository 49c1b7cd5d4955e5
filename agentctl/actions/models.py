"""From what a step calls a model to what litellm is told: aliases of the project file, API keys, and what is said without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentctl import JSON
from agentctl.errors import ActionError

ReadKey = Callable[[str], str | None]

DEFAULT = "default"
NO_KEY = "none"  # for servers that ask for no key: clients insist on some text

# Where each provider's key is looked for, so that a missing one is told without importing litellm. Providers that are not listed
# (clouds with credentials of their own, local servers) are left to litellm.
KEYS: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
}
_BARE = {"gpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "chatgpt-": "openai", "claude-": "anthropic"}


@dataclass(frozen=True)
class Model:
    """`name`: as litellm knows it.  `options`: more arguments for litellm (api_base, api_key ...).

    `supports_schema`: True or False when the project file says so, None to ask litellm.
    """

    name: str
    options: dict[str, JSON]
    supports_schema: bool | None


def resolve(wanted: str | None, models: Mapping[str, JSON], read_key: ReadKey) -> Model:
    """The model of an alias or of a litellm name. Raises llm.auth when none is configured, or its provider's key is missing."""
    if wanted is None and DEFAULT not in models:
        raise ActionError(
            "llm.auth",
            "No model is configured: add `models: {default: PROVIDER/MODEL}` to agentctl.yaml, or name a `model` in the step.",
        )
    alias = wanted or DEFAULT
    entry = models.get(alias, alias)
    options: dict[str, Any] = {"model": entry} if isinstance(entry, str) else dict(entry)
    name = options.pop("model", None)
    if not isinstance(name, str):
        raise ActionError("llm.auth", f"The model {alias!r} in agentctl.yaml lacks its `model: PROVIDER/MODEL`.")
    supports_schema = options.pop("supports_schema", None)
    base = _base(name, read_key)
    if base is not None and "api_base" not in options and "base_url" not in options:
        options["api_base"] = base
    if "api_key" not in options:
        key = _key(alias, name, read_key, "api_base" in options or "base_url" in options)
        if key is not None:
            options["api_key"] = key
    return Model(name, options, supports_schema)


def is_any_usable(models: Mapping[str, JSON], read_key: ReadKey) -> bool:
    """Whether a call could reach a model at all: by an alias of the project file, or by the key of a provider."""
    for alias in models:
        try:
            resolve(alias, models, read_key)
        except ActionError:
            continue
        return True
    return any(read_key(variable) for variables in KEYS.values() for variable in variables)


def _base(name: str, read_key: ReadKey) -> str | None:
    """The server that stands in for OpenAI's own. litellm looks in the environment alone; it may be in the project's .env."""
    if _provider(name) != "openai":
        return None
    return read_key("OPENAI_BASE_URL") or read_key("OPENAI_API_BASE") or None


def _key(alias: str, name: str, read_key: ReadKey, own_server: bool) -> str | None:
    """The key to pass on, None to let litellm look for what it needs."""
    names = KEYS.get(_provider(name), ())
    for variable in names:
        key = read_key(variable)
        if key:
            return key
    if own_server:
        return NO_KEY
    if not names:
        return None
    called = f"The model {name}" if alias == name else f"The model `{alias}` ({name})"
    raise ActionError(
        "llm.auth",
        f"{called} has no API key: set {names[0]} in the environment or in the project's .env, "
        "or choose another model under `models:` in agentctl.yaml.",
    )


def _provider(name: str) -> str:
    prefix, slash, _ = name.partition("/")
    return prefix if slash else next((provider for start, provider in _BARE.items() if name.startswith(start)), "")
